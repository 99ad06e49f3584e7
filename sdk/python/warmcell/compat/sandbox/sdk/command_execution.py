"""What came of a program that ran in a sandbox."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from warmcell.compat.sandbox.sdk.execution import _lines

__all__ = ["CommandExecution"]


class CommandExecution:
    """exit_code is 124 where its timeout ended it (`timeout` is true then), 127 where there is no
    such program. output_data: what a server of microsandbox's protocol, or the original's, answers,
    in place of the others."""

    stdout: str
    stderr: str
    exit_code: int
    command: str
    timeout: bool

    def __init__(
        self,
        stdout: str = "",
        stderr: str = "",
        exit_code: int = 0,
        command: str = "",
        timeout: bool = False,
        output_data: Mapping[str, Any] | None = None,
        *,
        args: Sequence[str] = (),
        combined: str | None = None,
    ) -> None:
        if output_data is not None:
            stdout = stdout or _lines(output_data, "stdout")
            stderr = stderr or _lines(output_data, "stderr")
            combined = _lines(output_data, None)
            exit_code = int(output_data.get("exit_code", exit_code))
            command = str(output_data.get("command", command))
            timeout = bool(output_data.get("timeout", timeout))
            args = output_data.get("args", args)
        self.stdout = stdout
        self.stderr = stderr
        self.exit_code = exit_code
        self.command = command
        self.timeout = timeout
        self.args = list(args)
        self._combined = combined

    async def output(self) -> str:
        """What it wrote on both streams, in its order, without the last line's end."""
        text = self.stdout + self.stderr if self._combined is None else self._combined
        return text.rstrip("\n")

    async def error(self) -> str:
        """What it wrote on stderr."""
        return self.stderr.rstrip("\n")

    @property
    def success(self) -> bool:
        """Whether it ended by itself with 0."""
        return self.exit_code == 0 and not self.timeout

    def has_error(self) -> bool:
        """Whether it ended otherwise than with 0, or was ended by its timeout. What is written on
        stderr alone is no failure."""
        return not self.success

    def to_dict(self) -> dict[str, Any]:
        """All of it, with the members of the original and those of microsandbox's protocol."""
        streams = (("stdout", self.stdout), ("stderr", self.stderr))
        return {
            "stdout": self.stdout,
            "stderr": self.stderr,
            "exit_code": self.exit_code,
            "command": self.command,
            "timeout": self.timeout,
            "has_error": self.has_error(),
            "args": list(self.args),
            "success": self.success,
            "output": [
                {"stream": stream, "text": line}
                for stream, text in streams
                for line in text.splitlines()
            ],
        }

    def __repr__(self) -> str:
        return f"<CommandExecution {self.command} {self.exit_code}>"

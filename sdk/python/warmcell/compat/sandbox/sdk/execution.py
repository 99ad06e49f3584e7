"""What came of a run of code."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

__all__ = ["Execution"]


class Execution:
    """stdout and stderr are what the code wrote, byte for byte, and nothing else; return_value is
    the text of its last expression's value, or None; exception is what ended it.

    output_data: what a server of microsandbox's protocol answers, in place of the others."""

    stdout: str
    stderr: str
    return_value: Any
    exception: BaseException | None
    status: str
    language: str

    def __init__(
        self,
        stdout: str = "",
        stderr: str = "",
        return_value: Any = None,
        exception: BaseException | None = None,
        artifacts: Sequence[str] | None = None,
        output_data: Mapping[str, Any] | None = None,
        *,
        status: str = "unknown",
        language: str = "unknown",
        combined: str | None = None,
        execution_id: str | None = None,
        execution_time: float = 0.0,
        find_artifacts: Callable[[], list[str]] | None = None,
    ) -> None:
        if output_data is not None:
            stdout = stdout or _lines(output_data, "stdout")
            stderr = stderr or _lines(output_data, "stderr")
            combined = _lines(output_data, None)
            status = str(output_data.get("status", status))
            language = str(output_data.get("language", language))
        self.stdout = stdout
        self.stderr = stderr
        self.return_value = return_value
        self.exception = exception
        self.status = status
        self.language = language
        self.execution_id = execution_id
        self.execution_time = execution_time
        self._combined = combined
        self._artifacts = None if artifacts is None else list(artifacts)
        self._find_artifacts = find_artifacts

    @property
    def artifacts(self) -> list[str]:
        """What it displayed and the files that it left, as paths below the sandbox's artifacts_dir.
        They are asked for when this is read, which waits until the gateway has found them."""
        if self._artifacts is None:
            self._artifacts = self._find_artifacts() if self._find_artifacts else []
        return self._artifacts

    async def output(self) -> str:
        """What it wrote on both streams, in its order, and behind it the value of its last
        expression; without the last line's end."""
        text = self._combined
        if text is None:
            text = self.stdout + self.stderr
        if self.return_value is not None:
            text += str(self.return_value)
        return text.rstrip("\n")

    async def error(self) -> str:
        """What it wrote on stderr, or, if that is nothing, what ended it."""
        if not self.stderr and self.exception is not None:
            return str(self.exception)
        return self.stderr.rstrip("\n")

    def has_error(self) -> bool:
        """Whether it failed. What is written on stderr alone is no failure."""
        return self.exception is not None or self.status in {"error", "exception"}

    def to_dict(self) -> dict[str, Any]:
        """All of it, as what JSON can hold."""
        return {
            "stdout": self.stdout,
            "stderr": self.stderr,
            "return_value": self.return_value,
            "exception": None if self.exception is None else str(self.exception),
            "artifacts": list(self.artifacts),
            "status": self.status,
            "language": self.language,
            "has_error": self.has_error(),
            "execution_time": self.execution_time,
        }

    def __repr__(self) -> str:
        return f"<Execution {self.status} {len(self.stdout)} characters>"


def _lines(output_data: Mapping[str, Any], stream: str | None) -> str:
    """The lines of a stream, or of both in their order; either form of an answer."""
    found = output_data.get("output")
    if isinstance(found, list):
        chosen = [one for one in found if stream is None or one.get("stream") == stream]
        return "\n".join(str(one.get("text", "")) for one in chosen)
    if stream is None:
        return str(output_data.get("stdout", "")) + str(output_data.get("stderr", ""))
    return str(output_data.get(stream, ""))

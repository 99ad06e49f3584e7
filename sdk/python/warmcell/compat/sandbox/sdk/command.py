"""Programs in a sandbox."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from warmcell.aio.command import AsyncCommand
from warmcell.compat.sandbox.exceptions import translated
from warmcell.compat.sandbox.sdk.command_execution import CommandExecution
from warmcell.events import Stdout

if TYPE_CHECKING:
    from warmcell.compat.sandbox.sdk.base_sandbox import BaseSandbox

__all__ = ["Command"]

TIMED_OUT = 124


class Command:
    """`await sandbox.command.run("ls", ["-la"])`."""

    def __init__(self, sandbox: BaseSandbox) -> None:
        self._sandbox = sandbox

    async def run(
        self,
        command: str,
        args: Sequence[str] | None = None,
        timeout: float | None = None,
        *,
        working_directory: str | None = None,
        env: Mapping[str, str] | None = None,
        stdin: str | bytes | None = None,
    ) -> CommandExecution:
        """Runs a program with its words, without a shell, and waits for its end. After timeout
        seconds (else the sandbox's) it and all that it started are killed: exit_code is 124."""
        session = self._sandbox._started_session()
        patience = self._sandbox.config.timeout if timeout is None else timeout
        words = [command, *(args or ())]

        async def start() -> AsyncCommand:
            sandbox = await session.sandbox()
            return await sandbox.commands.start(
                words,
                cwd=working_directory or session.cwd,
                env=env,
                stdin=stdin,
                deadline=patience or None,
            )

        with translated():
            done = await session.here(start)
            written = [event.text async for event in done if isinstance(event, Stdout)]
        return _outcome(done, words, "".join(written))


def _outcome(done: AsyncCommand, words: list[str], combined: str) -> CommandExecution:
    timed_out = done.status == "timeout"
    code = TIMED_OUT if timed_out else done.exit_code
    reason = done.record.get("reason")
    stderr = done.stderr
    if reason and not timed_out:  # there is no such program, or who ended it
        stderr, combined = f"{stderr}{reason}\n", f"{combined}{reason}\n"
    return CommandExecution(
        done.stdout,
        stderr,
        _killed_by(done) if code is None else code,
        words[0],
        timed_out,
        args=words[1:],
        combined=combined,
    )


def _killed_by(done: AsyncCommand) -> int:
    """As a shell says it: 128 and the number of the signal; 1 where none is known."""
    import signal

    name = str(done.record.get("signal") or "")
    number = getattr(signal, name, None)
    return 1 if number is None else 128 + int(number)

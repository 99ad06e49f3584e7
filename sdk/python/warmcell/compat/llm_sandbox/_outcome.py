"""What ran, as a ConsoleOutput."""

from __future__ import annotations

import signal
from typing import Union

import warmcell
from warmcell.compat.llm_sandbox.data import ConsoleOutput
from warmcell.compat.llm_sandbox.exceptions import SandboxTimeoutError

__all__ = ["of_command", "of_execution"]

KILLED_BY_SIGNAL = 128  # as shells say it: plus the number of the signal
ENDED_BY_LIMIT = KILLED_BY_SIGNAL + signal.SIGKILL

Ran = Union[warmcell.Command, warmcell.Execution]


def of_command(
    ran: warmcell.Command, deadline: float | None, encoding_errors: str = "replace"
) -> ConsoleOutput:
    """SandboxTimeoutError, with what came until then: its deadline ended it."""
    stderr = ran.stderr_bytes.decode("utf-8", encoding_errors)
    stdout = ran.stdout_bytes.decode("utf-8", encoding_errors)
    code = ran.exit_code
    if code is None:
        name = str(ran.record.get("signal") or "SIGKILL")
        code = KILLED_BY_SIGNAL + int(getattr(signal, name, signal.SIGKILL))
    return _told(ran, ConsoleOutput(code, _with_reason(ran, stderr), stdout), deadline)


def of_execution(ran: warmcell.Execution, deadline: float | None) -> ConsoleOutput:
    """A traceback, without colours, stands on stderr. SandboxTimeoutError as of_command."""
    stderr = ran.stderr
    code = 0 if ran.ok else 1
    if ran.error is not None and ran.error.name == "SystemExit":
        code, text = _exit_of(ran.error.value)
        stderr += text
    elif ran.error is not None and ran.status == "error":
        stderr += "\n".join(line.rstrip("\n") for line in ran.error.traceback) + "\n"
    elif not ran.ok:
        code = ENDED_BY_LIMIT
        stderr = _with_reason(ran, stderr)
    return _told(ran, ConsoleOutput(code, stderr, ran.stdout), deadline)


def _exit_of(value: str) -> tuple[int, str]:
    """What `sys.exit(value)` makes of a program: a number is its exit code, a text is written."""
    if value in {"", "None"}:
        return 0, ""
    try:
        return int(value) & 0xFF, ""
    except ValueError:
        return 1, f"{value}\n"


def _with_reason(ran: Ran, stderr: str) -> str:
    """Why the gateway ended it, or could not start it, in a line of its own."""
    reason = ran.record.get("reason") or ("" if ran.status in {"exited", "killed"} else ran.status)
    if not reason:
        return stderr
    return f"{stderr}{'' if stderr.endswith(chr(10)) or not stderr else chr(10)}{reason}\n"


def _told(ran: Ran, output: ConsoleOutput, deadline: float | None) -> ConsoleOutput:
    if ran.status != "timeout":
        return output
    after = f" after {deadline:g} seconds" if deadline is not None else ""
    raise SandboxTimeoutError(f"The run was ended by its timeout{after}", deadline, output)

"""Code as a program: what runs it, and how its lines are run."""

from __future__ import annotations

import time
from collections.abc import Sequence

import warmcell
from warmcell.compat.llm_sandbox import _outcome
from warmcell.compat.llm_sandbox.data import ConsoleOutput, StreamCallback
from warmcell.compat.llm_sandbox.exceptions import MissingDependencyError
from warmcell.compat.llm_sandbox.language_handlers.base import LanguageConfig

__all__ = ["find", "run_lines"]

LOOK = 'for one; do command -v "$one" && exit; done; exit 1'


def find(sandbox: warmcell.Sandbox, config: LanguageConfig) -> str:
    """The first of a language's programs that the sandbox has. MissingDependencyError: it has
    none."""
    ran = sandbox.commands.run(["/bin/sh", "-c", LOOK, "sh", *config.programs])
    if not ran.ok:
        raise MissingDependencyError(
            f"The sandbox has no {config.programs[0]}: install the package "
            f"{config.package} on the machine of the gateway to run {config.name}"
        )
    return ran.stdout.strip()


def run_lines(
    sandbox: warmcell.Sandbox,
    lines: Sequence[str],
    *,
    cwd: str,
    deadline: float | None,
    encoding_errors: str,
    on_stdout: StreamCallback | None,
    on_stderr: StreamCallback | None,
) -> ConsoleOutput:
    """One after the other up to the first that fails, all within deadline seconds; what the last
    one told. SandboxTimeoutError."""
    began = time.monotonic()
    told = ConsoleOutput()
    for line in lines:
        rest = None if deadline is None else max(0.001, deadline - (time.monotonic() - began))
        ran = sandbox.commands.run(
            line, cwd=cwd, deadline=rest, on_stdout=on_stdout, on_stderr=on_stderr
        )
        told = _outcome.of_command(ran, deadline, encoding_errors)
        if not told.success():
            break
    return told

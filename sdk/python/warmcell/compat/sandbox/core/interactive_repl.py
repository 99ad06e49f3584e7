"""A session at a terminal."""

from __future__ import annotations

import sys
from codeop import compile_command

from warmcell.compat.sandbox.core.execution_context import PersistentExecutionContext

__all__ = ["EnhancedREPL"]


class EnhancedREPL:
    """Reads with input(), runs in the session, writes on stdout and stderr."""

    def __init__(self, context: PersistentExecutionContext) -> None:
        self._context = context

    def start_interactive_session(self) -> None:
        """Until a line says `exit`, or there are no more."""
        while True:
            code = self._read()
            if code is None or code.strip() in {"exit", "exit()", "quit", "quit()"}:
                return
            if code.strip():
                self._run(code)

    @staticmethod
    def _read() -> str | None:
        """One statement, on as many lines as it takes; None: there are no more."""
        lines: list[str] = []
        while True:
            try:
                lines.append(input("... " if lines else ">>> "))
            except EOFError:
                return None
            code = "\n".join(lines)
            try:
                if compile_command(code) is not None:
                    return code
            except (SyntaxError, ValueError, OverflowError):
                return code  # a magic, or what the interpreter will say is wrong

    def _run(self, code: str) -> None:
        ran = self._context._session.call(self._context._session.run(code)).execution
        print(ran.stdout, end="")
        print(ran.stderr, end="", file=sys.stderr)
        if ran.text is not None:
            print(ran.text)
        if ran.error is not None:
            print("\n".join(ran.error.traceback), file=sys.stderr)

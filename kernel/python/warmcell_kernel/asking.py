"""input() and getpass(): questions to the front end."""

from __future__ import annotations

import builtins
import getpass
import warnings
from collections.abc import Callable
from typing import Any

import _warmcell
from IPython.core.error import StdinNotImplementedError


class Asker:
    """Replaces input and getpass.getpass; allowed() says whether the running request may ask."""

    def __init__(self, allowed: Callable[[], bool]) -> None:
        self._allowed = allowed

    def install(self) -> None:
        builtins.input = self.raw_input
        getpass.getpass = self.getpass

    def raw_input(self, prompt: object = "", /) -> str:
        """Forward input() to the front end."""
        return self._ask("raw_input", str(prompt), password=False)

    def getpass(
        self, prompt: str = "Password: ", stream: Any = None, *, echo_char: str | None = None
    ) -> str:
        """Forward getpass() to the front end, which hides what is typed."""
        if stream is not None or echo_char is not None:
            warnings.warn(
                "stream and echo_char of getpass.getpass have no effect in a kernel", stacklevel=2
            )
        return self._ask("getpass", prompt, password=True)

    def _ask(self, name: str, prompt: str, password: bool) -> str:
        if not self._allowed():
            raise StdinNotImplementedError(
                f"{name} was called, but this frontend does not support input requests."
            )
        try:
            value = _warmcell.input({"prompt": prompt, "password": password})
        except KeyboardInterrupt:
            raise KeyboardInterrupt("Interrupted by user") from None
        if value == "\x04":
            raise EOFError
        return value

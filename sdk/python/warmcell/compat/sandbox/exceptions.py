"""What can go wrong with a sandbox.

The three of the document stand side by side, so that each `except` of its example catches its own.
`SandboxError` is the base of all.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from warmcell.errors import TransportError, UnauthorizedError, WarmcellError

if TYPE_CHECKING:
    from warmcell.compat.sandbox.sdk.execution import Execution

__all__ = [
    "SandboxConnectionError",
    "SandboxError",
    "SandboxExecutionError",
    "SandboxNotStartedError",
    "SandboxTimeoutError",
    "SandboxUnsupportedError",
]


class SandboxError(Exception):
    """The base of all errors of this package: also by itself, with the gateway's sentence."""


class SandboxExecutionError(SandboxError):
    """Code ended otherwise than well. error_type: the name of its exception, or how it ended
    (`killed`, `oom`, `output_limit` …); traceback: as text; execution: all that came of it."""

    error_type: str | None
    traceback: str
    execution: Execution | None

    def __init__(
        self,
        message: str,
        error_type: str | None = None,
        traceback: str = "",
        execution: Execution | None = None,
    ) -> None:
        super().__init__(message)
        self.error_type = error_type
        self.traceback = traceback
        self.execution = execution


class SandboxTimeoutError(SandboxError, TimeoutError):
    """Code took longer than its timeout, in seconds, and was ended; the session goes on.
    execution: what came until then."""

    timeout: float | None
    execution: Execution | None

    def __init__(
        self, message: str, timeout: float | None = None, execution: Execution | None = None
    ) -> None:
        super().__init__(message)
        self.timeout = timeout
        self.execution = execution


class SandboxConnectionError(SandboxError, ConnectionError):
    """The gateway was not reached, the connection was lost, or the key lets nobody in."""


class SandboxNotStartedError(SandboxError, RuntimeError):
    """start() has not been called, or stop() was."""


class SandboxUnsupportedError(SandboxError, NotImplementedError):
    """What is asked for is not there, and nothing stands in for it; the sentence says what is."""


@contextmanager
def translated() -> Iterator[None]:
    """Errors of the client become those of this package."""
    try:
        yield
    except (TransportError, UnauthorizedError) as error:
        raise SandboxConnectionError(str(error)) from error
    except WarmcellError as error:
        raise SandboxError(str(error)) from error

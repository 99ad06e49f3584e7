"""What can go wrong, as one tree below SandboxSDKError. Each also has `name`, that of its class."""

from __future__ import annotations

from typing import Any

__all__ = [
    "AuthenticationError",
    "ConnectionError",
    "ExecutionError",
    "RateLimitError",
    "SandboxError",
    "SandboxSDKError",
    "TimeoutError",
]


class SandboxSDKError(Exception):
    """The base of all errors of this package."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.name = type(self).__name__


class ExecutionError(SandboxSDKError):
    """What the code itself raised: the name of its class, its text, and its traceback, as text.

    `execution` is the whole run, with what it had put out until then, where it is known."""

    name: str
    value: str
    traceback: str
    execution: Any

    def __init__(self, name: str, value: str, traceback: str, execution: Any = None) -> None:
        super().__init__(value)
        self.name = name
        self.value = value
        self.traceback = traceback
        self.execution = execution

    def __repr__(self) -> str:
        return f"ExecutionError({self.name!r}, {self.value!r})"

    def __reduce__(self) -> tuple[type, tuple[str, str, str, Any]]:
        return type(self), (self.name, self.value, self.traceback, self.execution)


class ConnectionError(SandboxSDKError):  # noqa: A001 - the API's own name
    """The server was not reached, or the connection broke and could not be made again."""


class TimeoutError(SandboxSDKError):  # noqa: A001
    """It took longer than it may. `execution` is the run as far as it came, where there is one: the
    server has ended it, and its variables are kept."""

    def __init__(self, message: str, execution: Any = None) -> None:
        super().__init__(message)
        self.execution = execution


class SandboxError(SandboxSDKError):
    """The server refused; `status` is its HTTP status, where it was asked at all."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class AuthenticationError(SandboxError):
    """The API key is not known (401)."""


class RateLimitError(SandboxSDKError):
    """Too many requests: come again after `retry_after` milliseconds."""

    retry_after: int

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"Rate limit exceeded. Retry after {retry_after}ms")
        self.retry_after = retry_after

    def __reduce__(self) -> tuple[type, tuple[int]]:
        return type(self), (self.retry_after,)

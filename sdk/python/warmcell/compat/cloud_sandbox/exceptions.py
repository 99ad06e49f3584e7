"""What can go wrong: one tree below SandboxError."""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from typing import Any

__all__ = [
    "AuthError",
    "NotFoundError",
    "RateLimitError",
    "SandboxError",
    "ServiceUnavailableError",
    "TimeoutError",
]


class SandboxError(Exception):
    """The base of all errors. `message` is the gateway's sentence, `status_code` the status of its
    answer and `response` all that it said; both are None where it gave none."""

    def __init__(
        self,
        message: str,
        status_code: int | None = None,
        response: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status_code = status_code
        self.response = response

    def __reduce__(self) -> tuple[type, tuple[str, int | None, Mapping[str, Any] | None]]:
        return type(self), (self.message, self.status_code, self.response)


class AuthError(SandboxError):
    """401: the gateway does not know who is calling."""


class TimeoutError(SandboxError, builtins.TimeoutError):  # noqa: A001 - the original's name
    """There was no answer in time; what was asked for may go on."""


class NotFoundError(SandboxError):
    """404: it does not exist, or belongs to somebody else."""


class RateLimitError(SandboxError):
    """429: too many requests."""


class ServiceUnavailableError(SandboxError):
    """There is no gateway, it takes nothing now, or what is behind it failed (502, 503, 504)."""


BY_STATUS: Mapping[int, type[SandboxError]] = {
    401: AuthError,
    404: NotFoundError,
    429: RateLimitError,
    502: ServiceUnavailableError,
    503: ServiceUnavailableError,
    504: ServiceUnavailableError,
}

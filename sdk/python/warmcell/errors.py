"""What can go wrong, as one tree below WarmcellError.

- ProblemError: the gateway refused or failed; each status that it uses has a class, `detail` is its
  sentence, `problem` all that it said.
- TransportError: it was not reached, or the connection broke where nothing can be resumed.
- WaitTimeoutError: the caller's own patience was over. What runs goes on, and nothing of it is
  lost.
- ExecutionFailedError, CommandFailedError: what ran did not end well, and `check` was asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class WarmcellError(Exception):
    """The base of all errors of this package."""


class TransportError(WarmcellError):
    """There is no connection to the gateway."""


class UnreachableError(TransportError):
    """The gateway could not be reached: what was asked for did not happen."""


class ConnectionLostError(TransportError):
    """The connection broke behind a request that may not be sent twice: whether it happened is not
    known."""


class LocalGatewayError(UnreachableError):
    """No gateway of the user's own could be found or started; the sentence says why."""


class WaitTimeoutError(WarmcellError, TimeoutError):
    """The caller waited for long enough. `waited_for` is what goes on: an execution, a command; it
    has all that came so far, and can be waited for again."""

    def __init__(self, message: str, waited_for: object = None) -> None:
        super().__init__(message)
        self.waited_for = waited_for


class ExecutionFailedError(WarmcellError):
    """An execution that was to be checked did not end as `ok`."""

    def __init__(self, message: str, execution: Any) -> None:
        super().__init__(message)
        self.execution = execution

    @property
    def status(self) -> str:
        """How it ended: error, interrupted, timeout, output_limit, killed, oom, aborted …"""
        return str(self.execution.status)


class CommandFailedError(WarmcellError):
    """A command that was to be checked did not exit with 0."""

    def __init__(self, message: str, command: Any) -> None:
        super().__init__(message)
        self.command = command


class ProblemError(WarmcellError):
    """The gateway's answer was a problem."""

    def __init__(
        self,
        status: int,
        detail: str,
        problem: Mapping[str, Any] | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.problem: Mapping[str, Any] = problem or {}
        self.retry_after_s = retry_after_s

    def __reduce__(self) -> tuple[type, tuple[int, str, dict[str, Any], float | None]]:
        return type(self), (self.status, self.detail, dict(self.problem), self.retry_after_s)


class InvalidRequestError(ProblemError):
    """400: the request is wrong; the sentence names the member."""


class UnauthorizedError(ProblemError):
    """401: the gateway does not know who is calling."""


class ForbiddenError(ProblemError):
    """403: the caller may not do this."""


class QuotaError(ForbiddenError):
    """403 or 429: a quota of the caller's would be passed."""

    @property
    def quota(self) -> str:
        return str(self.problem["quota"])

    @property
    def limit(self) -> int:
        return int(self.problem["limit"])

    @property
    def used(self) -> int:
        return int(self.problem.get("used", 0))


class NotFoundError(ProblemError):
    """404: it does not exist, or belongs to somebody else."""


class ConflictError(ProblemError):
    """409: not in the state that it is in now."""


class GoneError(ProblemError):
    """410: what is asked for is not kept any more."""


class PreconditionError(ProblemError):
    """412: the file is not the version that was named."""


class TooLargeError(ProblemError):
    """413: longer than the gateway takes."""


class RangeError(ProblemError):
    """416: the file has no such bytes."""


class UnprocessableError(ProblemError):
    """422: well-formed, and not possible: another body with the same key, pip's reason."""


class RateLimitError(ProblemError):
    """429: too many at a time; retry_after_s says when to come again, where that is known."""


class UnsupportedError(ProblemError):
    """501: this machine, or this gateway, cannot do it."""


class KernelError(ProblemError):
    """502: the kernel, or a program of the gateway's, failed."""


class UnavailableError(ProblemError):
    """503: not now."""


class GatewayTimeoutError(ProblemError):
    """504: the time that the gateway grants was over."""


class StorageFullError(ProblemError):
    """507: no room is left for it."""


BY_STATUS: Mapping[int, type[ProblemError]] = {
    400: InvalidRequestError,
    401: UnauthorizedError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    410: GoneError,
    412: PreconditionError,
    413: TooLargeError,
    416: RangeError,
    422: UnprocessableError,
    429: RateLimitError,
    501: UnsupportedError,
    502: KernelError,
    503: UnavailableError,
    504: GatewayTimeoutError,
    507: StorageFullError,
}


def problem_error(
    status: int, problem: Mapping[str, Any], retry_after_s: float | None = None
) -> ProblemError:
    """The error for a problem as the gateway words it: application/problem+json, or what it says
    below /api."""
    words = (problem.get(name) for name in ("detail", "message", "title"))
    detail = str(next(filter(None, words), f"the gateway answered {status}"))
    kind = BY_STATUS.get(status, ProblemError)
    if "quota" in problem and "limit" in problem:
        kind = QuotaError
    return kind(status, detail, problem, retry_after_s)

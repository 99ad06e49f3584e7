"""What pools raise."""

from __future__ import annotations

from warmcell.compat.llm_sandbox.exceptions import NotOpenSessionError

__all__ = [
    "PoolClosedError",
    "PoolExhaustedError",
    "PoolHealthCheckError",
    "SessionNotOpenError",
]


class PoolExhaustedError(Exception):
    """All sandboxes of the pool are in use; timeout: the seconds that were waited for one."""

    def __init__(self, pool_size: int, timeout: float | None = None) -> None:
        waited = "" if timeout is None else f", and none was given back within {timeout:g} seconds"
        super().__init__(f"All {pool_size} sandboxes of the pool are in use{waited}")
        self.pool_size = pool_size
        self.timeout = timeout


class PoolClosedError(Exception):
    """The pool was closed."""

    def __init__(self) -> None:
        super().__init__("The pool is closed")


class PoolHealthCheckError(Exception):
    """A sandbox of the pool does not run."""

    def __init__(self, container_id: str, reason: str) -> None:
        super().__init__(f"The sandbox {container_id} does not run: {reason}")
        self.container_id = container_id
        self.reason = reason


class SessionNotOpenError(NotOpenSessionError, RuntimeError):
    """A session with a pool is used before open(), or after close()."""

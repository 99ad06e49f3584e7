"""A pool of sandboxes.

Each is used by one session and then deleted, never cleaned and handed on: what one user left in it,
in files, processes or variables, no other can find. A new one costs milliseconds, since the gateway
keeps some ready itself; the pool bounds how many are in use, and makes its own ahead.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import warmcell
from warmcell.compat.llm_sandbox.const import StrEnum
from warmcell.compat.llm_sandbox.pool.config import ExhaustionStrategy, PoolConfig
from warmcell.compat.llm_sandbox.pool.exceptions import (
    PoolClosedError,
    PoolExhaustedError,
    PoolHealthCheckError,
    SessionNotOpenError,
)

__all__ = ["ContainerPoolManager", "ContainerState", "PooledContainer"]

GOOD = {"starting", "running"}


class ContainerState(StrEnum):
    """What a sandbox of a pool is at."""

    INITIALIZING = "initializing"
    IDLE = "idle"
    BUSY = "busy"
    UNHEALTHY = "unhealthy"
    REMOVING = "removing"


@dataclass(eq=False)
class PooledContainer:
    """One sandbox of a pool; times are those of time.monotonic()."""

    container: warmcell.Sandbox
    state: ContainerState = ContainerState.BUSY
    created_at: float = field(default_factory=time.monotonic)
    looked_at: float = field(default_factory=time.monotonic)
    use_count: int = 0

    @property
    def container_id(self) -> str:
        """The sandbox's id."""
        return self.container.id


class ContainerPoolManager:
    """Hands out sandboxes that `make` makes. Any thread may use it; in a `with` block it is closed
    at the end."""

    def __init__(self, make: Callable[[], warmcell.Sandbox], config: PoolConfig) -> None:
        self.config = config
        self._make = make
        self._changed = threading.Condition()
        self._all: list[PooledContainer] = []
        self._coming = 0  # places that are kept for sandboxes in the making
        self._closed = False
        self._fill()

    def acquire(self) -> PooledContainer:
        """A sandbox that nobody has used. PoolExhaustedError: all are in use; PoolClosedError;
        PoolHealthCheckError: not even one that was just made runs."""
        while True:
            found = self._take()
            if found is None:
                return self._checked(self._new(ContainerState.BUSY))
            if self._is_good(found):
                return found
            self._remove(found)

    def release(self, container: PooledContainer) -> None:
        """Deletes the sandbox of a session that is over: its place is free. Another is made where
        fewer than min_pool_size are left."""
        self._remove(container)
        self._fill()

    def not_open(self) -> SessionNotOpenError:
        """What a session of the pool raises that holds no sandbox."""
        return SessionNotOpenError()

    def get_stats(self) -> dict[str, Any]:
        """{"total_size", "max_size", "min_size", "state_counts": {state: number}, "closed"}."""
        with self._changed:
            counts = {state.value: 0 for state in ContainerState}
            for one in self._all:
                counts[one.state.value] += 1
            counts[ContainerState.INITIALIZING.value] = self._coming
            return {
                "total_size": len(self._all) + self._coming,
                "max_size": self.config.max_pool_size,
                "min_size": self.config.min_pool_size,
                "state_counts": counts,
                "closed": self._closed,
            }

    def close(self) -> None:
        """Deletes what waits; what is in use is deleted as it is released. Who waits for one is
        told PoolClosedError."""
        with self._changed:
            self._closed = True
            idle = [one for one in self._all if one.state is ContainerState.IDLE]
            self._changed.notify_all()
        for one in idle:
            self._remove(one)

    def __enter__(self) -> ContainerPoolManager:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _take(self) -> PooledContainer | None:
        """One that waited; None: there is room for a new one, whose place is kept."""
        wait = self.config.acquisition_timeout
        end = None if wait is None else time.monotonic() + wait
        temporary = self.config.exhaustion_strategy is ExhaustionStrategy.TEMPORARY
        with self._changed:
            while True:
                if self._closed:
                    raise PoolClosedError
                for one in self._all:
                    if one.state is ContainerState.IDLE:
                        one.state = ContainerState.BUSY
                        one.use_count += 1
                        return one
                if temporary or len(self._all) + self._coming < self.config.max_pool_size:
                    self._coming += 1
                    return None
                self._until_changed(end)

    def _until_changed(self, end: float | None) -> None:
        if self.config.exhaustion_strategy is ExhaustionStrategy.FAIL_FAST:
            raise PoolExhaustedError(self.config.max_pool_size)
        left = None if end is None else end - time.monotonic()
        if (left is not None and left <= 0) or not self._changed.wait(left):
            raise PoolExhaustedError(self.config.max_pool_size, self.config.acquisition_timeout)

    def _new(self, state: ContainerState) -> PooledContainer:
        """Makes one for a place that is kept."""
        try:
            sandbox = self._make()
        except BaseException:
            with self._changed:
                self._coming -= 1
                self._changed.notify_all()
            raise
        made = PooledContainer(sandbox, state, use_count=int(state is ContainerState.BUSY))
        with self._changed:
            self._coming -= 1
            self._all.append(made)
            self._changed.notify_all()
        return made

    def _checked(self, made: PooledContainer) -> PooledContainer:
        state = made.container.state
        if state in GOOD:
            return made
        self._remove(made)
        raise PoolHealthCheckError(made.container_id, made.container.info.reason or state)

    def _is_good(self, one: PooledContainer) -> bool:
        """Whether one that waited may be handed out."""
        now = time.monotonic()
        config = self.config
        waited, age = now - one.looked_at, now - one.created_at
        if config.idle_timeout is not None and age > config.idle_timeout:
            return False
        if config.max_container_lifetime is not None and age > config.max_container_lifetime:
            return False
        if waited < config.health_check_interval:
            return True
        try:
            good = one.container.refresh().state in GOOD
        except warmcell.WarmcellError:
            good = False
        one.looked_at = now
        one.state = ContainerState.BUSY if good else ContainerState.UNHEALTHY
        return good

    def _remove(self, one: PooledContainer) -> None:
        """Deletes one, and only then has its place be free: the bound is on what there is."""
        one.state = ContainerState.REMOVING
        try:
            one.container.delete()
        finally:
            with self._changed:
                if one in self._all:
                    self._all.remove(one)
                self._changed.notify_all()

    def _fill(self) -> None:
        """Makes what min_pool_size lacks."""
        if not self.config.enable_prewarming:
            return
        while True:
            with self._changed:
                there = len(self._all) + self._coming
                if self._closed or there >= self.config.min_pool_size:
                    return
                self._coming += 1
            made = self._new(ContainerState.IDLE)
            if self._closed:
                self._remove(made)

"""What an execution and a command have in common: events that come as it goes on."""

from __future__ import annotations

import asyncio
import inspect
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

from warmcell._core.stream import Feed
from warmcell._core.transport import Transport
from warmcell.errors import WaitTimeoutError
from warmcell.events import Event, event_of

Self = TypeVar("Self", bound="Following")


class Following(ABC):
    """Events are given once, to whoever iterates or waits; what they amount to stays here."""

    def __init__(self, transport: Transport, feed: Feed) -> None:
        self._transport = transport
        self._feed = feed
        self._pending: deque[Event] = deque()

    @property
    def id(self) -> str:
        assert self._feed.target is not None  # it has begun
        return self._feed.target

    @property
    def sandbox_id(self) -> str:
        return self._feed.sandbox

    @property
    def after(self) -> int:
        """The number of the last event that came: attach(id, after=…) gives what comes behind
        it."""
        return self._feed.after

    @abstractmethod
    def _absorb(self, event: Event) -> None:
        """Adds to what the events amount to."""

    def _take(self) -> bool:
        """What has come; False: nothing."""
        for raw in self._feed.take():
            event = event_of(raw)
            self._absorb(event)
            self._pending.append(event)
        return bool(self._pending)

    def __aiter__(self: Self) -> Self:
        return self

    def _at_hand(self) -> Event | None:
        return self._pending.popleft() if self._pending else None

    async def _next(self) -> Event | None:
        """None: there are no more."""
        if not self._pending:
            await self._feed.ready()
            self._take()
        return self._at_hand()

    async def __anext__(self) -> Event:
        event = await self._next()
        if event is None:
            raise StopAsyncIteration
        return event

    async def _follow(self, timeout: float | None, tell: Callable[[Event], Any]) -> None:
        """All events to the end, each told. What tell() returns is awaited if it can be."""
        loop = asyncio.get_running_loop()
        end = None if timeout is None else loop.time() + timeout
        while True:
            while self._pending:
                told = tell(self._pending.popleft())
                if inspect.isawaitable(told):
                    await told
            left = None if end is None else max(0.0, end - loop.time())
            try:
                await asyncio.wait_for(self._feed.ready(), left)
            except asyncio.TimeoutError:
                raise WaitTimeoutError(
                    f"{self._feed.kind} {self.id} goes on after {timeout:g} s", self
                ) from None
            if not self._take():
                return

    def detach(self) -> int:
        """Leaves it running, and is told no more. Returns `after`."""
        self._feed.close()
        self._take()
        return self.after

"""The way from plain calls to the one core: an event loop of a client's own, on a thread.

What a call hands over as a handler runs on the caller's thread, while the call waits: it may use
anything that the caller may, the client too, and what it raises is raised by the call.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, Generic, TypeVar, overload

from warmcell.errors import TransportError

A = TypeVar("A")
T = TypeVar("T")


@dataclass
class Job(Generic[A, T]):
    """A handler's call, to be done by whoever waits."""

    function: Callable[[A], T]
    value: A
    answer: asyncio.Future[T]

    def do(self) -> None:
        loop = self.answer.get_loop()
        try:
            result = self.function(self.value)
        except Exception as error:
            loop.call_soon_threadsafe(self._fail, error)
        else:
            loop.call_soon_threadsafe(self._succeed, result)

    def _succeed(self, result: T) -> None:
        if not self.answer.done():
            self.answer.set_result(result)

    def _fail(self, error: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


class Turn:
    """One call, with the handlers that were handed over."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._jobs: SimpleQueue[Job[Any, Any] | None] = SimpleQueue()

    @overload
    def here(self, function: Callable[[A], T]) -> Callable[[A], Awaitable[T]]: ...
    @overload
    def here(self, function: None) -> None: ...
    @overload
    def here(self, function: Callable[[A], T] | None) -> Callable[[A], Awaitable[T]] | None: ...
    def here(self, function: Callable[[A], T] | None) -> Callable[[A], Awaitable[T]] | None:
        """The handler as the core calls it."""
        if function is None:
            return None
        known = function

        async def pass_on(value: A) -> T:
            answer: asyncio.Future[T] = self._loop.create_future()
            self._jobs.put(Job(known, value, answer))
            return await answer

        return pass_on

    def wait(self, coroutine: Coroutine[Any, Any, T]) -> T:
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        future.add_done_callback(lambda _: self._jobs.put(None))
        try:
            while (job := self._jobs.get()) is not None:
                job.do()
        except BaseException:  # Ctrl-C, here or in a handler: the call is given up
            future.cancel()
            raise
        return future.result()


class Portal:
    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._pid = os.getpid()
        self._thread = threading.Thread(target=self._turn_over, name="warmcell", daemon=True)
        self._thread.start()

    def _turn_over(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    @property
    def open(self) -> bool:
        return self._thread.is_alive() and not self._loop.is_closed()

    def turn(self) -> Turn:
        if os.getpid() != self._pid:
            raise TransportError("this client was made before a fork: make one in this process")
        if not self.open:
            raise TransportError("the client was closed")
        return Turn(self._loop)

    def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        try:
            turn = self.turn()
        except TransportError:
            coroutine.close()
            raise
        return turn.wait(coroutine)

    def run(self, function: Callable[[], T]) -> T:
        """What is no coroutine and must be done on the loop."""

        async def do() -> T:
            return function()

        return self.call(do())

    def iterate(self, items: AsyncIterator[T]) -> Iterator[T]:
        async def step() -> tuple[T] | None:
            try:
                return (await items.__anext__(),)
            except StopAsyncIteration:
                return None

        try:
            while (found := self.call(step())) is not None:
                yield found[0]
        finally:
            close = getattr(items, "aclose", None)
            if close and self.open:
                self.call(close())

    def close(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()

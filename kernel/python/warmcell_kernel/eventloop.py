"""The asyncio loop of the main thread: it runs during async cells and between cells.

Cells without ``await`` run outside of it, yet see it as the running loop, so that
``asyncio.create_task`` works in them; ``asyncio.run`` and ``run_until_complete`` work in any cell,
by stepping out of the loop meanwhile.
"""

from __future__ import annotations

import asyncio
import selectors
import signal
import types
from asyncio import events, runners
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

T = TypeVar("T")

# where the machinery is: an interrupt there cancels the cell's await, elsewhere it raises
MACHINERY = ("asyncio", "selectors", __name__)


class KernelLoop(asyncio.SelectorEventLoop):
    """The loop, and whether a cell that runs outside of it may see it as running."""

    _visible = False

    def __init__(self) -> None:
        super().__init__()
        self._own_descriptors = len(self._selector.get_map())

    def reopen(self) -> None:
        """After close(): as new, on descriptors of its own. A fork takes the fork server's so."""
        self._selector = selectors.DefaultSelector()
        self._closed = False
        self._executor_shutdown_called = False
        self._make_self_pipe()  # type: ignore[attr-defined]

    # --- for the kernel

    def busy(self) -> bool:
        """Whether there is anything to run or to wait for."""
        return bool(
            self._ready  # type: ignore[attr-defined]
            or self._scheduled  # type: ignore[attr-defined]
            or len(self._selector.get_map()) > self._own_descriptors
        )

    def wake_descriptor(self) -> int:
        """Readable when another thread (or a signal) called the loop."""
        return cast("int", self._ssock.fileno())  # type: ignore[attr-defined]

    def run_until_readable(self, descriptor: int) -> None:
        """Runs what there is to run until the descriptor is readable or nothing is left."""
        self.add_reader(descriptor, self.stop)
        try:
            self.run_forever()
        finally:
            self.remove_reader(descriptor)

    def run_soon(self) -> None:
        """Runs what is ready now, for instance what another thread asked for."""
        self.call_soon(self.stop)
        self.run_forever()

    def show(self, on: bool) -> None:
        """Whether code outside of the loop sees it as the running one."""
        self._visible = on
        events._set_running_loop(self if on else None)

    # --- for user code

    def _really_running(self) -> bool:
        return super().is_running()

    def is_running(self) -> bool:
        return self._visible or super().is_running()

    def run_forever(self) -> None:
        if self._really_running():
            self._run_nested(lambda: False)
        else:
            with self.suspended():
                super().run_forever()

    def run_until_complete(self, future: Awaitable[T]) -> T:  # type: ignore[override]
        if not self._really_running():
            with self.suspended():
                return super().run_until_complete(future)
        nested = asyncio.ensure_future(future, loop=self)
        self._run_nested(nested.done)
        return nested.result()

    def _run_nested(self, done: Callable[[], bool]) -> None:
        """Goes on with the loop inside one of its own tasks."""
        task = asyncio.current_task(self)
        if task is not None:
            asyncio.tasks._leave_task(self, task)
        try:
            while not done() and not self._stopping:  # type: ignore[attr-defined]
                self._run_once()  # type: ignore[attr-defined]
        finally:
            if task is not None:
                asyncio.tasks._enter_task(self, task)
            events._set_running_loop(self)

    @contextmanager
    def suspended(self) -> Iterator[None]:
        """Inside, no loop is seen as running in this thread."""
        visible, self._visible = self._visible, False
        running = events._get_running_loop()
        events._set_running_loop(None)
        try:
            yield
        finally:
            self._visible = visible
            events._set_running_loop(running)


def let_run_anywhere() -> None:
    """Makes asyncio.run and asyncio.Runner work where a KernelLoop runs or is seen."""

    def stepping_out(function: Callable[..., Any]) -> Callable[..., Any]:
        def step_out(*args: Any, **kwargs: Any) -> Any:
            loop = events._get_running_loop()
            if not isinstance(loop, KernelLoop):
                return function(*args, **kwargs)
            with loop.suspended():
                try:
                    return function(*args, **kwargs)
                finally:
                    events.set_event_loop(loop)

        step_out.__name__ = function.__name__
        step_out.__qualname__ = function.__qualname__
        step_out.__doc__ = function.__doc__
        return step_out

    asyncio.run = runners.run = stepping_out(runners.run)
    asyncio.Runner.run = stepping_out(asyncio.Runner.run)  # type: ignore[method-assign]
    asyncio.Runner.close = stepping_out(asyncio.Runner.close)  # type: ignore[method-assign]


def install() -> KernelLoop:
    """Makes the kernel's loop that of the main thread."""
    loop = KernelLoop()
    asyncio.set_event_loop(loop)
    return loop


class AsyncCell:
    """One coroutine (a cell with await) as a task, which SIGINT interrupts where it waits."""

    def __init__(self, loop: KernelLoop, coroutine: Coroutine[Any, Any, T]) -> None:
        self._loop = loop
        self._interrupted = False
        self._task: asyncio.Task[T] = loop.create_task(self._guard(coroutine))

    def run(self) -> Any:
        before = signal.signal(signal.SIGINT, self._on_sigint)
        try:
            while True:
                try:
                    return self._loop.run_until_complete(self._task)
                except KeyboardInterrupt:
                    # raised in another task, or in the cell itself, which then is done
                    if self._task.done():
                        raise
                    self._cancel()
        finally:
            signal.signal(signal.SIGINT, before)

    def _cancel(self) -> None:
        self._interrupted = True
        self._task.cancel()

    def _on_sigint(self, _number: int, frame: types.FrameType | None) -> None:
        name = frame.f_globals.get("__name__", "") if frame else ""
        if name.partition(".")[0] not in ("asyncio", "selectors") and name != __name__:
            raise KeyboardInterrupt
        self._loop.call_soon_threadsafe(self._cancel)

    @types.coroutine
    def _guard(self, coroutine: Coroutine[Any, Any, T]) -> Generator[Any, Any, T]:
        """Drives the coroutine; our own cancellation reaches it as KeyboardInterrupt."""
        step: Callable[[Any], Any] = coroutine.send
        argument: Any = None
        while True:
            try:
                waited_for = step(argument)
            except StopIteration as stop:
                return cast("T", stop.value)
            step = coroutine.throw
            try:
                argument = yield waited_for
                step = coroutine.send
            except asyncio.CancelledError as error:
                argument = error
                if self._interrupted:
                    self._interrupted = False
                    self._task.uncancel()
                    argument = KeyboardInterrupt()
            except GeneratorExit:
                coroutine.close()
                raise
            except BaseException as error:
                argument = error

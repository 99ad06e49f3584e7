"""Running code, for plain calls; see warmcell.aio.runner."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from warmcell._core.facade import Facade, words_of
from warmcell.aio.execution import Answer, Handlers
from warmcell.aio.runner import AsyncRunner
from warmcell.events import Display, Event, Failure, InputRequest, Result
from warmcell.execution import Execution, ended

Inner = TypeVar("Inner", bound=AsyncRunner)


@words_of(AsyncRunner)
class Runner(Facade[Inner]):
    def run(
        self,
        code: str,
        *,
        deadline: float | None = None,
        timeout: float | None = None,
        check: bool = False,
        env: Mapping[str, str | None] | None = None,
        cwd: str | None = None,
        labels: Mapping[str, str] | None = None,
        stop_on_error: bool = False,
        store_history: bool = True,
        silent: bool = False,
        key: str | None = None,
        on_stdout: Callable[[str], object] | None = None,
        on_stderr: Callable[[str], object] | None = None,
        on_display: Callable[[Display], object] | None = None,
        on_result: Callable[[Result], object] | None = None,
        on_error: Callable[[Failure], object] | None = None,
        on_input: Callable[[InputRequest], Answer] | None = None,
        on_event: Callable[[Event], object] | None = None,
    ) -> Execution:
        handlers = Handlers(
            on_stdout, on_stderr, on_display, on_result, on_error, on_input, on_event
        )
        started = self._inner.start(
            code,
            deadline=deadline,
            env=env,
            cwd=cwd,
            labels=labels,
            stop_on_error=stop_on_error,
            store_history=store_history,
            silent=silent,
            allow_input=on_input is not None,
            key=key,
        )
        return ended(self._portal, started, timeout=timeout, check=check, handlers=handlers)

    def start(
        self,
        code: str,
        *,
        deadline: float | None = None,
        env: Mapping[str, str | None] | None = None,
        cwd: str | None = None,
        labels: Mapping[str, str] | None = None,
        stop_on_error: bool = False,
        store_history: bool = True,
        silent: bool = False,
        allow_input: bool = False,
        key: str | None = None,
    ) -> Execution:
        started = self._inner.start(
            code,
            deadline=deadline,
            env=env,
            cwd=cwd,
            labels=labels,
            stop_on_error=stop_on_error,
            store_history=store_history,
            silent=silent,
            allow_input=allow_input,
            key=key,
        )
        return Execution(self._portal, self._portal.call(started))

    def attach(self, execution: str, *, after: int = 0) -> Execution:
        attached = self._inner.attach(execution, after=after)
        return Execution(self._portal, self._portal.call(attached))

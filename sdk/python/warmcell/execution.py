"""One run of code, for plain calls; see warmcell.aio.execution."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from typing import Any

from warmcell._core.facade import standing_for, words_of
from warmcell._core.portal import Portal, Turn
from warmcell.aio.execution import AsyncExecution, Handlers
from warmcell.artifacts import Artifact
from warmcell.errors import TransportError
from warmcell.events import Display, Failure, Result
from warmcell.following import Following
from warmcell.models import FileChange


@words_of(AsyncExecution)
class Execution(Following[AsyncExecution]):
    @property
    def stdout(self) -> str:
        return self._inner.stdout

    @property
    def stderr(self) -> str:
        return self._inner.stderr

    @property
    def displays(self) -> list[Display]:
        return self._inner.displays

    @property
    def result(self) -> Result | None:
        return self._inner.result

    @property
    def text(self) -> str | None:
        return self._inner.text

    @property
    def error(self) -> Failure | None:
        return self._inner.error

    @property
    def record(self) -> Mapping[str, Any]:
        return self._inner.record

    @property
    def ended(self) -> bool:
        return self._inner.ended

    @property
    def status(self) -> str:
        return self._inner.status

    @property
    def ok(self) -> bool:
        return self._inner.ok

    @property
    def execution_count(self) -> int | None:
        return self._inner.execution_count

    def wait(
        self,
        *,
        timeout: float | None = None,
        check: bool = False,
        handlers: Handlers | None = None,
    ) -> Execution:
        turn = self._portal.turn()
        here = told_here(turn, handlers or Handlers())
        with standing_for(self):
            turn.wait(self._inner.wait(timeout=timeout, check=check, handlers=here))
        return self

    def check(self) -> Execution:
        with standing_for(self):
            self._inner.check()
        return self

    def cancel(self) -> None:
        self._portal.call(self._inner.cancel())

    def send_input(self, value: str) -> None:
        self._portal.call(self._inner.send_input(value))

    def artifacts(self) -> list[Artifact]:
        found = self._portal.call(self._inner.artifacts())
        return [Artifact(self._portal, one) for one in found]

    def changes(self) -> list[FileChange]:
        return self._portal.call(self._inner.changes())

    def _repr_mimebundle_(
        self, include: Any = None, exclude: Any = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        return self._inner._repr_mimebundle_(include, exclude)


def told_here(turn: Turn, told: Handlers) -> Handlers:
    """The same as the core calls them."""
    return Handlers(
        on_stdout=turn.here(told.on_stdout),
        on_stderr=turn.here(told.on_stderr),
        on_display=turn.here(told.on_display),
        on_result=turn.here(told.on_result),
        on_error=turn.here(told.on_error),
        on_input=turn.here(told.on_input),  # type: ignore[arg-type]
        on_event=turn.here(told.on_event),
    )


def ended(
    portal: Portal,
    started: Coroutine[Any, Any, AsyncExecution],
    *,
    timeout: float | None,
    check: bool,
    handlers: Handlers,
) -> Execution:
    """Starts it and waits for its end, as one call: each call is a way to the loop and back."""
    try:
        turn = portal.turn()
    except TransportError:
        started.close()
        raise
    here = told_here(turn, handlers)

    async def to_the_end() -> Execution:
        execution = Execution(portal, await started)
        with standing_for(execution):
            await execution._inner.wait(timeout=timeout, check=check, handlers=here)
        return execution

    return turn.wait(to_the_end())

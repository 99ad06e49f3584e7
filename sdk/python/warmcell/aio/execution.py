"""One run of code, followed as it goes on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Union

from warmcell._core.stream import Feed
from warmcell._core.transport import Transport
from warmcell.aio.artifacts import AsyncArtifact
from warmcell.aio.following import Following
from warmcell.errors import ExecutionFailedError
from warmcell.events import Display, Event, Failure, InputRequest, Result, Stderr, Stdout
from warmcell.models import ArtifactInfo, FileChange, read
from warmcell.outputs import Outputs

Answer = Union[str, Awaitable[str]]


@dataclass(frozen=True)
class Handlers:
    """Who is told of an execution's events as they come, in their order. Each may be a coroutine
    function, which is awaited before the next event. on_input answers input(); on_event is told of
    all, before the others."""

    on_stdout: Callable[[str], object] | None = None
    on_stderr: Callable[[str], object] | None = None
    on_display: Callable[[Display], object] | None = None
    on_result: Callable[[Result], object] | None = None
    on_error: Callable[[Failure], object] | None = None
    on_input: Callable[[InputRequest], Answer] | None = None
    on_event: Callable[[Event], object] | None = None

    def of(self, event: Event) -> tuple[Callable[[Any], Any] | None, object]:
        """Who is told of it besides, and what."""
        if isinstance(event, Stderr):
            return self.on_stderr, event.text
        if isinstance(event, Stdout):
            return self.on_stdout, event.text
        if isinstance(event, Result):
            return self.on_result, event
        if isinstance(event, Display):
            return self.on_display, event
        if isinstance(event, Failure):
            return self.on_error, event
        return None, event


class AsyncExecution(Following):
    """One run of code. Iterate over it for its events, or wait() for its end; stdout, displays and
    the rest are what came so far, from the event on that it was attached behind."""

    def __init__(self, transport: Transport, feed: Feed) -> None:
        super().__init__(transport, feed)
        self._outputs = Outputs()

    def _absorb(self, event: Event) -> None:
        self._outputs.absorb(event)

    # what came so far

    @property
    def stdout(self) -> str:
        return self._outputs.stdout

    @property
    def stderr(self) -> str:
        return self._outputs.stderr

    @property
    def displays(self) -> list[Display]:
        """What was displayed, and results, in their order."""
        return list(self._outputs.displays)

    @property
    def result(self) -> Result | None:
        """The value of the last expression."""
        return self._outputs.result

    @property
    def text(self) -> str | None:
        """That value as text."""
        return self._outputs.result.text if self._outputs.result else None

    @property
    def error(self) -> Failure | None:
        """The exception that ended the code."""
        return self._outputs.error

    @property
    def record(self) -> Mapping[str, Any]:
        """All that the gateway said of it at its end, else nothing (docs/gateway.md)."""
        return self._outputs.record or {}

    @property
    def ended(self) -> bool:
        return self._outputs.record is not None

    @property
    def status(self) -> str:
        """`running` until it has ended: then ok, error, interrupted, timeout, killed, oom …"""
        return str(self.record.get("status", "running"))

    @property
    def ok(self) -> bool:
        return self.status == "ok"

    @property
    def execution_count(self) -> int | None:
        count = self.record.get("execution_count")
        return None if count is None else int(count)

    # what is done with it

    async def wait(
        self,
        *,
        timeout: float | None = None,
        check: bool = False,
        handlers: Handlers | None = None,
    ) -> AsyncExecution:
        """Waits for its end, for timeout seconds at most: WaitTimeoutError, and it goes on. check:
        ExecutionFailedError unless it ended as ok."""
        told = handlers or Handlers()
        await self._follow(timeout, lambda event: self._tell(told, event))
        if check:
            self.check()
        return self

    async def _tell(self, handlers: Handlers, event: Event) -> None:
        if handlers.on_event:
            await _call(handlers.on_event, event)
        if isinstance(event, InputRequest):
            if handlers.on_input:
                await self.send_input(str(await _call(handlers.on_input, event)))
            return
        handler, value = handlers.of(event)
        if handler:
            await _call(handler, value)

    def check(self) -> AsyncExecution:
        """ExecutionFailedError if it has ended otherwise than ok."""
        if self.ended and not self.ok:
            why = str(self.error) if self.error else self.record.get("reason") or self.status
            raise ExecutionFailedError(f"{self.status}: {why}", self)
        return self

    async def cancel(self) -> None:
        """Takes it out of the queue, or interrupts it."""
        await self._act("cancel", safe=True)

    async def send_input(self, value: str) -> None:
        """Answers the input() that it waits in; ConflictError: it waits in none."""
        await self._act("input", body={"value": value})

    async def _act(self, op: str, *, safe: bool = False, **members: Any) -> None:
        await self._transport.stream.act(
            op, safe=safe, sandbox=self.sandbox_id, execution=self.id, **members
        )

    @property
    def _path(self) -> str:
        return f"/v1/sandboxes/{self.sandbox_id}/executions/{self.id}"

    async def artifacts(self) -> list[AsyncArtifact]:
        """What it displayed and the files that it left, once all are found."""
        found = self._transport.http.pages(f"{self._path}/artifacts", "artifacts", {"settled": 1})
        return [AsyncArtifact(self._transport, read(ArtifactInfo, one)) async for one in found]

    async def changes(self) -> list[FileChange]:
        """The files that it added, changed and deleted, once all are found."""
        found = self._transport.http.pages(f"{self._path}/changes", "changes", {"settled": 1})
        return [read(FileChange, one) async for one in found]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} {self.status}>"

    def _repr_mimebundle_(
        self, include: Any = None, exclude: Any = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """In a notebook: its result, or what it displayed last, or its text."""
        if self._outputs.displays:
            last = self._outputs.result or self._outputs.displays[-1]
            return dict(last.data), dict(last.metadata)
        return {"text/plain": self.stdout + self.stderr or repr(self)}, {}


async def _call(function: Callable[[Any], Any], value: object) -> Any:
    result = function(value)
    return await result if isinstance(result, Awaitable) else result

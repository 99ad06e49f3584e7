"""Running code: what a sandbox (in its first context) and a context can do alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from warmcell._core.stream import Feed
from warmcell._core.transport import Transport
from warmcell.aio.execution import Answer, AsyncExecution, Handlers
from warmcell.events import Display, Event, Failure, InputRequest, Result


class AsyncRunner:
    def __init__(self, transport: Transport, sandbox: str, context: str | None = None) -> None:
        self._transport = transport
        self._sandbox = sandbox
        self._context = context

    async def run(
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
    ) -> AsyncExecution:
        """Runs code and waits for its end, however it ends; check: ExecutionFailedError unless it
        is ok. deadline: seconds after which the gateway ends it (status `timeout`); timeout: how
        long to wait here (WaitTimeoutError: it goes on, and its `waited_for` is the execution). env
        and cwd hold for this run. key: with the same key, the same code is the same execution. The
        handlers are told of events in their order (Handlers)."""
        handlers = Handlers(
            on_stdout, on_stderr, on_display, on_result, on_error, on_input, on_event
        )
        execution = await self.start(
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
        return await execution.wait(timeout=timeout, check=check, handlers=handlers)

    async def start(
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
    ) -> AsyncExecution:
        """As run, but returns when it is on record: iterate over it, or wait(). allow_input:
        input() waits for send_input()."""
        asked = {
            "context": self._context,
            "deadline_ms": None if deadline is None else round(deadline * 1000),
            "env": dict(env) if env else None,
            "cwd": cwd,
            "labels": dict(labels) if labels else None,
            "stop_on_error": stop_on_error or None,
            "store_history": None if store_history else False,
            "silent": silent or None,
            "allow_input": allow_input or None,
        }
        body: dict[str, Any] = {"code": code}
        body.update({name: value for name, value in asked.items() if value is not None})
        stream = self._transport.stream
        return await self._begin(Feed(stream, "execution", self._sandbox, body=body, key=key))

    async def attach(self, execution: str, *, after: int = 0) -> AsyncExecution:
        """Follows one that runs or has ended, behind event number after: with 0 it has all of
        it."""
        stream = self._transport.stream
        return await self._begin(
            Feed(stream, "execution", self._sandbox, target=execution, after=after)
        )

    async def _begin(self, feed: Feed) -> AsyncExecution:
        await self._transport.stream.feed(feed)
        await feed.begun()
        return AsyncExecution(self._transport, feed)

"""One session: a sandbox of a gateway that is found, made or resumed as it is needed.

Everything here is for asyncio and may be used from several event loops; what plain methods do goes
through call(), on the loop of the shared client's. No lock is held while something is awaited that
another loop would need: who comes twice, comes to the same sandbox by its name and its key.
"""

from __future__ import annotations

import ast
import asyncio
import hashlib
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from warmcell._core.http import new_key
from warmcell.aio.artifacts import AsyncArtifact
from warmcell.aio.client import AsyncClient
from warmcell.aio.execution import AsyncExecution
from warmcell.aio.sandbox import AsyncSandbox
from warmcell.compat import _gateway
from warmcell.compat.sandbox.exceptions import SandboxError, translated
from warmcell.errors import ConflictError, NotFoundError
from warmcell.events import Stderr, Stdout

T = TypeVar("T")

OURS = {"sandbox.sdk": "own"}  # the label of runs that no user asked for
PYTHON = "python"
SESSION = "sandbox.session"  # the label with a session's id
NAME_CHARACTERS = 64  # that the gateway takes
PAUSE_S = 0.02  # between two looks at a sandbox that somebody else is making or resuming
TRIES = 500
PAUSE_TRIES = 50


@dataclass
class Making:
    """How a sandbox is made, where it is not there yet."""

    limits: Mapping[str, float] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    template: str | None = None
    language: str = PYTHON


@dataclass
class Ran:
    """An execution that has ended; combined: both streams in the order of the events."""

    execution: AsyncExecution
    combined: str


class Session:
    """name: what the gateway knows the sandbox by. find: it may be there already."""

    def __init__(
        self,
        name: str,
        *,
        url: str | None = None,
        token: str | None = None,
        making: Making | None = None,
        find: bool = True,
    ) -> None:
        self.name = name
        self.making = making or Making()
        self.cwd: str | None = None
        self.id: str | None = None  # of the sandbox, once it is known
        self._url = url
        self._token = token
        self._find = find
        self._key = new_key()
        self._sandboxes: WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncSandbox] = (
            WeakKeyDictionary()
        )
        self._leaving: set[asyncio.Future[None]] = set()

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """For plain methods: waits for it, wherever the caller is."""
        try:
            with translated():
                client = _gateway.client(self._url, self._token)
        except BaseException:
            work.close()
            raise
        with translated():
            return client._portal.call(work)

    async def client(self) -> AsyncClient:
        return await _gateway.async_client(self._url, self._token)

    # the sandbox

    async def sandbox(self) -> AsyncSandbox:
        """It, on the running loop; made, found or resumed if need be."""
        loop = asyncio.get_running_loop()
        found = self._sandboxes.get(loop)
        if found is None or found.id != self.id:
            client = await self.client()
            found = await (client.sandboxes.get(self.id) if self.id else self._open(client))
            self.id = found.id
            self._sandboxes[loop] = found
        return found

    async def _open(self, client: AsyncClient) -> AsyncSandbox:
        if self._find:
            with suppress(NotFoundError):
                return await self._found(client)
        for tries_left in reversed(range(TRIES)):
            try:
                return await self._made(client)
            except ConflictError:  # somebody came first, and may be at it still
                if not tries_left:
                    raise
            with suppress(NotFoundError):
                return await self._found(client)
            await asyncio.sleep(PAUSE_S)
        raise AssertionError("the last try returns or raises")

    async def _made(self, client: AsyncClient) -> AsyncSandbox:
        how = self.making
        return await client.sandboxes.create(
            name=self.name,
            labels=how.labels or None,
            template=how.template,
            limits=how.limits or None,
            env=how.env or None,
            language=None if how.language == PYTHON else how.language,
            key=self._key,
        )

    async def _found(self, client: AsyncClient) -> AsyncSandbox:
        sandbox = await client.sandboxes.get(self.name)
        language = sandbox.info.contexts[0].language if sandbox.info.contexts else PYTHON
        if language != self.making.language:
            raise SandboxError(f"there is a sandbox {self.name} of {language}")
        return await self._awake(sandbox)

    @staticmethod
    async def _awake(sandbox: AsyncSandbox) -> AsyncSandbox:
        """Resumed, if it is paused, whoever resumes it."""
        while sandbox.state not in {"running", "starting"}:
            if sandbox.state == "failed":
                raise SandboxError(f"the sandbox failed: {sandbox.info.reason}")
            if sandbox.state == "paused":
                with suppress(ConflictError):
                    await sandbox.resume()
                    break
            await asyncio.sleep(PAUSE_S)
            await sandbox.refresh()
        return sandbox

    async def paused_behind_us(self) -> bool:
        """Whether a conflict came from a pause, which is over then."""
        sandbox = await self.sandbox()
        await sandbox.refresh()
        if sandbox.state in {"running", "starting"}:
            return False
        await self._awake(sandbox)
        return True

    # code

    async def run(
        self,
        code: str,
        *,
        timeout: float | None = None,
        labels: Mapping[str, str] | None = None,
        store_history: bool = True,
        on_stdout: Callable[[str], object] | None = None,
        on_stderr: Callable[[str], object] | None = None,
    ) -> Ran:
        """Runs code to its end, however it ends. Who is cancelled meanwhile interrupts it."""

        async def start() -> AsyncExecution:
            sandbox = await self.sandbox()
            return await sandbox.start(
                code, deadline=timeout, cwd=self.cwd, labels=labels, store_history=store_history
            )

        execution = await self.here(start)
        written: list[str] = []
        try:
            async for event in execution:
                if isinstance(event, Stdout):
                    written.append(event.text)
                    told = on_stderr if isinstance(event, Stderr) else on_stdout
                    if told:
                        told(event.text)
        except asyncio.CancelledError:
            leaving = asyncio.ensure_future(_cancelled(execution))
            self._leaving.add(leaving)
            leaving.add_done_callback(self._leaving.discard)
            raise
        return Ran(execution, "".join(written))

    async def here(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Once more, if the sandbox was paused behind us."""
        try:
            return await work()
        except ConflictError:
            if not await self.paused_behind_us():
                raise
            return await work()
        except NotFoundError as error:
            if "sandbox" not in str(error):
                raise
            raise SandboxError(f"the sandbox of {self.name} is gone: {error}") from error

    async def ask(self, expression: str) -> Any:
        """The value of an expression in the sandbox, of what literal_eval takes; on no record of
        the user's."""
        ran = await self.run(expression, labels=OURS, store_history=False)
        if not ran.execution.ok or ran.execution.text is None:
            raise SandboxError(f"the sandbox did not say: {ran.execution.error}")
        return ast.literal_eval(ran.execution.text)

    # what is known of it

    async def records(self) -> list[Mapping[str, Any]]:
        """Of the runs that somebody asked for, the oldest first."""
        sandbox = await self.sandbox()
        found = [one async for one in sandbox.executions()]
        return [one for one in found if not OURS.items() <= (one.get("labels") or {}).items()]

    async def artifacts(self) -> list[AsyncArtifact]:
        """All, once those of what has ended are found, the oldest first."""

        async def find() -> list[AsyncArtifact]:
            sandbox = await self.sandbox()
            await sandbox.settle()
            return [one async for one in sandbox.artifacts.list()]

        return await self.here(find)

    # its end

    async def save(self) -> None:
        """Its variables, in a snapshot; it goes on."""

        async def save() -> None:
            await (await self.sandbox()).snapshot()

        await self.here(save)

    async def pause(self) -> None:
        """Saves its variables and ends its processes. What is busy is left running: the gateway
        pauses it when it has been idle."""
        if self.id is None:
            return
        with suppress(NotFoundError):
            sandbox = await self.sandbox()
            for _ in range(PAUSE_TRIES):
                with suppress(ConflictError):
                    await sandbox.pause()
                    return
                if [one async for one in sandbox.executions(status="running")]:
                    return
                await asyncio.sleep(PAUSE_S)

    async def delete(self) -> None:
        """With all that is in it; the next run makes it anew."""
        try:
            if self.id is not None or self._find:
                client = await self.client()
                await (await client.sandboxes.get(self.id or self.name)).delete()
        except NotFoundError:
            pass
        self.id = None
        self.cwd = None
        self._key = new_key()
        self._sandboxes.clear()


async def _cancelled(execution: AsyncExecution) -> None:
    with suppress(Exception):
        await execution.cancel()


def gateway_name(session_id: str) -> str:
    """The name of a session's sandbox: names are shorter than ids may be, and begin otherwise."""
    name = f"session.{session_id}"
    if len(name) <= NAME_CHARACTERS:
        return name
    return f"session.{hashlib.sha256(session_id.encode()).hexdigest()[:48]}"

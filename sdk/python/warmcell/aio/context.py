"""Contexts: the interpreters of a sandbox."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from warmcell._core.http import new_key
from warmcell._core.transport import Transport
from warmcell.aio.runner import AsyncRunner
from warmcell.errors import NotFoundError
from warmcell.models import ContextInfo, read


class AsyncContext(AsyncRunner):
    """One interpreter; info is what is known of it. Its id is that of its Jupyter kernel."""

    def __init__(self, transport: Transport, sandbox: str, info: ContextInfo) -> None:
        super().__init__(transport, sandbox, info.id)
        self.info = info

    @property
    def id(self) -> str:
        return self.info.id

    @property
    def name(self) -> str:
        return self.info.name

    @property
    def language(self) -> str:
        return self.info.language

    @property
    def _path(self) -> str:
        return f"/v1/sandboxes/{self._sandbox}/contexts/{self.id}"

    async def refresh(self) -> ContextInfo:
        self.info = read(ContextInfo, await self._transport.http.json("GET", self._path))
        return self.info

    async def fork(self, name: str | None = None, *, force: bool = False) -> AsyncContext:
        """Another context with the same variables, copy-on-write. force: also while threads run,
        which it does not have."""
        contexts = AsyncContexts(self._transport, self._sandbox)
        return await contexts.create(name, fork=self.id, force=force)

    async def interrupt(self) -> None:
        """Interrupts what runs in it."""
        await self._transport.stream.act("interrupt", sandbox=self._sandbox, context=self.id)

    async def delete(self) -> None:
        """Ends it; with the last one the sandbox ends."""
        await self._transport.http.delete(self._path)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name} {self.id}>"


class AsyncContexts:
    """Those of a sandbox."""

    def __init__(self, transport: Transport, sandbox: str) -> None:
        self._transport = transport
        self._sandbox = sandbox
        self._path = f"/v1/sandboxes/{sandbox}/contexts"

    async def create(
        self,
        name: str | None = None,
        *,
        language: str | None = None,
        fork: str | None = None,
        force: bool = False,
        key: str | None = None,
    ) -> AsyncContext:
        """One more, empty, or with fork, a context's id, a branch of that. language: as
        `javascript`; without it, that of the sandbox."""
        body: dict[str, Any] = {}
        if name is not None:
            body["name"] = name
        if language is not None:
            body["language"] = language
        if fork is not None:
            body.update(fork=fork, force=force)
        data = await self._transport.http.json("POST", self._path, data=body, key=key or new_key())
        return AsyncContext(self._transport, self._sandbox, read(ContextInfo, data))

    async def get(self, id_or_name: str) -> AsyncContext:
        """By its id, or the name that it has among those of its sandbox."""
        async for one in self.list():
            if id_or_name in {one.id, one.name}:
                return one
        raise NotFoundError(404, f"sandbox {self._sandbox} has no context {id_or_name}")

    async def list(self) -> AsyncIterator[AsyncContext]:
        async for one in self._transport.http.pages(self._path, "contexts"):
            yield AsyncContext(self._transport, self._sandbox, read(ContextInfo, one))

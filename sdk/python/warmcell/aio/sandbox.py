"""Sandboxes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from types import TracebackType
from typing import Any

from warmcell._core.http import new_key, segment
from warmcell._core.transport import Transport
from warmcell.aio.artifacts import AsyncArtifacts
from warmcell.aio.command import AsyncCommands
from warmcell.aio.context import AsyncContexts
from warmcell.aio.files import AsyncFiles
from warmcell.aio.packages import AsyncPackages
from warmcell.aio.ports import AsyncPorts
from warmcell.aio.runner import AsyncRunner
from warmcell.models import Forking, Metrics, Resumption, SandboxInfo, read


class AsyncSandbox(AsyncRunner):
    """One sandbox; info is what was last known of it. run() and start() run code in its first
    context. Leaving its block deletes it."""

    def __init__(
        self, transport: Transport, info: SandboxInfo, forking: Forking | None = None
    ) -> None:
        super().__init__(transport, info.id)
        self.info = info
        self.forking = forking  # of one that fork() returned
        self.contexts = AsyncContexts(transport, info.id)
        self.commands = AsyncCommands(transport, info.id)
        self.files = AsyncFiles(transport, info.id)
        self.artifacts = AsyncArtifacts(transport, info.id)
        self.packages = AsyncPackages(transport, info.id)
        self.ports = AsyncPorts(transport, info.id)

    @property
    def id(self) -> str:
        return self.info.id

    @property
    def name(self) -> str | None:
        return self.info.name

    @property
    def state(self) -> str:
        """As of the last look: starting, running, failed, pausing, paused or resuming."""
        return self.info.state

    @property
    def _path(self) -> str:
        return f"/v1/sandboxes/{self.id}"

    async def _post(self, what: str, data: Any = None) -> Any:
        return await self._transport.http.json("POST", f"{self._path}/{what}", data=data)

    async def refresh(self) -> SandboxInfo:
        """Looks again; its usage is measured now."""
        self.info = SandboxInfo.of(await self._transport.http.json("GET", self._path))
        return self.info

    async def change(
        self,
        *,
        limits: Mapping[str, float] | None = None,
        name: str | None = None,
        labels: Mapping[str, str | None] | None = None,
        env: Mapping[str, str | None] | None = None,
    ) -> SandboxInfo:
        """Changes what is named, all of it or nothing. A label or variable that is None goes
        away."""
        asked = {"limits": limits, "name": name, "labels": labels, "env": env}
        body = {word: value for word, value in asked.items() if value is not None}
        self.info = SandboxInfo.of(await self._transport.http.json("PATCH", self._path, data=body))
        return self.info

    async def interrupt(self) -> None:
        """Interrupts what its contexts run."""
        self.info = SandboxInfo.of(await self._post("interrupt"))

    async def restart(self) -> None:
        """New interpreters without variables; the files stay."""
        self.info = SandboxInfo.of(await self._post("restart"))

    async def pause(self, *, force: bool = False) -> None:
        """Saves variables and ends its processes. ConflictError while code runs; force leaves out
        the variables of what is busy. May be asked twice."""
        path = f"{self._path}/pause"
        self.info = SandboxInfo.of(
            await self._transport.http.json("POST", path, data={"force": force})
        )

    async def resume(self, *, force: bool = False) -> Resumption:
        """Starts it again with its variables; the answer names those that did not come back."""
        found = await self._post("resume", {"force": force})
        self.info = SandboxInfo.of(found["sandbox"])
        return read(Resumption, found, contexts=tuple(found["contexts"]))

    async def fork(
        self,
        name: str | None = None,
        *,
        labels: Mapping[str, str] | None = None,
        force: bool = False,
        key: str | None = None,
    ) -> AsyncSandbox:
        """Another sandbox with the same variables and files, as of now; its `forking` says what did
        not come along. ConflictError while code runs; force leaves out the variables of what is
        busy."""
        asked: dict[str, Any] = {"name": name, "labels": labels, "force": force}
        body = {word: value for word, value in asked.items() if value is not None}
        found = await self._transport.http.json(
            "POST", f"{self._path}/fork", data=body, key=key or new_key()
        )
        contexts = found.get("contexts")
        forking = read(Forking, found, contexts=None if contexts is None else tuple(contexts))
        return AsyncSandbox(self._transport, SandboxInfo.of(found["sandbox"]), forking)

    async def snapshot(self, *, force: bool = False, key: str | None = None) -> Mapping[str, Any]:
        """Saves the variables; it goes on."""
        path = f"{self._path}/snapshots"
        found = await self._transport.http.json(
            "POST", path, data={"force": force}, key=key or new_key()
        )
        return dict(found)

    async def snapshots(self) -> AsyncIterator[Mapping[str, Any]]:
        async for one in self._transport.http.pages(f"{self._path}/snapshots", "snapshots"):
            yield one

    async def executions(
        self, *, context: str | None = None, status: str | None = None
    ) -> AsyncIterator[Mapping[str, Any]]:
        """Records of its executions, the oldest first."""
        asked = {"context": context, "status": status}
        params = {name: value for name, value in asked.items() if value is not None}
        path = f"{self._path}/executions"
        async for one in self._transport.http.pages(path, "executions", params):
            yield one

    async def execution(self, execution: str) -> Mapping[str, Any]:
        """The record of one, with its code."""
        path = f"{self._path}/executions/{segment(execution)}"
        return dict(await self._transport.http.json("GET", path))

    async def settle(self) -> None:
        """Until all is found that executions and commands left behind which have ended by now."""
        for kind in ("executions", "commands"):
            path = f"{self._path}/{kind}"
            async for one in self._transport.http.pages(path, kind, {"limit": 1000}):
                if one.get("ended") and not one.get("settled"):
                    asked = {"settled": 1, "limit": 1}
                    where = f"{path}/{segment(one['id'])}/artifacts"
                    await self._transport.http.json("GET", where, params=asked)

    async def metrics(self) -> Metrics:
        return read(Metrics, await self._transport.http.json("GET", f"{self._path}/metrics"))

    async def delete(self) -> None:
        """Ends it, with all that is in it. One that is gone is gone."""
        await self._transport.http.delete(self._path)

    async def __aenter__(self) -> AsyncSandbox:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.delete()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name or self.id} {self.state}>"


class AsyncSandboxes:
    """Those of the caller."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def create(
        self,
        *,
        name: str | None = None,
        labels: Mapping[str, str] | None = None,
        template: str | None = None,
        language: str | None = None,
        limits: Mapping[str, float] | None = None,
        env: Mapping[str, str] | None = None,
        network: str | Mapping[str, Sequence[str]] | None = None,
        policy: str | None = None,
        cold: bool | None = None,
        preload: Sequence[str] | None = None,
        files: Mapping[str, Any] | None = None,
        packages: Sequence[str] | None = None,
        key: str | None = None,
    ) -> AsyncSandbox:
        """Makes one; every member is optional and means what docs/gateway.md, "Sandboxes", says.
        key: with the same key, what is asked for is the same sandbox."""
        asked = {
            "name": name,
            "labels": labels,
            "template": template,
            "language": language,
            "limits": limits,
            "env": env,
            "network": network,
            "policy": policy,
            "cold": cold,
            "preload": preload,
            "files": files,
            "packages": packages,
        }
        body = {word: value for word, value in asked.items() if value is not None}
        found = await self._transport.http.json(
            "POST", "/v1/sandboxes", data=body, key=key or new_key()
        )
        return AsyncSandbox(self._transport, SandboxInfo.of(found))

    async def get(self, id_or_name: str) -> AsyncSandbox:
        found = await self._transport.http.json("GET", f"/v1/sandboxes/{segment(id_or_name)}")
        return AsyncSandbox(self._transport, SandboxInfo.of(found))

    async def list(
        self,
        *,
        state: str | None = None,
        label: str | None = None,
        template: str | None = None,
        name_prefix: str | None = None,
    ) -> AsyncIterator[AsyncSandbox]:
        """The oldest first. label: `team`, or `team=blue`."""
        asked = {"state": state, "label": label, "template": template, "name_prefix": name_prefix}
        params = {word: value for word, value in asked.items() if value is not None}
        async for one in self._transport.http.pages("/v1/sandboxes", "sandboxes", params):
            yield AsyncSandbox(self._transport, SandboxInfo.of(one))

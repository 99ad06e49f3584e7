"""Sandboxes, for plain calls; see warmcell.aio.sandbox."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any

from warmcell._core.facade import Facade, words_of
from warmcell._core.portal import Portal
from warmcell.aio.sandbox import AsyncSandbox, AsyncSandboxes
from warmcell.artifacts import Artifacts
from warmcell.command import Commands
from warmcell.context import Contexts
from warmcell.files import Files
from warmcell.models import Forking, Metrics, Resumption, SandboxInfo
from warmcell.packages import Packages
from warmcell.ports import Ports
from warmcell.runner import Runner


@words_of(AsyncSandbox)
class Sandbox(Runner[AsyncSandbox]):
    def __init__(self, portal: Portal, inner: AsyncSandbox) -> None:
        super().__init__(portal, inner)
        self.contexts = Contexts(portal, inner.contexts)
        self.commands = Commands(portal, inner.commands)
        self.files = Files(portal, inner.files)
        self.artifacts = Artifacts(portal, inner.artifacts)
        self.packages = Packages(portal, inner.packages)
        self.ports = Ports(portal, inner.ports)

    @property
    def info(self) -> SandboxInfo:
        return self._inner.info

    @property
    def id(self) -> str:
        return self._inner.id

    @property
    def name(self) -> str | None:
        return self._inner.name

    @property
    def state(self) -> str:
        return self._inner.state

    @property
    def forking(self) -> Forking | None:
        return self._inner.forking

    def refresh(self) -> SandboxInfo:
        return self._portal.call(self._inner.refresh())

    def change(
        self,
        *,
        limits: Mapping[str, float] | None = None,
        name: str | None = None,
        labels: Mapping[str, str | None] | None = None,
        env: Mapping[str, str | None] | None = None,
    ) -> SandboxInfo:
        changed = self._inner.change(limits=limits, name=name, labels=labels, env=env)
        return self._portal.call(changed)

    def interrupt(self) -> None:
        self._portal.call(self._inner.interrupt())

    def restart(self) -> None:
        self._portal.call(self._inner.restart())

    def pause(self, *, force: bool = False) -> None:
        self._portal.call(self._inner.pause(force=force))

    def resume(self, *, force: bool = False) -> Resumption:
        return self._portal.call(self._inner.resume(force=force))

    def fork(
        self,
        name: str | None = None,
        *,
        labels: Mapping[str, str] | None = None,
        force: bool = False,
        key: str | None = None,
    ) -> Sandbox:
        made = self._inner.fork(name, labels=labels, force=force, key=key)
        return Sandbox(self._portal, self._portal.call(made))

    def snapshot(self, *, force: bool = False, key: str | None = None) -> Mapping[str, Any]:
        return self._portal.call(self._inner.snapshot(force=force, key=key))

    def snapshots(self) -> Iterator[Mapping[str, Any]]:
        return self._portal.iterate(self._inner.snapshots())

    def executions(
        self, *, context: str | None = None, status: str | None = None
    ) -> Iterator[Mapping[str, Any]]:
        return self._portal.iterate(self._inner.executions(context=context, status=status))

    def execution(self, execution: str) -> Mapping[str, Any]:
        return self._portal.call(self._inner.execution(execution))

    def settle(self) -> None:
        self._portal.call(self._inner.settle())

    def metrics(self) -> Metrics:
        return self._portal.call(self._inner.metrics())

    def delete(self) -> None:
        self._portal.call(self._inner.delete())

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.delete()


@words_of(AsyncSandboxes)
class Sandboxes(Facade[AsyncSandboxes]):
    def create(
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
    ) -> Sandbox:
        made = self._inner.create(
            name=name,
            labels=labels,
            template=template,
            language=language,
            limits=limits,
            env=env,
            network=network,
            policy=policy,
            cold=cold,
            preload=preload,
            files=files,
            packages=packages,
            key=key,
        )
        return Sandbox(self._portal, self._portal.call(made))

    def get(self, id_or_name: str) -> Sandbox:
        return Sandbox(self._portal, self._portal.call(self._inner.get(id_or_name)))

    def list(
        self,
        *,
        state: str | None = None,
        label: str | None = None,
        template: str | None = None,
        name_prefix: str | None = None,
    ) -> Iterator[Sandbox]:
        found = self._inner.list(
            state=state, label=label, template=template, name_prefix=name_prefix
        )
        for one in self._portal.iterate(found):
            yield Sandbox(self._portal, one)

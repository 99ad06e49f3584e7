"""Contexts, for plain calls; see warmcell.aio.context."""

from __future__ import annotations

from collections.abc import Iterator

from warmcell._core.facade import Facade, words_of
from warmcell.aio.context import AsyncContext, AsyncContexts
from warmcell.models import ContextInfo
from warmcell.runner import Runner


@words_of(AsyncContext)
class Context(Runner[AsyncContext]):
    @property
    def info(self) -> ContextInfo:
        return self._inner.info

    @property
    def id(self) -> str:
        return self._inner.id

    @property
    def name(self) -> str:
        return self._inner.name

    @property
    def language(self) -> str:
        return self._inner.language

    def refresh(self) -> ContextInfo:
        return self._portal.call(self._inner.refresh())

    def fork(self, name: str | None = None, *, force: bool = False) -> Context:
        return Context(self._portal, self._portal.call(self._inner.fork(name, force=force)))

    def interrupt(self) -> None:
        self._portal.call(self._inner.interrupt())

    def delete(self) -> None:
        self._portal.call(self._inner.delete())


@words_of(AsyncContexts)
class Contexts(Facade[AsyncContexts]):
    def create(
        self,
        name: str | None = None,
        *,
        language: str | None = None,
        fork: str | None = None,
        force: bool = False,
        key: str | None = None,
    ) -> Context:
        made = self._inner.create(name, language=language, fork=fork, force=force, key=key)
        return Context(self._portal, self._portal.call(made))

    def get(self, id_or_name: str) -> Context:
        return Context(self._portal, self._portal.call(self._inner.get(id_or_name)))

    def list(self) -> Iterator[Context]:
        for one in self._portal.iterate(self._inner.list()):
            yield Context(self._portal, one)

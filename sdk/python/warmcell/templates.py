"""What sandboxes are made from, for plain calls; see warmcell.aio.templates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from warmcell._core.facade import Facade, words_of
from warmcell.aio.templates import AsyncTemplates
from warmcell.models import Template


@words_of(AsyncTemplates)
class Templates(Facade[AsyncTemplates]):
    def create(
        self,
        name: str,
        *,
        description: str | None = None,
        shared: bool | None = None,
        language: str | None = None,
        preload: Sequence[str] | None = None,
        network: str | Mapping[str, Sequence[str]] | None = None,
        env: Mapping[str, str] | None = None,
        limits: Mapping[str, float] | None = None,
        files: Mapping[str, Any] | None = None,
        packages: Sequence[str] | None = None,
        pool: Mapping[str, int] | None = None,
        key: str | None = None,
    ) -> Template:
        made = self._inner.create(
            name,
            description=description,
            shared=shared,
            language=language,
            preload=preload,
            network=network,
            env=env,
            limits=limits,
            files=files,
            packages=packages,
            pool=pool,
            key=key,
        )
        return self._portal.call(made)

    def get(self, id_or_name: str) -> Template:
        return self._portal.call(self._inner.get(id_or_name))

    def list(self, *, name_prefix: str | None = None) -> Iterator[Template]:
        return self._portal.iterate(self._inner.list(name_prefix=name_prefix))

    def change(
        self,
        id_or_name: str,
        *,
        name: str | None = None,
        description: str | None = None,
        shared: bool | None = None,
        language: str | None = None,
        preload: Sequence[str] | None = None,
        network: str | Mapping[str, Sequence[str]] | None = None,
        env: Mapping[str, str] | None = None,
        limits: Mapping[str, float] | None = None,
        files: Mapping[str, Any] | None = None,
        packages: Sequence[str] | None = None,
        pool: Mapping[str, int] | None = None,
    ) -> Template:
        changed = self._inner.change(
            id_or_name,
            name=name,
            description=description,
            shared=shared,
            language=language,
            preload=preload,
            network=network,
            env=env,
            limits=limits,
            files=files,
            packages=packages,
            pool=pool,
        )
        return self._portal.call(changed)

    def delete(self, id_or_name: str) -> None:
        self._portal.call(self._inner.delete(id_or_name))

"""Packages of a sandbox, for plain calls; see warmcell.aio.packages."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from warmcell._core.facade import Facade, words_of
from warmcell.aio.packages import AsyncPackages
from warmcell.models import Installation, Package


@words_of(AsyncPackages)
class Packages(Facade[AsyncPackages]):
    def list(self) -> Iterator[Package]:
        return self._portal.iterate(self._inner.list())

    def install(
        self,
        *requirements: str,
        restart: bool = True,
        deadline: float | None = None,
        progress: Callable[[str], object] | None = None,
    ) -> Installation:
        turn = self._portal.turn()
        return turn.wait(
            self._inner.install(
                *requirements, restart=restart, deadline=deadline, progress=turn.here(progress)
            )
        )

    def remove(self, name: str, *, restart: bool = True) -> Mapping[str, Any]:
        return self._portal.call(self._inner.remove(name, restart=restart))

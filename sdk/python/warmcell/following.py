"""What an execution and a command have in common, for plain calls; see warmcell.aio.following."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

from warmcell._core.facade import Facade, words_of
from warmcell.aio import following
from warmcell.events import Event

Inner = TypeVar("Inner", bound=following.Following)


@words_of(following.Following)
class Following(Facade[Inner]):
    @property
    def id(self) -> str:
        return self._inner.id

    @property
    def sandbox_id(self) -> str:
        return self._inner.sandbox_id

    @property
    def after(self) -> int:
        return self._inner.after

    def __iter__(self) -> Iterator[Event]:
        return self

    def __next__(self) -> Event:
        event = self._inner._at_hand() or self._portal.call(self._inner._next())
        if event is None:
            raise StopIteration
        return event

    def detach(self) -> int:
        return self._portal.run(self._inner.detach)

"""What the classes for plain calls have in common: each stands before one of warmcell.aio, has its
names, parameters and words, and waits where that is awaited."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

from warmcell._core.portal import Portal
from warmcell.errors import CommandFailedError, ExecutionFailedError, WaitTimeoutError

Inner = TypeVar("Inner")
C = TypeVar("C", bound=type)


class Facade(Generic[Inner]):
    def __init__(self, portal: Portal, inner: Inner) -> None:
        self._portal = portal
        self._inner = inner

    def __repr__(self) -> str:
        return repr(self._inner).replace("<Async", "<", 1)


@contextmanager
def standing_for(facade: object) -> Iterator[None]:
    """An error names the facade, and not what it stands before."""
    try:
        yield
    except WaitTimeoutError as error:
        error.waited_for = facade
        raise
    except ExecutionFailedError as error:
        error.execution = facade
        raise
    except CommandFailedError as error:
        error.command = facade
        raise


def words_of(kind: type) -> Callable[[C], C]:
    """Gives a class and its methods the words of the one that it stands before."""

    def give(facade: C) -> C:
        facade.__doc__ = facade.__doc__ or kind.__doc__
        for name, member in vars(facade).items():
            original: Any = getattr(kind, name, None)
            if original is not None and not name.startswith("_") and not member.__doc__:
                member.__doc__ = original.__doc__
        return facade

    return give

"""Whose output it is: the request that a piece of code belongs to.

``_warmcell.parent`` is a context variable, so tasks keep the request that made them. Threads start
with an empty context; here Thread.start hands the starter's request on. What has none belongs to
the last request.
"""

from __future__ import annotations

import threading
from typing import Any

import _warmcell

Message = dict[str, Any]
Parent = tuple[int, Message]

NOBODY: Parent = (0, {"header": {}, "parent_header": {}, "metadata": {}, "content": {}})
_last = [NOBODY]


def set_parent(parent: Parent) -> None:
    """Makes the running context, and whatever has no request of its own, belong to this one."""
    _last[0] = parent
    _warmcell.set_parent(parent)


def parent_message() -> Message:
    """The request (a Jupyter message) that the running code belongs to."""
    return _warmcell.parent.get(_last[0])[1]


def last_parent() -> Parent:
    return _last[0]


def inherit_in_threads() -> None:
    """Makes every threading.Thread belong to the request that started it."""
    start = threading.Thread.start
    bootstrap = threading.Thread._bootstrap_inner  # type: ignore[attr-defined]

    def start_with_parent(self: threading.Thread) -> None:
        self._warmcell_parent = _warmcell.parent.get(_last[0])  # type: ignore[attr-defined]
        start(self)

    def bootstrap_with_parent(self: threading.Thread) -> None:
        parent = self.__dict__.pop("_warmcell_parent", None)
        if parent is not None:
            _warmcell.parent.set(parent)
        bootstrap(self)

    start_with_parent.__name__ = start_with_parent.__qualname__ = "start"
    start_with_parent.__doc__ = start.__doc__
    threading.Thread.start = start_with_parent  # type: ignore[method-assign]
    threading.Thread._bootstrap_inner = bootstrap_with_parent  # type: ignore[attr-defined]

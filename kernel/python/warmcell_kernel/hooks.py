"""Hooks that see a display message before it leaves, per thread.

Libraries capture or change displays so.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

Message = dict[str, Any]
Hook = Callable[[Message], Message | None]

_local = threading.local()


class MessageHooks:
    """Mixed into the display publisher and the display hook."""

    @property
    def _hooks(self) -> list[Hook]:
        lists: dict[int, list[Hook]] = _local.__dict__.setdefault("hooks", {})
        return lists.setdefault(id(self), [])

    def register_hook(self, hook: Hook) -> None:
        """hook(message) gives the message to publish, or None when it has used it up."""
        self._hooks.append(hook)

    def unregister_hook(self, hook: Hook) -> bool:
        """False: the hook was not registered in this thread."""
        if hook in self._hooks:
            self._hooks.remove(hook)
            return True
        return False

    def transform(self, message: Message) -> Message | None:
        if not _local.__dict__:
            return message
        for hook in self._hooks:
            changed = hook(message)
            if changed is None:
                return None
            message = changed
        return message

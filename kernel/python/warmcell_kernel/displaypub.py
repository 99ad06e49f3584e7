"""display(), update_display() and clear_output() as messages."""

from __future__ import annotations

from typing import Any

import _warmcell
from IPython.core.displaypub import DisplayPublisher
from IPython.core.history import HistoryOutput
from traitlets import Bool

from warmcell_kernel.hooks import MessageHooks
from warmcell_kernel.parents import parent_message


class ShellDisplayPublisher(MessageHooks, DisplayPublisher):
    topic = b"display_data"
    session: Any = None
    pub_socket: Any = None

    store_display_history = Bool(
        False, help="Whether displayed data is kept in the history manager's outputs."
    ).tag(config=True)

    @property
    def parent_header(self) -> dict[str, Any]:
        header: dict[str, Any] = parent_message()["header"]
        return header

    def set_parent(self, parent: dict[str, Any]) -> None:
        """Exists for callers of ipykernel's publisher; attribution follows the context."""

    def publish(
        self,
        data: dict[str, Any],
        metadata: dict[str, Any] | None = None,
        *,
        transient: dict[str, Any] | None = None,
        update: bool = False,
        **_ignored: Any,
    ) -> None:
        """Publishes a MIME bundle; update replaces what was shown under transient's display_id."""
        self._validate_data(data, metadata)
        if self.store_display_history:
            self._remember(data)
        content = {"data": data, "metadata": metadata or {}, "transient": transient or {}}
        self._send("update_display_data" if update else "display_data", content)

    def clear_output(self, wait: bool = False) -> None:
        """Clears the output of the running cell; with wait, only when the next output comes."""
        self._send("clear_output", {"wait": wait})

    def _remember(self, data: dict[str, Any]) -> None:
        count = self.shell.execution_count - (1 if self._in_post_execute else 0)
        outputs = self.shell.history_manager.outputs
        outputs[count].append(HistoryOutput(output_type="display_data", bundle=data))

    def _send(self, msg_type: str, content: dict[str, Any]) -> None:
        message = {
            "msg_type": msg_type,
            "header": {"msg_type": msg_type},
            "parent_header": self.parent_header,
            "content": content,
            "metadata": {},
        }
        changed = self.transform(message)
        if changed is not None:
            _warmcell.publish(
                changed["msg_type"], changed["metadata"], changed["content"], changed.get("buffers")
            )

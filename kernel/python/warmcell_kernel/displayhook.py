"""The value of a cell's last expression, published as execute_result."""

from __future__ import annotations

from typing import Any

import _warmcell
from IPython.core.displayhook import DisplayHook

from warmcell_kernel.hooks import MessageHooks
from warmcell_kernel.parents import parent_message


class ShellDisplayHook(MessageHooks, DisplayHook):
    """IPython calls its methods in turn: start, prompt, data, finish."""

    topic = b"execute_result"
    msg: dict[str, Any] | None = None
    exec_result: Any = None  # a trait in IPython: set twice in each cell

    @property
    def parent_header(self) -> dict[str, Any]:
        header: dict[str, Any] = parent_message()["header"]
        return header

    def set_parent(self, parent: dict[str, Any]) -> None:
        """Exists for callers of ipykernel's display hook; attribution follows the context."""

    def quiet(self) -> bool:
        """Whether the cell ends in a semicolon; without one in it no tokens need be looked at."""
        parsed = self.shell.history_manager.input_hist_parsed
        return bool(parsed) and ";" in parsed[-1] and bool(super().quiet())

    def start_displayhook(self) -> None:
        self.msg = {
            "msg_type": "execute_result",
            "parent_header": self.parent_header,
            "content": {"data": {}, "metadata": {}},
            "metadata": {},
        }

    def write_output_prompt(self) -> None:
        if self.msg:
            self.msg["content"]["execution_count"] = self.prompt_count

    def write_format_data(
        self, format_dict: dict[str, Any], md_dict: dict[str, Any] | None = None
    ) -> None:
        if self.msg:
            self.msg["content"]["data"] = format_dict
            self.msg["content"]["metadata"] = md_dict or {}

    def finish_displayhook(self) -> None:
        msg, self.msg = self.msg, None
        if msg and msg["content"]["data"]:
            self.send(msg)

    def send(self, msg: dict[str, Any]) -> None:
        transformed = self.transform(msg)
        if transformed is not None:
            metadata, content = transformed["metadata"], transformed["content"]
            _warmcell.publish(transformed["msg_type"], metadata, content, None, True)

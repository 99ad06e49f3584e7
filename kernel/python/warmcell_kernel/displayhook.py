"""The value of a cell's last expression, published as execute_result."""

from __future__ import annotations

import builtins
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
    _: Any
    __: Any
    ___: Any

    def __init__(self, shell: Any = None, **traits: Any) -> None:
        self._own_shell = shell  # what the trait has, which IPython asks for thirty times in a cell
        super().__init__(shell=shell, **traits)

    @property
    def prompt_count(self) -> int:
        return int(self._own_shell.execution_count) - 1

    @property
    def parent_header(self) -> dict[str, Any]:
        header: dict[str, Any] = parent_message()["header"]
        return header

    def set_parent(self, parent: dict[str, Any]) -> None:
        """Exists for callers of ipykernel's display hook; attribution follows the context."""

    def quiet(self) -> bool:
        """Whether the cell ends in a semicolon; without one in it no tokens need be looked at."""
        parsed = self._own_shell.history_manager.input_hist_parsed
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

    def update_user_ns(self, result: Any) -> None:
        """As IPython's: _, __ and ___ unless they are the user's own, _N, and Out."""
        names, hidden = self._own_shell.user_ns, self._own_shell.user_ns_hidden
        shown = names["_oh"]
        if not self.cache_size or result is shown:
            return
        if len(shown) >= self.cache_size and self.do_full_cache:
            self.cull_cache()
        new = {}
        if "_" not in builtins.__dict__ and self._owns_underscores(names, hidden):
            new = {"_": result, "__": self._, "___": self.__}
        self.___, self.__, self._ = self.__, self._, result
        if self.do_full_cache:
            count = self.prompt_count
            new[f"_{count}"] = shown[count] = result
        names.update(new)
        hidden.update(new)

    def _owns_underscores(self, names: dict[str, Any], hidden: dict[str, Any]) -> bool:
        for name, own in (("_", self._), ("__", self.__), ("___", self.___)):
            if name in names and names[name] is not hidden.get(name, own):
                return False
        return True

    def finish_displayhook(self) -> None:
        msg, self.msg = self.msg, None
        if msg and msg["content"]["data"]:
            self.send(msg)

    def send(self, msg: dict[str, Any]) -> None:
        transformed = self.transform(msg)
        if transformed is not None:
            metadata, content = transformed["metadata"], transformed["content"]
            _warmcell.publish(transformed["msg_type"], metadata, content, None, True)

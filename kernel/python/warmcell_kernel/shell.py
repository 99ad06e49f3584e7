"""The IPython shell of the kernel."""

from __future__ import annotations

import os
import sys
import warnings
from subprocess import CalledProcessError
from typing import Any

import _warmcell
from IPython.core import page
from IPython.core.autocall import ZMQExitAutocall
from IPython.core.interactiveshell import InteractiveShell, InteractiveShellABC
from IPython.core.usage import default_banner
from IPython.utils.process import system
from traitlets import Bool, CBool, Instance, Type, default

from warmcell_kernel import frames, tracebacks, transform
from warmcell_kernel.compiler import CellCompiler
from warmcell_kernel.displayhook import ShellDisplayHook
from warmcell_kernel.displaypub import ShellDisplayPublisher
from warmcell_kernel.formatting import ShellDisplayFormatter
from warmcell_kernel.history import KernelHistory
from warmcell_kernel.parents import Message, last_parent, parent_message, set_parent

TERMINAL_ENVIRONMENT = {
    "TERM": "xterm-color",
    "CLICOLOR": "1",
    "FORCE_COLOR": "1",
    "CLICOLOR_FORCE": "1",
    # there is no terminal for a pager to ask
    "PAGER": "cat",
    "GIT_PAGER": "cat",
}


class Exit(ZMQExitAutocall):
    """exit and quit: in a program they raise SystemExit, as Python's own do."""

    def __call__(self, keep_kernel: Any = False) -> None:
        if self._ip.is_program:
            raise SystemExit(None if keep_kernel is False else keep_kernel)
        super().__call__(keep_kernel)


class ZMQInteractiveShell(InteractiveShell):
    """IPython behind the link.

    The name is a contract of the field: tqdm, rich, plotly, pandas and many others recognise a
    notebook by ``get_ipython().__class__.__name__ == "ZMQInteractiveShell"``.
    """

    displayhook_class = Type(ShellDisplayHook)
    display_pub_class = Type(ShellDisplayPublisher)
    compiler_class = Type(CellCompiler)
    exiter = Instance(ZMQExitAutocall)
    readline_use = CBool(False)
    autoindent = CBool(False)
    enable_html_pager = Bool(True)

    kernel: Any = None
    keepkernel_on_exit: bool | None = None
    # the content of the last `error` of the running cell
    last_error: dict[str, Any] | None = None
    failed_in_display = False
    # the running code is that of a program (place.py): it has words, and ends by exit()
    is_program = False
    # the running cell, when it was taken over without IPython's transformation
    _untransformed: str | None = None

    # traits in IPython, which nothing observes: setting one costs ten times what it costs here
    execution_count: Any = 1
    last_execution_succeeded: Any = True
    last_execution_result: Any = None

    def __init__(self, *args: Any, kernel: Any, **kwargs: Any) -> None:
        self.kernel = kernel
        super().__init__(*args, **kwargs)
        if "IPKernelApp" not in self.config:
            # tqdm.autonotebook looks for it
            self.config.IPKernelApp.name = "warmcell"
        # behind every SystemExit, with a path of this installation; no client has a Ctrl-D
        warnings.filterwarnings("ignore", "To exit: use 'exit'", UserWarning)
        self.code_cache = self.compile.code_cache
        self.compile.is_plain = self._cells_are_plain

    def _cells_are_plain(self) -> bool:
        """Nobody looks at or changes the syntax trees of cells."""
        replaced = self.__dict__
        return (
            not self.ast_transformers
            and "transform_ast" not in replaced
            and "run_ast_nodes" not in replaced
        )

    def begin(self, history: dict[str, Any]) -> None:
        """The place in the history, and whatever the shell took from the folder and environment."""
        self.history_manager.begin(history.get("file"), int(history.get("session") or 0))
        session_name = os.environ.get("JPY_SESSION_NAME")
        if session_name:
            self.user_ns["__session__"] = session_name
        # for good: to put its names in and take them out again costs a short cell a twentieth
        self.builtin_trap.__enter__()

    @default("exiter")
    def _default_exiter(self) -> ZMQExitAutocall:
        return Exit(self)

    @default("banner1")
    def _default_banner1(self) -> str:
        return str(default_banner)

    # --- what IPython calls while it starts

    def init_environment(self) -> None:
        os.environ.update(TERMINAL_ENVIRONMENT)

    def init_virtualenv(self) -> None:
        """This Python is the environment's own."""

    def init_history(self) -> None:
        self.history_manager = KernelHistory(shell=self, parent=self)
        self.configurables.append(self.history_manager)

    def init_display_formatter(self) -> None:
        self.display_formatter = ShellDisplayFormatter(parent=self)
        self.configurables.append(self.display_formatter)

    def init_data_pub(self) -> None:
        """Data publishing went to ipyparallel."""

    def init_hooks(self) -> None:
        super().init_hooks()
        self.set_hook("show_in_pager", page.as_hook(self.page_as_payload), 99)

    def init_magics(self) -> None:
        super().init_magics()
        from warmcell_kernel.magics import KernelMagics

        self.register_magics(KernelMagics)
        self.magics_manager.register_alias("ed", "edit")

    # --- payloads

    def page_as_payload(
        self,
        strg: str | dict[str, Any],
        start: int = 0,
        screen_lines: int = 0,
        pager_cmd: Any = None,
    ) -> None:
        data = strg if isinstance(strg, dict) else {"text/plain": strg}
        self.payload_manager.write_payload({"source": "page", "data": data, "start": max(0, start)})

    def set_next_input(self, text: str, replace: bool = False) -> None:
        """Puts text into the front end's next (or this) cell."""
        self.payload_manager.write_payload(
            {"source": "set_next_input", "text": text, "replace": replace}
        )

    def ask_exit(self) -> None:
        """exit and quit: the host ends the kernel after the reply of this cell."""
        keep = bool(self.keepkernel_on_exit)
        self.exit_now = not keep
        self.payload_manager.write_payload(
            {"source": "ask_exit", "keepkernel": self.keepkernel_on_exit}
        )
        _warmcell.send(frames.EXIT, 0, _warmcell.json({"keepkernel": keep}))

    # --- running cells

    def transform_cell(self, raw_cell: str) -> str:
        unchanged = transform.unchanged(self, raw_cell)
        self._untransformed = None if unchanged is None else raw_cell
        return unchanged if unchanged is not None else str(super().transform_cell(raw_cell))

    def run_cell(self, *args: Any, **kwargs: Any) -> Any:
        self.last_error = None
        self.failed_in_display = False
        return super().run_cell(*args, **kwargs)

    def showtraceback(self, *args: Any, **kwargs: Any) -> None:
        tracebacks.prepare()
        super().showtraceback(*args, **kwargs)

    def showsyntaxerror(
        self, filename: str | None = None, running_compiled_code: bool = False
    ) -> None:
        """Shows what IPython would: its transformer meets wrong indentation before the compiler."""
        cell, self._untransformed = self._untransformed, None
        if cell is not None and not running_compiled_code:
            try:
                super().transform_cell(cell)
            except Exception:
                self.showtraceback(sys.exc_info())
                return
        super().showsyntaxerror(filename, running_compiled_code)

    def _showtraceback(self, etype: Any, evalue: Any, stb: list[str]) -> None:
        if self.displayhook.msg is not None:
            self.failed_in_display = True
        self.last_error = {
            "ename": etype.__name__,
            "evalue": safe_str(evalue),
            "traceback": stb,
        }
        _warmcell.publish("error", {}, self.last_error, None, True)

    def system_piped(self, cmd: str) -> None:
        """Runs a command and shows its output as it comes; its exit code becomes _exit_code."""
        if cmd.rstrip().endswith("&"):
            raise OSError("Background processes not supported.")
        try:
            exit_code = system(self.var_expand(cmd, depth=1))
        except UnboundLocalError as error:
            # IPython's: an interrupt came before it had the child that it wants to end
            if isinstance(error.__context__, KeyboardInterrupt):
                raise error.__context__ from None
            raise
        self.user_ns["_exit_code"] = exit_code
        if self.system_raise_on_error and exit_code != 0:
            raise CalledProcessError(exit_code or 0, cmd)

    system = system_piped

    def enable_gui(self, gui: str | None = None) -> None:
        """Runs a GUI toolkit's events between cells."""
        from warmcell_kernel import gui as toolkits

        toolkits.enable(self.kernel, gui)
        self.active_eventloop = gui

    # --- whose output it is; names as ipykernel's shell has them

    @property
    def parent_header(self) -> Message:
        return parent_message()

    def get_parent(self) -> Message:
        """The request that the running code belongs to."""
        return parent_message()

    def set_parent(self, parent: Message) -> None:
        """Makes the running code belong to a request as get_parent() gave it."""
        set_parent((self.kernel.number_of(parent), parent))

    def set_thread_parent(self, parent: Message) -> Any:
        """The same for this thread or task alone; gives a token for reset_thread_parent."""
        return _warmcell.parent.set((self.kernel.number_of(parent), parent))

    def reset_thread_parent(self, token: Any) -> None:
        _warmcell.parent.reset(token)

    @property
    def _last_traceback(self) -> list[str] | None:
        return self.last_error["traceback"] if self.last_error else None

    @property
    def _parent_header(self) -> Message:
        return last_parent()[1]


def safe_str(value: object) -> str:
    """str(value) for a message, whatever the value's class does."""
    try:
        return str(value)
    except Exception:
        return f"<unprintable {type(value).__name__} object>"


InteractiveShellABC.register(ZMQInteractiveShell)

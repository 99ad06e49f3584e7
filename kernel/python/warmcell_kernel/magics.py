"""Magics that differ between a kernel and a terminal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from IPython.core import page
from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_magic, magics_class
from IPython.core.magics import CodeMagics
from IPython.core.magics.code import MacroToEdit
from IPython.utils import openpy


@magics_class
class KernelMagics(Magics):
    """%edit, %clear, %less, %more, %man, %connect_info, %autosave, %clear_code_cache."""

    @line_magic
    def edit(self, parameter_s: str = "", last_call: list[str] | None = None) -> None:
        """Open a file, an object's source or a range of the history in the front end's editor.

        Usage: %edit [-n NUMBER] [-p] [-r] [ARGUMENT ...]; see IPython's %edit for the arguments.
        The edited file is not executed afterwards.
        """
        options, arguments = self.parse_options(parameter_s, "prn:")
        try:
            filename, line, _ = CodeMagics._find_edit_target(
                self.shell, arguments, options, last_call or ["", ""]
            )
        except MacroToEdit:
            print("Macro editing is not available in a kernel.")
            return
        self.shell.payload_manager.write_payload(
            {
                "source": "edit_magic",
                "filename": str(Path(filename).resolve()),
                "line_number": line,
            }
        )

    @line_magic
    def clear(self, arg_s: str) -> None:
        """Clear the terminal."""
        self.shell.system("clear")

    @line_magic
    def less(self, arg_s: str) -> None:
        """Show a file through the pager; Python files are coloured."""
        if not arg_s:
            raise UsageError("Missing filename.")
        if arg_s.endswith(".py"):
            text = self.shell.pycolorize(openpy.read_py_file(arg_s, skip_encoding_cookie=False))
        else:
            text = Path(arg_s).read_text(encoding="utf-8", errors="replace")
        page.page(text)

    more = line_magic("more")(less)

    @line_magic
    def man(self, arg_s: str) -> None:
        """Find the man page for the given command and display it in the pager."""
        page.page(self.shell.getoutput(f"man {arg_s} | col -b", split=False))

    @line_magic
    def connect_info(self, arg_s: str) -> None:
        """Print what another client needs to connect to this kernel."""
        file = self.shell.kernel.connection_file
        if not file:
            print("This kernel is reached through its gateway; it has no connection file.")
            return
        print(Path(file).read_text(encoding="utf-8"))
        print(
            "Paste the above JSON into a file, and connect with:\n"
            "    $> jupyter <app> --existing <file>\n"
            "or, if you are local, you can connect with just:\n"
            f"    $> jupyter <app> --existing {file}"
        )

    @line_magic
    def qtconsole(self, arg_s: str) -> None:
        """Open a qtconsole connected to this kernel."""
        import subprocess

        file = self.shell.kernel.connection_file
        if not file:
            raise UsageError("This kernel is reached through its gateway.")
        subprocess.Popen(
            ["jupyter", "qtconsole", "--existing", file, *arg_s.split()],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    @line_magic
    def autosave(self, arg_s: str) -> None:
        """Set the autosave interval in the notebook, in seconds; 0 disables it."""
        from IPython.display import Javascript, display

        try:
            interval = int(arg_s)
        except ValueError as error:
            raise UsageError(f"%autosave requires an integer, got {arg_s!r}") from error
        script: Any = Javascript(f"IPython.notebook.set_autosave_interval({1000 * interval})")
        display(script, include=["application/javascript"])
        print(f"Autosaving every {interval} seconds" if interval else "Autosave disabled")

    @line_magic
    def clear_code_cache(self, arg_s: str) -> None:
        """Forget what cells compiled to, and how often it was of use; variables stay."""
        self.shell.code_cache.forget()

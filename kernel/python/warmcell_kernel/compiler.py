"""Names of cells in tracebacks and for debuggers."""

from __future__ import annotations

import os
import tempfile

import _warmcell
from IPython.core.compilerop import CachingCompiler

HASH_SEED = 0xC70F6907


class CellCompiler(CachingCompiler):
    """Names a cell as front ends expect of a Python kernel: TMP/ipykernel_PID/MURMUR2.py.

    Debugger front ends compute the same name from a cell's text, and tools that compare notebooks
    know the pattern, hence ipykernel's word in it.
    """

    _folder: str | None = None

    def get_code_name(self, raw_code: str, _code: str, _number: int) -> str:
        name = os.environ.get("IPYKERNEL_CELL_NAME")
        if name is not None:
            return name
        if self._folder is None:
            self._folder = f"{tempfile.gettempdir()}{os.sep}ipykernel_{os.getpid()}{os.sep}"
        data = raw_code.encode("utf-8", "surrogatepass")
        return f"{self._folder}{_warmcell.murmur2(data, HASH_SEED)}.py"

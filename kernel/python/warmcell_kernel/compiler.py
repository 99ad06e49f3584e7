"""Names of cells in tracebacks and for debuggers; code of cells that run again."""

from __future__ import annotations

import ast
import builtins
import os
import tempfile
from codeop import _features  # type: ignore[attr-defined]
from collections.abc import Callable
from types import CodeType
from typing import Any

import _warmcell
from IPython.core.compilerop import CachingCompiler

from warmcell_kernel.code_cache import COMPILE, CodeCache, Token

HASH_SEED = 0xC70F6907


class CellCompiler(CachingCompiler):
    """Names a cell as front ends expect of a Python kernel: TMP/ipykernel_PID/MURMUR2.py.

    Debugger front ends compute the same name from a cell's text, and tools that compare notebooks
    know the pattern, hence ipykernel's word in it.
    """

    _folder: str | None = None
    # whether cells go through IPython's own steps alone; None: nothing is kept
    is_plain: Callable[[], bool] | None = None

    def __init__(self) -> None:
        super().__init__()
        self.code_cache = CodeCache()
        self._begun: tuple[str, str] | None = None  # text and name of the cell that begins

    def get_code_name(self, raw_code: str, _code: str, _number: int) -> str:
        name = os.environ.get("IPYKERNEL_CELL_NAME")
        if name is not None:
            return name
        if self._folder is None:
            self._folder = f"{tempfile.gettempdir()}{os.sep}ipykernel_{os.getpid()}{os.sep}"
        data = raw_code.encode("utf-8", "surrogatepass")
        return f"{self._folder}{_warmcell.murmur2(data, HASH_SEED)}.py"

    def cache(self, transformed_code: str, number: int = 0, raw_code: str | None = None) -> str:
        """What IPython calls for a cell right before it parses it."""
        name: str = super().cache(transformed_code, number, raw_code)
        self._begun = (transformed_code, name)
        return name

    def ast_parse(
        self, source: str, filename: str = "<unknown>", symbol: str = "exec"
    ) -> ast.Module:
        begun, self._begun = self._begun, None
        parse: Callable[..., ast.Module] = super().ast_parse
        if begun != (source, filename) or symbol != "exec" or self.is_plain is None:
            return parse(source, filename, symbol)
        if not self.is_plain() or builtins.compile is not COMPILE:
            self.code_cache.misses += 1
            return parse(source, filename, symbol)
        key = (source, filename, self.flags)
        return self.code_cache.parse(key, lambda: parse(source, filename, symbol))

    def __call__(self, source: Any, filename: str, symbol: str, *args: Any, **named: Any) -> Any:
        body = source.body if type(source) in (ast.Module, ast.Interactive) else None
        if not body or len(body) != 1 or not isinstance(body[0], Token):
            return super().__call__(source, filename, symbol, *args, **named)
        compile_tree = super().__call__

        def compile_node(node: ast.stmt) -> CodeType:
            tree = ast.Module([node], []) if symbol == "exec" else ast.Interactive([node])
            code: CodeType = compile_tree(tree, filename, symbol, *args, **named)
            return code

        code = self.code_cache.compile(body[0], (symbol, self.flags), self._parse, compile_node)
        for feature in _features:  # as after each that was compiled
            self.flags |= code.co_flags & feature.compiler_flag
        return code

    def _parse(self, source: str, filename: str, flags: int) -> ast.Module:
        tree = COMPILE(source, filename, "exec", flags | ast.PyCF_ONLY_AST, True)
        assert isinstance(tree, ast.Module)
        return tree

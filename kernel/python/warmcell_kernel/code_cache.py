"""Compiled code of cells, for when the same cell runs again.

A cell is found by its transformed text, its name (which its text before the transformation gives)
and the flags of the compiler. A hit takes the place of parsing and of compiling every statement
that runs; all else happens as ever: the name in linecache, the execution count, what ``__future__``
statements leave in the flags. What is not kept, because a hit would not be the same:

- cells while transformers of syntax trees are there, or somebody has replaced IPython's own steps;
- cells that Python warned of while it compiled them: the next run warns again.

IPython runs a cell statement by statement, and gets each as a node of the tree. Here it gets a
token of the same class instead, which has the code once it was compiled and the node until then.
"""

from __future__ import annotations

import ast
import builtins
import sys
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CodeType
from typing import Any

ENTRIES_MOST = 256
LIMIT_BYTES = 8 * 1024 * 1024
SOURCE_LIMIT_BYTES = 64 * 1024  # of one cell
TREE_FACTOR = 40  # bytes of a tree for one of its source, about

COMPILE = builtins.compile

Compile = Callable[[Any], CodeType]
Key = tuple[str, str, int]


class Token:
    """A statement of a cell that is kept."""

    entry: Entry
    index: int
    node: ast.stmt | None  # until it was compiled
    codes: dict[tuple[str, int], CodeType]  # by mode and flags


class ExpressionToken(Token, ast.Expr):
    """IPython looks whether the last statement is one."""


class AssignToken(Token, ast.Assign):
    """IPython may show what the last statement assigned: its targets are kept."""


class AugAssignToken(Token, ast.AugAssign):
    pass


class AnnAssignToken(Token, ast.AnnAssign):
    pass


class StatementToken(Token, ast.Pass):
    pass


TOKENS: dict[type[ast.stmt], type[Token]] = {
    ast.Expr: ExpressionToken,
    ast.Assign: AssignToken,
    ast.AugAssign: AugAssignToken,
    ast.AnnAssign: AnnAssignToken,
}


class Entry:
    """One cell."""

    def __init__(self, key: Key, body: list[ast.stmt]) -> None:
        self.key = key
        self.tokens = [self._token(index, node) for index, node in enumerate(body)]
        self.uncompiled = len(body)
        self.code_bytes = 0
        self.is_hit = False  # this time, so far

    def _token(self, index: int, node: ast.stmt) -> Token:
        token = TOKENS.get(type(node), StatementToken)()
        token.entry, token.index, token.node, token.codes = self, index, node, {}
        if isinstance(node, ast.Assign):
            targets = [name_only(target) for target in node.targets]
            token.targets = targets  # type: ignore[attr-defined]
        elif isinstance(node, (ast.AugAssign, ast.AnnAssign)):
            token.target = name_only(node.target)  # type: ignore[attr-defined]
        return token

    @property
    def bytes(self) -> int:
        source = len(self.key[0])
        return (source * TREE_FACTOR if self.uncompiled else source) + self.code_bytes


def name_only(target: ast.expr) -> ast.expr:
    if isinstance(target, ast.Name):
        return ast.Name(target.id, ast.Store())
    return ast.Constant(None)


def code_bytes(code: CodeType) -> int:
    """What it takes, with the functions in it."""
    inner = sum(code_bytes(const) for const in code.co_consts if isinstance(const, CodeType))
    return sys.getsizeof(code) + len(code.co_code) + inner


class Witness:
    """Stands before the filters of warnings while something is compiled, matches none, and knows
    whether there was one. The filters' version stays: what was warned of once is not forgotten."""

    def __init__(self) -> None:
        self.seen = False

    def match(self, _text: str) -> None:
        self.seen = True

    @contextmanager
    def watching(self) -> Iterator[Witness]:
        filters: Any = warnings.filters
        item = ("default", self, Warning, None, 0)
        filters.insert(0, item)
        try:
            yield self
        finally:
            filters.remove(item)


class CodeCache:
    """The cells of one interpreter, the latest used last, and what became of those that ran."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        self._entries: OrderedDict[Key, Entry] = OrderedDict()
        self._bytes = 0
        self.hits = 0
        self.misses = 0

    def statistics(self) -> dict[str, int]:
        return {
            "cached": len(self._entries),
            "bytes": self._bytes,
            "hits": self.hits,
            "misses": self.misses,
        }

    def parse(self, key: Key, parse: Callable[[], ast.Module]) -> ast.Module:
        """The cell's tree, of tokens where it can be."""
        entry = self._entries.get(key)
        if entry is not None:
            self._entries.move_to_end(key)
            self.hits += 1
            entry.is_hit = True
            return ast.Module(list(entry.tokens), [])  # type: ignore[arg-type]
        self.misses += 1
        with Witness().watching() as witness:
            tree = parse()
        if witness.seen or len(key[0]) > SOURCE_LIMIT_BYTES:
            return tree
        entry = Entry(key, tree.body)
        self._entries[key] = entry
        self._bytes += entry.bytes
        self._trim()
        return ast.Module(list(entry.tokens), [])  # type: ignore[arg-type]

    def compile(
        self, token: Token, key: tuple[str, int], parse: Callable[[str, str, int], ast.Module],
        compile_node: Callable[[ast.stmt], CodeType],
    ) -> CodeType:  # fmt: skip
        """The code of one statement; node by node, as IPython asks for it."""
        code = token.codes.get(key)
        if code is not None:
            return code
        entry = token.entry
        if entry.is_hit:  # not all of it was there
            entry.is_hit = False
            self.hits -= 1
            self.misses += 1
        node = token.node or parse(*entry.key).body[token.index]
        with Witness().watching() as witness:
            code = compile_node(node)
        if witness.seen:
            self._drop(entry)
            return code
        before = entry.bytes
        token.codes[key] = code
        entry.code_bytes += code_bytes(code)
        if token.node is not None:
            token.node = None
            entry.uncompiled -= 1
        if self._entries.get(entry.key) is entry:
            self._bytes += entry.bytes - before
            self._trim()
        return code

    def _drop(self, entry: Entry) -> None:
        if self._entries.get(entry.key) is entry:
            del self._entries[entry.key]
            self._bytes -= entry.bytes

    def _trim(self) -> None:
        while len(self._entries) > ENTRIES_MOST or self._bytes > LIMIT_BYTES:
            self._drop(next(iter(self._entries.values())))

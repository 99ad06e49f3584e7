"""What code says, for a security policy: its text without comments, and what it imports.

Python is read by its own parser, so that neither a "#" in a string nor an import in a docstring
misleads. A cell that is no plain Python (magics) is read line by line, and the rest as text.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass, field

from warmcell.compat.llm_sandbox.language_handlers.base import AbstractLanguageHandler
from warmcell.compat.llm_sandbox.security import (
    RestrictedModule,
    SecurityIssueSeverity,
    SecurityPattern,
    SecurityPolicy,
)

__all__ = ["find_violations"]

_IMPORTERS = {"__import__", "import_module", "find_spec", "run_module"}
_RUNNERS = {"exec", "eval", "compile"}
_DEEPEST = 8  # code in a string of code in a string …


@dataclass
class _Reading:
    """text: what patterns are looked for in; modules: full names; computed: something is imported
    whose name the code computes."""

    text: str
    modules: set[str] = field(default_factory=set)
    computed: bool = False


def find_violations(
    code: str, policy: SecurityPolicy, handler: AbstractLanguageHandler
) -> list[SecurityPattern]:
    """What of the policy is found in code, each once and in the policy's order: patterns, and
    restricted modules as patterns that name the import."""
    python = handler.name == "python"
    reading = _read_python(code) if python else _Reading(handler.filter_comments(code))
    found = [one for one in policy.patterns if re.search(one.pattern, reading.text)]
    for module in policy.restricted_modules:
        imported = (
            any(
                name == module.name or name.startswith(f"{module.name}.")
                for name in reading.modules
            )
            if python
            else re.search(handler.get_import_patterns(module.name), reading.text) is not None
        )
        if imported:
            found.append(_as_pattern(module, handler))
    if reading.computed and policy.restricted_modules:
        worst = max(module.severity for module in policy.restricted_modules)
        words = "Imports a module whose name the code computes: it may be a restricted one"
        found.append(SecurityPattern(r"__import__|import_module", words, worst))
    return _each_once(found)


def _each_once(found: list[SecurityPattern]) -> list[SecurityPattern]:
    seen: list[SecurityPattern] = []
    for one in found:
        if one not in seen:
            seen.append(one)
    return seen


def _as_pattern(module: RestrictedModule, handler: AbstractLanguageHandler) -> SecurityPattern:
    severity = SecurityIssueSeverity(module.severity)
    return SecurityPattern(
        handler.get_import_patterns(module.name), f"{module.name}: {module.description}", severity
    )


def _read_python(code: str, depth: int = 0) -> _Reading:
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError):
        return _read_lines(code, depth)
    reading = _Reading(_without_words(code, tree))
    names = _imported_names(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            reading.modules.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            reading.modules.add(node.module)
            reading.modules.update(f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call):
            _read_call(node, names, reading, depth)
    return reading


def _read_lines(code: str, depth: int) -> _Reading:
    """What the parser does not take: a line that it takes by itself is read by it, and of any other
    that speaks of an import each word counts as one."""
    reading = _Reading(code)
    for line in code.splitlines():
        text = line.strip().lstrip("%!")
        try:
            ast.parse(text)
        except (SyntaxError, ValueError, RecursionError):
            if "import" in text:
                reading.modules.update(re.findall(r"[\w.]+", text))
                reading.computed = reading.computed or bool(re.search("__import__|_module", text))
            continue
        if depth < _DEEPEST:
            inner = _read_python(text, depth + 1)
            reading.modules |= inner.modules
            reading.computed = reading.computed or inner.computed
    return reading


def _imported_names(tree: ast.AST) -> dict[str, str]:
    """What names of this code stand for that were imported or assigned from an importer or runner:
    {"load": "import_module"}."""
    stand_for: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            stand_for.update({one.asname or one.name: one.name for one in node.names})
        elif isinstance(node, ast.Assign) and len(node.targets) == 1:
            target, value = node.targets[0], _last_name(node.value)
            if isinstance(target, ast.Name) and value in _IMPORTERS | _RUNNERS:
                stand_for[target.id] = value
    return stand_for


def _last_name(node: ast.AST) -> str:
    if isinstance(node, ast.Name):
        return node.id
    return node.attr if isinstance(node, ast.Attribute) else ""


def _read_call(node: ast.Call, names: dict[str, str], reading: _Reading, depth: int) -> None:
    name = _last_name(node.func)
    name = names.get(name, name) if isinstance(node.func, ast.Name) else name
    if name in _IMPORTERS:
        words = [one.value for one in node.keywords if one.arg == "name"]
        text = _text_of((node.args or words or [node])[0])
        if text is None:
            reading.computed = True
        else:
            reading.modules.add(text)
    elif name in _RUNNERS and node.args and depth < _DEEPEST:
        text = _text_of(node.args[0])
        if text is not None:
            inner = _read_python(text, depth + 1)
            reading.modules |= inner.modules
            reading.computed = reading.computed or inner.computed


def _text_of(node: ast.AST) -> str | None:
    """The text of a literal, also of one that is put together with +; None: it is computed."""
    if isinstance(node, ast.Constant):
        value = node.value
        return value.decode("utf-8", "replace") if isinstance(value, bytes) else _str(value)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = _text_of(node.left), _text_of(node.right)
        return None if left is None or right is None else left + right
    return None


def _str(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _without_words(code: str, tree: ast.AST) -> str:
    """Comments and texts that stand as statements (docstrings) as blanks; the lines stay."""
    lines = [bytearray(line.encode()) for line in code.splitlines(keepends=True)]
    for first, start, last, end in [*_docstrings(tree), *_comments(code)]:
        for number in range(first, last + 1):
            line = lines[number - 1]
            begin = start if number == first else 0
            stop = end if number == last else len(line.rstrip(b"\r\n"))
            line[begin:stop] = b" " * (stop - begin)
    return b"".join(lines).decode()


def _docstrings(tree: ast.AST) -> Iterator[tuple[int, int, int, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            value = node.value
            if isinstance(value.value, str) and value.end_lineno and value.end_col_offset:
                yield value.lineno, value.col_offset, value.end_lineno, value.end_col_offset


def _comments(code: str) -> Iterator[tuple[int, int, int, int]]:
    """Places in bytes, as the parser's are."""
    lines = code.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(code).readline):
        if token.type == tokenize.COMMENT:
            (row, column), (_, end) = token.start, token.end
            line = lines[row - 1]
            yield row, len(line[:column].encode()), row, len(line[:end].encode())

"""The documents of the four SDKs, and their Python blocks, run as they stand.

The documents lie in tests/sdk/documents/. A block is named by its document and its number, counted
from 1. Beside each document, `<document>.toml` lists what becomes of each block:

    [[block]]
    number = 1
    heading = "PersistentExecutionContext"   # the last one above it
    status = "runs"        # as it stands, but for URLs, keys and paths that it leaves open
    test = "test_enhanced_blocks.py::test_a_context"

status `fragment`: it uses names that it does not make, and `preamble` says what they are;
`refuses`: what it needs is not there, and `error` names the error that says so.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import functools
import inspect
import io
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from support.programs import ROOT

FOLDER = ROOT / "tests" / "sdk" / "documents"
DOCUMENTS = ("cloud-sandbox", "enhanced-sandbox", "llm-sandbox", "sandbox-sdk")
TESTS = ROOT / "tests" / "sdk"

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Block:
    document: str
    number: int
    heading: str
    line: int  # of its first line of code
    source: str


@dataclass
class Ran:
    stdout: str = ""
    names: dict[str, Any] = field(default_factory=dict)  # the block's globals


def blocks(document: str) -> list[Block]:
    found: list[Block] = []
    heading, begun = "", 0
    lines = (FOLDER / f"{document}.md").read_text().split("\n")
    fence = ""
    for number, line in enumerate(lines, 1):
        if line.startswith("```"):
            if fence and line.strip() == "```":
                if fence == "```python":
                    source = "\n".join(lines[begun - 1 : number - 1]) + "\n"
                    found.append(Block(document, len(found) + 1, heading, begun, source))
                fence = ""
            elif not fence:
                fence, begun = line.strip(), number + 1
        elif not fence and (match := re.match(r"#+ (.*)", line)):
            heading = match[1].strip()
        elif not fence and (match := re.match(r"\*\*(Example[^*]*)\*\*", line)):
            heading = match[1].rstrip(":")
    return found


def block(document: str, *numbers: int) -> Callable[[F], F]:
    """Says of a test that it runs these blocks; the list of the document names it for them."""
    known = len(blocks(document))
    assert all(1 <= number <= known for number in numbers)
    return lambda test: test


def _compiled(document: str, number: int, replace: Mapping[str, str] | None) -> Any:
    found = blocks(document)[number - 1]
    source = found.source
    for old, new in (replace or {}).items():
        assert old in source, f"{old!r} is not in block {number} of {document}"
        source = source.replace(old, new)
    # lines in a traceback are those of the document
    return compile(
        "\n" * (found.line - 1) + source,
        str(FOLDER / f"{document}.md"),
        "exec",
        flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT,
    )


async def run_async(
    document: str,
    number: int,
    names: dict[str, Any] | None = None,
    replace: Mapping[str, str] | None = None,
) -> Ran:
    """Runs a block on the running loop, with names as its globals, where it leaves its own too;
    replace: text of the block, each of which must be there, and what a fixture has instead."""
    ran = Ran(names={} if names is None else names)
    ran.names.setdefault("__name__", f"{document}, block {number}")
    said = io.StringIO()
    code = _compiled(document, number, replace)
    with contextlib.redirect_stdout(said):
        value = eval(code, ran.names)
        if inspect.isawaitable(value):
            await value
    ran.stdout = said.getvalue()
    return ran


def run(
    document: str,
    number: int,
    names: dict[str, Any] | None = None,
    replace: Mapping[str, str] | None = None,
) -> Ran:
    """As run_async, on a loop of its own if it awaits something."""
    if _compiled(document, number, replace).co_flags & inspect.CO_COROUTINE:
        return asyncio.run(run_async(document, number, names, replace))
    ran = run_async(document, number, names, replace)
    try:  # it has nothing to wait for, and may start loops of its own
        ran.send(None)
    except StopIteration as end:
        found = end.value
        assert isinstance(found, Ran)
        return found
    raise AssertionError("a block without await waits")


def numbers_of_tests(document: str) -> dict[int, list[str]]:
    """The numbers of blocks, and the tests in tests/sdk/ that say they run them."""
    found: dict[int, list[str]] = {}
    for path in sorted(TESTS.glob("test_*.py")):
        tree = ast.parse(path.read_text())
        known = _constants(tree)
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                for said in node.decorator_list:
                    for number in _numbers(said, document, known):
                        found.setdefault(number, []).append(f"{path.name}::{node.name}")
    return found


def _constants(tree: ast.Module) -> dict[str, Any]:
    """The names that a module gives to constants, at its top."""
    return {
        target.id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def _numbers(said: ast.expr, document: str, known: Mapping[str, Any]) -> list[int]:
    if not (isinstance(said, ast.Call) and isinstance(said.func, ast.Name)):
        return []
    if said.func.id != "block":
        return []
    values = [
        known[one.id] if isinstance(one, ast.Name) else ast.literal_eval(one) for one in said.args
    ]
    return [int(value) for value in values[1:]] if values[0] == document else []


@functools.cache
def functions_of(path: Path) -> frozenset[str]:
    """The names of a file's functions."""
    return frozenset(
        node.name
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    )

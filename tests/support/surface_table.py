"""The names that a document promises, held against its package, and printed as a page of docs/.

`tests/sdk/documents/<document>.names.toml` lists each with the test that covers it:

    [names]
    "LocalSandbox" = "test_enhanced_local.py::test_it_starts"
    "LocalSandbox.get_execution_history(limit=50)" = "…"       # parameters, with their defaults
    "interactive:InteractiveSettings.timeout = 300" = "…"      # a field, and its default
    "interactive:KernelType.IPYTHON" = "…"                     # a member of an enumeration
    "core.execution_context:PersistentExecutionContext" = "…"  # of a module of the package

    python -m support.surface_table     # in tests/: writes docs/surfaces/<package>.md
"""

from __future__ import annotations

import ast
import dataclasses
import enum
import importlib
import inspect
import re
import tomllib
from dataclasses import dataclass
from typing import Any

from support.document import DOCUMENTS, FOLDER
from support.programs import ROOT

PACKAGES = {
    "enhanced-sandbox": "sandbox",
    "sandbox-sdk": "sandbox_sdk",
    "llm-sandbox": "llm_sandbox",
    "cloud-sandbox": "cloud_sandbox",
}
PAGES = ROOT / "docs" / "surfaces"
FORM = re.compile(r"(?:([\w.]+):)?([A-Za-z_][\w.]*)(?:\((.*)\)|\s*=\s*(.+))?$")


@dataclass(frozen=True)
class Name:
    text: str
    module: str
    path: str
    parameters: str | None
    default: str | None
    test: str


def names(document: str) -> list[Name]:
    listed = tomllib.loads((FOLDER / f"{document}.names.toml").read_text())["names"]
    found = []
    for text, test in listed.items():
        match = FORM.match(text)
        assert match, f"{document}: {text!r} is no name"
        module = PACKAGES[document] + (f".{match[1]}" if match[1] else "")
        found.append(Name(text, module, match[2], match[3], match[4], test))
    return found


def missing(name: Name) -> str | None:
    """What of a name the package does not have; None: it has it."""
    try:
        module = importlib.import_module(name.module)
    except ImportError as error:
        return f"{name.module}: {error}"
    owner: Any = None
    here: Any = module
    *_, last = name.path.split(".")
    for part in name.path.split("."):
        owner, here = here, _member(here, part)
        if here is None:
            return f"{name.module} has no {name.path}"
    if name.parameters is not None:
        return _parameters(name, here, vars(module))
    if name.default is not None:
        wanted, own = _value(name.default, vars(module)), _default(owner, last)
        return None if wanted == own else f"the default of {name.path} is {own!r}"
    return None


def _member(owner: Any, part: str) -> Any:
    """An attribute, or a field that only its instances have."""
    if hasattr(owner, part):
        found = getattr(owner, part)
        return found if found is not None else ...
    if inspect.isclass(owner):
        for base in owner.__mro__:
            if part in vars(base).get("__annotations__", {}):
                return ...
    return None


def _default(owner: Any, part: str) -> Any:
    if dataclasses.is_dataclass(owner):
        for one in dataclasses.fields(owner):
            if one.name == part:
                if one.default_factory is not dataclasses.MISSING:
                    return one.default_factory()
                return one.default
    return getattr(owner, part, ...)


def _value(text: str, known: dict[str, Any]) -> Any:
    try:
        return ast.literal_eval(text)
    except ValueError:
        value: Any = known.get(text.split(".", maxsplit=1)[0])
        for part in text.split(".")[1:]:
            value = getattr(value, part)
        return value


def _parameters(name: Name, called: Any, known: dict[str, Any]) -> str | None:
    has = inspect.signature(called).parameters
    tree = ast.parse(f"f({name.parameters})", mode="eval").body
    assert isinstance(tree, ast.Call)
    for one in tree.args:
        if not isinstance(one, ast.Name) or one.id not in has:
            return f"{name.path} has no parameter {ast.unparse(one)}"
    for pair in tree.keywords:
        if pair.arg is None or pair.arg not in has:
            return f"{name.path} has no parameter {pair.arg}"
        wanted, own = _value(ast.unparse(pair.value), known), has[pair.arg].default
        if wanted != own:
            return f"the default of {pair.arg} of {name.path} is {own!r}"
    return None


def _says(name: Name) -> str:
    """The first line of what it is documented with."""
    here: Any = importlib.import_module(name.module)
    for part in name.path.split("."):
        here = getattr(here, part, None)
    if here is None or isinstance(here, (str, int, float, enum.Enum, list, dict, tuple)):
        return ""
    said = inspect.getdoc(here) or ""
    first = said.split("\n\n")[0].replace("\n", " ").replace("|", r"\|")
    return first if len(first) < 200 else first[:197] + "…"


def page(document: str) -> str:
    package = PACKAGES[document]
    rows = [
        f"| `{name.text}` | {_says(name)} | `{name.test}` |".replace("  ", " ")
        for name in names(document)
    ]
    return "\n".join(
        [
            f"# `{package}`: what its document names",
            "",
            "Made by `python -m support.surface_table` from the list beside the document in",
            "`tests/sdk/documents/`; a test holds it true.",
            "",
            "| name | what it is | test, in `tests/sdk/` |",
            "|---|---|---|",
            *rows,
            "",
        ]
    )


def main() -> None:
    PAGES.mkdir(exist_ok=True)
    for document in DOCUMENTS:
        if (FOLDER / f"{document}.names.toml").exists():
            (PAGES / f"{PACKAGES[document]}.md").write_text(page(document))


if __name__ == "__main__":
    main()

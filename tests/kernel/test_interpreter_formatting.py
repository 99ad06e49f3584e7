"""The short way of formatting plain values gives what IPython's long way gives."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest
from IPython.core.formatters import DisplayFormatter, FormatterWarning, PlainTextFormatter
from support.programs import ROOT

sys.path.insert(0, str(ROOT / "kernel" / "python"))
from warmcell_kernel.formatting import ShellDisplayFormatter


class Int(int):
    def _repr_html_(self) -> str:
        return "<b>int</b>"


VALUES = [
    0,
    1,
    -5,
    10**400,
    True,
    False,
    "",
    "a",
    "é\n\u2028'\"",
    "x" * 5000,
    1.5,
    None,
    [1],
    Int(3),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda v: repr(v)[:20])
def test_plain_values(value: Any) -> None:
    assert ShellDisplayFormatter().format(value) == DisplayFormatter().format(value)
    for options in ({"include": ["text/html"]}, {"exclude": ["text/plain"]}):
        assert ShellDisplayFormatter().format(value, **options) == DisplayFormatter().format(
            value, **options
        )


def plain(formatter: DisplayFormatter) -> PlainTextFormatter:
    return formatter.formatters["text/plain"]


def hide_text(formatter: DisplayFormatter) -> None:
    plain(formatter).enabled = False


class OtherText(PlainTextFormatter):  # type: ignore[misc]
    def __call__(self, _: object) -> str:
        return "other"


CHANGES: dict[str, Callable[[DisplayFormatter], Any]] = {
    "html for int": lambda f: f.formatters["text/html"].for_type(int, lambda _: "<i>"),
    "html for object": lambda f: f.formatters["text/html"].for_type(object, lambda _: "<o>"),
    "html by name": lambda f: f.formatters["text/html"].for_type_by_name("builtins", "int", str),
    "text for int": lambda f: plain(f).for_type(int, lambda _, p, __: p.text("int!")),
    "text for str": lambda f: plain(f).for_type(str, lambda _, p, __: p.text("str!")),
    "text for True": lambda f: plain(f).singleton_printers.update(
        {id(True): lambda _, p, __: p.text("yes")}
    ),
    "json for one value": lambda f: f.formatters["application/json"].singleton_printers.update(
        {id(5): lambda _: {"five": 5}}
    ),
    "mimebundle for str": lambda f: f.mimebundle_formatter.for_type(
        str, lambda _, **__: {"text/x": "x"}
    ),
    "display for int": lambda f: f.ipython_display_formatter.for_type(int, lambda _: None),
    "text off": hide_text,
    "other text": lambda f: f.formatters.update({"text/plain": OtherText(parent=f)}),
    "no pretty printing": lambda f: setattr(plain(f), "pprint", False),
}


@pytest.mark.filterwarnings(f"ignore::{FormatterWarning.__module__}.FormatterWarning")
@pytest.mark.parametrize("change", CHANGES)
def test_registered_printers_are_found(change: str) -> None:
    ours, theirs = ShellDisplayFormatter(), DisplayFormatter()
    CHANGES[change](ours)
    CHANGES[change](theirs)
    for value in (5, True, False, "text", 7):
        assert ours.format(value) == theirs.format(value)

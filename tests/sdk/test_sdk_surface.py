"""The two forms of the client say the same; what it makes of the gateway's words."""

from __future__ import annotations

import base64
import inspect
from typing import Any

import pytest
import warmcell
from warmcell import events
from warmcell.artifacts import shown
from warmcell.outputs import Outputs

PAIRS = [
    (getattr(warmcell, name[len("Async") :]), getattr(warmcell, name))
    for name in warmcell.__all__
    if name.startswith("Async")
]


def public(kind: type) -> set[str]:
    return {name for name in dir(kind) if not name.startswith("_")}


def shape(function: Any) -> list[tuple[str, Any, Any]]:
    return [(p.name, p.kind, p.default) for p in inspect.signature(function).parameters.values()]


@pytest.mark.parametrize(("plain", "awaited"), PAIRS, ids=lambda kind: kind.__name__)
def test_both_forms_have_the_same_names_and_parameters(plain: type, awaited: type) -> None:
    kept = {"info", "forking"}  # attributes of the one, which the other looks up
    assert public(plain) - kept == public(awaited) - kept
    for name in public(awaited) - kept:
        one, other = inspect.getattr_static(plain, name), inspect.getattr_static(awaited, name)
        assert isinstance(one, property) == isinstance(other, property), name
        if inspect.isfunction(one):
            assert shape(one) == shape(other), name
            assert one.__doc__ == other.__doc__, name


def test_every_name_is_there() -> None:
    assert len(PAIRS) == 15
    assert all(hasattr(warmcell, name) for name in warmcell.__all__)
    assert len(set(warmcell.__all__)) == len(warmcell.__all__)


def told(kind: str, **members: Any) -> events.Event:
    return events.event_of({"number": 1, "type": kind, "time": "", **members})


def test_events() -> None:
    assert told("unheard of", text="x").raw["text"] == "x"
    command = events.event_of({"number": 2, "kind": "stdout", "base64": "/w=="})
    assert isinstance(command, events.Stdout)
    assert (command.data, command.text) == (b"\xff", "\ufffd")
    display = told("display", data={"image/png": base64.b64encode(b"p").decode(), "a/b": [1]})
    assert isinstance(display, events.Display)
    assert display.content("image/png") == b"p"
    with pytest.raises(TypeError, match="a/b"):
        display.content("a/b")
    with pytest.raises(KeyError):
        display.content("text/html")


def test_outputs() -> None:
    outputs = Outputs()
    for event in (
        told("display", data={"text/plain": "1"}, text="1", display_id="d"),
        told("display", data={"text/plain": "2"}, text="2"),
        told("update_display", data={"text/plain": "3"}, text="3", display_id="d"),
        told("update_display", data={"text/plain": "4"}, text="4", display_id="other"),
    ):
        outputs.absorb(event)
    assert [one.text for one in outputs.displays] == ["3", "2"]


def test_what_a_notebook_is_given() -> None:
    assert shown("text/csv", b"a") == "a"
    assert shown("application/vnd.plotly.v1+json", b"{}") == "{}"
    assert shown("image/png", b"\x00") == "AA=="

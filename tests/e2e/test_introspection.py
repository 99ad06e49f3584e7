"""complete, inspect, is_complete, kernel_info, connect."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from support.direct import DirectClient, Kernel


@pytest.fixture(scope="module")
def client(shared_kernel: Kernel) -> Iterator[DirectClient]:
    client = shared_kernel.client()
    client.run("a_long_name_of_mine = {'first key': 1, 'second': 2}\nümlaut_name = 3\n"
               "def my_function(x: int, y='z') -> str:\n    '''What it says.'''\n    return y * x\n"
               "class Thing:\n    '''A thing.'''\n    colour = 1\n    def grow(self): pass\n"
               "thing = Thing()")  # fmt: skip
    # IPython tells no types any more when the names alone have taken it so many milliseconds
    client.run("get_ipython().Completer.jedi_compute_type_timeout = 60_000")
    yield client


def complete(client: DirectClient, code: str, cursor: int | None = None) -> dict[str, Any]:
    """cursor: where "|" stands in code, if it is not given."""
    if cursor is None:
        cursor = code.index("|")
        code = code.replace("|", "", 1)
    return client.ask("complete_request", {"code": code, "cursor_pos": cursor}).content


COMPLETIONS = [
    ("a_long|", "a_long_name_of_mine", 0, 6),
    ("x = a_long|\ny = 2", "a_long_name_of_mine", 4, 10),
    ("thing.col|", "colour", 6, 9),
    ("thing.gr|ow", "grow", 6, 8),
    ("s = '🎉🎉'; a_long|", "a_long_name_of_mine", 10, 16),
    ("'é🎉𝒳' + thing.col|", "colour", 14, 17),
    ("ümlaut|", "ümlaut_name", 0, 6),
    ("import os.pa|", "os.path", 7, 12),
    ("from collections import Ordered|", "OrderedDict", 24, 31),
    ("%matplot|", "%matplotlib", 0, 8),
    ("%%tim|", "%%time", 0, 5),
    ("\\alph|", "\\alpha", 0, 5),
    ("pri|", "print", 0, 3),
]


@pytest.mark.parametrize(("code", "match", "start", "end"), COMPLETIONS)
def test_completion(client: DirectClient, code: str, match: str, start: int, end: int) -> None:
    content = complete(client, code)
    text = code.replace("|", "", 1)
    assert content["status"] == "ok"
    assert content["cursor_end"] == end
    # where a completer starts may differ (`os.pa` or `pa`); what the line becomes may not
    made = {text[: content["cursor_start"]] + m for m in content["matches"]}
    assert text[:start] + match in made, content["matches"][:20]


def test_completion_of_keys(client: DirectClient) -> None:
    matches = complete(client, "a_long_name_of_mine['fi|")["matches"]
    assert any("first key" in m for m in matches), matches


def test_completion_has_types(client: DirectClient) -> None:
    content = complete(client, "thing.|")
    types = {t["text"]: t for t in content["metadata"]["_jupyter_types_experimental"]}
    assert types["grow"]["type"] == "function"
    assert {"start", "end", "text", "type"} <= set(types["grow"])
    assert {types[name]["start"] for name in ("grow", "colour")} == {6}


def test_completion_of_nothing(client: DirectClient) -> None:
    content = complete(client, "no_such_thing_here.xyz|")
    assert content["status"] == "ok"
    assert content["matches"] == []


@pytest.mark.parametrize("cursor", [-1, 10**9])
def test_completion_with_a_cursor_outside(client: DirectClient, cursor: int) -> None:
    assert complete(client, "pri", cursor)["status"] in ("ok", "error")
    assert client.run("1").status == "ok"


def inspect(client: DirectClient, code: str, cursor: int, level: int = 0) -> dict[str, Any]:
    content = {"code": code, "cursor_pos": cursor, "detail_level": level}
    return client.ask("inspect_request", content).content


def test_inspection(client: DirectClient) -> None:
    content = inspect(client, "my_function", 5)
    assert content["found"] is True
    text = content["data"]["text/plain"]
    assert "What it says." in text
    assert "return y * x" not in text


def test_inspection_of_the_source(client: DirectClient) -> None:
    text = inspect(client, "my_function", 5, 1)["data"]["text/plain"]
    assert "y" in text and "return" in text


def test_inspection_behind_emoji(client: DirectClient) -> None:
    code = "'🎉🎉🎉'; my_function(1)"
    content = inspect(client, code, code.index("my_f") + 3)
    assert "What it says." in content["data"]["text/plain"]


def test_inspection_inside_a_call(client: DirectClient) -> None:
    assert "What it says." in inspect(client, "my_function(", 12)["data"]["text/plain"]


def test_inspection_of_nothing(client: DirectClient) -> None:
    content = inspect(client, "no_such_thing_here", 5)
    assert content["status"] == "ok"
    assert content["found"] is False
    assert content["data"] == {}


COMPLETE = [
    ("1", "complete", None),
    ("def f():\n    return 1\n\n", "complete", None),
    ("%time x", "complete", None),
    ("!ls", "complete", None),
    ("for i in range(3):", "incomplete", "    "),
    ("if x:\n    for y in z:", "incomplete", "        "),
    ("f(1,", "incomplete", None),
    ("'''text", "incomplete", ""),
    ("import = 3", "invalid", None),
    ("a b", "invalid", None),
]


@pytest.mark.parametrize(("code", "status", "indent"), COMPLETE)
def test_is_complete(client: DirectClient, code: str, status: str, indent: str | None) -> None:
    content = client.ask("is_complete_request", {"code": code}).content
    assert content["status"] == status
    if indent is not None:
        assert content["indent"] == indent


@pytest.mark.parametrize("channel", ["shell", "control"])
def test_kernel_info(client: DirectClient, channel: str) -> None:
    run = client.ask("kernel_info_request", channel=channel)
    assert run.reply is not None and run.reply.channel == channel
    content = run.content
    assert content["status"] == "ok"
    assert content["protocol_version"].startswith("5.")
    assert content["implementation"] and content["implementation_version"] and content["banner"]
    language = content["language_info"]
    assert language["name"] == "python"
    assert language["version"].startswith("3.")
    assert language["mimetype"] == "text/x-python"
    assert language["file_extension"] == ".py"
    assert language["pygments_lexer"] == "ipython3"
    assert language["codemirror_mode"] == {"name": "ipython", "version": 3}
    assert language["nbconvert_exporter"] == "python"
    assert all({"text", "url"} == set(link) for link in content["help_links"])
    assert [m.state for m in run.iopub] == ["busy", "idle"]


def test_connect(client: DirectClient) -> None:
    content = client.ask("connect_request").content
    for name in ("shell", "iopub", "stdin", "hb"):
        assert (content.get(f"{name}_port") or content[name]) == client.info[f"{name}_port"]


def test_usage(client: DirectClient) -> None:
    run = client.ask("usage_request", channel="control")
    content = run.content
    assert content["pid"] > 0
    assert content["hostname"]
    assert content["kernel_memory"] > 1e6
    assert content["cpu_count"] >= 1
    assert "host_virtual_memory" in content

"""What arrives on the wire in the wild: incomplete headers, odd text, odd numbers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from support.client import Message, Run
from support.direct import DirectClient, Kernel, dumps


@pytest.fixture
def client(shared_kernel: Kernel) -> Iterator[DirectClient]:
    client = shared_kernel.client()
    yield client
    assert client.run("6 * 7").result["text/plain"] == "42"


def request(client: DirectClient, code: str = "40 + 2", **header: Any) -> Run:
    """Executes with a header of which some members are changed, or left out when None."""
    made = client.header("execute_request") | header
    made = {name: value for name, value in made.items() if value is not None}
    client.send_message(Message("shell", made, {}, {}, {"code": code, "silent": False}))
    return client.collect(made["msg_id"])


HEADERS: list[dict[str, Any]] = [
    {"date": None},
    {"date": ""},
    {"username": None},
    {"version": None},
    {"version": "5.0"},
    {"date": None, "version": None, "username": None},
    {"subshell_id": None, "unknown": {"a": [1, 2, {"b": None}]}},
    {"username": "名前 🎉"},
]


@pytest.mark.parametrize("header", HEADERS)
def test_header(client: DirectClient, header: dict[str, Any]) -> None:
    assert request(client, **header).result["text/plain"] == "42"


def test_metadata_may_be_null_or_full(client: DirectClient) -> None:
    for metadata in ({}, {"cellId": "abc", "deletedCells": [], "deep": {"x": 0.1}}):
        header = client.header("execute_request")
        client.send_message(Message("shell", header, {}, metadata, {"code": "1", "silent": False}))
        assert client.collect(header["msg_id"]).status == "ok"


CODES = [
    ("'\\ud800'", "'\\ud800'"),
    ("'🎉'", "'🎉'"),
    ("'a\\x00b'", "'a\\x00b'"),
    ("ä = 'ö'; ä", "'ö'"),
    ("float('nan')", "nan"),
    ("float('inf')", "inf"),
    ("0.1", "0.1"),
    ("10**30", "1000000000000000000000000000000"),
]


@pytest.mark.parametrize(("code", "result"), CODES)
def test_text_and_numbers(client: DirectClient, code: str, result: str) -> None:
    assert client.run(code).result["text/plain"] == result


def test_lone_surrogates_in_a_cell(client: DirectClient) -> None:
    """Half an emoji, as JSON carries it: an escape without its partner."""
    header = client.header("execute_request")
    content = b'{"code": "x = \'\\ud83c\'; print(len(x))", "silent": false}'
    client.send_frames("shell", [dumps(header), b"{}", b"{}", content])
    run = client.collect(header["msg_id"])
    assert run.stdout == "1\n" or run.status == "error"


def test_lone_surrogates_printed(client: DirectClient) -> None:
    run = client.run("print('a\\ud83cb')\n'\\ud83c'")
    assert run.status == "ok" or "UnicodeEncodeError" in run.content["ename"]
    assert client.run("print('after')").stdout == "after\n"


def test_bytes_that_are_no_text(client: DirectClient) -> None:
    run = client.run("import os; os.write(1, b'a\\xff\\xfeb\\n'); None")
    assert run.stdout == "a\ufffd\ufffdb\n"


def test_text_that_is_split_between_writes(client: DirectClient) -> None:
    run = client.run("import os\nfor b in '☃🎉é'.encode(): os.write(1, bytes([b]))\nprint()")
    assert run.stdout == "☃🎉é\n"


def test_no_nan_leaves_the_kernel(client: DirectClient) -> None:
    run = client.run(
        "from IPython.display import publish_display_data as p\n"
        "p({'application/json': {'n': float('nan'), 'i': [float('inf'), 1.5]}})"
    )

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    for message in run.iopub:
        json.loads(json.dumps(message.content), parse_constant=refuse)
    (shown,) = run.of("display_data")
    assert shown.content["data"]["application/json"]["i"][1] == 1.5


def test_what_json_cannot_hold_is_an_error_of_the_cell(client: DirectClient) -> None:
    run = client.run(
        "from IPython.display import publish_display_data as p\np({'application/json': object()})"
    )
    assert run.status in ("ok", "error")
    assert run.iopub[-1].state == "idle"


def test_bytes_are_published_as_base64(client: DirectClient) -> None:
    run = client.run(
        "from IPython.display import publish_display_data as p\np({'image/png': b'\\x89PNG'})"
    )
    (shown,) = run.of("display_data")
    assert shown.content["data"]["image/png"].strip() == "iVBORw=="


def test_a_very_long_cell(client: DirectClient) -> None:
    code = "\n".join(f"x_{i} = {i}" for i in range(5_000)) + "\nx_4999"
    assert client.run(code).result["text/plain"] == "4999"


def test_many_requests_at_once(client: DirectClient) -> None:
    ids = [client.execute(f"print({i})") for i in range(300)]
    for i, msg_id in enumerate(ids):
        assert client.collect(msg_id).stdout == f"{i}\n"


def test_buffers_on_a_request_that_takes_none(client: DirectClient) -> None:
    msg_id = client.send("execute_request", {"code": "1", "silent": False}, buffers=[b"x" * 1000])
    assert client.collect(msg_id).status == "ok"

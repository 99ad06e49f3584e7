"""execute_request: what is published in which order, and what the reply holds."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.client import ANSI, Message, joined
from support.direct import DirectClient, Kernel


@pytest.fixture
def client(shared_kernel: Kernel) -> Iterator[DirectClient]:
    client = shared_kernel.client()
    yield client
    # the kernel may say of itself that it is idle
    left = [m for m in client.pending if m.parent_id or not m.state]
    assert not left, "nothing was published that belongs to no request of the test"


def shape(message: Message) -> str:
    return message.state or message.msg_type


ORDERS = [
    ("x = 1", {}, ["busy", "execute_input", "idle"]),
    ("", {}, ["busy", "execute_input", "idle"]),
    ("1 + 1", {}, ["busy", "execute_input", "execute_result", "idle"]),
    ("print('a')", {}, ["busy", "execute_input", "stream", "idle"]),
    ("1 / 0", {}, ["busy", "execute_input", "error", "idle"]),
    ("x = 1", {"silent": True}, ["busy", "idle"]),
    ("1 + 1", {"silent": True}, ["busy", "idle"]),
    ("print('a'); display(1); print('b')\n2", {},
     ["busy", "execute_input", "stream", "display_data", "stream", "execute_result", "idle"]),
    ("print('a')\n1 / 0", {}, ["busy", "execute_input", "stream", "error", "idle"]),
]  # fmt: skip


@pytest.mark.parametrize(("code", "fields", "expected"), ORDERS)
def test_order(
    client: DirectClient, code: str, fields: dict[str, Any], expected: list[str]
) -> None:
    run = client.run(code, **fields)
    assert [shape(m) for m in joined(run.iopub)] == expected


def test_parent_is_the_request(client: DirectClient) -> None:
    header = client.header("execute_request") | {"extra": {"kept": [1, 0.1]}}
    content = {"code": "print(1)", "silent": False, "allow_stdin": False}
    client.send_message(Message("shell", header, {}, {}, content))
    run = client.collect(header["msg_id"])
    assert run.reply is not None
    for message in [*run.iopub, run.reply]:
        assert message.parent_header == header


def test_messages_have_ids_of_their_own(client: DirectClient) -> None:
    run = client.run("print(1); display(2); 3")
    assert run.reply is not None
    ids = [m.header["msg_id"] for m in [*run.iopub, run.reply]]
    assert len(set(ids)) == len(ids)
    assert len({m.header["session"] for m in run.iopub}) == 1


def test_execute_input(client: DirectClient) -> None:
    run = client.run("12 + 3")
    (message,) = run.of("execute_input")
    assert message.content["code"] == "12 + 3"
    assert message.content["execution_count"] == run.content["execution_count"]


def test_counts_only_what_is_stored(client: DirectClient) -> None:
    first = client.run("1").content["execution_count"]
    assert client.run("1").content["execution_count"] == first + 1
    assert client.run("1", store_history=False).content["execution_count"] in (first + 1, first + 2)
    assert client.run("1", silent=True).content["execution_count"] in (first + 1, first + 2)
    assert client.run("1").content["execution_count"] == first + 2
    assert client.run("1 / 0").content["execution_count"] == first + 3
    assert client.run("1").content["execution_count"] == first + 4
    assert client.run(" \n").content["execution_count"] == first + 4
    assert client.run("1").content["execution_count"] == first + 5


def test_reply_of_ok(client: DirectClient) -> None:
    content = client.run("1").content
    assert content["status"] == "ok"
    assert content["payload"] == []
    assert content["user_expressions"] == {}


def test_reply_of_error(client: DirectClient) -> None:
    run = client.run("def f():\n    raise KeyError('gone')\nf()")
    (error,) = run.of("error")
    for content in (run.content, error.content):
        assert content["ename"] == "KeyError"
        assert content["evalue"] == "'gone'"
        assert "raise KeyError('gone')" in ANSI.sub("", "\n".join(content["traceback"]))
    assert isinstance(run.content["execution_count"], int)


@pytest.mark.parametrize(
    ("code", "ename"),
    [
        ("1 +", "SyntaxError"),
        ("if True:\nx", "IndentationError"),
        ("nothing_of_this_name", "NameError"),
        ("raise SystemExit(3)", "SystemExit"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("class E(BaseException): pass\nraise E('x')", "E"),
        ("raise ExceptionGroup('g', [ValueError(1), TypeError(2)])", "ExceptionGroup"),
        ("exec('raise RuntimeError(chr(233))')", "RuntimeError"),
        ("def f(): f()\nf()", "RecursionError"),
    ],
)
def test_errors(client: DirectClient, code: str, ename: str) -> None:
    run = client.run(code)
    assert run.status == "error"
    assert run.content["ename"] == ename
    assert client.run("6 * 7").result["text/plain"] == "42"


def test_user_expressions(client: DirectClient) -> None:
    expressions = {"sum": "1 + 1", "bad": "1 / 0", "syntax": "1 +", "html": "HTML('<b/>')"}
    run = client.run("from IPython.display import HTML", user_expressions=expressions)
    got = run.content["user_expressions"]
    assert set(got) == set(expressions)
    assert got["sum"]["status"] == "ok"
    assert got["sum"]["data"] == {"text/plain": "2"}
    assert got["html"]["data"]["text/html"] == "<b/>"
    assert got["bad"]["status"] == "error"
    assert got["bad"]["ename"] == "ZeroDivisionError"
    assert got["syntax"]["ename"] == "SyntaxError"
    assert (
        client.run("1 / 0", user_expressions=expressions).content.get("user_expressions", {}) == {}
    )


PAYLOADS = [
    ("get_ipython().set_next_input('next cell')", "set_next_input", "text", "next cell"),
    ("print?", "page", "start", 0),
    ("%page print", "page", "start", 0),
    ("%load wc_loaded.py", "set_next_input", "replace", True),
]


@pytest.mark.parametrize(("code", "source", "key", "value"), PAYLOADS)
def test_payloads(client: DirectClient, code: str, source: str, key: str, value: object) -> None:
    client.run("open('wc_loaded.py', 'w').write('1')")
    (payload,) = client.run(code).content["payload"]
    client.run("import os; os.unlink('wc_loaded.py')")
    assert payload["source"] == source
    assert payload[key] == value
    assert client.run("1").content["payload"] == [], "payloads are those of one request"


def test_one_payload_of_next_input_remains(client: DirectClient) -> None:
    run = client.run("for i in range(3):\n    get_ipython().set_next_input(f'x{i}')")
    (payload,) = [p for p in run.content["payload"] if p["source"] == "set_next_input"]
    assert payload["text"] == "x2"


def test_exit_is_asked_for(kernelspec: str) -> None:
    with Kernel(kernelspec) as kernel:
        client = kernel.client()
        (payload,) = client.run("exit").content["payload"]
        assert payload["source"] == "ask_exit"


def queue(client: DirectClient, *codes: str, **fields: Any) -> list[str]:
    return [client.execute(code, **fields) for code in codes]


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """A cell that opens it waits until the test writes to it."""
    os.mkfifo(tmp_path / "gate")
    return tmp_path / "gate"


def test_error_aborts_the_queue(client: DirectClient, gate: Path) -> None:
    first, second, third = queue(
        client, f"open({str(gate)!r}).read()\n1 / 0", "print('never')", "print('nor this')"
    )
    info = client.send("comm_info_request", {})
    complete = client.send("complete_request", {"code": "prin", "cursor_pos": 4})
    client.ask("kernel_info_request")  # the host has them
    gate.write_text("go")
    assert client.collect(first).status == "error"
    for msg_id in (second, third):
        run = client.collect(msg_id)
        assert run.status == "aborted"
        assert [shape(m) for m in run.iopub] == ["busy", "idle"]
    assert client.collect(info).status == "ok"
    assert "print" in client.collect(complete).content["matches"]
    assert client.run("6 * 7").result["text/plain"] == "42", "the abort ends with the queue"


def test_no_abort_without_stop_on_error(client: DirectClient, gate: Path) -> None:
    hold = f"open({str(gate)!r}).read()\n1 / 0"
    first, second = queue(client, hold, "print('after')", stop_on_error=False)
    client.ask("kernel_info_request")
    gate.write_text("go")
    assert client.collect(first).status == "error"
    assert client.collect(second).stdout == "after\n"


def test_silent_errors_stay_silent(client: DirectClient) -> None:
    run = client.run("1 / 0", silent=True)
    assert run.status == "error"
    assert not run.of("execute_input", "execute_result")


def test_absent_fields_have_defaults(client: DirectClient) -> None:
    run = client.collect(client.send("execute_request", {"code": "40 + 2"}))
    assert run.result["text/plain"] == "42"
    assert run.of("execute_input")
    denied = client.collect(client.send("execute_request", {"code": "input()"}))
    assert denied.content["ename"] == "StdinNotImplementedError"


def test_two_clients_see_the_same_iopub(shared_kernel: Kernel) -> None:
    one, two = shared_kernel.client(), shared_kernel.client()
    run = one.run("print('both'); 5")
    seen = two.collect(run.msg_id, reply=False)
    assert [m.header["msg_id"] for m in seen.iopub] == [m.header["msg_id"] for m in run.iopub]
    replies = [m for m in two.pending if m.channel != "iopub"]
    assert not replies, "replies go to the one that asked"


@pytest.mark.parametrize("channel", ["shell", "control"])
def test_unknown_type_is_busy_and_idle(client: DirectClient, channel: str) -> None:
    msg_id = client.send("no_such_request", {}, channel=channel)
    run = client.collect(msg_id, reply=False)
    assert [shape(m) for m in run.iopub] == ["busy", "idle"]
    assert client.run("1").status == "ok"


def test_output_is_published_at_once(client: DirectClient) -> None:
    """The line is seen while the cell waits for what the test does only after it saw it."""
    msg_id = client.execute(
        "import socket\nwith socket.create_server(('127.0.0.1', 0)) as s:\n"
        "    print(s.getsockname()[1])\n    s.accept()[0].close()\nprint('end')"
    )
    socket.create_connection(("127.0.0.1", int(client.line(msg_id)))).close()
    assert client.collect(msg_id).stdout == "end\n"

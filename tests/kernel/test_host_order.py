"""The order of messages, and what the host answers whatever the interpreter does."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from kernel.host_process import PORTS, Host, Received
from support.client import Message
from support.direct import DirectClient
from support.ports import number, reserve


@pytest.fixture(scope="module")
def shared() -> Iterator[Host]:
    with Host() as host:
        yield host


@pytest.fixture
def client(shared: Host) -> DirectClient:
    return shared.client()


def shape(messages: list[Message]) -> list[str]:
    return [m.state or m.msg_type for m in messages]


def test_a_cell(client: DirectClient) -> None:
    run = client.run("print a")
    assert shape(run.iopub) == ["busy", "execute_input", "stream", "idle"]
    assert run.status == "ok"


def test_parents_are_the_request_byte_for_byte(client: DirectClient) -> None:
    header = client.header("execute_request") | {"extra": {"π": 0.1}}
    client.send_message(Message("shell", header, {}, {}, {"code": "print a"}))
    run = client.collect(header["msg_id"])
    assert run.reply is not None
    for message in [*run.iopub, run.reply]:
        assert message.parent_header == header


def test_no_two_headers_are_alike(client: DirectClient) -> None:
    runs = [client.run("print a") for _ in range(3)]
    ids = [m.header["msg_id"] for run in runs for m in [*run.iopub, run.reply] if m]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("channel", ["shell", "control"])
@pytest.mark.parametrize(
    "msg_type", ["inspect_request", "complete_request", "is_complete_request", "comm_info_request"]
)
def test_what_the_interpreter_answers(client: DirectClient, channel: str, msg_type: str) -> None:
    run = client.ask(msg_type, {}, channel)
    assert run.content == {"status": "ok", "asked": msg_type}
    assert run.reply is not None and run.reply.msg_type == msg_type.replace("request", "reply")
    assert run.reply.channel == channel
    assert shape(run.iopub) == ["busy", "idle"]


@pytest.mark.parametrize("msg_type", ["comm_open", "comm_msg", "comm_close", "what_request"])
def test_types_without_a_reply(client: DirectClient, msg_type: str) -> None:
    msg_id = client.send(msg_type, {"comm_id": "x"})
    assert shape(client.collect(msg_id, reply=False).iopub) == ["busy", "idle"]
    client.drain()
    assert not [m for m in client.pending if m.parent_id == msg_id]


def test_an_unknown_subshell_is_an_error(client: DirectClient) -> None:
    header = client.header("execute_request") | {"subshell_id": "none such"}
    client.send_message(Message("shell", header, {}, {}, {"code": "print a"}))
    run = client.collect(header["msg_id"])
    assert shape(run.iopub) == ["busy", "idle"]
    assert run.status == "error" and "subshell_id" in run.content["evalue"]


@pytest.mark.parametrize("msg_type", ["kernel_info_request", "usage_request", "connect_request"])
@pytest.mark.parametrize("channel", ["shell", "control"])
def test_busy_stays_true_for_the_cell_that_runs(
    client: DirectClient, msg_type: str, channel: str
) -> None:
    cell = client.execute("print started\nwait")
    client.await_output(cell, "started")
    info = client.send(msg_type, channel=channel)
    seen: list[Message] = []
    while not (seen and seen[-1].parent_id == cell and seen[-1].state == "busy" and len(seen) > 2):
        seen.append(client.take(lambda m: m.channel == "iopub", "busy of the cell again"))
    assert [(m.parent_id, m.state) for m in seen if m.parent_id == info] == [
        (info, "busy"),
        (info, "idle"),
    ]
    assert client.answer(info).content["status"] == "ok"
    assert client.ask("interrupt_request", channel="control").content == {"status": "ok"}
    assert client.answer(cell).content["ename"] == "KeyboardInterrupt"


def test_usage(client: DirectClient, shared: Host) -> None:
    content = client.ask("usage_request", channel="control").content
    assert content["kernel_memory"] > 1_000_000 and content["cpu_count"] >= 1
    assert content["host_virtual_memory"]["total"] > content["host_virtual_memory"]["available"]
    assert content["pid"] != shared.pid


def test_connect(client: DirectClient, shared: Host) -> None:
    content = client.ask("connect_request").content
    assert {f"{p}_port": content[f"{p}_port"] for p in PORTS} == {
        f"{p}_port": shared.info[f"{p}_port"] for p in PORTS
    }


def test_an_error_aborts_what_is_queued(client: DirectClient) -> None:
    first = client.execute("print started\nwait\nfail")
    client.await_output(first, "started")
    others = [client.execute("print never") for _ in range(20)]
    info = client.send("comm_info_request", {})
    client.ask("kernel_info_request")  # it has them all
    client.ask("interrupt_request", channel="control")
    assert client.collect(first).status == "error"
    for msg_id in others:
        run = client.collect(msg_id)
        assert run.content == {"status": "aborted"}
        assert shape(run.iopub) == ["busy", "idle"]
    assert client.collect(info).status == "ok", "only executions are aborted"
    assert client.run("print again").stdout == "again\n"


def test_no_abort_without_stop_on_error(client: DirectClient) -> None:
    first = client.execute("print started\nwait", stop_on_error=False)
    second = client.execute("print after")
    client.await_output(first, "started")
    client.ask("interrupt_request", channel="control")
    assert client.collect(first).status == "error"
    assert client.collect(second).stdout == "after\n"


def test_every_subscriber_is_greeted_first(shared: Host) -> None:
    for topic in (b"", b"", b"stream", b"\xff\xfe"):
        late = shared.client(ready=False, subscribe=False)
        late.sockets["iopub"].subscribe(topic)
        first = late.sockets["iopub"].recv_multipart()
        assert first[0] == topic
        message = late._decode("iopub", first)
        assert message.msg_type == "iopub_welcome" and message.parent_header == {}
        assert message.content == {"subscription": topic.decode(errors="replace")}


def test_a_subscriber_of_one_topic_gets_that_type(shared: Host, client: DirectClient) -> None:
    some = shared.client(ready=False, subscribe=False)
    some.sockets["iopub"].subscribe(b"stream")
    some.take(lambda m: m.msg_type == "iopub_welcome")
    client.run("print a\nprint b")
    client.run("print c")
    text = ""
    while "c" not in text:
        message = some.receive(30, "stream")
        assert message.msg_type == "stream"
        text += message.content["text"]
    assert text == "a\nb\nc\n"


def test_heartbeat(client: DirectClient) -> None:
    assert client.heartbeat(payload := uuid.uuid4().bytes) == payload


def test_starting_then_idle_and_what_comes_before(tmp_path: Path) -> None:
    """Requests, interrupts and the heartbeat before the interpreter is ready."""
    gate = tmp_path / "gate"
    with Host(driver=["--slow", str(gate)], uplink=True) as host:
        gateway = host.gateway()
        assert gateway.state()["execution_state"] == "starting"
        client = host.client(ready=False)
        client.take(lambda m: m.msg_type == "iopub_welcome")
        cell = client.execute("print now")
        info = client.send("kernel_info_request", channel="control")
        assert client.ask("interrupt_request", channel="control").content == {"status": "ok"}
        assert client.heartbeat() == b"ping"
        host.process.send_signal(2)
        assert client.ask("usage_request", channel="control").content["status"] == "ok"
        gate.touch()
        assert client.collect(cell).stdout == "now\n"
        language = client.collect(info).content["language_info"]["name"]
        assert language == "fake", "a driver says itself what its language is"
        messages: list[Received] = []
        while len([m for m in messages if m.msg_type == "stream"]) == 0:
            messages.append(gateway.message())
        own = [m for m in messages if not m.parent]
        assert [m.content["execution_state"] for m in own if m.msg_type == "status"] == [
            "starting",
            "idle",
        ]


def test_many_requests_at_once(client: DirectClient) -> None:
    ids = [client.execute(f"print {n}") for n in range(500)]
    for n, msg_id in enumerate(ids):
        assert client.collect(msg_id).stdout == f"{n}\n"


def test_identities_are_taken_over(shared: Host) -> None:
    session = uuid.uuid4().hex
    for n in range(3):
        client = shared.client(session=session)
        assert client.run(f"print {n}").stdout == f"{n}\n"


@pytest.mark.parametrize("transport", ["tcp", "ipc"])
def test_transports(transport: str, tmp_path: Path) -> None:
    ip = str(tmp_path / "k") if transport == "ipc" else "127.0.0.1"
    with Host(transport=transport, ip=ip, extra={"kept": [1]}) as host:
        assert host.info["extra"] == {"kept": [1]}
        assert host.client().run("print a").stdout == "a\n"


@pytest.mark.parametrize("scheme", ["hmac-sha512", "hmac-md5"])
def test_signature_schemes(scheme: str) -> None:
    import hmac

    with Host(signature_scheme=scheme) as host:
        client = host.client(ready=False)
        header = client.header("kernel_info_request")
        from support.direct import DELIMITER, dumps

        frames = [dumps(header), b"{}", b"{}", b"{}"]
        digest = hmac.new(b"secret", b"".join(frames), scheme.removeprefix("hmac-"))
        client.sockets["shell"].send_multipart([DELIMITER, digest.hexdigest().encode(), *frames])
        assert client.sockets["shell"].poll(20_000)
        reply = client.sockets["shell"].recv_multipart()
        expected = hmac.new(b"secret", b"".join(reply[2:6]), scheme.removeprefix("hmac-"))
        assert reply[1] == expected.hexdigest().encode()


def test_shutdown_is_told_to_everybody_and_frees_the_ports() -> None:
    with ExitStack() as stack:
        reserved = {f"{p}_port": stack.enter_context(reserve("127.0.0.1")) for p in PORTS}
        ports: dict[str, Any] = {name: number(kept) for name, kept in reserved.items()}
        host = stack.enter_context(Host(**ports))
        client, other = host.client(), host.client()
        run = client.ask("shutdown_request", {"restart": True}, channel="control")
        assert run.content == {"status": "ok", "restart": True}
        heard = other.take(lambda m: m.msg_type == "shutdown_reply")
        assert run.reply is not None
        assert heard.header["msg_id"] != run.reply.header["msg_id"]
        assert host.wait() == 0
        with Host(**ports) as again:
            assert {p: again.info[p] for p in ports} == ports
            assert again.client().run("print back").stdout == "back\n"


def test_exit_that_the_user_asks_for() -> None:
    with Host() as host:
        client = host.client()
        assert client.run("ask_exit keep").status == "ok"
        assert client.run("ask_exit").status == "ok"
        assert host.wait() == 0

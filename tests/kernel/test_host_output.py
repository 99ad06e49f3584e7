"""Output: every byte, in order, at any volume, and none that is the host's to say."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest
from kernel.host_process import Host
from support.direct import DirectClient


@pytest.fixture(scope="module")
def shared() -> Iterator[Host]:
    with Host() as host:
        yield host


@pytest.fixture
def client(shared: Host) -> DirectClient:
    return shared.client()


@pytest.mark.parametrize(
    ("hexes", "text"),
    [
        (["e2", "82", "ac"], "€"),
        (["61e282", "ac62"], "a€b"),
        (["f09f8e89"], "🎉"),
        (["f0", "9f8e", "89"], "🎉"),
        (["ff61fe"], "\ufffda\ufffd"),
        (["c0af"], "\ufffd\ufffd"),
        (["00221b5c0a"], '\x00"\x1b\\\n'),
    ],
)
def test_bytes_of_descriptors_become_text(
    client: DirectClient, hexes: list[str], text: str
) -> None:
    """Characters that are cut between writes arrive whole; what is no UTF-8 is replaced."""
    run = client.run("\n".join(f"write {part}" for part in hexes) + "\nchild end")
    assert run.stdout == text + "end\n"


@pytest.mark.parametrize("data", ["ff61", "61c3", "00221b5c"])
def test_text_of_the_link_is_made_valid(client: DirectClient, data: str) -> None:
    expected = bytes.fromhex(data).decode(errors="replace")
    assert client.run(f"raw {data}").stdout == expected


def test_a_child_writes_before_the_reply(client: DirectClient) -> None:
    for n in range(20):
        run = client.run(f"child {n}")
        assert run.stdout == f"{n}\n"
        assert run.iopub[-1].state == "idle"


def test_streams_of_a_burst_are_joined(client: DirectClient) -> None:
    run = client.run("print x\n" * 2000)
    assert run.stdout == "x\n" * 2000
    assert len(run.of("stream")) < 1000


def test_order_of_streams_and_displays(client: DirectClient) -> None:
    run = client.run("print a\ndisplay 1\nprint b\nprint c\ndisplay 2")
    got = [m.content.get("text") or m.content["data"]["text/plain"] for m in run.outputs]
    assert "".join(got) == "a\nxb\nc\nxx"


def test_buffers(client: DirectClient) -> None:
    (message,) = client.run("buffers 3000000").of("comm_msg")
    assert message.buffers == [b"b" * 3000000, b""]


RESERVED = [
    "status", "iopub_welcome", "stream", "shutdown_reply", "execute_reply", "input_reply",
    "execute_request", "input_request", 'x","a":"', "X", "",
]  # fmt: skip


@pytest.mark.parametrize("msg_type", RESERVED)
def test_what_only_the_host_says_is_not_passed_on(client: DirectClient, msg_type: str) -> None:
    run = client.run(f"forge {msg_type}\nprint after")
    assert [m.msg_type for m in run.outputs] == ["stream"]
    assert [m.state for m in run.iopub if m.state] == ["busy", "idle"]


def test_many_lines(client: DirectClient) -> None:
    run = client.run("lines 300000", timeout=120)
    expected = "".join(f"line {n}\n" for n in range(300_000))
    assert (
        hashlib.sha256(run.stdout.encode()).digest() == hashlib.sha256(expected.encode()).digest()
    )


def test_fifty_megabytes_at_once(client: DirectClient) -> None:
    (display,) = client.run("display 50000000", timeout=120).of("display_data")
    assert display.content["data"]["text/plain"] == "x" * 50_000_000


def test_a_reader_that_stops_makes_the_cell_wait() -> None:
    """It loses nothing, and the kernel still answers while the cell waits."""
    with Host() as host:
        client = host.client()
        stuck = host.client(rcvhwm=1, rcvbuf=4096)
        cell = client.execute("display 4000000\n" * 60 + "print end")
        client.take(lambda m: m.msg_type == "display_data" and m.parent_id == cell)
        for _ in range(3):
            info = client.send("kernel_info_request", channel="control")
            assert client.answer(info).content["status"] == "ok"
            assert client.heartbeat() == b"ping"
        assert not client.sockets["shell"].poll(0), "the cell is still running"
        run = stuck.collect(cell, reply=False)
        assert len(run.of("display_data")) == 60
        assert run.stdout == "end\n"
        own = client.collect(cell)
        assert len(own.of("display_data")) == 59 and own.stdout == "end\n"


def test_a_reader_that_leaves_lets_the_cell_go_on() -> None:
    with Host() as host:
        client = host.client()
        stuck = host.client(rcvhwm=1, rcvbuf=4096)
        cell = client.execute("display 4000000\n" * 60)
        client.take(lambda m: m.msg_type == "display_data" and m.parent_id == cell)
        stuck.close()
        run = client.collect(cell)
        assert run.status == "ok" and len(run.of("display_data")) == 59


def test_what_nobody_subscribed_to_is_not_waited_for() -> None:
    with Host() as host:
        client = host.client(ready=False, subscribe=False)
        cell = client.execute("display 4000000\n" * 60)
        assert client.answer(cell).content["status"] == "ok"

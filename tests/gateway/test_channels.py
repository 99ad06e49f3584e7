"""The WebSocket of a kernel: framings, sessions that come back, readers that are slow, its end."""

from __future__ import annotations

import os
import re
import shutil
import signal
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from support import processes
from support.client import Message
from support.fake_kernel import NAME, fake_gateway
from support.gateway import Gateway
from support.socket_client import ClosedError, SocketClient, encode_v1

LINES = 50_000
DISPLAY = 10_000_000


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    gateway = fake_gateway()
    with gateway:
        yield gateway
    shutil.rmtree(gateway.home, ignore_errors=True)


@pytest.fixture
def kernel(gateway: Gateway) -> Iterator[str]:
    kernel = gateway.start_kernel(NAME)
    yield kernel
    if gateway.get(f"/api/kernels/{kernel}").status == 200:
        gateway.delete_kernel(kernel)


def lines(count: int) -> str:
    return "".join(f"line {n}\n" for n in range(count))


def bytes_in(folder: Path) -> int:
    total = 0
    for file in folder.iterdir():
        with suppress(FileNotFoundError):  # it is removed just now
            total += file.stat().st_size
    return total


def closing(client: SocketClient) -> ClosedError:
    with pytest.raises(ClosedError) as closed:
        while True:
            client.receive(30, "close")
    return closed.value


def test_messages_wait_for_the_kernel(gateway: Gateway) -> None:
    """The handshake is over before the kernel is there."""
    kernel = gateway.start_kernel(NAME)
    client = gateway.client(kernel, ready=False)
    assert client.run("print early").stdout == "early\n"
    client.close()
    gateway.delete_kernel(kernel)


@pytest.mark.parametrize("framing", ["v1", "json"])
def test_buffers_both_ways(gateway: Gateway, kernel: str, framing: str) -> None:
    client = gateway.client(kernel, framing=framing, ready=False)
    (message,) = client.run("buffers 70000").of("comm_msg")
    assert message.buffers == [b"b" * 70000, b""]
    client.send("comm_msg", {"comm_id": "c"}, buffers=[b"\x00\xff", b""])
    assert client.run("print after").stdout == "after\n"
    client.close()


def test_input_goes_to_who_asked(gateway: Gateway, kernel: str) -> None:
    asks, other = gateway.client(kernel, ready=False), gateway.client(kernel, ready=False)
    msg_id = asks.execute("input name?", allow_stdin=True)
    run = asks.collect(msg_id, answers=["me"])
    assert run.stdout == "got me\n"
    seen = other.collect(msg_id, reply=False)
    assert seen.stdout == "got me\n"
    assert not seen.prompts
    assert seen.reply is None
    asks.close()
    other.close()


@pytest.mark.parametrize("framing", ["v1", "json"])
def test_replay_is_exact(gateway: Gateway, kernel: str, framing: str) -> None:
    """What came while a client was away comes once, in order, and only what is meant for it."""
    session = uuid.uuid4().hex
    client = gateway.client(kernel, session, framing=framing, ready=False)
    other = gateway.client(kernel, ready=False)
    client.run("print seen")
    for turn in range(3):
        client.drain()
        client.abandon()
        processes.until(lambda: gateway.kernel_model(kernel)["connections"] == 1, "it is away")
        msg_id = other.execute(f"lines {LINES}\nprint turn {turn}")
        other.collect(msg_id)
        client = gateway.client(kernel, session, framing=framing, ready=False)
        run = client.collect(msg_id, reply=False)
        assert run.stdout == lines(LINES) + f"turn {turn}\n"
        assert run.reply is None
        assert [m.state for m in run.of("status")] == ["busy", "idle"]
        assert not client.pending, "nothing else"
    client.close()
    other.close()


def test_a_new_session_starts_at_the_end(gateway: Gateway, kernel: str) -> None:
    first = gateway.client(kernel, ready=False)
    first.run("print before")
    second = gateway.client(kernel, ready=False)
    assert second.run("print after").stdout == "after\n"
    assert not [m for m in second.pending if m.msg_type == "stream"]
    first.close()
    second.close()


def test_a_newer_connection_takes_the_session(gateway: Gateway, kernel: str) -> None:
    session = uuid.uuid4().hex
    older = gateway.client(kernel, session, ready=False)
    newer = gateway.client(kernel, session, ready=False)
    assert closing(older).code == 1000
    assert newer.run("print x").stdout == "x\n"
    assert gateway.kernel_model(kernel)["connections"] == 1
    newer.close()


def test_a_slow_reader_delays_nobody(gateway: Gateway, kernel: str) -> None:
    slow = gateway.client(kernel, ready=False, rcvbuf=65536)
    quick = gateway.client(kernel, ready=False)
    process = psutil.Process(gateway.pid)
    assert quick.run("print warm").stdout == "warm\n"
    before = process.memory_info().rss
    msg_ids = [quick.execute(f"display {DISPLAY}") for _ in range(10)]
    for msg_id in msg_ids:
        (shown,) = quick.collect(msg_id).of("display_data")
        assert shown.content["data"]["text/plain"] == "x" * DISPLAY
    assert process.memory_info().rss - before < 6 * DISPLAY, "it waits on disk, not in memory"
    for msg_id in msg_ids:
        (shown,) = slow.collect(msg_id, reply=False).of("display_data")
        assert shown.content["data"]["text/plain"] == "x" * DISPLAY
    slow.close()
    quick.close()


def test_what_the_log_cannot_keep_is_said() -> None:
    gateway = fake_gateway("--log-bytes", str(16 * 1024 * 1024))
    with gateway:
        kernel = gateway.start_kernel(NAME)
        session = uuid.uuid4().hex
        away, other = gateway.client(kernel, session, ready=False), gateway.client(kernel)
        away.run("print here")
        away.close()
        processes.until(lambda: gateway.kernel_model(kernel)["connections"] == 1, "it is away")
        for _ in range(30):
            other.run("display 1000000")
        back = gateway.client(kernel, session, ready=False)
        notice = back.take(lambda m: m.msg_type == "stream").content
        assert notice["name"] == "stderr"
        dropped = int(re.search(r"(\d+) messages are missing", notice["text"]).group(1))  # type: ignore[union-attr]
        rest = [m for m in back.pending if m.msg_type == "display_data"]
        assert not rest, "nothing stands before the notice"
        assert back.run("print on").stdout == "on\n"
        shown = [m for m in back.pending if m.msg_type == "display_data"]
        assert 0 < len(shown) < 30
        assert dropped >= 30 - len(shown)
        back.close()
        other.close()
    shutil.rmtree(gateway.home)


def test_the_log_is_bounded_and_goes_with_its_kernel() -> None:
    gateway = fake_gateway("--log-bytes", str(16 * 1024 * 1024))
    with gateway:
        kernel = gateway.start_kernel(NAME)
        client = gateway.client(kernel, ready=False)
        for _ in range(40):
            client.run("display 1000000")
        log = gateway.state / "logs" / kernel
        processes.until(lambda: bytes_in(log) < 28 * 1024 * 1024, "old segments go")
        client.close()
        gateway.delete_kernel(kernel)
        assert not log.exists()
        assert not (gateway.runtime / "kernels" / kernel).exists()
    shutil.rmtree(gateway.home)


def test_a_deleted_kernel_says_so(gateway: Gateway, kernel: str) -> None:
    client = gateway.client(kernel, ready=False)
    client.run("print x")
    gateway.delete_kernel(kernel)
    closed = closing(client)
    assert (closed.code, closed.reason) == (1000, "the kernel was deleted")


GOOD = Message("shell", {"msg_id": "1", "msg_type": "execute_request"}, {}, {}, {"code": ""}, [])
BAD_V1: list[str | bytes] = [
    b"",
    b"\x00" * 8,
    b"\xff" * 64,
    encode_v1(GOOD)[:-1],
    encode_v1(GOOD) + b"x",
    encode_v1(Message("iopub", GOOD.header, {}, {}, {}, [])),
    encode_v1(Message("nowhere", GOOD.header, {}, {}, {}, [])),
    encode_v1(Message("shell", {}, {}, {}, {}, [])),
    encode_v1(Message("shell", {"msg_id": 5, "msg_type": "x"}, {}, {}, {}, [])),
    "text on a binary subprotocol",
]
BAD_JSON: list[str | bytes] = [
    "",
    "{",
    "[]",
    '{"header": {}}',
    '{"channel": "nowhere", "header": {"msg_id": "1", "msg_type": "x"}}',
    '{"header": {"msg_id": "1"}}',
    b"\x00\x00\x00\x02\x00\x00\x00\xff",
    b"\xff" * 20,
]


@pytest.mark.parametrize(
    ("framing", "data"), [("v1", d) for d in BAD_V1] + [("json", d) for d in BAD_JSON]
)
def test_bad_messages_close_with_a_reason(
    gateway: Gateway, kernel: str, framing: str, data: str | bytes
) -> None:
    client = gateway.client(kernel, framing=framing, ready=False)
    client.send_data(data)
    closed = closing(client)
    assert closed.code in (1003, 1007)
    assert closed.reason
    good = gateway.client(kernel, framing=framing, ready=False)
    assert good.run("print still here").stdout == "still here\n"
    good.close()


@pytest.mark.parametrize("session", ["x" * 101, "a\nb", "\x7f"])
def test_bad_session_ids(gateway: Gateway, kernel: str, session: str) -> None:
    with pytest.raises(Exception, match="400"):
        gateway.client(kernel, session, ready=False)


def test_a_killed_host_is_started_again(gateway: Gateway, kernel: str) -> None:
    client = gateway.client(kernel, ready=False)
    client.run("print x")
    msg_id = client.execute("print waiting\nwait")
    client.await_output(msg_id, "waiting")
    os.kill(gateway.host_of(kernel), signal.SIGKILL)
    run = client.collect(msg_id)
    assert (run.status, run.content["ename"]) == ("error", "KernelDied")
    assert "SIGKILL" in run.content["evalue"]
    client.take(lambda m: m.state == "restarting")
    assert client.run("print again").stdout == "again\n"
    assert "SIGKILL" in gateway.kernel_model(kernel)["reason"]
    client.close()

"""What no client should send, on every socket: an error or a drop, and the kernel goes on."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from contextlib import suppress

import pytest
import zmq
from kernel.host_process import CLIENT_MESSAGE, Host, v1_encode
from support.client import Message
from support.direct import DELIMITER, DirectClient, dumps, endpoint, sign

CHANNELS = ["shell", "control", "stdin"]


@pytest.fixture(scope="module")
def shared() -> Iterator[Host]:
    with Host(uplink=True) as host:
        yield host


@pytest.fixture
def client(shared: Host) -> Iterator[DirectClient]:
    client = shared.client()
    yield client
    assert client.run("print fine").stdout == "fine\n"


def good(client: DirectClient, msg_type: str = "execute_request") -> list[bytes]:
    content = {"code": "print never", "silent": False}
    return [dumps(client.header(msg_type)), b"{}", b"{}", dumps(content)]


BROKEN_PARTS: list[list[bytes]] = [
    [],
    [b""],
    [DELIMITER],
    [DELIMITER, b""],
    [DELIMITER, b"", b"{}", b"{}", b"{}"],
    [b"no", b"delimiter", b"at", b"all", b"{}", b"{}", b"{}", b"{}"],
    [DELIMITER, DELIMITER, DELIMITER, DELIMITER, DELIMITER, DELIMITER],
    [b""] * 3000,
]


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("parts", BROKEN_PARTS, ids=lambda p: str(len(p)))
def test_frames(client: DirectClient, channel: str, parts: list[bytes]) -> None:
    client.sockets[channel].send_multipart(parts or [b""])


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("signature", [b"", b"0" * 64, b"0" * 63, b"\xff" * 64, b"x" * 100_000])
def test_wrong_signatures(client: DirectClient, channel: str, signature: bytes) -> None:
    client.sockets[channel].send_multipart([DELIMITER, signature, *good(client)])
    client.run("print a")
    assert not [m for m in client.pending if m.msg_type == "execute_reply"]


def test_a_signature_in_upper_case_or_of_other_frames(client: DirectClient) -> None:
    frames = good(client)
    for signature in (sign(client.key, frames).upper(), sign(client.key, frames[:3])):
        client.sockets["shell"].send_multipart([DELIMITER, signature, *frames])


HEADERS = [
    b"", b"{", b"[]", b"null", b"1", b'"x"', b"{}", b'{"msg_id":1,"msg_type":"x"}',
    b'{"msg_id":"a"}', b'{"msg_type":"execute_request"}', b'{"msg_id":"a","msg_type":null}',
    b'{"msg_id":"a","msg_type":"execute_request","session":5}', b"\xff\xfe", b"[" * 100_000,
    b'{"msg_id":"a","msg_id":"b","msg_type":"execute_request"}',
    b'{"msg_id":"a","msg_type":"execute_request"} {}', b'{"msg_id":"\xff","msg_type":"x"}',
    b'{"msg_id":"a","msg_type":"' + b"x" * 70_000 + b'"}',
    b'{"msg_id":"a","msg_type":"\\u0000"}', b'{"msg_id":"a","msg_type":"x\\"y"}',
]  # fmt: skip


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("header", HEADERS, ids=lambda h: repr(h[:30]))
def test_headers(client: DirectClient, channel: str, header: bytes) -> None:
    client.send_frames(channel, [header, b"{}", b"{}", b'{"code":"print never"}'])


CONTENTS = [
    b"{", b"[]", b"1", b'"x"', b"{}}", b'{"code": NaN}', b'{"code":"\xff"}',
    b'{"code":"\xed\xa0\x80"}',
    b'{"code":"a\x01b"}', b"{" + b'"a":{' * 300 + b"}" * 301, b"\x00",
    b'{"code":"x"', b"{'code':1}",
]  # fmt: skip


@pytest.mark.parametrize("place", ["metadata", "content"])
@pytest.mark.parametrize("channel", ["shell", "control"])
@pytest.mark.parametrize("text", CONTENTS, ids=lambda c: repr(c[:30]))
def test_bodies_are_answered_by_an_error(
    client: DirectClient, channel: str, text: bytes, place: str
) -> None:
    for msg_type in ("execute_request", "kernel_info_request", "history_request"):
        header = client.header(msg_type)
        bodies = [text, b"{}"] if place == "metadata" else [b"{}", text]
        client.send_frames(channel, [dumps(header), b"{}", *bodies])
        run = client.collect(header["msg_id"])
        assert run.status == "error" and place in run.content["evalue"]
        assert [m.state for m in run.iopub] == ["busy", "idle"]


@pytest.mark.parametrize("empty", [b"", b"null", b" {} "])
def test_absent_bodies_are_empty_ones(client: DirectClient, empty: bytes) -> None:
    header = client.header("comm_info_request")
    client.send_frames("shell", [dumps(header), b"{}", empty, empty])
    assert client.collect(header["msg_id"]).status == "ok"


HISTORY = [
    {"hist_access_type": 5}, {"hist_access_type": "x"}, {"n": "many"}, {"n": -1},
    {"session": 1e9}, {"session": 10**30}, {"output": 1}, {"pattern": ["*"]}, {"unique": "yes"},
    {"pattern": "a\u0000b", "hist_access_type": "search"},
]  # fmt: skip


@pytest.mark.parametrize("content", HISTORY, ids=str)
def test_history_requests_of_wrong_types(client: DirectClient, content: dict[str, object]) -> None:
    run = client.ask("history_request", {"hist_access_type": "tail", **content})
    assert run.status == "error" and run.content["ename"] == "BadMessage"


def test_frames_over_the_limit(shared: Host, client: DirectClient) -> None:
    """The sender is cut off; nobody else notices."""
    for channel in CHANNELS:
        big = shared.client(ready=False)
        big.send_frames(channel, [*good(big)[:3], b'{"code":"' + b"x" * (100 << 20) + b'"}'])
        assert client.run("print a").stdout == "a\n"
        big.close()


def test_what_subscribers_send(shared: Host, client: DirectClient) -> None:
    with client.context.socket(zmq.XSUB) as socket_:
        socket_.linger = 0
        socket_.connect(endpoint(shared.info, "iopub"))
        for data in (b"\x01" + b"t" * 10_000, b"\x00", b"\x02", b"", b"text", b"\x01\xff"):
            socket_.send(data)
        socket_.send_multipart([b"\x01", b"a", b"b"])
        client.run("print a")


@pytest.mark.parametrize("name", [*CHANNELS, "iopub", "hb"])
def test_random_bytes_on_the_wire(shared: Host, client: DirectClient, name: str) -> None:
    """Not even ZeroMQ."""
    chance = random.Random(name)
    for _ in range(30):
        with socket.create_connection(("127.0.0.1", shared.info[f"{name}_port"])) as connection:
            greeting = b"\xff" + bytes(8) + b"\x7f\x03" if chance.random() < 0.5 else b""
            with suppress(ConnectionError):
                connection.sendall(greeting + chance.randbytes(chance.randrange(2000)))


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("seed", range(5))
def test_mutations(client: DirectClient, channel: str, seed: int) -> None:
    """Good messages with something changed, signed again or not."""
    chance = random.Random(f"{channel} {seed}")
    types = ["execute_request", "kernel_info_request", "history_request", "input_reply",
             "comm_msg", "debug_request", "usage_request", "connect_request"]  # fmt: skip
    for _ in range(100):
        frames = good(client, chance.choice(types))
        for _ in range(chance.randrange(1, 4)):
            place = chance.randrange(len(frames))
            data = bytearray(frames[place])
            if data:
                at = chance.randrange(len(data))
                data[at : at + chance.randrange(4)] = chance.randbytes(chance.randrange(4))
            frames[place] = bytes(data)
        signature = sign(client.key, frames) if chance.random() < 0.8 else chance.randbytes(32)
        client.sockets[channel].send_multipart([DELIMITER, signature, *frames])
    client.drain()


def test_the_log_is_limited_and_holds_no_secret(shared: Host) -> None:
    client = shared.client()
    before = len(shared.log.read_text().splitlines())
    for _ in range(2000):
        client.sockets["shell"].send_multipart([DELIMITER, b"bad", *good(client)])
    client.drain()
    lines = shared.log.read_text()
    assert len(lines.splitlines()) - before < 500
    assert "secret" not in lines and "print never" not in lines


BAD_V1 = [
    b"", b"\x00", b"\xff" * 8, bytes(8), bytes(64), b"\x06" + bytes(100),
    v1_encode("iopub", {"msg_id": "a", "msg_type": "status"}, {}),
    v1_encode("nowhere", {"msg_id": "a", "msg_type": "execute_request"}, {}),
    v1_encode("shell", [], {}), v1_encode("shell", {"msg_id": "a", "msg_type": "x y"}, {}),
    v1_encode("shell", {"msg_id": "a", "msg_type": "execute_request"}, {})[:-1],
]  # fmt: skip


@pytest.mark.parametrize("frame", BAD_V1, ids=lambda f: repr(f[:20]))
def test_gateway_messages_are_dropped(shared: Host, frame: bytes) -> None:
    gateway = shared.gateway()
    gateway.state()
    gateway.send(frame)
    gateway.last = 0
    msg_id = gateway.execute("print fine")
    assert any(m.content.get("text") == "fine\n" for m in gateway.until_idle(msg_id))
    gateway.close()


BAD_LINK = [
    b"\xff" * 16, bytes(16), b"\x00\x00\x00\x00\x50" + bytes(11),
    b"\x04\x00\x00\x00\x41\x00\x00\x00" + bytes(12), bytes([0, 0, 0, 0x41, 65]) + bytes(11),
]  # fmt: skip


@pytest.mark.parametrize("attached", [False, True])
@pytest.mark.parametrize("data", BAD_LINK, ids=lambda d: repr(d[:8]))
def test_gateways_that_break_the_link_are_cut_off(
    shared: Host, data: bytes, attached: bool
) -> None:
    if attached:
        gateway = shared.gateway()
        gateway.state()
        connection = gateway.link.socket
    else:
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(str(shared.socket))
        connection.settimeout(30)
    connection.sendall(data)
    with suppress(ConnectionError):
        while connection.recv(1 << 20):
            pass
    connection.close()


def test_a_gateway_that_does_not_attach_first(shared: Host) -> None:
    for version in (0, 2, 99):
        gateway = shared.gateway()
        gateway.close()
        with pytest.raises((EOFError, ConnectionError, AssertionError)):
            from kernel.host_process import Gateway

            Gateway(shared.socket, version=version).state()
    with socket.socket(socket.AF_UNIX) as plain:
        plain.connect(str(shared.socket))
        plain.settimeout(30)
        from kernel.fake_driver import Link

        link = Link(plain.detach())
        link.socket.settimeout(30)
        link.send(CLIENT_MESSAGE, 0, b"", b"")
        assert link.socket.recv(1) == b""
        link.socket.close()


def test_a_message_may_say_anything_else(client: DirectClient) -> None:
    msg_id = "x" * 1000
    header = {"msg_id": msg_id, "msg_type": "comm_info_request", "π": "ü", "more": [[{}]]}
    client.send_message(Message("shell", header, {}, {}, {}))
    assert client.collect(msg_id).status == "ok"
    escaped = b'{"msg_id":"\\ud800","msg_type":"comm_info_request"}'
    client.send_frames("shell", [escaped, b"{}", b"{}", b'{"lone":"\\udfff"}'])
    assert client.take(lambda m: m.msg_type == "comm_info_reply").content["status"] == "ok"

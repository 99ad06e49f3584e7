"""What must not hurt: wrong signatures, random bytes, cut and huge frames, bad JSON, wrong types.

Each row is sent, and then the kernel or gateway must still do its work. The rounds are repeated;
after the first ones neither memory nor descriptors may grow.
"""

from __future__ import annotations

import json
import random
import socket
import struct
from collections.abc import Iterator
from typing import Any

import psutil
import pytest
import websocket
import zmq
from support import processes
from support.client import Message
from support.direct import DELIMITER, DirectClient, Kernel, dumps, endpoint, sign
from support.gateway import Gateway
from support.socket_client import V1, encode_v1

WARM_ROUNDS = 3
ROUNDS = 8
GROWTH_BYTES = 8_000_000
DEEP = b"[" * 100_000
HUGE = 100_000_000


def still_works(client: DirectClient) -> None:
    assert client.run("6 * 7").result["text/plain"] == "42"


def give_back(process: psutil.Process, memory: int, descriptors: int) -> None:
    """What it took for the rounds, it has no more when it has done with them."""
    processes.until(lambda: process.memory_info().rss - memory < GROWTH_BYTES, "no growth")
    processes.until(lambda: process.num_fds() <= descriptors, "descriptors are given back")


# ---- ZeroMQ -----------------------------------------------------------------------------------


def bad_wires(client: DirectClient, draw: random.Random) -> Iterator[list[bytes]]:
    """Whole multipart messages."""
    header = dumps(client.header("execute_request"))
    content = dumps({"code": "raise SystemExit('must not run')", "silent": False})
    good = [header, b"{}", b"{}", content]
    mine = sign(client.key, good)

    def signed(frames: list[bytes]) -> list[bytes]:
        return [DELIMITER, sign(client.key, frames), *frames]

    yield [b""]
    yield [b"", b""]
    yield [DELIMITER]
    yield [DELIMITER, mine]
    yield [DELIMITER, mine, *good[:3]]
    yield [DELIMITER, b"0" * 64, *good]
    yield [DELIMITER, b"", *good]
    yield [DELIMITER, mine[:-1], *good]
    yield [DELIMITER, mine.upper(), *good] if mine.upper() != mine else [DELIMITER]
    yield [DELIMITER, mine, *good[:3], content + b" "]
    yield [DELIMITER, draw.randbytes(64), *good]
    yield good
    yield [draw.randbytes(draw.randint(1, 300)) for _ in range(draw.randint(1, 9))]
    yield [b"id"] * 2_000
    for bad in (b"", b"{", b"null", b"[]", b"1", b'"x"', DEEP, b"{}" * 9, b'{"a":1,"a":2}',
                b"\xff\xfe",
                b'{"msg_id": "\xff"}', b'{"msg_id": 1}', b'{"msg_id": "x"}', b'{"a": NaN}',
                b'{"msg_id": "x", "msg_type": 5}', b'{"n": 1e999}', b'{"n": ' + b"9" * 5_000 + b"}",
                draw.randbytes(200)):  # fmt: skip
        yield signed([bad, b"{}", b"{}", content])
        yield signed([header, bad, b"{}", b"{}"])
        yield signed([header, b"{}", bad, b"{}"])
        yield signed([header, b"{}", b"{}", bad])


@pytest.mark.parametrize("channel", ["shell", "control", "stdin", "iopub", "hb"])
def test_bad_messages_on_a_socket(shared_kernel: Kernel, channel: str) -> None:
    client = shared_kernel.client()
    kind = {"iopub": zmq.XSUB, "hb": zmq.DEALER}.get(channel, zmq.DEALER)
    host = psutil.Process(shared_kernel.pid)
    start: tuple[int, int] | None = None
    for turn in range(ROUNDS):
        draw = random.Random(turn)
        with client.context.socket(kind) as attacker:
            attacker.linger = 1000
            attacker.connect(endpoint(client.info, channel))
            for frames in bad_wires(client, draw):
                if channel == "hb":
                    frames = [b"", *frames]  # noqa: PLW2901
                attacker.send_multipart(frames)
        still_works(client)
        client.drain()
        if turn == WARM_ROUNDS:
            start = host.memory_info().rss, host.num_fds()
    assert start is not None
    give_back(host, *start)


@pytest.mark.parametrize("channel", ["shell", "control", "stdin", "iopub", "hb"])
def test_bytes_that_are_not_zeromq(shared_kernel: Kernel, channel: str) -> None:
    client = shared_kernel.client()
    draw = random.Random(7)
    address = (client.info["ip"], client.info[f"{channel}_port"])
    greeting = b"\xff" + bytes(8) + b"\x7f\x03\x00NULL" + bytes(48)
    for data in (b"", b"GET / HTTP/1.1\r\n\r\n", greeting[:20], greeting,
                 greeting + b"\x02" + b"\xff" * 8,
                 draw.randbytes(1_000), greeting + draw.randbytes(5_000)):  # fmt: skip
        with socket.create_connection(address, timeout=10) as connection:
            connection.sendall(data)
    still_works(client)


def test_huge_frames(shared_kernel: Kernel) -> None:
    client = shared_kernel.client()
    blob = bytes(HUGE)
    with client.context.socket(zmq.DEALER) as attacker:
        attacker.linger = 10_000
        attacker.connect(endpoint(client.info, "shell"))
        attacker.send_multipart([DELIMITER, b"0" * 64, b"{}", b"{}", b"{}", blob])
        attacker.send_multipart([blob])
    still_works(client)


WRONG_CONTENTS: list[tuple[str, Any]] = [
    ("execute_request", {}),
    ("execute_request", {"code": 5}),
    ("execute_request", {"code": None}),
    ("execute_request", {"code": "1", "silent": "yes"}),
    ("execute_request", {"code": "1", "user_expressions": [1]}),
    ("execute_request", {"code": "1", "stop_on_error": {}}),
    ("complete_request", {}),
    ("complete_request", {"code": "pri", "cursor_pos": "three"}),
    ("complete_request", {"code": 1, "cursor_pos": 1}),
    ("complete_request", {"code": "pri", "cursor_pos": 2**70}),
    ("inspect_request", {"code": [], "cursor_pos": 0}),
    ("inspect_request", {"code": "x", "cursor_pos": -5, "detail_level": "high"}),
    ("is_complete_request", {"code": {}}),
    ("history_request", {"hist_access_type": "no such"}),
    ("history_request", {"hist_access_type": "tail", "n": "many"}),
    ("history_request", {"hist_access_type": "tail", "n": -3}),
    ("history_request", {"hist_access_type": "range", "session": 2**70}),
    ("history_request", {"hist_access_type": "search", "pattern": 5}),
    ("comm_info_request", {"target_name": 7}),
]


@pytest.mark.parametrize(("msg_type", "content"), WRONG_CONTENTS)
def test_wrong_types_get_a_reply(shared_kernel: Kernel, msg_type: str, content: Any) -> None:
    client = shared_kernel.client()
    run = client.ask(msg_type, content)
    assert run.status in ("ok", "error")
    if run.status == "error":
        assert run.content["ename"]
        assert run.content["evalue"]
    still_works(client)


@pytest.mark.parametrize("msg_type", ["comm_open", "comm_msg", "comm_close", "input_reply"])
def test_wrong_types_where_no_reply_is_due(shared_kernel: Kernel, msg_type: str) -> None:
    client = shared_kernel.client()
    for content in ({}, {"comm_id": 5}, {"comm_id": "x", "target_name": []}, {"value": 3}):
        client.send(msg_type, content, channel="stdin" if msg_type == "input_reply" else "shell")
        client.send(msg_type, content, channel="control")
    still_works(client)


# ---- HTTP -------------------------------------------------------------------------------------

BAD_HTTP = [
    b"\r\n\r\n",
    b"GET\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET /api HTTP/1.1\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
    b"GET /%zz HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /api/kernels/%00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /api/../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /kernelspecs/warmcell/..%2f..%2fkernel.json HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /api HTTP/1.1\r\nHost: localhost\r\n" + b"x: y\r\n" * 20_000 + b"\r\n",
    b"POST /api/kernels HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
    b"POST /api/kernels HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999\r\n\r\n",
    b"POST /api/kernels HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST /api/kernels HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"GET /api/kernels HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    b"GET /api HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"GET /api HTTP/1.1\r\nHost: local\x00host\r\n\r\n",
]


def raw(gateway: Gateway, data: bytes) -> bytes:
    """Sends bytes, says that no more follow, and reads to the end."""
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=20) as connection:
        got = b""
        try:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            while part := connection.recv(65536):
                got += part
        except (ConnectionResetError, BrokenPipeError):
            pass
        return got


def test_bad_http(gateway: Gateway) -> None:
    draw = random.Random(3)
    gateway_process = psutil.Process(gateway.pid)
    gateway.get("/api")
    start: tuple[int, int] | None = None
    for turn in range(ROUNDS):
        for data in [*BAD_HTTP, draw.randbytes(2_000)]:
            answer = raw(gateway, data)
            status = answer.split(b" ")[1:2]
            assert (
                not status or int(status[0]) >= 400 or data.startswith(b"GET /api HTTP/1.1\r\n\r")
            ), (
                data[:80],
                answer[:200],
            )
        assert gateway.get("/api").status == 200
        if turn == WARM_ROUNDS:
            start = gateway_process.memory_info().rss, gateway_process.num_fds()
    assert start is not None
    give_back(gateway_process, *start)


BODIES: list[tuple[str, str, bytes]] = [
    (method, path, body)
    for method, path in [
        ("POST", "/api/kernels"),
        ("POST", "/api/sessions"),
        ("PATCH", "/api/sessions/00000000-0000-0000-0000-000000000000"),
    ]
    for body in (
        b"{",
        b"[]",
        b"5",
        b'"x"',
        b"\xff\xfe",
        b'{"name": 5}',
        b'{"name": "no such"}',
        b'{"env": 3}',
        b'{"env": {"A": 5}}',
        b'{"name": "\\u0000"}',
        DEEP,
        b'{"kernel": []}',
        b'{"path": 1, "type": []}',
        b'{"name": "../../x"}',
    )
    if (path, body) != ("/api/kernels", b'{"kernel": []}')  # there it is an unknown member
]


@pytest.mark.parametrize(("method", "path", "body"), BODIES)
def test_bad_bodies(gateway: Gateway, method: str, path: str, body: bytes) -> None:
    before = len(gateway.get("/api/kernels").json())
    answer = gateway.request(method, path, body)
    assert 400 <= answer.status < 600, answer
    assert answer.status not in (500, 502), answer.body
    assert answer.json()["message"]
    assert len(gateway.get("/api/kernels").json()) == before


def test_a_body_over_the_limit(gateway: Gateway) -> None:
    head = f"Authorization: token {gateway.token}\r\nHost: localhost\r\n"
    data = f"POST /api/kernels HTTP/1.1\r\n{head}Content-Length: {HUGE}\r\n\r\n".encode()
    assert raw(gateway, data).split(b" ")[1] == b"413"
    assert gateway.get("/api").status == 200


# ---- WebSocket --------------------------------------------------------------------------------


def bad_v1(draw: random.Random) -> Iterator[bytes]:
    header = {"msg_id": "x", "msg_type": "execute_request", "session": "s"}
    good = encode_v1(Message("shell", header, {}, {}, {"code": "1"}))
    yield b""
    yield b"\x00"
    yield bytes(8)
    yield good[: len(good) // 2]
    yield good[:-1]
    yield good + b"x"
    yield struct.pack("<Q", 2**63) + bytes(100)
    yield struct.pack("<Q", 6) + struct.pack("<6Q", *range(6, 0, -1))
    yield struct.pack("<Q", 6) + struct.pack("<6Q", *([2**64 - 1] * 6))
    yield struct.pack("<Q", 1_000_000) + bytes(64)
    yield encode_v1(Message("nowhere", header, {}, {}, {}))
    yield encode_v1(Message("iopub", header, {}, {}, {}))
    yield good.replace(b'"msg_id"', b'"\xff\xfe_id"')
    yield good.replace(b'{"code":"1"}', b"[[[[[[[[[[[[")
    yield draw.randbytes(500)


def bad_json(draw: random.Random) -> Iterator[str | bytes]:
    yield ""
    yield "{"
    yield "null"
    yield "[]"
    yield "5"
    yield '{"header": 5}'
    yield '{"header": {}, "channel": "shell"}'
    yield '{"header": {"msg_id": 1, "msg_type": 2}, "channel": 3}'
    yield '{"header": {"msg_id": "x", "msg_type": "execute_request"}, "channel": "nowhere"}'
    yield '{"header": {"msg_id": "x", "msg_type": "execute_request"}, "content": "text"}'
    yield "[" * 100_000
    yield struct.pack(">I", 2**31) + bytes(50)
    yield struct.pack(">3I", 2, 4, 2**32 - 1) + b"{}"
    yield draw.randbytes(500)


@pytest.mark.parametrize("framing", ["v1", "json"])
def test_bad_websocket_messages(gateway: Gateway, framing: str) -> None:
    kernel = gateway.start_kernel()
    gateway_process = psutil.Process(gateway.pid)
    client = gateway.client(kernel, framing=framing)
    start: tuple[int, int] | None = None
    for turn in range(ROUNDS):
        draw = random.Random(turn)
        for data in bad_v1(draw) if framing == "v1" else bad_json(draw):
            attacker = gateway.client(kernel, framing=framing, ready=False)
            attacker.send_data(data)
            attacker.abandon()
        assert client.run("6 * 7").result["text/plain"] == "42"
        client.pending.clear()
        processes.until(
            lambda: gateway.kernel_model(kernel)["connections"] == 1, "the attackers are gone"
        )
        if turn == WARM_ROUNDS:
            start = gateway_process.memory_info().rss, gateway_process.num_fds()
    assert start is not None
    give_back(gateway_process, *start)
    client.close()
    gateway.delete_kernel(kernel)


def frame(
    opcode: int, payload: bytes, *, mask: bool = True, first: int = 0x80, length: int = -1
) -> bytes:
    """One WebSocket frame, as wrong as wished; length: what it says instead of the truth."""
    size = len(payload) if length < 0 else length
    head = bytes([first | opcode])
    flag = 0x80 if mask else 0
    if size < 126:
        head += bytes([flag | size])
    elif size < 65536:
        head += bytes([flag | 126]) + struct.pack(">H", size)
    else:
        head += bytes([flag | 127]) + struct.pack(">Q", size)
    return head + (bytes(4) if mask else b"") + payload


BAD_FRAMES = {
    "not masked": (frame(1, b"{}", mask=False), 1002),
    "reserved bits": (frame(1, b"{}", first=0xF0), 1002),
    "unknown opcode": (frame(5, b"{}"), 1002),
    "long control": (frame(9, bytes(200)), 1002),
    "cut control": (frame(9, b"", first=0), 1002),
    "continues nothing": (frame(0, b"{}"), 1002),
    "no UTF-8": (frame(1, b"\xff\xfe"), 1007),
    "over the limit": (frame(2, bytes(1000), length=HUGE * 2), 1009),
    "length beyond all": (frame(2, bytes(1000), length=2**63 - 1), 1009),
    "bad close code": (frame(8, b"\x00\x01"), 1002),
}


@pytest.mark.parametrize("name", BAD_FRAMES)
def test_bad_frames(gateway: Gateway, name: str) -> None:
    data, code = BAD_FRAMES[name]
    kernel = gateway.start_kernel()
    ws = websocket.create_connection(
        gateway.channels_url(kernel, "s"),
        header=gateway.authorization,
        subprotocols=[V1],
        suppress_origin=True,
        timeout=20,
    )
    assert ws.sock is not None
    ws.sock.sendall(data)
    try:
        opcode, payload = ws.recv_data()
        while opcode != websocket.ABNF.OPCODE_CLOSE:
            opcode, payload = ws.recv_data()
        assert struct.unpack(">H", payload[:2])[0] == code
    except (websocket.WebSocketConnectionClosedException, ConnectionResetError):
        pass  # an end without a word is allowed; a silence is not
    ws.shutdown()  # type: ignore[no-untyped-call]
    client = gateway.client(kernel)
    assert client.run("6 * 7").result["text/plain"] == "42"
    client.close()
    gateway.delete_kernel(kernel)


def test_a_message_over_the_limit(gateway: Gateway) -> None:
    """Sent whole, as a client that does not know better does."""
    kernel = gateway.start_kernel()
    attacker = gateway.client(kernel, framing="json", ready=False)
    text = json.dumps({"pad": "x" * (110 * 1024 * 1024)})
    try:
        attacker.send_data(text)
        while True:
            attacker.receive(30, "close")
    except (AssertionError, OSError):
        attacker.abandon()
    client = gateway.client(kernel)
    assert client.run("6 * 7").result["text/plain"] == "42"
    client.close()
    gateway.delete_kernel(kernel)


def test_half_open_and_idle_connections(gateway: Gateway) -> None:
    """Many that say nothing, or half a request, delay nobody."""
    silent = [socket.create_connection(("127.0.0.1", gateway.port)) for _ in range(200)]
    for i, connection in enumerate(silent):
        connection.sendall(b"GET /api HTTP/1.1\r\nHost: loc"[: i % 28])
    assert gateway.get("/api").status == 200
    kernel = gateway.start_kernel()
    client = gateway.client(kernel)
    assert client.run("6 * 7").result["text/plain"] == "42"
    client.close()
    gateway.delete_kernel(kernel)
    for connection in silent:
        connection.close()
    gateway_process = psutil.Process(gateway.pid)
    processes.until(lambda: gateway_process.num_fds() < 150, "they are let go")


def test_nothing_was_logged_that_must_not_be(gateway: Gateway) -> None:
    """Last in this file: no token, and no code, in what the gateway wrote meanwhile."""
    log = gateway.log.read_bytes()
    assert gateway.token.encode() not in log
    assert b"6 * 7" not in log
    assert len(log) < 5_000_000, "floods do not flood the log"

"""Bodies that a handler takes piece by piece while they come: all of it in order, no more of it in
memory than two pieces, and an end of the exchange however the body ends."""

from __future__ import annotations

import json
import random
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from zlib import crc32

import pytest
from support import processes
from support.service import TOKEN, Service, Wire

AUTH = f"Authorization: token {TOKEN}\r\n"
HEAD = f"Host: localhost\r\n{AUTH}"
MIB = 1 << 20
PIECE = MIB


@pytest.fixture(scope="module", params=["tcp", "unix"])
def service(request: pytest.FixtureRequest) -> Iterator[Service]:
    with Service("--body-limit", "100000", unix=request.param == "unix") as service:
        yield service


@pytest.fixture
def wire(service: Service) -> Iterator[Wire]:
    with service.connect() as wire:
        yield wire


@pytest.mark.parametrize("size", [0, 1, 1000, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE + 7])
def test_all_of_it_arrives(wire: Wire, size: int) -> None:
    """Also what is longer than --body-limit, which is for bodies that are gathered."""
    body = random.Random(size).randbytes(size)
    for _ in range(2):
        wire.request("/api/stream/x", "PUT", body=body)
        reply = wire.reply()
        assert reply.status == 200
        assert (reply.json()["bytes"], reply.json()["sum"]) == (size, crc32(body))
        assert reply.json()["most"] < 2 * PIECE
    wire.request("/api")
    assert wire.reply().status == 200


def test_chunks_and_trailers(wire: Wire) -> None:
    body = random.Random(1).randbytes(200_000)
    wire.send(f"PUT /api/stream/x HTTP/1.1\r\n{HEAD}Transfer-Encoding: chunked\r\n\r\n".encode())
    for at in range(0, len(body), 7000):
        piece = body[at : at + 7000]
        wire.send(b"%x;ext=1\r\n%s\r\n" % (len(piece), piece))
    wire.send(b"0\r\nX-Trailer: a\r\n\r\n")
    assert wire.reply().json()["sum"] == crc32(body)
    wire.request("/api")
    assert wire.reply().status == 200


def test_byte_by_byte(wire: Wire) -> None:
    request = f"PUT /api/stream/x HTTP/1.1\r\n{HEAD}Content-Length: 5\r\n\r\nhello"
    for byte in request.encode():
        wire.send(bytes([byte]))
    assert wire.reply().json()["sum"] == crc32(b"hello")


def test_pipelined(wire: Wire) -> None:
    one = f"PUT /api/stream/x HTTP/1.1\r\n{HEAD}Content-Length: 3\r\n\r\nabc"
    wire.send(one.encode() * 5 + f"GET /api HTTP/1.1\r\n{HEAD}\r\n".encode())
    assert [wire.reply().json()["bytes"] for _ in range(5)] == [3] * 5
    assert wire.reply().status == 200


def test_what_nobody_takes_is_not_read(service: Service, wire: Wire) -> None:
    """The client waits, for as long as it takes, and nobody else does."""
    body = bytes(64 * MIB)
    before = processes.peak_bytes(service.process.pid)
    wire.send(
        f"PUT /api/stream/x?wait HTTP/1.1\r\n{HEAD}Content-Length: {len(body)}\r\n\r\n".encode()
    )
    wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
    wire.socket.settimeout(0.3)
    sent, stuck = 0, False
    while not stuck and sent < len(body):
        try:
            sent += wire.socket.send(body[sent : sent + MIB])
        except TimeoutError:  # before it has a piece it has not come to read
            stuck = sent >= PIECE
    assert stuck and sent < len(body) // 2
    assert processes.peak_bytes(service.process.pid) - before < 16 * MIB
    assert service.ask("/api/go", "POST").status == 204
    wire.socket.settimeout(30)
    wire.send(body[sent:])
    assert wire.reply().json()["bytes"] == len(body)


def test_continue_is_said_when_the_body_is_wanted(wire: Wire) -> None:
    head = f"{HEAD}Content-Length: 3\r\nExpect: 100-continue\r\n\r\n"
    wire.send(f"PUT /api/stream/x HTTP/1.1\r\n{head}".encode())
    assert wire.reply().status == 100
    wire.send(b"abc")
    assert wire.reply().json()["bytes"] == 3
    wire.send(f"PUT /api/stream/x?refuse=0 HTTP/1.1\r\n{head}".encode())
    assert wire.reply().status == 507
    assert wire.at_end()


@pytest.mark.parametrize("refuse", [0, 1, 2 * MIB])
def test_a_refusal_arrives_while_the_body_is_still_sent(wire: Wire, refuse: int) -> None:
    """What still comes is read and thrown away, so that no reset takes the refusal back."""
    wire.request(f"/api/stream/x?refuse={refuse}", "PUT", body=bytes(16 * MIB))
    reply = wire.reply()
    assert (reply.status, reply.header("connection")) == (507, "close")
    assert wire.at_end()


def let_down(service: Service) -> int:
    """How many handlers were told that no more comes, and the last for the client's sake."""
    count, _, why = service.ask("/api/ended").body.partition(b" ")
    assert not count or why.startswith(b"400 "), why
    return int(count or b"0")


def test_a_client_that_was_refused_and_is_silent() -> None:
    """It is let go: it has had its reply."""
    head = f"PUT /api/stream/x?refuse=0 HTTP/1.1\r\n{HEAD}Content-Length: 9\r\n\r\n"
    with Service() as tcp, Service(unix=True) as unix, ExitStack() as stack:
        before = [service.descriptors() for service in (tcp, unix)]
        for service in (tcp, unix):
            wire = stack.enter_context(service.connect())
            wire.send(head.encode())
            assert wire.reply().status == 507
        processes.until(
            lambda: [service.descriptors() for service in (tcp, unix)] == before, "closed"
        )


def wait_for_let_down(service: Service, count: int) -> None:
    processes.until(lambda: let_down(service) == count, "a handler was told")


def test_a_client_that_leaves(service: Service) -> None:
    before = let_down(service)
    for number, body in enumerate((b"", b"abc", bytes(2 * MIB)), before + 1):
        with service.connect() as wire:
            wire.send(f"PUT /api/stream/x HTTP/1.1\r\n{HEAD}Content-Length: 9999999\r\n\r\n"
                      .encode() + body)  # fmt: skip
            wire.socket.shutdown(socket.SHUT_RDWR)
        wait_for_let_down(service, number)


def test_a_client_that_ends_its_side_too_early(service: Service, wire: Wire) -> None:
    wire.send(f"PUT /api/stream/x HTTP/1.1\r\n{HEAD}Content-Length: 10\r\n\r\nabc".encode())
    wire.socket.shutdown(socket.SHUT_WR)
    reply = wire.reply()
    assert (reply.status, "shorter" in reply.json()["message"]) == (400, True)
    assert wire.at_end()


def test_a_client_that_leaves_while_nobody_takes(service: Service) -> None:
    before = let_down(service)
    with service.connect() as wire:
        wire.send(f"PUT /api/stream/x?wait HTTP/1.1\r\n{HEAD}Content-Length: 99\r\n\r\na".encode())

    def is_told() -> bool:
        assert service.ask("/api/go", "POST").status == 204
        return let_down(service) == before + 1

    processes.until(is_told, "a handler was told")


def test_time_runs_while_a_body_is_taken_alone() -> None:
    """One that stops has no more of it; one that nobody takes, or that is whole, waits."""
    head = "Content-Length: 10\r\n\r\nabc"
    with Service("--request-timeout", "1") as service:
        with service.held():
            stops, waits = service.connect(), service.connect()
            stops.send(f"PUT /api/stream/x HTTP/1.1\r\n{HEAD}{head}".encode())
            waits.send(f"PUT /api/stream/x?wait HTTP/1.1\r\n{HEAD}{head}defghij".encode())
        with stops, waits:
            reply = stops.reply()
            assert (reply.status, reply.header("connection")) == (408, "close")
            assert stops.at_end()
            assert service.ask("/api/go", "POST").status == 204
            assert waits.reply().json()["bytes"] == 10


def test_a_chunk_that_is_none(wire: Wire) -> None:
    wire.send(f"PUT /api/stream/x HTTP/1.1\r\n{HEAD}Transfer-Encoding: chunked\r\n\r\n"
              "3\r\nabc\r\nxyz\r\n".encode())  # fmt: skip
    reply = wire.reply()
    assert (reply.status, reply.header("connection")) == (400, "close")
    assert wire.at_end()


def begin(wire: Wire) -> None:
    """A body of six bytes whose handler has been called, and half of it."""
    wire.send(f"PUT /api/stream/x HTTP/1.1\r\n{HEAD}Content-Length: 6\r\n"
              "Expect: 100-continue\r\n\r\n".encode())  # fmt: skip
    assert wire.reply().status == 100
    wire.send(b"abc")


def test_a_server_that_ends_waits_for_the_rest() -> None:
    with Service("--drain-s", "1000") as service, service.connect() as wire:
        begin(wire)
        service.process.terminate()
        with pytest.raises(OSError):
            while True:
                service.connect().socket.close()
        wire.send(b"def")
        reply = wire.reply()
        assert (reply.json()["bytes"], reply.header("connection")) == (6, "close")
        wire.socket.close()
        assert service.process.wait(30) == 0


def test_a_server_that_ends_lets_go_in_the_end() -> None:
    with Service("--drain-s", "1") as service, service.connect() as wire:
        begin(wire)
        assert service.stop() == 0
        assert wire.at_end()


@pytest.mark.parametrize("name", [b"a", b"\xff\xfe", b"new\nline", b"a/b", b"%"])
def test_a_rest_is_any_bytes(wire: Wire, name: bytes) -> None:
    wire.request("/api/raw/" + "".join(f"%{byte:02x}" for byte in name))
    assert wire.reply().body == name


def test_a_rest_is_not_nul(wire: Wire) -> None:
    wire.request("/api/raw/a%00")
    assert wire.reply().status == 400


def test_other_names_are_utf_8(wire: Wire) -> None:
    wire.request("/api/echo/%ff")
    reply = wire.reply()
    assert (reply.status, "UTF-8" in json.loads(reply.body)["message"]) == (400, True)

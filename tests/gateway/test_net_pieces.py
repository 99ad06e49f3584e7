"""Replies that are sent piece by piece: whole and in order, waiting for a slow client without
keeping what it has not taken, and ended for good when the client leaves."""

from __future__ import annotations

import http.client
import itertools
import socket
from collections.abc import Iterator

import pytest
from support import processes
from support.service import TOKEN, Ended, Service, Wire

MIB = 1 << 20
AUTH = {"Authorization": f"token {TOKEN}"}


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with Service() as service:
        yield service


@pytest.fixture
def wire(service: Service) -> Iterator[Wire]:
    with service.connect() as wire:
        yield wire


def ask(service: Service, target: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=30)
    connection.request("GET", target, headers=AUTH)
    return connection.getresponse()


@pytest.mark.parametrize(("count", "size"), [(0, 10), (1, 1), (1000, 17), (40, MIB)])
def test_all_of_it_arrives(service: Service, count: int, size: int) -> None:
    with ask(service, f"/api/pieces?count={count}&bytes={size}") as reply:
        assert reply.status == 200
        assert reply.getheader("transfer-encoding") == "chunked"
        assert reply.read() == b"p" * (count * size)


def test_the_connection_goes_on(wire: Wire) -> None:
    wire.request("/api/pieces?count=2&bytes=3")
    wire.request("/api")
    assert wire.reply(head=True).header("transfer-encoding") == "chunked"
    whole = b"3\r\nppp\r\n3\r\nppp\r\n0\r\n\r\n"
    assert wire.take(len(whole)) == whole
    assert wire.reply().status == 200


def test_http_1_0_gets_bytes_until_the_end(wire: Wire) -> None:
    head = f"GET /api/pieces?count=2&bytes=3 HTTP/1.0\r\nAuthorization: token {TOKEN}\r\n"
    wire.send(f"{head}Connection: keep-alive\r\n\r\n".encode())
    reply = wire.reply(head=True)
    assert (reply.header("transfer-encoding"), reply.header("connection")) == (None, "close")
    assert wire.take(6) == b"pppppp"
    assert wire.at_end()


def test_head_has_no_pieces(wire: Wire) -> None:
    wire.request("/api/pieces?count=2", "HEAD")
    reply = wire.reply(head=True)
    assert (reply.status, reply.header("cache-control")) == (200, "no-store")
    wire.request("/api")
    assert wire.reply().status == 200


def test_what_breaks_off_is_seen_to(service: Service) -> None:
    with ask(service, "/api/pieces?count=2&bytes=3&cut=1") as reply:
        with pytest.raises(http.client.IncompleteRead) as broken:
            reply.read()
        assert broken.value.partial == b"pppppp"


def test_a_reader_that_waits_costs_nothing(service: Service, wire: Wire) -> None:
    before = processes.peak_bytes(service.process.pid)
    wire.request(f"/api/pieces?count=100&bytes={MIB}")
    assert service.ask("/api").status == 200
    assert processes.peak_bytes(service.process.pid) - before < 20 * MIB


def test_a_client_that_leaves(service: Service) -> None:
    gone = int((service.ask("/api/ended").body.split() or [b"0"])[0])
    with service.connect() as wire:
        wire.request(f"/api/pieces?count=100&bytes={MIB}")
        wire.take(100_000)
    processes.until(
        lambda: service.ask("/api/ended").body == b"%d gone" % (gone + 1), "it was let down"
    )


WINDOW_BYTES = 32 * 1024  # as the system doubles it: what is beyond 3 of it was acknowledged
LONG_MS = 125_000  # more than both bounds


def pending_ahead(service: Service, ms: int) -> int:
    """Has the server look at its connections as if so much time had gone by; how many replies it
    had not got rid of before."""
    return int(service.ask(f"/api/tick?ms={ms}").json()["pending"])


UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "c2xvdyBidXQgc3RlYWR5IQ==",
}


@pytest.mark.parametrize("websocket", [False, True])
def test_a_reader_is_cut_off_for_taking_nothing_not_for_being_slow(
    service: Service, websocket: bool
) -> None:
    """Its sips are far less than what the socket has to be rid of before it takes more."""
    whole = 32 * MIB
    plain = socket.socket()
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, WINDOW_BYTES // 2)
    plain.settimeout(processes.LONG_S)
    plain.connect(("127.0.0.1", service.port))
    with Wire(plain) as wire:
        if websocket:
            wire.request(f"/api/ws/flood?bytes={whole}", headers=UPGRADE)
        else:
            wire.request(f"/api/bytes/{whole}")
        assert wire.reply(head=True).status == (101 if websocket else 200)
        processes.until(lambda: pending_ahead(service, 0) == 1, "the socket is full")
        taken = 0
        for round_number in range(1, 4):
            taken += len(wire.take(4 * WINDOW_BYTES))
            assert pending_ahead(service, round_number * LONG_MS) == 1
        assert pending_ahead(service, 0) == 1
        later = itertools.count(4)
        processes.until(
            lambda: pending_ahead(service, next(later) * LONG_MS) == 0, "it was cut off"
        )
        with pytest.raises((Ended, ConnectionError)):
            wire.take(whole - taken)

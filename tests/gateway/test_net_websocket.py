"""WebSockets as they arrive on a socket: handshake, frames good and bad, closing, and that no
client delays another."""

from __future__ import annotations

import base64
import hashlib
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import Any

import pytest
from support.frames import (
    BINARY,
    CLOSE,
    CONTINUE,
    PING,
    PONG,
    TEXT,
    Frames,
    frame,
    open_frames,
    upgrade,
    upgrade_headers,
)
from support.service import Ended, Service
from websockets.sync.client import connect, unix_connect

MIB = 1024 * 1024


@pytest.fixture(scope="module", params=["tcp", "unix"])
def service(request: pytest.FixtureRequest) -> Iterator[Service]:
    with Service("--ws-message-limit", str(4 * MIB), unix=request.param == "unix") as service:
        yield service


@pytest.fixture
def frames(service: Service) -> Iterator[Frames]:
    with open_frames(service) as frames:
        yield frames


class TestHandshake:
    def test_accept_key(self, service: Service) -> None:
        headers = upgrade_headers()
        with service.connect() as wire:
            reply = upgrade(wire, "/api/ws/echo", headers)
            joined = headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
            expected = base64.b64encode(hashlib.sha1(joined.encode()).digest()).decode()
            assert reply.status == 101
            assert reply.header("sec-websocket-accept") == expected
            assert (reply.header("connection"), reply.header("upgrade")) == ("Upgrade", "websocket")
            assert reply.header("sec-websocket-protocol") is None
            assert reply.header("sec-websocket-extensions") is None
            assert reply.header("content-length") is None

    @pytest.mark.parametrize(
        ("offered", "chosen"),
        [("v1.test", "v1.test"), ("a, v1.test ,b", "v1.test"), ("a,b", None), ("v1.tes", None)],
    )
    def test_subprotocol(self, service: Service, offered: str, chosen: str | None) -> None:
        with service.connect() as wire:
            headers = upgrade_headers(Sec_WebSocket_Protocol=offered)
            assert upgrade(wire, "/api/ws/echo", headers).header("sec-websocket-protocol") == chosen

    @pytest.mark.parametrize(
        ("change", "status"),
        [
            ({"Upgrade": "h2c"}, 426),
            ({"Connection": "keep-alive"}, 426),
            ({"Sec-WebSocket-Version": "8"}, 426),
            ({"Sec-WebSocket-Version": ""}, 426),
            ({"Sec-WebSocket-Key": ""}, 400),
            ({"Sec-WebSocket-Key": "dGhlIHNhbXBsZQ=="}, 400),
            ({"Content-Length": "3"}, 400),
        ],
    )
    def test_refused(self, service: Service, change: dict[str, str], status: int) -> None:
        with service.connect() as wire:
            reply = upgrade(wire, "/api/ws/echo", upgrade_headers() | change)
            assert reply.status == status
            if status == 426:
                assert reply.header("upgrade") or reply.header("sec-websocket-version") == "13"

    def test_plain_get_and_other_methods(self, service: Service) -> None:
        assert service.ask("/api/ws/echo").status == 426
        assert service.ask("/api/ws/echo", "HEAD").status == 426
        assert service.ask("/api/ws/echo", "POST", upgrade_headers()).status == 405
        for headers in ({}, upgrade_headers()):
            asked = service.ask("/api/ws/echo", "OPTIONS", headers)
            assert (asked.status, asked.header("allow")) == (204, "GET, HEAD, OPTIONS")

    def test_handler_refuses(self, service: Service) -> None:
        with service.connect() as wire:
            assert upgrade(wire, "/api/ws/fail/404").status == 404
            assert wire.at_end()

    def test_frames_behind_the_request(self, service: Service) -> None:
        """A client may send before it has seen the 101, also when the handler takes its time."""
        for target in ("/api/ws/echo", "/api/ws/late?ms=30"):
            with service.connect() as wire:
                lines = [
                    f"GET {target} HTTP/1.1",
                    "Host: localhost",
                    "Authorization: token correct-horse",
                ]
                lines += [f"{name}: {value}" for name, value in upgrade_headers().items()]
                head = "\r\n".join([*lines, "", ""]).encode()
                wire.send(head + frame(TEXT, b"early") + frame(BINARY, b"x" * 100_000))
                assert wire.reply().status == 101
                frames = Frames(wire)
                assert frames.receive().payload == b"early"
                assert frames.receive().payload == b"x" * 100_000
                assert frames.echo("late") == "late"

    def test_client_leaves_while_the_handler_waits(self, service: Service) -> None:
        for _ in range(5):
            with service.connect() as wire:
                wire.request("/api/ws/late?ms=30", headers=upgrade_headers())
        assert service.ask("/api/later?ms=100").status == 200

    def test_library_client(self, service: Service) -> None:
        options: dict[str, Any] = {"subprotocols": ["v1.test"], "max_size": None}
        path = "/api/ws/echo?token=correct-horse"
        if service.socket_path:
            client = unix_connect(str(service.socket_path), f"ws://localhost{path}", **options)
        else:
            client = connect(f"ws://127.0.0.1:{service.port}{path}", **options)
        with client:
            assert client.subprotocol == "v1.test"
            for message in ("héllo", b"\x00\x01", "", b"", "x" * 3 * MIB):
                client.send(message)
                assert client.recv() == message


class TestMessages:
    @pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 4 * MIB])
    def test_sizes(self, frames: Frames, size: int) -> None:
        for opcode in (TEXT, BINARY):
            frames.send(opcode, b"s" * size)
            found = frames.receive()
            assert (found.opcode, found.payload) == (opcode, b"s" * size)

    def test_fragments_with_a_ping_between(self, frames: Frames) -> None:
        text = "añ€😀".encode() * 10
        pieces = [text[i : i + 3] for i in range(0, len(text), 3)]  # cut inside of characters
        frames.wire.send(frame(TEXT, pieces[0], fin=False))
        frames.wire.send(frame(PING, b"mid"))
        for piece in pieces[1:-1]:
            frames.wire.send(frame(CONTINUE, piece, fin=False))
        frames.wire.send(frame(CONTINUE, pieces[-1]))
        # the pong overtakes the message unless both were read at once
        found = {(f.opcode, f.payload) for f in (frames.receive(), frames.receive())}
        assert found == {(PONG, b"mid"), (TEXT, text)}

    def test_byte_by_byte(self, frames: Frames) -> None:
        for byte in frame(BINARY, b"slow" * 50):
            frames.wire.send(bytes([byte]))
        assert frames.receive().payload == b"slow" * 50

    def test_many_in_one_write(self, frames: Frames) -> None:
        sent = [str(i).encode() for i in range(5000)]
        frames.wire.send(b"".join(frame(TEXT, text) for text in sent))
        assert [frames.receive().payload for _ in sent] == sent

    def test_ping_pong(self, frames: Frames) -> None:
        frames.send(PING, b"p" * 125)
        found = frames.receive()
        assert (found.opcode, found.payload) == (PONG, b"p" * 125)
        frames.send(PONG, b"nobody asked")
        assert frames.echo("still here") == "still here"


BAD_FRAMES = {
    "not_masked": (frame(TEXT, b"x", mask=False), 1002),
    "reserved_bit": (frame(TEXT, b"x", reserved=4), 1002),
    "unknown_opcode": (frame(3, b"x"), 1002),
    "unknown_control": (frame(11), 1002),
    "long_ping": (frame(PING, b"p" * 126), 1002),
    "cut_ping": (frame(PING, b"p", fin=False), 1002),
    "continuation_of_nothing": (frame(CONTINUE, b"x"), 1002),
    "message_inside_message": (frame(TEXT, b"x", fin=False) + frame(TEXT, b"y"), 1002),
    "bad_utf8": (frame(TEXT, b"\xff\xfe"), 1007),
    "surrogate": (frame(TEXT, b"\xed\xa0\x80"), 1007),
    "overlong": (frame(TEXT, b"\xc0\x80"), 1007),
    "cut_utf8": (frame(TEXT, b"\xe2\x82"), 1007),
    "bad_utf8_in_fragment": (
        frame(TEXT, b"ok", fin=False) + frame(CONTINUE, b"\xff", fin=False),
        1007,
    ),
    "too_long": (frame(BINARY, b"x" * (4 * MIB + 1)), 1009),
    "too_long_in_pieces": (
        frame(BINARY, b"x" * (3 * MIB), fin=False) + frame(CONTINUE, b"x" * (2 * MIB)),
        1009,
    ),
    "absurd_length": (b"\x82\xff" + (2**62).to_bytes(8, "big") + b"abcd", 1009),
    "negative_length": (b"\x82\xff" + b"\xff" * 8 + b"abcd", 1002),
    "length_not_shortest": (b"\x82\xfe\x00\x01" + b"abcd" + b"x", 1002),
    "close_with_one_byte": (frame(CLOSE, b"x"), 1005),  # answered as one without a code
    "close_with_bad_code": (frame(CLOSE, (1005).to_bytes(2, "big")), 1002),
    "close_with_bad_utf8": (frame(CLOSE, (1000).to_bytes(2, "big") + b"\xff"), 1007),
}


@pytest.mark.parametrize("name", BAD_FRAMES)
def test_bad_frame_closes_with_its_code(service: Service, name: str) -> None:
    data, code = BAD_FRAMES[name]
    with open_frames(service) as frames:
        with suppress(BrokenPipeError, ConnectionResetError):
            frames.wire.send(data + frame(TEXT, b"not read any more"))
        assert frames.closed_with() == code


class TestClosing:
    @pytest.mark.parametrize("code", [1000, 1001, 3000, 4999])
    def test_by_the_client(self, frames: Frames, code: int) -> None:
        frames.send(CLOSE, code.to_bytes(2, "big") + b"bye")
        assert frames.closed_with() == code

    def test_by_the_client_without_a_code(self, frames: Frames) -> None:
        frames.send(CLOSE)
        assert frames.closed_with() in {1000, 1005}

    @pytest.mark.parametrize("code", [1000, 1011, 1012, 1013, 4001])
    def test_by_the_server(self, frames: Frames, code: int) -> None:
        reason = "a reason"
        frames.send(TEXT, f"close {code} {reason}".encode())
        found = frames.receive()
        assert (found.code, found.payload[2:]) == (code, reason.encode())
        frames.send(CLOSE, found.payload)
        assert frames.wire.at_end()

    def test_long_reason_is_cut_at_a_character(self, frames: Frames) -> None:
        frames.send(TEXT, ("close 1000 " + "é" * 100).encode())
        found = frames.receive()
        assert found.payload[2:] == ("é" * 60).encode()

    def test_by_the_server_behind_what_is_queued(self, frames: Frames) -> None:
        frames.wire.send(frame(BINARY, b"q" * 3 * MIB) + frame(TEXT, b"close 1000 done"))
        assert len(frames.receive().payload) == 3 * MIB
        assert frames.receive().code == 1000

    def test_clients_that_do_not_answer_a_close(self) -> None:
        """They are closed all the same, after a while: in the same while here."""
        with Service() as tcp, Service(unix=True) as unix, ExitStack() as stack:
            both = [stack.enter_context(open_frames(one)) for one in (tcp, unix)]
            for frames in both:
                frames.send(TEXT, b"close 1000 done")
                assert frames.receive().code == 1000
            for frames in both:
                with pytest.raises((Ended, ConnectionResetError)):
                    frames.receive()

    def test_client_that_vanishes(self, service: Service) -> None:
        before = service.descriptors()
        for _ in range(20):
            open_frames(service).wire.socket.close()
        while service.descriptors() > before:
            assert service.ask("/api/later?ms=10").status == 200


def test_random_bytes_after_the_upgrade(service: Service) -> None:
    for _ in range(50):
        with open_frames(service) as frames:
            try:
                frames.wire.send(os.urandom(5000))
                frames.wire.socket.shutdown(socket.SHUT_WR)
            except OSError:
                pass
            frames.closed_with()
    with open_frames(service) as frames:
        assert frames.echo("alive") == "alive"


class TestReaders:
    def test_slow_reader_does_not_delay_another(self, service: Service) -> None:
        """20 MB for everybody; one does not read, the other has all at once, and what follows."""
        with (
            open_frames(service, "/api/ws/chat") as slow,
            open_frames(service, "/api/ws/chat") as quick,
        ):
            for i in range(7):
                quick.send(BINARY, bytes([i]) * 3 * MIB)
            for i in range(7):
                assert quick.receive().payload == bytes([i]) * 3 * MIB
            for i in range(100):
                assert quick.echo(str(i)) == str(i)
            for i in range(7):
                assert slow.receive().payload == bytes([i]) * 3 * MIB
            for i in range(100):
                assert slow.receive().payload == str(i).encode()

    def test_water_marks(self, service: Service) -> None:
        """100 MB come whole and in order through a queue that stays small."""
        with open_frames(service, "/api/ws/flood?bytes=1000000&count=100") as frames:
            for _ in range(100):
                found = frames.receive()
                assert found.opcode == BINARY and len(found.payload) == 1_000_000
            frames.send(TEXT, b"sent")
            words = frames.receive().payload.decode().split()
            assert words[:2] == ["sent", "100"]
            assert int(words[3]) >= 10  # the owner had to wait at least so often

    def test_many_small_messages(self, service: Service) -> None:
        with open_frames(service, "/api/ws/flood?bytes=10&count=200000") as frames:
            assert len(frames.wire.take(200_000 * 12)) == 200_000 * 12

    def test_pings_nobody_answers_for(self, service: Service) -> None:
        """A client that only asks is not read any more once its pongs pile up; others go on."""
        with open_frames(service) as greedy:
            greedy.wire.socket.settimeout(0.5)
            ping = frame(PING, b"p" * 125) * 1000
            with pytest.raises((TimeoutError, BlockingIOError)):
                for _ in range(2000):
                    greedy.wire.send(ping)
            with open_frames(service) as other:
                assert other.echo("here") == "here"

    def test_frames_queued_behind_a_blocked_write_stay_whole(self, frames: Frames) -> None:
        """A write waits for the client while the queue behind it grows, and moves in memory."""
        big = bytes(256 * 1024)
        for _ in range(60):  # more than any socket buffers hold
            frames.send(BINARY, big)
            frames.wire.send(b"".join(frame(TEXT, b"%d" % n) for n in range(200)))
        for _ in range(60):
            assert frames.receive().payload == big
            assert [frames.receive().payload for _ in range(200)] == [b"%d" % n for n in range(200)]


def test_pings_are_sent_and_missing_pongs_tolerated() -> None:
    with Service("--ws-ping-interval", "1") as service, open_frames(service) as frames:
        for _ in range(2):
            assert frames.receive().opcode == PING
        frames.send(TEXT, b"still open")
        while (found := frames.receive()).opcode == PING:
            pass
        assert found.payload == b"still open"
    with (
        Service("--KernelGatewayApp.ws_ping_interval_secs=0") as service,
        open_frames(service) as frames,
    ):
        frames.wire.socket.settimeout(1)
        with pytest.raises(TimeoutError):
            frames.receive()

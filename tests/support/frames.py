"""WebSocket frames as bytes (RFC 6455), for tests that must be able to send wrong ones."""

from __future__ import annotations

import base64
import os
import struct
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType

from support.service import TOKEN, Ended, Reply, Service, Wire

CONTINUE, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


def frame(
    opcode: int, payload: bytes = b"", *, fin: bool = True, mask: bool = True, reserved: int = 0
) -> bytes:
    length = len(payload)
    first = bytes([(0x80 if fin else 0) | reserved << 4 | opcode])
    bit = 0x80 if mask else 0
    if length < 126:
        head = first + bytes([bit | length])
    elif length < 65536:
        head = first + bytes([bit | 126]) + struct.pack(">H", length)
    else:
        head = first + bytes([bit | 127]) + struct.pack(">Q", length)
    if not mask:
        return head + payload
    key = b"\x12\x34\x56\x78"
    repeated = (key * (length // 4 + 1))[:length]
    masked = int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")
    return head + key + masked.to_bytes(length, "big")


@dataclass
class Frame:
    opcode: int
    payload: bytes

    @property
    def code(self) -> int:
        """Of a close frame; 1005: it holds none."""
        assert self.opcode == CLOSE, self
        return int.from_bytes(self.payload[:2], "big") if self.payload else 1005


class Frames:
    """A WebSocket, open on a connection of its own."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire

    def send(self, opcode: int, payload: bytes = b"") -> None:
        self.wire.send(frame(opcode, payload))

    def receive(self) -> Frame:
        first, second = self.wire.take(2)
        assert first & 0x70 == 0, "reserved bits"
        assert not second & 0x80, "servers do not mask"
        length = second & 0x7F
        if length == 126:
            (length,) = struct.unpack(">H", self.wire.take(2))
            assert length > 125
        elif length == 127:
            (length,) = struct.unpack(">Q", self.wire.take(8))
            assert length > 65535
        assert first & 0x80, "the server does not fragment"
        return Frame(first & 0x0F, self.wire.take(length))

    def echo(self, text: str) -> str:
        self.send(TEXT, text.encode())
        found = self.receive()
        assert found.opcode == TEXT
        return found.payload.decode()

    def closed_with(self) -> int:
        """Reads up to the close frame, then the end; 1006: there was no close frame."""
        try:
            while (found := self.receive()).opcode != CLOSE:
                pass
            with suppress(OSError):  # where the client began, the server has closed by now
                self.send(CLOSE, found.payload)
        except (Ended, ConnectionResetError):
            return 1006
        assert self.wire.at_end()
        return found.code

    def __enter__(self) -> Frames:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.wire.socket.close()


def upgrade_headers(**more: str) -> dict[str, str]:
    headers = {
        "Connection": "keep-alive, Upgrade",
        "Upgrade": "WebSocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
    }
    return headers | {name.replace("_", "-"): value for name, value in more.items()}


def upgrade(wire: Wire, target: str, headers: Mapping[str, str] | None = None) -> Reply:
    wire.request(target, headers=headers or upgrade_headers(), token=TOKEN)
    return wire.reply()


def open_frames(service: Service, target: str = "/api/ws/echo") -> Frames:
    wire = service.connect()
    assert upgrade(wire, target).status == 101
    return Frames(wire)

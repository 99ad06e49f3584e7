"""A raw WebSocket client of one kernel in the framing of v1.kernel.websocket.jupyter.org."""

from __future__ import annotations

import itertools
import socket
import struct
import time
import uuid
from collections.abc import Callable
from typing import Any

from harness.message import Execution, Message, collect, execute_content, request
from harness.processes import BenchError

PROTOCOL = "v1.kernel.websocket.jupyter.org"
CHANNELS = {b"shell": "shell", b"iopub": "iopub", b"control": "control", b"stdin": "stdin"}
BINARY, CLOSE, PING, PONG = 2, 8, 9, 10


class KernelSocket:
    """The channels of one kernel over one WebSocket.

    `quick` acknowledges every segment at once. A server that leaves Nagle's algorithm on then
    shows its own speed and not the 40 ms that its segments wait for an ordinary client's
    acknowledgement: the comparison is the kinder one to the server.
    """

    def __init__(
        self, host: str, port: int, path: str, token: str, *, quick: bool = True,
        session: str | None = None, timeout_s: float = 60,
    ) -> None:  # fmt: skip
        self.session = session or uuid.uuid4().hex
        self.quick = quick
        self._data = bytearray()
        self._ready: list[Message] = []
        self.socket = socket.create_connection((host, port), timeout=timeout_s)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        head = (
            f"GET {path}?session_id={self.session} HTTP/1.1\r\nHost: {host}:{port}\r\n"
            f"Authorization: token {token}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: d2FybWNlbGwgYmVuY2ghIQ==\r\n"
            f"Sec-WebSocket-Protocol: {PROTOCOL}\r\n\r\n"
        )
        self.socket.sendall(head.encode())
        while b"\r\n\r\n" not in self._data:
            self.fill()
        answer, _, rest = bytes(self._data).partition(b"\r\n\r\n")
        self._data = bytearray(rest)
        if not answer.startswith(b"HTTP/1.1 101") or PROTOCOL.encode() not in answer:
            raise BenchError(f"no WebSocket in v1 framing: {answer[:200]!r}")

    def fill(self, size: int = 1 << 20) -> None:
        """Reads once, up to size bytes; receive() takes them apart."""
        try:
            data = self.socket.recv(size)
        except TimeoutError:
            raise BenchError("the server sent nothing in time") from None
        if not data:
            raise BenchError("the server closed the WebSocket")
        if self.quick:
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        self._data += data

    def _send_frame(self, opcode: int, payload: bytes) -> None:
        size = len(payload)
        if size < 126:
            head = struct.pack(">BB", 0x80 | opcode, 0x80 | size)
        elif size < 65536:
            head = struct.pack(">BBH", 0x80 | opcode, 0xFE, size)
        else:
            head = struct.pack(">BBQ", 0x80 | opcode, 0xFF, size)
        self.socket.sendall(head + bytes(4) + payload)  # masked with zeros: a legal key

    def send(self, msg_type: str, content: dict[str, Any], channel: str = "shell") -> bytes:
        """Sends a request and returns its message id."""
        msg_id, frames = request(self.session, msg_type, content)
        parts = [channel.encode(), *frames]
        offsets = [8 * (2 + len(parts))]
        for part in parts:
            offsets.append(offsets[-1] + len(part))
        head = struct.pack(f"<{len(offsets) + 1}Q", len(offsets), *offsets)
        self._send_frame(BINARY, head + b"".join(parts))
        return msg_id

    def _take_frame(self) -> tuple[int, bytes] | None:
        data = self._data
        if len(data) < 2:
            return None
        size, at = data[1] & 127, 2
        if size == 126:
            size, at = int.from_bytes(data[2:4], "big"), 4
        elif size == 127:
            size, at = int.from_bytes(data[2:10], "big"), 10
        if len(data) < at or len(data) < at + size:
            return None
        opcode = data[0] & 15
        if not data[0] & 128:
            raise BenchError("the server fragments messages, which this client does not read")
        payload = bytes(data[at : at + size])
        del data[: at + size]
        return opcode, payload

    def receive(self) -> Message:
        """The next message of any channel; a BenchError when none comes in time."""
        while True:
            frame = self._take_frame()
            if frame is None:
                self.fill()
                continue
            opcode, payload = frame
            if opcode == BINARY:
                return parse(payload)
            if opcode == PING:
                self._send_frame(PONG, payload)
            elif opcode == CLOSE:
                raise BenchError(f"the server closed the WebSocket: {payload!r}")

    def execute(
        self, code: str, on_message: Callable[[Message], None] | None = None, **more: Any
    ) -> Execution:
        """Runs code and returns when both its reply and idle are in."""
        msg_id = self.send("execute_request", execute_content(code, **more))
        return collect(self.receive, msg_id, on_message)

    def settle(self) -> None:
        """Returns once the kernel answered, with idle."""
        msg_id = self.send("kernel_info_request", {})
        collect(self.receive, msg_id, None)

    def drain_until(self, marker: bytes, limit_s: float) -> tuple[float, list[Message]]:
        """Reads bytes until a message holds `marker`; the time of that, and then all messages.

        Nothing is taken apart before the clock has stopped, so the client costs next to nothing.
        """
        deadline = time.monotonic() + limit_s
        searched = 0
        while self._data.find(marker, searched) < 0:
            searched = max(0, len(self._data) - len(marker))
            self.fill()
            if time.monotonic() > deadline:
                raise BenchError(f"the server took longer than {limit_s:.0f} s")
        ended = time.perf_counter()
        messages = []
        while (frame := self._take_frame()) is not None:
            if frame[0] == BINARY:
                messages.append(parse(frame[1]))
        return ended, messages

    def close(self) -> None:
        self.socket.close()


def parse(payload: bytes) -> Message:
    """A v1 frame as a Message."""
    (count,) = struct.unpack_from("<Q", payload)
    offsets = struct.unpack_from(f"<{count}Q", payload, 8)
    parts = [payload[a:b] for a, b in itertools.pairwise(offsets)]
    return Message(CHANNELS[parts[0]], parts[1], parts[2], parts[4])

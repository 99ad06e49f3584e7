"""A raw client of /v1/stream on a Unix socket that runs 1+1, one call after the other."""

from __future__ import annotations

import json
import socket
import struct
import time

from harness.processes import BenchError

TEXT = 1


class StreamLine:
    """One WebSocket, with one call at a time."""

    def __init__(self, path: str, token: str, sandbox: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.socket.sendall(
            b"GET /v1/stream HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n"
            b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: d2FybWNlbGwgYmVuY2ghIQ==\r\n"
            + f"Authorization: token {token}\r\n\r\n".encode()
        )
        self.received = b""
        while b"\r\n\r\n" not in self.received:
            self._fill()
        head, _, self.received = self.received.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 101"):
            raise BenchError(f"no stream: {head[:300]!r}")
        self._frame()  # hello
        call = {"id": "1", "op": "run", "sandbox": sandbox, "body": {"code": "1+1"}}
        data = json.dumps(call, separators=(",", ":")).encode()
        assert len(data) < 126
        self.request = struct.pack(">BB", 0x80 | TEXT, 0x80 | len(data)) + bytes(4) + data
        self.bytes_in = self.frames_in = 0  # of the last run

    def _fill(self) -> None:
        data = self.socket.recv(1 << 16)
        if not data:
            raise BenchError("the server closed the stream")
        self.received += data

    def _frame(self) -> bytes:
        while True:
            if len(self.received) >= 2:
                size, at = self.received[1], 2
                if size == 126 and len(self.received) >= 4:
                    size, at = struct.unpack_from(">H", self.received, 2)[0], 4
                if size != 126 and len(self.received) >= at + size:
                    frame = self.received[at : at + size]
                    self.received = self.received[at + size :]
                    return frame
            self._fill()

    def run_ms(self) -> float:
        self.bytes_in = self.frames_in = 0
        began = time.perf_counter()
        self.socket.sendall(self.request)
        frame = b""
        text = b""
        while b'"done":true' not in frame[-20:]:
            frame = self._frame()
            text += frame
            self.frames_in += 1
            self.bytes_in += len(frame) + 4
        took = (time.perf_counter() - began) * 1000
        if b'"status":"ok"' not in text or b'"text":"2"' not in text:
            raise BenchError(f"1+1 gave {text[:600]!r}")
        return took

    def close(self) -> None:
        self.socket.close()

"""A driver behind warmcell-kernel that publishes prebuilt frames as fast as it can: docs/link.md.

`execute_request` with a number as its code publishes that many display_data messages. It stands
behind a gateway that is measured, so it has to be faster than the gateway.

usage: flood_driver.py … --link-fd N …
"""

from __future__ import annotations

import json
import socket
import struct
import sys
from collections.abc import Sequence

from harness.flood import CONTENT, METADATA

REQUEST, SHUTDOWN = 2, 4
READY, STREAM, PUBLISH, REPLY, DONE = 16, 17, 18, 19, 20
INFO = {
    "implementation": "flood",
    "implementation_version": "1",
    "language_info": {"name": "none", "version": "1", "mimetype": "text/plain",
                      "file_extension": ".txt"},
    "banner": "",
}  # fmt: skip
OK = b'{"status": "ok", "execution_count": 1, "payload": [], "user_expressions": {}}'


def frame(kind: int, number: int, parts: Sequence[bytes]) -> bytes:
    """One frame of the link."""
    length = sum(map(len, parts)) + 4 * len(parts)
    head = struct.pack("<IBBHQ", length, kind, 0, len(parts), number)
    return head + struct.pack(f"<{len(parts)}I", *map(len, parts)) + b"".join(parts)


class FloodDriver:
    """The interpreter's end of a link."""

    def __init__(self, fd: int) -> None:
        self.link = socket.socket(fileno=fd)
        self.file = self.link.makefile("rb")

    def read(self) -> tuple[int, int, list[bytes]] | None:
        """The next frame: kind, number and parts; None at the end."""
        head = self.file.read(16)
        if len(head) < 16:
            return None
        length, kind, _flags, count, number = struct.unpack("<IBBHQ", head)
        body = self.file.read(length)
        at, parts = 4 * count, []
        for size in struct.unpack_from(f"<{count}I", body):
            parts.append(body[at : at + size])
            at += size
        return kind, number, parts

    def flood(self, number: int, count: int) -> None:
        """Publishes `count` messages that were all built before the first is sent."""
        frames = [
            frame(PUBLISH, number, [b"display_data", METADATA, CONTENT % i]) for i in range(count)
        ]
        self.link.sendall(frame(STREAM, number, [b"stdout", b"now"]))
        self.link.sendall(b"".join(frames))

    def serve(self) -> None:
        """Answers until SHUTDOWN or the end of the link."""
        ready = json.dumps({"version": 1, "kernel_info": INFO}).encode()
        self.link.sendall(frame(READY, 0, [ready]))
        while (got := self.read()) is not None:
            kind, number, parts = got
            if kind == SHUTDOWN:
                return
            if kind != REQUEST:
                continue
            if parts[0] == b"execute_request":
                self.flood(number, int(json.loads(parts[3])["code"]))
                self.link.sendall(frame(REPLY, number, [METADATA, OK]))
            else:
                self.link.sendall(frame(DONE, number, []))


if __name__ == "__main__":
    FloodDriver(int(sys.argv[sys.argv.index("--link-fd") + 1])).serve()

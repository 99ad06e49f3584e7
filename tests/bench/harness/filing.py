"""How fast a file of 1 GB goes into a sandbox and out of it, on a Unix socket.

The client touches no byte of it: sendfile out of memory, splice to /dev/null. What the disk itself
takes and gives is measured beside it, in the same folder, by a plain copy that syncs as little as
the gateway does before it acknowledges a new file: not at all.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.processes import BenchError
from harness.sandboxes import Sandbox
from harness.servers import Server

MB = 1_000_000
FILE_BYTES = 1000 * MB
PIECE_BYTES = 1 << 20
HEAD_BYTES = 1 << 16


@contextmanager
def content() -> Iterator[int]:
    """A descriptor of the bytes, in memory: no piece is like another, and none is a hole."""
    fd = os.memfd_create("bench")
    try:
        block = os.urandom(PIECE_BYTES)
        for number in range(FILE_BYTES // PIECE_BYTES + 1):
            piece = number.to_bytes(8, "big") + block[8:]
            os.write(fd, piece[: max(0, FILE_BYTES - number * PIECE_BYTES)])
        yield fd
    finally:
        os.close(fd)


def send_all(out: int, source: int) -> None:
    at = 0
    while at < FILE_BYTES:
        at += os.sendfile(out, source, at, FILE_BYTES - at)


def head_of(connection: socket.socket, status: bytes) -> tuple[bytes, bytes]:
    """The head of a reply, and what came behind it; a BenchError on another status."""
    received = b""
    while b"\r\n\r\n" not in received:
        data = connection.recv(HEAD_BYTES)
        if not data:
            raise BenchError(f"the server closed the connection behind {received[:300]!r}")
        received += data
    head, _, rest = received.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 " + status):
        raise BenchError(f"a file was answered with {received[:500]!r}")
    return head, rest


def put_s(connection: socket.socket, head: str, source: int) -> float:
    began = time.perf_counter()
    connection.sendall(f"PUT {head}Content-Length: {FILE_BYTES}\r\n\r\n".encode())
    send_all(connection.fileno(), source)
    head_of(connection, b"201")
    return time.perf_counter() - began


def get_s(connection: socket.socket, head: str) -> float:
    into = os.open(os.devnull, os.O_WRONLY)
    drain, fill = os.pipe()
    try:
        began = time.perf_counter()
        connection.sendall(f"GET {head}\r\n".encode())
        answered, rest = head_of(connection, b"200")
        if f"content-length: {FILE_BYTES}".encode() not in answered.lower():
            raise BenchError(f"the file came back with {answered!r}")
        left = FILE_BYTES - len(rest)
        while left:
            got = os.splice(connection.fileno(), fill, min(left, PIECE_BYTES))
            if not got:
                raise BenchError(f"{left} bytes of the file did not come")
            left -= got
            while got:
                got -= os.splice(drain, into, got)
        return time.perf_counter() - began
    finally:
        for fd in (into, drain, fill):
            os.close(fd)


def disk_s(folder: Path, source: int) -> tuple[float, float]:
    """A copy of the same bytes into a folder, and the reading of it."""
    path = folder / "bench-disk"
    piece = bytearray(PIECE_BYTES)
    os.sync()
    try:
        began = time.perf_counter()
        with path.open("wb", buffering=0) as out:
            send_all(out.fileno(), source)
        between = time.perf_counter()
        with path.open("rb", buffering=0) as file:
            while file.readinto(piece):
                pass
        return between - began, time.perf_counter() - between
    finally:
        path.unlink(missing_ok=True)


def peak_bytes(pid: int) -> int:
    """The most memory that a process has had since `forget_peak`."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


def forget_peak(pid: int) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def measure(server: Server, path: str, folder: Path) -> dict[str, float]:
    """What the metrics of this file are called, and their values; path: of the server's socket."""
    sandbox = Sandbox(server, limits={"workspace_bytes": 4 * FILE_BYTES})
    head = (
        f"/v1/sandboxes/{sandbox.id}/files/large HTTP/1.1\r\nHost: localhost\r\n"
        f"Authorization: token {server.token}\r\n"
    )
    pid = server.process.pid
    with content() as source, contextlib.closing(socket.socket(socket.AF_UNIX)) as connection:
        connection.connect(path)
        disk_in, disk_out = disk_s(folder, source)
        os.sync()
        forget_peak(pid)
        before = peak_bytes(pid)
        put = put_s(connection, head, source)
        got = get_s(connection, head)
        grown = peak_bytes(pid) - before
    sandbox.delete()
    mb = FILE_BYTES / MB
    return {
        "file_put": mb / put, "file_disk_in": mb / disk_in,
        "file_get": mb / got, "file_disk_out": mb / disk_out, "file_memory": grown / MB,
    }  # fmt: skip

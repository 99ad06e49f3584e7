"""Snapshots on their way: what is said over the connection that comes with SAVE and RESTORE.

docs/link.md, "Snapshots". At the other end is a gateway, which keeps what it gets and hands
back only what it has kept.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import socket
import struct
import traceback
from typing import TYPE_CHECKING, Any

import _warmcell

from warmcell_kernel import frames, snapshot

if TYPE_CHECKING:
    from warmcell_kernel.shell import ZMQInteractiveShell

LENGTH = struct.Struct("<Q")
SEND_BUFFER_BYTES = 1024 * 1024
MAPPED_BYTES = 1024 * 1024  # a smaller buffer is a bytearray
VERIFIED = b"\1"


def answer(shell: ZMQInteractiveShell, kind: int, number: int) -> None:
    """Answers SAVE or RESTORE."""
    result: dict[str, Any] = {"ok": True}
    try:
        with socket.socket(fileno=_warmcell.take_descriptor()) as peer:
            _warmcell.interruptible(save if kind == frames.SAVE else restore, shell, peer)
    except KeyboardInterrupt:
        result = {"ok": False, "message": "it took too long, or was interrupted"}
    except BaseException as error:
        if not isinstance(error, OSError | MemoryError | ValueError):
            traceback.print_exc()
        result = {"ok": False, "message": snapshot.reason_of(error)}
    _warmcell.send(frames.SAVED, number, json.dumps(result).encode())


def save(shell: ZMQInteractiveShell, peer: socket.socket) -> None:
    asked = json.loads(receive(peer))
    known = [(int(size), str(mark)) for size, mark in asked["known"]]
    marks = snapshot.Marks(known, _warmcell.mark)
    saved = snapshot.save(shell.user_ns, shell.user_ns_hidden, marks)
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    send(peer, json.dumps(saved.head).encode())
    for part in (saved.pickle, *saved.buffers):
        peer.sendall(part)


def restore(shell: ZMQInteractiveShell, peer: socket.socket) -> None:
    head = json.loads(receive(peer))
    pickle = receive_exactly(peer, int(head["pickle_bytes"]))
    buffers = [receive_buffer(peer, int(one["bytes"])) for one in head["buffers"]]
    if receive_exactly(peer, 1) != VERIFIED:
        raise ValueError("the snapshot was not verified")
    send(peer, json.dumps(snapshot.restore(shell.user_ns, head, pickle, buffers)).encode())


def send(peer: socket.socket, data: bytes) -> None:
    peer.sendall(LENGTH.pack(len(data)) + data)


def receive(peer: socket.socket) -> bytearray:
    return receive_exactly(peer, LENGTH.unpack(receive_exactly(peer, LENGTH.size))[0])


def receive_exactly(peer: socket.socket, size: int) -> bytearray:
    data = bytearray(size)
    fill(peer, memoryview(data))
    return data


def receive_buffer(peer: socket.socket, size: int) -> bytearray | mmap.mmap:
    """Where an array will live. Fresh memory of this process alone, in large pages: that nothing
    is written to it before what arrives, and few pages are asked for, is half of a restore."""
    if size < MAPPED_BYTES:
        return receive_exactly(peer, size)
    data = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with contextlib.suppress(OSError):  # a kernel without them
        data.madvise(mmap.MADV_HUGEPAGE)
    fill(peer, memoryview(data))
    return data


def fill(peer: socket.socket, rest: memoryview) -> None:
    while rest:
        count = peer.recv_into(rest)
        if count == 0:
            raise ConnectionResetError("the other end has gone")
        rest = rest[count:]

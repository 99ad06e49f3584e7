"""A process of the host that attempts go for: ``python -m escape.victim FOLDER MARKER``.

It holds a secret in its environment, its memory, an open file, a mapping and its command line, and
has
sockets of every kind, which say the marker to whoever comes. It prints what it has as one line of
JSON, and ends when its standard input does. Nothing in it speaks to any other machine.
"""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import socket
import struct
import sys
import threading
from pathlib import Path
from typing import Any

from escape.calls import LIBC, call

PR_SET_PTRACER, ANYONE = 0x59616D61, -1
IPC_CREAT, IPC_RMID = 0o1000, 0
SHMCTL = {"x86_64": 31, "aarch64": 195}
MQ_UNLINK = {"x86_64": 241, "aarch64": 181}


def greet(listener: socket.socket, greeting: bytes) -> None:
    while True:
        connection, _ = listener.accept()
        with connection:
            connection.send(greeting)


def echo(listener: socket.socket, marker: bytes) -> None:
    while True:
        _, address = listener.recvfrom(512)
        if address:
            listener.sendto(marker, address)


def answer_names(listener: socket.socket) -> None:
    """One address for every name: 192.0.2.7, of the documentation's."""
    while True:
        query, address = listener.recvfrom(512)
        head = query[:2] + struct.pack(">5H", 0x8180, 1, 1, 0, 0)
        record = struct.pack(">3HIH", 0xC00C, 1, 1, 60, 4) + socket.inet_aton("192.0.2.7")
        listener.sendto(head + query[12:] + record, address)


def serve(target: Any, *arguments: object) -> None:
    threading.Thread(target=target, args=arguments, daemon=True).start()


def listen(family: int, address: Any, greeting: bytes) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.bind(address)
    listener.listen(50)
    serve(greet, listener, greeting)
    return listener


def bind(family: int, address: Any) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_DGRAM)
    listener.bind(address)
    return listener


def open_sockets(folder: Path, marker: bytes) -> dict[str, Any]:
    found: dict[str, Any] = {}
    tcp = listen(socket.AF_INET, ("127.0.0.1", 0), marker)
    found["tcp"] = tcp.getsockname()[1]
    try:
        found["tcp6"] = listen(socket.AF_INET6, ("::1", 0), marker).getsockname()[1]
    except OSError:
        found["tcp6"] = None
    found["unix"] = str(folder / "socket-of-the-host")
    listen(socket.AF_UNIX, found["unix"], marker)
    found["abstract"] = f"escape-{marker.decode()}"
    listen(socket.AF_UNIX, "\0" + found["abstract"], marker)
    found["unix_datagram"] = str(folder / "datagrams-of-the-host")
    serve(echo, bind(socket.AF_UNIX, found["unix_datagram"]), marker)
    udp = bind(socket.AF_INET, ("127.0.0.1", 0))
    found["udp"] = udp.getsockname()[1]
    serve(echo, udp, marker)
    names = bind(socket.AF_INET, ("127.0.0.1", 0))
    found["names"] = names.getsockname()[1]
    serve(answer_names, names)
    # what a ZeroMQ socket says first (ZMTP 3): a kernel's, over TCP and over a Unix socket
    greeting = b"\xff" + bytes(8) + b"\x7f\x03"
    found["zmq"] = listen(socket.AF_INET, ("127.0.0.1", 0), greeting).getsockname()[1]
    found["zmq_ipc"] = str(folder / "zmq-of-another-kernel")
    listen(socket.AF_UNIX, found["zmq_ipc"], greeting)
    return found


def main() -> None:
    folder, marker = Path(sys.argv[1]), sys.argv[2].encode()
    os.chdir(folder)
    LIBC.prctl(PR_SET_PTRACER, ctypes.c_long(ANYONE), 0, 0, 0)
    secret = ctypes.create_string_buffer(marker)
    with open("secret", "rb") as file:
        mapping = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
        key = 0x65000000 | os.getpid() & 0xFFFFFF
        segment, _ = call("shmget", key, 4096, IPC_CREAT | 0o666)
        queue = f"escape-{os.getpid()}"
        call("mq_open", queue.encode(), os.O_CREAT | os.O_RDWR, 0o666, 0)
        found = open_sockets(folder, marker)
        found |= {"pid": os.getpid(), "address": ctypes.addressof(secret), "key": key}
        found |= {"queue": queue}
        print(json.dumps(found), flush=True)
        sys.stdin.read()
        machine = os.uname().machine
        LIBC.syscall(ctypes.c_long(SHMCTL[machine]), ctypes.c_long(segment), IPC_RMID, 0)
        LIBC.syscall(ctypes.c_long(MQ_UNLINK[machine]), queue.encode())
        mapping.close()
    os._exit(0)


if __name__ == "__main__":
    main()

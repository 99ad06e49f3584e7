"""Answers at each address, on one port by TCP and UDP, with one word; and as a name server says the
same address for every name. It is told all as JSON, says "ready", and runs until it is killed.
"""

from __future__ import annotations

import json
import socket
import struct
import sys
import threading
from collections.abc import Callable
from typing import Any


def bound(kind: socket.SocketKind, address: str, port: int) -> socket.socket:
    family, _, _, _, place = socket.getaddrinfo(address, port, type=kind)[0]
    made = socket.socket(family, kind)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind(place)
    if address.startswith("224."):
        group = struct.pack("4s4s", socket.inet_aton(address), socket.inet_aton("198.51.100.2"))
        made.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)
    if kind == socket.SOCK_STREAM:
        made.listen()
    return made


def serve_stream(server: socket.socket, word: bytes) -> None:
    while True:
        connection, _ = server.accept()
        with connection:
            connection.sendall(word)


def serve_datagrams(server: socket.socket, answer: Callable[[bytes], bytes]) -> None:
    while True:
        question, who = server.recvfrom(2000)
        server.sendto(answer(question), who)


def resolved(question: bytes, address: str) -> bytes:
    """An A record for what was asked; no record of any other type."""
    end = question.index(b"\0", 12) + 5
    asked = question[12:end]
    wants_a = struct.unpack_from(">H", question, end - 4)[0] == 1
    head = question[:2] + struct.pack(">HHHHH", 0x8180, 1, int(wants_a), 0, 0)
    record = b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 60, 4) + socket.inet_aton(address)
    return head + asked + (record if wants_a else b"")


def main() -> None:
    about: dict[str, Any] = json.loads(sys.argv[1])
    word = about["word"].encode()
    jobs: list[Callable[[], None]] = []

    def stream(server: socket.socket) -> None:
        jobs.append(lambda: serve_stream(server, word))

    def datagrams(server: socket.socket, answer: Callable[[bytes], bytes]) -> None:
        jobs.append(lambda: serve_datagrams(server, answer))

    # the kernel takes the wildcard's clients to any address: that is what must not be reached
    stream(socket.create_server(("::", about["port"]), family=socket.AF_INET6, dualstack_ipv6=True))
    for address in about["addresses"]:
        datagrams(bound(socket.SOCK_DGRAM, address, about["port"]), lambda _: word)
    datagrams(
        bound(socket.SOCK_DGRAM, about["resolver"], 53), lambda q: resolved(q, about["answer"])
    )
    abstract = socket.socket(socket.AF_UNIX)
    abstract.bind(f"\0{about['abstract']}")
    abstract.listen()
    stream(abstract)
    threads = [threading.Thread(target=job, daemon=True) for job in jobs]
    for thread in threads:
        thread.start()
    print("ready", flush=True)
    threads[0].join()


if __name__ == "__main__":
    main()

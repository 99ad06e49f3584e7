"""Attempts to reach something, from wherever this is run: told as a JSON list in
its argument, it prints a JSON list of what each got: the word of who answered, or the error. Each
waits for "patience_s".
"""

from __future__ import annotations

import json
import socket
import struct
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

SO_BINDTODEVICE, IP_UNICAST_IF, IPV6_UNICAST_IF = 25, 50, 76


def opened(a: dict[str, Any], kind: socket.SocketKind) -> tuple[socket.socket, Any]:
    family, _, _, _, place = socket.getaddrinfo(a["to"], a.get("port", 8000), type=kind)[0]
    made = socket.socket(family, kind)
    made.settimeout(a["patience_s"])
    if "device" in a:
        made.setsockopt(socket.SOL_SOCKET, SO_BINDTODEVICE, a["device"].encode())
    if "through" in a:
        index = socket.htonl(socket.if_nametoindex(a["through"]))
        if family == socket.AF_INET:
            made.setsockopt(socket.IPPROTO_IP, IP_UNICAST_IF, struct.pack("i", index))
        else:
            made.setsockopt(socket.IPPROTO_IPV6, IPV6_UNICAST_IF, struct.pack("i", index))
    if "multicast" in a:
        about = struct.pack("4s4si", b"", b"", socket.if_nametoindex(a["multicast"]))
        made.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, about)
    return made, place


def tcp(a: dict[str, Any]) -> str:
    made, place = opened(a, socket.SOCK_STREAM)
    with made:
        made.connect(place)
        return made.recv(100).decode()


def udp(a: dict[str, Any]) -> str:
    made, place = opened(a, socket.SOCK_DGRAM)
    with made:
        made.sendto(b"hello", place)
        return made.recv(100).decode()


def name(a: dict[str, Any]) -> str:
    return str(socket.getaddrinfo(a["to"], 80, type=socket.SOCK_STREAM)[0][4][0])


def abstract(a: dict[str, Any]) -> str:
    with socket.socket(socket.AF_UNIX) as made:
        made.settimeout(a["patience_s"])
        made.connect("\0" + a["to"])
        return made.recv(100).decode()


def large(a: dict[str, Any]) -> str:
    """Bytes there and back again: the far end is a listener of the attempt's own."""
    made, place = opened(a, socket.SOCK_DGRAM)
    with made:
        made.sendto(b"x" * a["bytes"], place)
        return made.recv(100).decode()


KINDS = {"tcp": tcp, "udp": udp, "name": name, "abstract": abstract, "large": large}


def attempt(a: dict[str, Any]) -> str:
    try:
        return KINDS[a["kind"]](a)
    except OSError as error:
        return f"{type(error).__name__}: {error}"


def main() -> None:
    attempts = json.loads(sys.argv[1])
    with ThreadPoolExecutor(len(attempts)) as at_once:
        print(json.dumps(list(at_once.map(attempt, attempts))), flush=True)


if __name__ == "__main__":
    main()

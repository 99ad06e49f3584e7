"""TCP ports that stay one's own between two programs that listen on them.

A port that was found free by binding it is anybody's again as soon as it is closed: a test that
runs beside may get it before the program that it was found for binds it. A socket that is bound and
does not listen keeps it: Linux gives its number to nobody who asks for any, and lets another one
listen there if both have set SO_REUSEADDR, as ZeroMQ, libuv and Python's servers do.
"""

from __future__ import annotations

import socket
from typing import Any

from jupyter_client.connect import LocalPortCache


def reserve(ip: str) -> socket.socket:
    """A port of this address; it is reserved until the socket is closed."""
    kept = socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET)
    kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    kept.bind((ip, 0))
    return kept


def number(kept: socket.socket) -> int:
    return int(kept.getsockname()[1])


class ReservedPorts(LocalPortCache):
    """What jupyter_client takes its kernels' ports from, while a kernel has them."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.kept: dict[int, socket.socket] = {}

    def find_available_port(self, ip: str) -> int:
        kept = reserve(ip)
        self.kept[number(kept)] = kept
        return number(kept)

    def return_port(self, port: int) -> None:
        if port in self.kept:
            self.kept.pop(port).close()

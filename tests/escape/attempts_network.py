"""Attempts at the network and the sockets of the host: every address is a listener of the test's
own.
"""

from __future__ import annotations

import os
import socket
import struct
from typing import Any

from escape.attempts import Result, attempt

AF_ALG, AF_VSOCK, AF_PACKET = 38, 40, 17
NETLINK_KOBJECT_UEVENT = 15


def greeted(a: dict[str, Any], family: int, address: Any) -> Result:
    """The listener says the marker to whoever comes."""
    with socket.socket(family, socket.SOCK_STREAM) as s:
        s.settimeout(60)
        s.connect(address)
        text = s.recv(100)
    return text == a["marker"].encode(), repr(text)


@attempt
def connect_tcp(a: dict[str, Any]) -> Result:
    return greeted(a, socket.AF_INET, (a["host"], a["port"]))


@attempt
def connect_tcp6(a: dict[str, Any]) -> Result:
    return greeted(a, socket.AF_INET6, (a["host"], a["port"]))


@attempt
def connect_unix(a: dict[str, Any]) -> Result:
    return greeted(a, socket.AF_UNIX, a["path"])


@attempt
def connect_port(a: dict[str, Any]) -> Result:
    socket.create_connection((a["host"], a["port"]), 60).close()
    return True, "connected"


@attempt
def connect_sockets_below(a: dict[str, Any]) -> Result:
    """Any socket in these folders, of whichever kind."""
    why = "there is none"
    for folder in a["folders"]:
        for path, _, names in os.walk(folder):
            for name in names:
                for kind in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET):
                    with socket.socket(socket.AF_UNIX, kind) as s:
                        try:
                            s.connect(os.path.join(path, name))
                        except OSError as error:
                            why = str(error)
                            continue
                    return True, name
    return False, why


@attempt
def connect_unix_everywhere(a: dict[str, Any]) -> Result:
    """A socket of that name in any folder that can be seen."""
    why = "it is nowhere"
    for folder, below, names in os.walk(a.get("under", "/")):
        below[:] = [d for d in below if not (folder == "/" and d in ("proc", "usr"))]
        if os.path.basename(a["path"]) in names:
            try:
                return greeted(a, socket.AF_UNIX, os.path.join(folder, os.path.basename(a["path"])))
            except OSError as error:
                why = str(error)
    return False, why


@attempt
def connect_abstract(a: dict[str, Any]) -> Result:
    return greeted(a, socket.AF_UNIX, "\0" + a["name"])


@attempt
def send_unix_datagram(a: dict[str, Any]) -> Result:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.sendto(b"escape", a["path"])
    return True, "sent"


@attempt
def greet_zeromq(a: dict[str, Any]) -> Result:
    """The greeting of a ZeroMQ socket, as the one of another kernel gives it."""
    family = socket.AF_UNIX if "path" in a else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as s:
        s.settimeout(60)
        s.connect(a["path"] if "path" in a else (a["host"], a["port"]))
        greeting = s.recv(10)
    return greeting[:1] == b"\xff", repr(greeting)


@attempt
def ask_udp(a: dict[str, Any]) -> Result:
    """The listener answers what it gets with the marker; a refusal comes at once, over loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(60)
        s.connect((a["host"], a["port"]))
        s.send(b"hello")
        return s.recv(100) == a["marker"].encode(), "answered"


@attempt
def look_up(a: dict[str, Any]) -> Result:
    """A query for a name to the test's own name server."""
    query = (
        struct.pack(">6H", 7, 0x100, 1, 0, 0, 0)
        + b"\x06escape\x04test\0"
        + struct.pack(">2H", 1, 1)
    )
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(60)
        s.connect((a["host"], a["port"]))
        s.send(query)
        answer = s.recv(512)
    return answer.endswith(socket.inet_aton("192.0.2.7")), answer.hex()


@attempt
def see_interface(a: dict[str, Any]) -> Result:
    names = [name for _, name in socket.if_nameindex()]
    return a["interface"] in names, ",".join(names)


@attempt
def see_connections(a: dict[str, Any]) -> Result:
    """The host's listeners, as the kernel lists them."""
    wanted = f":{a['port']:04X}"
    with open("/proc/net/tcp") as file:
        return any(line.split()[1].endswith(wanted) for line in file.readlines()[1:]), "listed"


@attempt
def see_unix_sockets(a: dict[str, Any]) -> Result:
    with open("/proc/net/unix") as file:
        return a["name"] in file.read(), "listed"


@attempt
def make_socket(a: dict[str, Any]) -> Result:
    """Of a kind that reaches below the usual ones."""
    kinds = {
        "raw": (socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP),
        "raw6": (socket.AF_INET6, socket.SOCK_RAW, 58),
        "packet": (AF_PACKET, socket.SOCK_RAW, 0),
        "uevent": (socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_KOBJECT_UEVENT),
        "alg": (AF_ALG, socket.SOCK_SEQPACKET, 0),
        "vsock": (AF_VSOCK, socket.SOCK_STREAM, 0),
    }
    socket.socket(*kinds[a["kind"]]).close()
    return True, a["kind"]


@attempt
def add_address(a: dict[str, Any]) -> Result:
    """RTM_NEWLINK asked of the kernel for a dummy interface: configuring needs a right over the
    network.
    """
    body = struct.pack("=BxHiII", 0, 0, 0, 0, 0)
    kind = struct.pack("=HH", 9, 1) + b"dummy" + bytes(3)
    body += struct.pack("=HH", 4 + len(kind), 18) + kind
    message = struct.pack("=IHHII", 16 + len(body), 16, 0x605, 1, 0) + body
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as s:
        s.send(message)
        answer = s.recv(4096)
    number = -struct.unpack_from("=i", answer, 16)[0]
    return number not in (1, 13), os.strerror(number)

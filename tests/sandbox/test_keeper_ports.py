"""CONNECT and PORTS of a keeper: sockets to what listens on a sandbox's loopback, and to nothing
else; as root and as an ordinary user."""

from __future__ import annotations

import os
import select
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import ordinary
from support.keeper import keeper_process as wire
from support.keeper.keeper_process import Asker, Keeper, sandboxing

USER = 64126  # an ordinary user whom nobody else is

# listens at the addresses named, says so, then answers each connection with who called
INSIDE = """
import selectors, socket, sys
found = selectors.DefaultSelector()
for word in sys.argv[1].split(","):
    host, port = word.rsplit(":", 1)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    if family == socket.AF_INET6:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    listener.bind((host, int(port)))
    listener.listen(8)
    found.register(listener, selectors.EVENT_READ)
print("listening", flush=True)
while True:
    for key, _ in found.select():
        connection, address = key.fileobj.accept()
        connection.sendall(f"{address[0]} at {key.fileobj.getsockname()[1]}".encode())
        connection.close()
"""


@pytest.fixture(name="asker", params=["root", "user"])
def asker_fixture(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Asker]:
    options = sandboxing(tmp_path / "state")
    user = request.param == "user" and os.geteuid() == 0
    if user:
        os.chown(tmp_path / "state", USER, -1)
    words = ordinary.command(USER) if user else []
    with Keeper(*options, prefix=words, uid=USER if user else None) as keeper:
        yield keeper.asker()


def serve(asker: Asker, sandbox: str, *addresses: str, **body: Any) -> None:
    assert asker.ask(wire.OPEN, {"sandbox": sandbox, **body}).kind == wire.OK
    process = asker.start(
        *(sys.executable, "-I", "-c", INSIDE, ",".join(addresses)), sandbox=sandbox
    )
    assert process.line() == "listening"


def connect(asker: Asker, sandbox: str, port: int, **body: Any) -> str:
    """What a server inside says to who comes."""
    answer = asker.ask(wire.CONNECT, {"sandbox": sandbox, "port": port, **body})
    assert answer.kind == wire.OK, answer
    (fd,) = answer.fds
    with socket.socket(fileno=fd) as connection:
        assert not os.get_blocking(fd)
        if not answer.body["connected"]:
            assert select.select([], [connection], [], 30)[1]
        connection.settimeout(30)
        said = b""
        while part := connection.recv(4096):
            said += part
        return said.decode()


def refused(asker: Asker, kind: int, **body: Any) -> tuple[int, str]:
    answer = asker.ask(kind, body)
    assert answer.kind == wire.FAILED, answer
    assert not answer.fds
    return answer.body["status"], answer.body["message"]


def listening(asker: Asker, sandbox: str) -> set[tuple[int, int]]:
    """(family, port) of what is in the tables of the sandbox's network."""
    answer = asker.ask(wire.PORTS, {"sandbox": sandbox})
    assert answer.kind == wire.OK, answer
    found = set()
    for family, fd in zip((4, 6), answer.fds, strict=True):
        with os.fdopen(fd) as table:
            lines = [line.split() for line in table.read().splitlines()[1:]]
        found |= {(family, int(w[1].rpartition(":")[2], 16)) for w in lines if w[3] == "0A"}
    return found


def test_what_listens_inside_is_reached(asker: Asker) -> None:
    serve(asker, "a", "127.0.0.1:8000", "0.0.0.0:8001", "::1:8002", "127.0.0.2:8003")
    serve(asker, "b", "127.0.0.1:8000")
    assert connect(asker, "a", 8000) == "127.0.0.1 at 8000"
    assert connect(asker, "a", 8001, family=4) == "127.0.0.1 at 8001"
    assert connect(asker, "a", 8002, family=6) == "::1 at 8002"
    assert refused(asker, wire.CONNECT, sandbox="a", port=8002)[0] == 502, "not at 127.0.0.1"
    assert refused(asker, wire.CONNECT, sandbox="a", port=8003)[0] == 502, "another address"
    assert listening(asker, "a") == {(4, 8000), (4, 8001), (6, 8002), (4, 8003)}
    assert listening(asker, "b") == {(4, 8000)}


def test_nothing_else_is_reached(asker: Asker) -> None:
    with socket.create_server(("127.0.0.1", 0)) as outside:
        port = outside.getsockname()[1]
        assert asker.ask(wire.OPEN, {"sandbox": "a"}).kind == wire.OK
        for family in (4, 6):
            status, sentence = refused(asker, wire.CONNECT, sandbox="a", port=port, family=family)
            assert (status, sentence) == (502, f"nothing listens at port {port} in the sandbox")
        assert not select.select([outside], [], [], 0)[0]
    for port in (0, 65536, -1, "80"):
        assert refused(asker, wire.CONNECT, sandbox="a", port=port)[0] == 400
    assert refused(asker, wire.CONNECT, sandbox="a", port=80, family=7)[0] == 400
    assert refused(asker, wire.CONNECT, sandbox="a")[0] == 400
    assert refused(asker, wire.CONNECT, sandbox="none", port=80)[0] == 404
    assert refused(asker, wire.PORTS, sandbox="none")[0] == 404
    assert listening(asker, "a") == set()


def test_a_sockets_own_proxy_is_named(asker: Asker) -> None:
    serve(asker, "a", "127.0.0.1:8000", network={"allow": ["pypi.org"]})
    assert listening(asker, "a") == {(4, 8000), (4, 3128)}
    answer = asker.ask(wire.PORTS, {"sandbox": "a"})
    for fd in answer.fds:
        os.close(fd)
    assert answer.body == {"own": [3128]}


def test_the_keeper_keeps_no_descriptor(asker: Asker) -> None:
    serve(asker, "a", "127.0.0.1:8000")
    keeper = asker.status()
    folder = Path(f"/proc/{os.getpid()}/fd")
    before = len(list(folder.iterdir()))
    for _ in range(50):
        assert connect(asker, "a", 8000)
        listening(asker, "a")
        refused(asker, wire.CONNECT, sandbox="a", port=9)
    assert len(list(folder.iterdir())) == before
    assert asker.status() == keeper

"""The proxy of sandboxes, driven as a keeper and a sandbox do. Every host is a listener of the
test's own on loopback; nothing leaves the machine."""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from support.keeper.keeper_process import send
from support.ports import number, reserve
from support.programs import Programs

PROXY_OPEN, PROXY_CLOSE, PROXY_RENAME = 96, 97, 98
PATIENT_S = 20


def listener(address: str = "127.0.0.1") -> socket.socket:
    return socket.create_server((address, 0), backlog=128)


def port_of(server: socket.socket) -> int:
    return int(server.getsockname()[1])


def all_of(connection: socket.socket) -> bytes:
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    return b"".join(parts)


class Proxy:
    def __init__(self, programs: Programs, folder: Path, *options: str) -> None:
        self.audit = folder / "audit.jsonl"
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.process = subprocess.Popen(
            [
                programs.build / "sandbox" / "warmcell-proxy",
                *("--control-fd", str(theirs.fileno()), "--audit", str(self.audit), *options),
            ],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
        )
        theirs.close()

    def open(self, sandbox: str, allow: list[str]) -> int:
        """The port where that sandbox finds its proxy."""
        with listener() as made:
            body = {"sandbox": sandbox, "allow": allow}
            send(self.control, PROXY_OPEN, 0, body, [made.fileno()])
            return port_of(made)

    def lines(self, count: int) -> list[dict[str, Any]]:
        """The audit, when it has so many lines: each is written as its connection ends."""
        while len(lines := self.audit.read_text().splitlines()) < count:
            assert self.process.poll() is None
            os.sched_yield()
        return [json.loads(line) for line in lines]

    def close(self) -> None:
        self.control.close()
        assert self.process.wait(PATIENT_S) == 0


@pytest.fixture(name="start")
def start_fixture(programs: Programs, tmp_path: Path) -> Iterator[Callable[..., Proxy]]:
    made: list[Proxy] = []

    def start(*options: str) -> Proxy:
        made.append(Proxy(programs, tmp_path, *options))
        return made[-1]

    yield start
    for proxy in made:
        proxy.close()


@pytest.fixture(name="proxy")
def proxy_fixture(start: Callable[..., Proxy]) -> Proxy:
    return start()


def dial(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=PATIENT_S)


def ask(port: int, request: str) -> tuple[int, bytes]:
    """The status and the body of an answer that the proxy ends."""
    with dial(port) as connection:
        connection.sendall(request.encode())
        head, _, body = all_of(connection).partition(b"\r\n\r\n")
    return int(head.split()[1]), body


def tunnel(port: int, target: str) -> socket.socket:
    connection = dial(port)
    connection.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        answer += connection.recv(1)
    assert answer.startswith(b"HTTP/1.1 200 "), answer
    return connection


def test_tunnel_and_half_close(proxy: Proxy) -> None:
    with listener() as server:
        target = f"127.0.0.1:{port_of(server)}"
        with tunnel(proxy.open("box", [target]), target) as client:
            there, _ = server.accept()
            with there:
                client.sendall(b"question")
                client.shutdown(socket.SHUT_WR)
                assert all_of(there) == b"question"
                there.sendall(b"answer after the end of the question")
            assert all_of(client) == b"answer after the end of the question"
    [line] = proxy.lines(1)
    assert line.pop("time").endswith("Z")
    assert line == {
        "sandbox": "box",
        "method": "CONNECT",
        "host": "127.0.0.1",
        "port": int(target.rpartition(":")[2]),
        "verdict": "allowed",
        "sent_bytes": 8,
        "received_bytes": 36,
    }


def test_the_server_may_end_first(proxy: Proxy) -> None:
    with listener() as server:
        target = f"127.0.0.1:{port_of(server)}"
        with tunnel(proxy.open("box", [target]), target) as client:
            there, _ = server.accept()
            with there:
                there.shutdown(socket.SHUT_WR)
                assert client.recv(1) == b""
                client.sendall(b"still talking")
                client.shutdown(socket.SHUT_WR)
                assert all_of(there) == b"still talking"


def test_plain_request(proxy: Proxy) -> None:
    with listener() as server:
        host = f"127.0.0.1:{port_of(server)}"
        got = b""

        def serve() -> None:
            nonlocal got
            there, _ = server.accept()
            with there:
                while not got.endswith(b"body"):
                    got += there.recv(65536)
                there.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello")

        thread = threading.Thread(target=serve)
        thread.start()
        status, body = ask(
            proxy.open("box", [host]),
            f"POST http://{host}/x?y HTTP/1.1\r\nHost: elsewhere\r\n"
            "Proxy-Connection: keep-alive\r\nContent-Length: 4\r\n\r\nbody",
        )
        thread.join()
    assert (status, body) == (200, b"hello")
    head = f"POST /x?y HTTP/1.1\r\nHost: {host}\r\nContent-Length: 4\r\nConnection: close\r\n\r\n"
    assert got == head.encode() + b"body"
    [line] = proxy.lines(1)
    assert (line["method"], line["host"], line["verdict"]) == ("POST", "127.0.0.1", "allowed")


@pytest.mark.parametrize(
    ("request_line", "status", "verdict"),
    [
        ("CONNECT 127.0.0.1:{port} HTTP/1.1", 403, "refused: 127.0.0.1:{port} is not in the"),
        ("CONNECT [::1]:{port} HTTP/1.1", 403, "refused: ::1:{port} is not in the sandbox's list"),
        ("CONNECT 2130706433:{port} HTTP/1.1", 403, "refused: 2130706433:{port} is not in"),
        ("CONNECT LOCALHOST.:{port} HTTP/1.1", 403, "refused: localhost has a loopback address"),
        ("GET http://localhost:{port}/ HTTP/1.1", 403, "refused: localhost has a loopback"),
        ("GET http://localhost:1/ HTTP/1.1", 403, "refused: localhost:1 is not in the sandbox's"),
        ("GET http://other.test/ HTTP/1.1", 403, "refused: other.test:80 is not in the sandbox's"),
        ("GET / HTTP/1.1", 400, "refused: this is a proxy"),
        ("GET ftp://localhost/ HTTP/1.1", 501, "refused: this is a proxy"),
        ("nonsense", 400, "refused: the request line is not"),
    ],
)
def test_refuses(proxy: Proxy, request_line: str, status: int, verdict: str) -> None:
    """The control is a listener that the same request line would reach if it were listed."""
    with listener() as server:
        port = port_of(server)
        way = proxy.open("box", [f"localhost:{port}"])
        got, body = ask(way, request_line.format(port=port) + "\r\n\r\n")
        assert got == status
        [line] = proxy.lines(1)
        assert line["verdict"].startswith(verdict.format(port=port))
        assert body.decode().strip() == line["verdict"]
        assert (line["sent_bytes"], line["received_bytes"]) == (0, 0)
        readable, _, _ = select.select([server], [], [], 0)
        assert not readable, "something reached the listener"


def test_a_name_whose_address_is_listed_too(proxy: Proxy) -> None:
    with listener() as server:
        port = port_of(server)
        way = proxy.open("box", [f"localhost:{port}", f"127.0.0.1:{port}"])
        with tunnel(way, f"localhost:{port}"):
            server.accept()[0].close()
    assert proxy.lines(1)[0]["host"] == "localhost"


def own_address() -> str | None:
    """An address of this machine on an interface other than loopback; nothing is sent for it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return None
        return str(probe.getsockname()[0])


def test_this_machines_own_address(proxy: Proxy) -> None:
    address = own_address()
    if address is None:
        pytest.skip("this machine has no address but loopback")
    with listener("0.0.0.0") as server:
        target = f"{address}:{port_of(server)}"
        assert ask(proxy.open("a", ["pypi.org"]), f"CONNECT {target} HTTP/1.1\r\n\r\n")[0] == 403
        with tunnel(proxy.open("b", [target]), target):
            server.accept()[0].close()


def test_sandboxes_have_lists_of_their_own(proxy: Proxy) -> None:
    with listener() as server:
        target = f"127.0.0.1:{port_of(server)}"
        one, two = proxy.open("one", [target]), proxy.open("two", [])
        assert ask(two, f"CONNECT {target} HTTP/1.1\r\n\r\n")[0] == 403
        with tunnel(one, target):
            server.accept()[0].close()
    assert {line["sandbox"]: line["verdict"][:7] for line in proxy.lines(2)} == {
        "one": "allowed",
        "two": "refused",
    }


def test_nobody_listens_there(proxy: Proxy) -> None:
    with reserve("127.0.0.1") as nobody:
        target = f"127.0.0.1:{number(nobody)}"
        status, body = ask(proxy.open("box", [target]), f"CONNECT {target} HTTP/1.1\r\n\r\n")
    assert (status, body) == (502, b"failed: connection refused\n")


def test_closing_ends_what_runs(proxy: Proxy) -> None:
    with listener() as server:
        target = f"127.0.0.1:{port_of(server)}"
        way = proxy.open("box", [target])
        with tunnel(way, target) as client:
            there, _ = server.accept()
            with there:
                send(proxy.control, PROXY_CLOSE, 0, {"sandbox": "box"})
                assert client.recv(1) == b""
                assert there.recv(1) == b""
        proxy.lines(1)
        with pytest.raises(ConnectionRefusedError):
            dial(way)


def test_one_that_is_renamed(proxy: Proxy) -> None:
    """What it does from then on is told of it, and it is closed by the new name."""
    with listener() as server:
        target = f"127.0.0.1:{port_of(server)}"
        way = proxy.open("box", [target])
        for name in ("box", "other"):
            with tunnel(way, target):
                server.accept()[0].close()
            proxy.lines(1 if name == "box" else 2)
            send(proxy.control, PROXY_RENAME, 0, {"sandbox": "box", "to": "other"})
        send(proxy.control, PROXY_RENAME, 0, {"sandbox": "none", "to": "box"})
        with tunnel(way, target) as client:
            there, _ = server.accept()
            with there:
                send(proxy.control, PROXY_CLOSE, 0, {"sandbox": "other"})
                assert client.recv(1) == b""
    assert [line["sandbox"] for line in proxy.lines(3)] == ["box", "other", "other"]


def test_a_head_that_never_ends(proxy: Proxy) -> None:
    with dial(proxy.open("box", [])) as client:
        client.sendall(b"GET http://a/ HTTP/1.1\r\n" + b"A: b\r\n" * 4000)
        assert all_of(client).startswith(b"HTTP/1.1 400 ")
    assert "longer than" in proxy.lines(1)[0]["verdict"]


def test_slow_clients_are_let_go(start: Callable[..., Proxy]) -> None:
    hasty, restless = start("--step-ms", "50"), start("--idle-ms", "50")
    with listener() as server:
        target = f"127.0.0.1:{port_of(server)}"
        with dial(hasty.open("box", [target])) as client, suppress(ConnectionError):
            client.sendall(b"GET ")
            assert client.recv(1) == b""  # no head
        with tunnel(restless.open("box", [target]), target) as client:
            there, _ = server.accept()
            with there:
                assert client.recv(1) == b""  # no byte for so long
                assert there.recv(1) == b""


def test_a_slow_reader_holds_the_sender(proxy: Proxy) -> None:
    """What the proxy takes in is bounded by what is read at the other end."""
    with listener() as server:
        target = f"127.0.0.1:{port_of(server)}"
        with tunnel(proxy.open("box", [target]), target) as client:
            there, _ = server.accept()
            with there:
                client.setblocking(False)
                sent = 0
                chunk = bytes(1 << 20)
                while select.select([], [client], [], 1)[1]:
                    sent += client.send(chunk)
                    assert sent < 256 << 20, "it takes everything"
                status = Path(f"/proc/{proxy.process.pid}/status").read_text()
                resident = int(status.split("VmRSS:")[1].split()[0])
                assert resident < 64 << 10
                got = 0
                client.setblocking(True)
                client.shutdown(socket.SHUT_WR)
                while part := there.recv(1 << 20):
                    got += len(part)
                assert got == sent


def test_many_connections_wait_their_turn(proxy: Proxy) -> None:
    """More than one sandbox may have at once: the others are served as these end."""
    with listener() as server:
        target = f"127.0.0.1:{port_of(server)}"
        way = proxy.open("box", [target])
        first = [tunnel(way, target) for _ in range(64)]
        late = dial(way)
        late.sendall(f"CONNECT {target} HTTP/1.1\r\n\r\n".encode())
        other = proxy.open("other", [target])
        tunnel(other, target).close()  # another sandbox does not wait
        assert not select.select([late], [], [], 0)[0]
        first.pop(0).close()
        server.accept()[0].close()
        assert late.recv(12) == b"HTTP/1.1 200"
        for connection in (*first, late):
            connection.close()


def test_rights(proxy: Proxy) -> None:
    """It serves only when it has given up what it need not have, threads for look-ups included."""
    way = proxy.open("box", ["*.test"])
    assert ask(way, "CONNECT a.test:443 HTTP/1.1\r\n\r\n")[0] in (502, 504)
    for task in Path(f"/proc/{proxy.process.pid}/task").iterdir():
        status = (task / "status").read_text()
        assert "NoNewPrivs:\t1" in status and "Seccomp:\t2\nSeccomp_filters:\t1" in status


def test_ends_with_its_keeper(start: Callable[..., Proxy]) -> None:
    proxy = start()
    with listener() as server:
        target = f"127.0.0.1:{port_of(server)}"
        with tunnel(proxy.open("box", [target]), target) as client:
            proxy.control.close()
            assert proxy.process.wait(PATIENT_S) == 0
            assert client.recv(1) == b""


def test_an_own_uid(programs: Programs, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    proxy = Proxy(programs, tmp_path, "--uid", "61234")
    way = proxy.open("box", [])
    assert ask(way, "CONNECT a.test:443 HTTP/1.1\r\n\r\n")[0] == 403
    status = Path(f"/proc/{proxy.process.pid}/status").read_text()
    assert "Uid:\t61234\t61234\t61234\t61234" in status
    assert "Gid:\t61234\t61234\t61234\t61234" in status
    assert "Groups:\t \n" in status
    assert "CapPrm:\t0000000000000000" in status
    assert "CapEff:\t0000000000000000" in status
    proxy.close()

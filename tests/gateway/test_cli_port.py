"""`warmcell port`: a server inside a sandbox at a port of this machine, by an origin of its own
where the gateway has one, else by its path."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from gateway.test_sandboxes import Place, create, end, remove
from support import processes
from support.cli import Tool, refused
from support.fake_keeper import FakeKeeper
from support.gateway import Gateway
from support.inside import Request, serving, text


@pytest.fixture(scope="module", params=["origin", "path"])
def place(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Place]:
    """A gateway at a Unix socket has no origins."""
    way = str(tmp_path_factory.mktemp("port") / "socket") if request.param == "path" else None
    gateway = Gateway(options=["--pool-max", "0"], unix=way)
    keeper = FakeKeeper(gateway.home / "keeper")
    gateway.env = keeper.environment
    gateway.start()
    remove(gateway, create(gateway))
    for pid in keeper.pids():
        processes.own(pid)
    yield gateway, keeper
    end(gateway, keeper)


@pytest.fixture(scope="module")
def run(place: Place) -> Tool:
    return Tool(place[0])


@pytest.fixture(scope="module")
def sandbox(place: Place) -> dict[str, Any]:
    return create(place[0])


@contextmanager
def forward(run: Tool, sandbox: dict[str, Any], inside: int, *options: str) -> Iterator[str]:
    """The first line that it says; Ctrl-C ends it well."""
    process = run.begin("port", sandbox["id"], str(inside), *options)
    processes.own(process.pid)
    with process:
        assert process.stdout
        assert process.stderr
        line = process.stdout.readline().decode()
        if "--json" in options:
            line += "".join(process.stdout.readline().decode() for _ in range(5))
        shown = Path(f"/proc/{process.pid}/cmdline").read_bytes()
        assert Path(run.environment["WARMCELL_TOKEN_FILE"]).read_bytes().strip() not in shown
        try:
            yield line.strip()
        finally:
            process.send_signal(signal.SIGINT)
            try:
                status = process.wait(processes.LONG_S)
                processes.disown(process.pid)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        assert (status, process.stderr.read()) == (0, b"")


@contextmanager
def asking(url: str) -> Iterator[http.client.HTTPConnection]:
    authority = url.removeprefix("http://").rstrip("/")
    with closing(http.client.HTTPConnection(authority, timeout=processes.LONG_S)) as connection:
        yield connection


def answer(request: Request) -> None:
    if request.first.startswith("POST"):
        length = int(request.header("content-length") or "0")
        text(b"%d bytes" % len(request.read(length)))(request)
    elif request.header("upgrade"):
        request.reply(b"HTTP/1.1 101 Go\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nhello ")
        request.reply(request.read(5))
    else:
        text(b"a page", "Location: /next", "Set-Cookie: mine=1")(request)


def test_what_passes(place: Place, run: Tool, sandbox: dict[str, Any]) -> None:
    gateway = place[0]
    with serving(answer) as inside, forward(run, sandbox, inside.port) as url:
        assert url != f"http://127.0.0.1:{inside.port}/", "that one is taken"
        with asking(url) as connection:
            for _ in range(2):  # it connects again
                connection.request("GET", "/a/b?c=d", headers={"Authorization": "Basic own"})
                page = connection.getresponse()
                assert (page.status, page.read()) == (200, b"a page")
                assert page.getheader("location") == "/next"
                assert page.getheader("set-cookie") == (None if gateway.unix else "mine=1")
                asked = inside.next()
                assert asked.first == "GET /a/b?c=d HTTP/1.1"
                assert asked.header("host") == f"localhost:{inside.port}"
                assert asked.header("authorization") == (None if gateway.unix else "Basic own")
            body = b"x" * 3_000_000
            headers = {"Origin": url.rstrip("/"), "Referer": f"{url}page"}
            connection.request("POST", "/", body, headers)
            assert connection.getresponse().read() == b"%d bytes" % len(body)
            asked = inside.next()
            assert asked.header("origin") == f"http://localhost:{inside.port}"
            assert asked.header("referer") == (
                None if gateway.unix else f"http://localhost:{inside.port}/page"
            )


def test_an_upgrade(run: Tool, sandbox: dict[str, Any]) -> None:
    with serving(answer) as inside, forward(run, sandbox, inside.port) as url:
        port = int(url.rstrip("/").rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), processes.LONG_S) as client:
            head = f"GET / HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: upgrade\r\n"
            client.sendall(f"{head}Upgrade: echo\r\n\r\n".encode())
            got = b""
            while not got.endswith(b"\r\n\r\nhello "):
                got += client.recv(65536)
            assert got.startswith(b"HTTP/1.1 101 ")
            client.sendall(b"there")
            assert client.recv(65536) == b"there"
            assert client.recv(1) == b""


LOCAL = ["GET / HTTP/1.1", "Host: localhost:PORT"]
REFUSALS = [
    (["GET / HTTP/1.1", "Host: evil.example"], 403),
    ([*LOCAL, "Origin: http://evil.example"], 403),
    ([*LOCAL, "Origin: null"], 403),
    (["GET / HTTP/1.1"], 400),
    (["GET http://localhost/ HTTP/1.1", "Host: localhost:PORT"], 400),
    ([*LOCAL, " folded: 1"], 400),
    ([*LOCAL, f"Long: {'x' * 65536}"], 431),
    (LOCAL, 502),
]


def ask(port: str, lines: list[str]) -> http.client.HTTPResponse:
    with socket.create_connection(("127.0.0.1", int(port)), processes.LONG_S) as client:
        client.sendall("\r\n".join([*lines, "", ""]).replace("PORT", port).encode())
        reply = http.client.HTTPResponse(client)
        reply.begin()
        assert len(reply.read()) > 10
        return reply


def test_refusals(run: Tool, sandbox: dict[str, Any]) -> None:
    """Behind a port at which nothing listens inside."""
    with closing(socket.socket()) as held:
        held.bind(("127.0.0.1", 0))  # nobody else gets it, and nobody listens
        inside = int(held.getsockname()[1])
        with forward(run, sandbox, inside, "--json") as said:
            told = json.loads(said)
            assert (told["sandbox"], told["port"]) == (sandbox["id"], inside)
            assert told["url"] == f"http://127.0.0.1:{told['listen']}/"
            for lines, status in REFUSALS:
                reply = ask(str(told["listen"]), lines)
                assert (reply.status, reply.getheader("connection")) == (status, "close"), lines


def test_wrong_words(run: Tool, sandbox: dict[str, Any]) -> None:
    for port in "0", "65536", "+1", "1x", "":
        refused(run("port", sandbox["id"], port), 2, "is no port: 1 to 65535")
    refused(run("port", "nobody-is-this", "80"), 1, "no sandbox nobody-is-this")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = str(taken.getsockname()[1])
        refused(run("port", sandbox["id"], "80", "--listen", number), 1, "cannot be listened at")

"""What a sandbox reaches, through a real keeper and its proxy. The host outside is a listener of
the test's own on loopback."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import processes
from support.keeper.keeper_process import FAILED, OK, OPEN, Asker, Keeper

# prints what it got, one JSON value a line
INSIDE = """
import json, os, socket, sys
target = sys.argv[1]
host, port = target.split(":")
def say(value): print(json.dumps(value), flush=True)
say(sorted((name, value) for name, value in os.environ.items() if "proxy" in name.lower()))
try:
    socket.create_connection((host, int(port)), 60)
    say("reached")
except OSError as error:
    say(type(error).__name__)
try:
    way = socket.create_connection(("127.0.0.1", 3128), 60)
    way.sendall(f"CONNECT {target} HTTP/1.1\\r\\n\\r\\n".encode())
    answer = b""
    while part := way.recv(4096):
        answer += part
    say(answer.decode())
except OSError as error:
    say(type(error).__name__)
"""


@pytest.fixture(name="audit")
def audit_fixture(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


@pytest.fixture(name="keeper")
def keeper_fixture(tmp_path: Path, audit: Path) -> Iterator[Keeper]:
    state = tmp_path / "state"
    state.mkdir()
    with Keeper(
        *("--profile", "sandbox", "--state-dir", str(state), "--audit", str(audit)),
        *("--read-only", sys.prefix),
    ) as keeper:
        yield keeper


@pytest.fixture(name="asker")
def asker_fixture(keeper: Keeper) -> Asker:
    return keeper.asker()


@pytest.fixture(name="server")
def server_fixture() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(30)
        yield server


def target_of(server: socket.socket) -> str:
    return f"127.0.0.1:{server.getsockname()[1]}"


def inside(asker: Asker, sandbox: str, target: str, **env: str) -> list[object]:
    process = asker.start(
        *(sys.executable, "-I", "-c", INSIDE, target),
        sandbox=sandbox,
        env={"PATH": "/usr/bin:/bin", **env},
    )
    return [json.loads(line) for line in process.output().splitlines()]


def test_a_listed_host_is_reached_by_the_proxy_alone(
    asker: Asker, server: socket.socket, audit: Path
) -> None:
    target = target_of(server)
    opened = asker.ask(OPEN, {"sandbox": "box", "network": {"allow": [target]}})
    assert opened.kind == OK, opened
    process = asker.start(
        *(sys.executable, "-I", "-c", INSIDE, target),
        sandbox="box",
        env={"PATH": "/usr/bin:/bin", "NO_PROXY": "mine"},
    )
    there, _ = server.accept()
    with there:
        there.sendall(b"hello from outside")
    names, direct, answer = [json.loads(line) for line in process.output().splitlines()]
    assert names == [
        ["HTTPS_PROXY", "http://127.0.0.1:3128"],
        ["HTTP_PROXY", "http://127.0.0.1:3128"],
        ["NO_PROXY", "mine"],
        ["http_proxy", "http://127.0.0.1:3128"],
        ["https_proxy", "http://127.0.0.1:3128"],
        ["no_proxy", "localhost,127.0.0.1,::1"],
    ]
    assert direct == "ConnectionRefusedError"
    assert answer.startswith("HTTP/1.1 200 ")
    assert answer.endswith("hello from outside")
    processes.until(lambda: audit.read_text().endswith("\n"), "a line in the audit")
    line = json.loads(audit.read_text())
    assert (line["sandbox"], line["verdict"], line["received_bytes"]) == ("box", "allowed", 18)


def test_sandboxes_do_not_share_a_way(asker: Asker, server: socket.socket) -> None:
    target = target_of(server)
    for name, network in (("one", {"allow": [target]}), ("two", {"allow": []}), ("none", "none")):
        assert asker.ask(OPEN, {"sandbox": name, "network": network}).kind == OK
    _, direct, answer = inside(asker, "two", target)
    assert direct == "ConnectionRefusedError"
    assert str(answer).startswith("HTTP/1.1 403 ")
    names, direct, answer = inside(asker, "none", target)
    assert names == []
    # even loopback may be down where nothing was asked for
    assert direct in ("ConnectionRefusedError", "OSError")
    assert answer in ("ConnectionRefusedError", "OSError")


@pytest.mark.parametrize(
    ("network", "status"),
    [("host", 400), ({"allow": ["a b"]}, 400), ({"deny": []}, 400), (7, 400)],
)
def test_what_is_refused(asker: Asker, network: object, status: int) -> None:
    answer = asker.ask(OPEN, {"sandbox": "box", "network": network})
    assert answer.kind == FAILED
    assert answer.body["status"] == status

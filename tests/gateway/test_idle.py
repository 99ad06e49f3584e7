"""What keeps a sandbox awake, and how it is paused when nothing does: by its limit idle_s, and by
--cull-idle-timeout; with a keeper that confines nothing and kernels of the small driver.

That one stays awake is shown by another one, which is used later: when that one is paused, the time
of the first would have been over, too. And none is idle before its use has begun, however long that
takes: its host begins, or its limit holds, afterwards."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from gateway.test_package_failures import ROUTES, write_python
from gateway.test_package_failures import Place as Packages
from gateway.test_pause import post, resume, run, show, url
from gateway.test_sandboxes import context_of, create, end, remove, start, workspace
from support import processes
from support.fake_keeper import FakeKeeper
from support.gateway import Gateway
from support.inside import Request, serving

LIMIT_S = 1
REASONS = {
    "limit": "it was idle for its limit idle_s of 1 seconds",
    "cull": "it was idle for 1 seconds",
}
OPTIONS = {"limit": (), "cull": ("--cull-idle-timeout", "1", "--cull-interval", "1")}
BIG_BYTES = 1 << 30  # more than sockets take


class Idle:
    """A gateway, and what its sandboxes are told of how long they may be idle."""

    def __init__(self, way: str, gateway: Gateway, keeper: FakeKeeper, folder: Path) -> None:
        self.way, self.gateway, self.keeper, self.folder = way, gateway, keeper, folder
        self.limits = {"idle_s": LIMIT_S} if way == "limit" else {}

    def create(self, **more: Any) -> dict[str, Any]:
        return create(self.gateway, {"limits": self.limits, **more})

    def create_held(self) -> dict[str, Any]:
        """One that is not idle before it is released: its hosts do not begin. It has no pool."""
        self.keeper.order("hold-host")
        return self.create()

    def release(self) -> None:
        (self.keeper.folder / "hold-host").unlink(missing_ok=True)

    def detach(self, made: dict[str, Any], code: str) -> None:
        assert post(self.gateway, made, "executions", code=code, detach=True).status == 202

    def run(self, made: dict[str, Any], code: str) -> str:
        """Also in one that was paused since: it is resumed for it."""
        while (ran := post(self.gateway, made, "executions", code=code)).status == 409:
            assert post(self.gateway, made, "resume").status in (200, 409)
        assert ran.status == 200, ran
        return str(ran.json()["outputs"]["stdout"])

    def is_paused(self, made: dict[str, Any]) -> None:
        processes.until(lambda: show(self.gateway, made)["state"] == "paused", "paused")
        assert show(self.gateway, made)["reason"] == REASONS[self.way]

    def stays_awake(self, made: dict[str, Any]) -> None:
        other = self.create()
        self.is_paused(other)
        assert show(self.gateway, made)["state"] == "running"
        remove(self.gateway, other)


@pytest.fixture(scope="module", params=OPTIONS)
def idle(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Idle]:
    folder = tmp_path_factory.mktemp("orders")
    python = write_python(folder)
    gateway, keeper = start("--pool-max", "0", "--python", str(python), "--wheels", str(folder),
                            *OPTIONS[request.param])  # fmt: skip
    remove(gateway, create(gateway))
    for pid in keeper.pids():
        processes.own(pid)
    keeper.order("beside")
    yield Idle(request.param, gateway, keeper, folder)
    end(gateway, keeper)


@contextmanager
def waiting(idle: Idle, made: dict[str, Any], context: str) -> Iterator[None]:
    """Code that was asked for over a WebSocket whose client has gone."""
    with closing(idle.gateway.client(context, ready=False)) as client:
        asked = client.execute("print there\nwait")
        idle.release()
        client.await_output(asked, "there")
    yield
    assert post(idle.gateway, made, "interrupt").status == 200


def test_it_is_paused_and_comes_back(idle: Idle) -> None:
    made = idle.create_held()
    idle.detach(made, "set x 1")
    idle.release()
    idle.is_paused(made)
    (snapshot,) = idle.gateway.get(url(made, "/snapshots")).json()["snapshots"]
    assert snapshot["why"] == "idle"
    resumed = resume(idle.gateway, made)
    assert resumed["contexts"][0]["restored"] == ["x"]
    assert resumed["sandbox"]["reason"] is None
    assert idle.run(made, "get x") == "1\n"
    idle.is_paused(made)
    remove(idle.gateway, made)


def test_one_of_two_contexts(idle: Idle) -> None:
    """Nobody ends while the other is in use."""
    made = idle.create_held()
    other = idle.gateway.request("POST", url(made, "/contexts"), {"name": "other"}).json()["id"]
    with waiting(idle, made, other):
        run(idle.gateway, context_of(made), "set x 1")
        idle.stays_awake(made)
        assert run(idle.gateway, context_of(made), "get x") == "1\n"
        assert [one["reason"] for one in show(idle.gateway, made)["contexts"]] == [None, None]
    idle.is_paused(made)
    contexts = resume(idle.gateway, made)["contexts"]
    assert [one["id"] for one in contexts] == [context_of(made), other]
    assert contexts[0]["restored"] == ["x"]
    remove(idle.gateway, made)


# --- what keeps it awake


def code(idle: Idle, made: dict[str, Any]) -> AbstractContextManager[None]:
    return waiting(idle, made, context_of(made))


@contextmanager
def background(idle: Idle, made: dict[str, Any]) -> Iterator[None]:
    body = {"shell": "read x", "background": True}
    command = post(idle.gateway, made, "commands", **body).json()["id"]
    yield
    stdin = url(made, f"/commands/{command}/stdin?eof=1")
    assert idle.gateway.request("POST", stdin, b"x\n").status == 204


@contextmanager
def foreground(idle: Idle, made: dict[str, Any]) -> Iterator[None]:
    """Somebody awaits it."""
    inside = workspace(idle.gateway, made)
    body = {"shell": f"cd {inside}; >begun; read x; echo done", "stdin_open": True}
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(post, idle.gateway, made, "commands", **body)
        processes.until((inside / "begun").exists, "it runs")
        path = url(made, "/commands")  # which may say so a moment later
        processes.until(lambda: idle.gateway.get(path).json()["commands"] != [], "it is listed")
        (command,) = idle.gateway.get(path).json()["commands"]
        yield
        stdin = url(made, f"/commands/{command['id']}/stdin?eof=1")
        assert idle.gateway.request("POST", stdin, b"x\n").status == 204
        assert asked.result().json()["stdout"] == "done\n"


@contextmanager
def port(idle: Idle, made: dict[str, Any]) -> Iterator[None]:
    go_on = threading.Event()

    def answer(request: Request) -> None:
        go_on.wait()
        request.reply(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    with serving(answer) as inside, closing(idle.gateway.connection()) as connection:
        connection.request("GET", url(made, f"/ports/{inside.port}/"),
                           headers=idle.gateway.authorization)  # fmt: skip
        inside.next()
        yield
        go_on.set()
        assert connection.getresponse().read() == b"ok"


@contextmanager
def upgrade(idle: Idle, made: dict[str, Any]) -> Iterator[None]:
    done = threading.Event()

    def answer(request: Request) -> None:
        request.reply(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n"
                      b"Upgrade: own\r\n\r\n")  # fmt: skip
        done.wait()

    with serving(answer) as inside, socket.create_connection(("127.0.0.1", idle.gateway.port)) as s:
        path = url(made, f"/ports/{inside.port}/")
        s.sendall(head(idle.gateway, "GET", path, "Connection: upgrade", "Upgrade: own"))
        assert b" 101 " in s.recv(65536)
        yield
        done.set()


def head(gateway: Gateway, method: str, path: str, *lines: str) -> bytes:
    own = [f"Host: {gateway.authority}"]
    own += [f"{name}: {value}" for name, value in gateway.authorization.items()]
    return "\r\n".join([f"{method} {path} HTTP/1.1", *own, *lines, "", ""]).encode()


@contextmanager
def half_sent(idle: Idle, path: str, body: bytes) -> Iterator[None]:
    """The gateway wants the body when it has begun to write."""
    lines = (f"Content-Length: {len(body)}", "Expect: 100-continue", "Connection: close")
    with socket.create_connection(("127.0.0.1", idle.gateway.port)) as s:
        s.sendall(head(idle.gateway, "PUT", path, *lines))
        assert s.recv(65536).startswith(b"HTTP/1.1 100 ")
        s.sendall(body[:100])
        yield
        s.sendall(body[100:])
        assert s.recv(65536).startswith(b"HTTP/1.1 20")


@contextmanager
def half_read(idle: Idle, path: str) -> Iterator[None]:
    with socket.create_connection(("127.0.0.1", idle.gateway.port)) as s:
        s.sendall(head(idle.gateway, "GET", path))
        assert s.recv(1000).startswith(b"HTTP/1.1 200 ")
        yield


def upload(idle: Idle, made: dict[str, Any]) -> AbstractContextManager[None]:
    return half_sent(idle, url(made, "/files/there"), b"x" * 5000)


def unpack(idle: Idle, made: dict[str, Any]) -> AbstractContextManager[None]:
    return half_sent(idle, url(made, "/files/there?tar=1"), b"\0" * 10240)


def make_big(idle: Idle, made: dict[str, Any]) -> None:
    with (workspace(idle.gateway, made) / "big").open("wb") as file:
        file.truncate(BIG_BYTES)


def download(idle: Idle, made: dict[str, Any]) -> AbstractContextManager[None]:
    make_big(idle, made)
    return half_read(idle, url(made, "/files/big"))


def pack(idle: Idle, made: dict[str, Any]) -> AbstractContextManager[None]:
    make_big(idle, made)
    return half_read(idle, url(made, "/files?tar=1"))


@contextmanager
def packages(idle: Idle, made: dict[str, Any]) -> Iterator[None]:
    place = Packages(idle.gateway, idle.keeper, idle.folder, made)
    with place.held(ROUTES[0]) as (asked, program):
        yield
        program.resume()
        assert asked.result().status == 200


USES = [code, background, foreground, port, upgrade, upload, unpack, download, pack, packages]
Use = Callable[[Idle, dict[str, Any]], AbstractContextManager[None]]


@pytest.mark.parametrize("use", USES, ids=lambda use: use.__name__)
def test_what_keeps_it_awake(idle: Idle, use: Use) -> None:
    """Its clock begins when the use has ended."""
    made = idle.create_held()
    with use(idle, made):
        idle.release()
        idle.stays_awake(made)
        before = datetime.now(UTC)
    idle.is_paused(made)
    (snapshot,) = idle.gateway.get(url(made, "/snapshots")).json()["snapshots"]
    unused = datetime.fromisoformat(snapshot["created"]) - before
    assert unused.total_seconds() >= LIMIT_S - 0.01  # times are told in thousandths
    remove(idle.gateway, made)


def test_who_looks_on_keeps_nothing_awake(idle: Idle) -> None:
    """Whoever follows events and files, or asks how it is."""
    made = idle.create_held()
    with half_read(idle, url(made, "/files?watch=1")):
        idle.release()
        idle.is_paused(made)
    remove(idle.gateway, made)


# --- the limit alone


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Idle]:
    gateway, keeper = start("--pool-max", "1", "--pool-min", "1")
    remove(gateway, create(gateway))
    for pid in keeper.pids():
        processes.own(pid)
    yield Idle("limit", gateway, keeper, tmp_path_factory.mktemp("none"))
    end(gateway, keeper)


def change(idle: Idle, made: dict[str, Any], **limits: Any) -> None:
    assert idle.gateway.request("PATCH", url(made), {"limits": limits}).status == 200


def test_it_can_be_changed(limited: Idle) -> None:
    made = create(limited.gateway)
    model = show(limited.gateway, made)
    assert model["limits"]["idle_s"] == {"value": None, "enforced_by": "none"}
    limited.stays_awake(made)
    change(limited, made, idle_s=3600)
    limited.stays_awake(made)
    with code(limited, made):  # or it may be paused between the two
        change(limited, made, idle_s=LIMIT_S)
        change(limited, made, idle_s=0)
    limited.stays_awake(made)
    change(limited, made, idle_s=LIMIT_S)
    limited.is_paused(made)
    model = show(limited.gateway, made)
    assert model["limits"]["idle_s"] == {"value": LIMIT_S, "enforced_by": "gateway"}
    change(limited, made, idle_s=0)
    resume(limited.gateway, made)
    limited.stays_awake(made)
    remove(limited.gateway, made)


def test_neither_keeper_nor_host_is_told(limited: Idle) -> None:
    """The host would end a context that others of its sandbox outlive, and its variables."""
    made = create(limited.gateway, {"limits": {"idle_s": 3600}})
    change(limited, made, idle_s=LIMIT_S, life_s=3600)
    opened = [one for one in limited.keeper.requests("OPEN") + limited.keeper.requests("LIMITS")
              if "limits" in one]  # fmt: skip
    assert opened and not any(one["limits"]["idle_s"] for one in opened)
    limited.is_paused(made)
    remove(limited.gateway, made)


def test_who_is_connected_does_not_count_for_it(limited: Idle) -> None:
    """Clients of agents stay connected for good."""
    made = create(limited.gateway)
    with closing(limited.gateway.client(context_of(made))) as client:
        client.run("set x 1")
        change(limited, made, idle_s=LIMIT_S)
        limited.is_paused(made)
    remove(limited.gateway, made)


def test_a_gateway_that_comes_back(limited: Idle) -> None:
    made = create(limited.gateway)
    with code(limited, made):
        change(limited, made, idle_s=LIMIT_S)
        limited.gateway.kill()
        limited.gateway.start()
        limited.stays_awake(made)
    limited.is_paused(made)
    remove(limited.gateway, made)


def test_one_that_cannot_be_saved_goes_on(limited: Idle) -> None:
    made = create(limited.gateway)
    run(limited.gateway, context_of(made), "set x 1")
    snapshots = limited.gateway.state / "snapshots" / made["id"]
    snapshots.touch()
    log, words = limited.gateway.log, "was not saved, paused or resumed"
    before = log.read_text().count(words)
    change(limited, made, idle_s=LIMIT_S)
    processes.until(lambda: log.read_text().count(words) > before, "tried")
    assert limited.run(made, "get x") == "1\n"
    snapshots.unlink()
    limited.is_paused(made)
    remove(limited.gateway, made)

"""What routes of the native API tell when what is around them fails: a body that does not arrive,
no descriptor left, a host that ends as it is asked, one that cannot be started, ports that are
none, a gateway that ends. The routes are those of /openapi.json."""

from __future__ import annotations

import http.client
import json
import os
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from gateway.good_requests import BOX, filled, good
from gateway.test_sandboxes import Place, context_of, create, end, start
from support import processes
from support.contract import Contract, Operation
from support.fake_keeper import FakeKeeper
from support.gateway import Answer, Gateway
from support.inside import Request, serving
from support.programs import programs
from support.route_list import name, native
from support.uplink import asked_of


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    gateway, keeper = start("--pool-max", "0")
    yield gateway, keeper
    end(gateway, keeper)


@pytest.fixture(scope="module")
def contract(gateway: Gateway) -> Contract:
    return Contract(gateway)


@pytest.fixture(scope="module")
def names(place: Place) -> dict[str, str]:
    """Of one thing of each kind."""
    gateway, keeper = place
    box = create(gateway)
    for pid in [*keeper.pids(), *processes.named_below(gateway.pid, "warmcell-kernel")]:
        processes.own(pid)  # also while the gateway begins again
    path = f"/v1/sandboxes/{box['id']}"
    assert gateway.request("PUT", f"{path}/files/file", b"text").status == 201
    await_idle(gateway, box["id"])
    assert gateway.request("POST", f"{path}/snapshots", {}).status == 201
    template = gateway.request("POST", "/v1/templates", {"name": "of-the-owner"}).json()["id"]
    return {"sandboxes": box["id"], "path": "file", "templates": template, "n": "8000",
            "context": context_of(box)}  # fmt: skip


def await_idle(gateway: Gateway, sandbox: str) -> None:
    path = f"/v1/sandboxes/{sandbox}"
    processes.until(lambda: gateway.get(path).json()["contexts"][0]["state"] == "idle", "idle")


def told(answer: Answer) -> str:
    assert answer.headers["content-type"] == "application/problem+json", answer
    return str(answer.json()["detail"])


COMMAND = f"{BOX}/commands/{{command}}"
OWN_BODIES = {f"PATCH {BOX}": {"limits": {"memory_bytes": 1 << 28}}}
OWN_QUERIES = {f"GET {COMMAND}": "?settled=1"}


class Asking:
    """A request on a connection of its own, whose answer is read later."""

    def __init__(
        self,
        gateway: Gateway,
        method: str,
        path: str,
        body: Any = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        self.connection = gateway.connection(timeout=120)
        self.head = gateway.authorization | (headers or {})
        self.connection.connect()
        self.send(method, path, body)

    def send(self, method: str, path: str, body: Any = None) -> None:
        raw = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        self.connection.request(method, path, raw, self.head)

    def answer(self) -> Answer:
        reply = self.connection.getresponse()
        headers = {key.lower(): value for key, value in reply.getheaders()}
        return Answer(reply.status, headers, reply.read())

    def close(self) -> None:
        self.connection.close()


def ask(gateway: Gateway, operation: Operation, names: dict[str, str]) -> Asking:
    return Asking(gateway, *words_of(operation, names))


def words_of(operation: Operation, names: dict[str, str]) -> tuple[str, str, Any]:
    request = good(operation)
    body = OWN_BODIES.get(name(operation), request.body)
    query = OWN_QUERIES.get(name(operation), request.query)
    return operation.method, filled(operation.path, names) + query, body


def that_list(contract: Contract, status: int) -> list[Operation]:
    return [one for one in native(contract) if str(status) in one.responses]


@contextmanager
def begun_again(gateway: Gateway, *options: str) -> Iterator[None]:
    """With these options as well, for as long as the block runs; its sandboxes live on."""
    before = gateway.options
    for given in ([*before, *options], before):
        gateway.kill()
        gateway.options = given
        gateway.start()
        if given is not before:
            yield


def test_a_body_that_does_not_arrive(
    gateway: Gateway, contract: Contract, names: dict[str, str]
) -> None:
    asked = that_list(contract, 408)
    assert len(asked) >= 4
    with begun_again(gateway, "--request-timeout", "1"):
        stop(gateway.pid)  # what is sent is there at once when it goes on
        try:
            waiting = [half_a_request(gateway, one, names) for one in asked]
        finally:
            os.kill(gateway.pid, signal.SIGCONT)
        for operation, connection in zip(asked, waiting, strict=True):
            reply = connection.getresponse()
            assert (reply.status, reply.getheader("content-type")) == (
                408, "application/problem+json"), operation  # fmt: skip
            connection.close()


def half_a_request(
    gateway: Gateway, operation: Operation, names: dict[str, str]
) -> http.client.HTTPConnection:
    connection = gateway.connection(timeout=120)
    connection.putrequest(operation.method, filled(operation.path, names) + good(operation).query)
    for key, value in (gateway.authorization | {"Content-Length": "1000"}).items():
        connection.putheader(key, value)
    connection.endheaders(b"some of it")
    return connection


@contextmanager
def no_descriptor_left(pid: int) -> Iterator[None]:
    """The process can open nothing: all below the limit are in use, for as long as it runs."""
    used = {int(one) for one in os.listdir(f"/proc/{pid}/fd")}
    limit = next(one for one in range(len(used) + 1) if one not in used)
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (min(limit, 4), before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


OPENS = {
    f"POST {BOX}/contexts",
    f"GET {BOX}/snapshots",
    f"POST {BOX}/snapshots",
    f"GET {BOX}/files",
    f"PUT {BOX}/files",
    f"GET {BOX}/files/{{path}}",
    f"PUT {BOX}/files/{{path}}",
    f"POST {BOX}/files/{{path}}",
    f"PATCH {BOX}/files/{{path}}",
    f"DELETE {BOX}/files/{{path}}",
    "GET /v1/backup",
}


def test_no_file_can_be_opened(gateway: Gateway, contract: Contract, names: dict[str, str]) -> None:
    asked = [one for one in native(contract) if name(one) in OPENS]
    assert len(asked) == len(OPENS)
    await_idle(gateway, names["sandboxes"])
    clients = [Asking(gateway, "GET", "/healthz") for _ in asked]  # nobody is let in later
    assert [one.answer().status for one in clients] == [200] * len(asked)
    with no_descriptor_left(gateway.pid):
        for operation, client in zip(asked, clients, strict=True):
            client.send(*words_of(operation, names))
        answers = [one.answer() for one in clients]
    for operation, client, answer in zip(asked, clients, answers, strict=True):
        assert answer.status == 503, (operation, answer)
        assert str(answer.status) in operation.responses and told(answer), operation
        client.close()


PORT = f"{BOX}/ports/{{n}}/{{path}}"
OF_HOSTS = [
    f"PATCH {BOX}",
    f"POST {BOX}/executions/{{execution}}/cancel",
    f"POST {BOX}/restart",
    f"POST {BOX}/snapshots",
    f"POST {BOX}/pause",
    f"POST {BOX}/fork",
    f"POST {BOX}/interrupt",
]
OF_SUPERVISORS = [f"POST {COMMAND}/stdin", f"POST {COMMAND}/signal", f"DELETE {COMMAND}"]
PASSES = [f"{method} {PORT}" for method in ("GET", "POST", "PUT", "PATCH", "DELETE")]
SEEDS = ["PUT /v1/templates/{id}/seed", "DELETE /v1/templates/{id}/seed"]
OF_KEEPERS = [f"GET {BOX}/ports", *PASSES]


@dataclass(frozen=True)
class Waits:
    operation: Operation
    client: Asking

    def gets(self, status: int, words: str = "") -> None:
        answer = self.client.answer()
        self.client.close()
        assert (answer.status, words in told(answer)) == (status, True), (self.operation, answer)
        assert str(status) in self.operation.responses, self.operation


@contextmanager
def with_own_socket(**env: str) -> Iterator[Place]:
    """A gateway to which what is sent is there at once."""
    gateway = Gateway(options=["--pool-max", "0"])
    gateway.unix = str(gateway.home / "socket")
    keeper = FakeKeeper(gateway.home / "keeper")
    gateway.env = keeper.environment | env
    gateway.start()
    try:
        yield gateway, keeper
    finally:
        end(gateway, keeper)


def is_read(gateway: Gateway) -> None:
    """What was sent before has been taken by the gateway: each of these came in behind it."""
    for _ in range(2):
        assert gateway.get("/healthz").status == 200


def hosts(gateway: Gateway) -> set[int]:
    return {*processes.named_below(gateway.pid, "warmcell-kernel")}


def at_rest(gateway: Gateway) -> tuple[dict[str, str], int]:
    """A sandbox and its host, which waits for what it is asked."""
    before = hosts(gateway)
    sandbox = create(gateway)["id"]
    await_idle(gateway, sandbox)  # its driver is another program by now
    (host,) = hosts(gateway) - before
    processes.own(host)
    return {"sandboxes": sandbox, "path": "file", "n": "8000"}, host


def stop(pid: int) -> None:
    os.kill(pid, signal.SIGSTOP)
    stopped = psutil.Process(pid)
    processes.until(lambda: stopped.status() == psutil.STATUS_STOPPED, "it is stopped")


def at_work(gateway: Gateway) -> tuple[dict[str, tuple[dict[str, str], int]], Asking]:
    """For each route a sandbox that is to be asked, and its host; and who waits for what runs."""
    given = {route: at_rest(gateway) for route in OF_HOSTS}
    cancel, _ = given[f"POST {BOX}/executions/{{execution}}/cancel"]
    path = f"/v1/sandboxes/{cancel['sandboxes']}/executions"
    runs = Asking(gateway, "POST", path, {"code": "wait"})
    processes.until(lambda: bool(gateway.get(path).json()["executions"]), "it is known")
    cancel["execution"] = gateway.get(path).json()["executions"][0]["id"]
    return given, runs


def is_asked(host: int) -> None:
    """Of one that is stopped: what it is to do lies before it."""
    processes.until(lambda: asked_of(host), f"an order for the host {host}")


def of(contract: Contract, routes: list[str]) -> list[Operation]:
    found = {name(one): one for one in native(contract)}
    return [found[route] for route in routes]


def test_a_host_that_ends_as_it_is_asked(contract: Contract) -> None:
    with with_own_socket() as (gateway, keeper):
        given, runs = at_work(gateway)
        for pid in keeper.pids():
            processes.own(pid)
        for _, host in given.values():
            stop(host)
        waiting = [
            Waits(one, ask(gateway, one, given[name(one)][0])) for one in of(contract, OF_HOSTS)
        ]
        for _, host in given.values():
            is_asked(host)
            os.kill(host, signal.SIGKILL)
        for one in waiting:
            one.gets(502, "SIGKILL")
        runs.close()


def test_a_gateway_that_ends_meanwhile(contract: Contract) -> None:
    """Who waits for a host, for the supervisor of a command or for the keeper is told."""
    with with_own_socket() as (gateway, keeper):
        names, host = at_rest(gateway)
        given, runs = at_work(gateway)
        for pid in keeper.pids():
            processes.own(pid)
        path = f"/v1/sandboxes/{names['sandboxes']}/commands"
        body = {"argv": ["sleep", "1000"], "background": True}  # the keeper does nothing meanwhile
        names["command"] = gateway.request("POST", path, body).json()["id"]
        (supervisor,) = processes.named_below(gateway.pid, "warmcell-command")
        processes.own(supervisor)
        held = [host, supervisor, *(one for _, one in given.values())]
        for pid in held:
            stop(pid)
        waiting = []
        for operation in of(contract, [*OF_SUPERVISORS, *OF_KEEPERS, *OF_HOSTS]):
            of_it = given[name(operation)][0] if name(operation) in given else names
            waiting.append(Waits(operation, ask(gateway, operation, of_it)))
            is_read(gateway)  # a command is not forgotten before it is spoken to
        os.kill(gateway.pid, signal.SIGTERM)
        for one in waiting:
            one.gets(503)
        runs.close()
        assert gateway.process is not None and gateway.process.wait(60) == 0
        for pid in [*held, *keeper.pids()]:
            processes.kill_tree(pid)


def test_a_command_that_is_waited_for_as_the_gateway_ends(contract: Contract) -> None:
    with with_own_socket() as (gateway, keeper):
        names = {"sandboxes": create(gateway)["id"]}
        for pid in [*keeper.pids(), *processes.named_below(gateway.pid, "warmcell-kernel")]:
            processes.own(pid)
        body = {"argv": ["sleep", "1000"], "background": True}
        path = f"/v1/sandboxes/{names['sandboxes']}/commands"
        names["command"] = gateway.request("POST", path, body).json()["id"]
        (supervisor,) = processes.named_below(gateway.pid, "warmcell-command")
        processes.own(supervisor)
        (operation,) = of(contract, [f"GET {COMMAND}"])
        waiting = Waits(operation, ask(gateway, operation, names))
        is_read(gateway)
        os.kill(gateway.pid, signal.SIGTERM)
        waiting.gets(503)
        assert gateway.process is not None and gateway.process.wait(60) == 0
        gateway.start()
        assert gateway.request("DELETE", f"{path}/{names['command']}").status == 204


def test_programs_that_cannot_be_started(tmp_path: Path, contract: Contract) -> None:
    """The host of a context, and the supervisor of a command."""
    program = tmp_path / "command"
    program.touch(0o755)
    with with_own_socket(WARMCELL_COMMAND=str(program)) as (gateway, keeper):
        names = {"sandboxes": create(gateway)["id"]}
        for pid in keeper.pids():
            processes.own(pid)
        await_idle(gateway, names["sandboxes"])  # nobody reads the host's program any more
        for one in (keeper.folder / "host", program):
            one.write_text("no program")
        asked = ["POST /v1/sandboxes", f"POST {BOX}/contexts", f"POST {BOX}/commands"]
        for operation in of(contract, asked):
            Waits(operation, ask(gateway, operation, names)).gets(502, "could not be started")


def test_a_sandbox_without_ports(place: Place, contract: Contract, names: dict[str, str]) -> None:
    gateway, keeper = place
    for kind in ("CONNECT", "PORTS"):
        keeper.order(f"refuse-{kind}", '{"status": 501, "message": "no network of its own"}')
    for operation in of(contract, [f"GET {BOX}/ports", *PASSES]):
        Waits(operation, ask(gateway, operation, names)).gets(501, "no network of its own")
    for kind in ("CONNECT", "PORTS"):
        keeper.forget(f"refuse-{kind}")


def test_a_server_that_never_replies(
    gateway: Gateway, contract: Contract, names: dict[str, str]
) -> None:
    def answer(request: Request) -> None:
        while request.connection.recv(4096):
            pass

    with begun_again(gateway, "--port-timeout", "1"), serving(answer) as inside:
        there = names | {"n": str(inside.port)}
        waiting = [Waits(one, ask(gateway, one, there)) for one in of(contract, PASSES)]
        for one in waiting:
            one.gets(504, "did not reply within 1 s")


@contextmanager
def store_held(fifo: Path) -> Iterator[Callable[[], None]]:
    """What is called waits until the database is being written, where it stays for the block."""
    os.mkfifo(fifo)
    held = -1

    def is_held() -> None:
        nonlocal held
        held = os.open(fifo, os.O_WRONLY)

    try:
        yield is_held
    finally:
        fifo.unlink()
        os.close(held)


def test_what_is_being_changed(tmp_path: Path, contract: Contract) -> None:
    """A token that is minted with a key, and a template, while the first change is written."""
    library = programs().build / "tests" / "gateway" / "hold.so"
    fifo = tmp_path / "held"
    with with_own_socket(LD_PRELOAD=str(library), HOLD_STORE=str(fifo)) as (gateway, _):
        template = gateway.request("POST", "/v1/templates", {"name": "mine"}).json()["id"]
        once = {"Idempotency-Key": "k"}
        path = f"/v1/templates/{template}"
        with store_held(fifo) as is_held:
            first = [
                Asking(gateway, "POST", "/v1/tokens", {}, once),
                Asking(gateway, "PATCH", path, {"description": "x"}),
            ]
            is_held()
            is_read(gateway)
            again = Asking(gateway, "POST", "/v1/tokens", {}, once)
            Waits(of(contract, ["POST /v1/tokens"])[0], again).gets(409, "is being minted with it")
            for operation in of(contract, ["DELETE /v1/templates/{id}", *SEEDS]):
                waits = Waits(operation, ask(gateway, operation, {"templates": template}))
                waits.gets(409, "is being changed already")
        assert [one.answer().status for one in first] == [201, 200]
        for one in first:
            one.close()
        assert gateway.get(path).json()["description"] == "x"


def test_no_session_is_told_before_it_is_written(tmp_path: Path) -> None:
    library = programs().build / "tests" / "gateway" / "hold.so"
    fifo = tmp_path / "held"

    def paths() -> set[str]:
        return {session["path"] for session in gateway.get("/api/sessions").json()}

    with with_own_socket(LD_PRELOAD=str(library), HOLD_STORE=str(fifo)) as (gateway, _):
        body = {"path": "a", "type": "notebook", "kernel": {"id": context_of(create(gateway))}}
        session = gateway.request("POST", "/api/sessions", body).json()["id"]
        with store_held(fifo) as is_held:
            asked = [
                Asking(gateway, "POST", "/api/sessions", body | {"path": "b"}),
                Asking(gateway, "PATCH", f"/api/sessions/{session}", {"path": "c"}),
            ]
            is_held()
            processes.until(lambda: paths() == {"b", "c"}, "both are made")
            asked.append(Asking(gateway, "POST", "/api/sessions", body | {"path": "b"}))
            is_read(gateway)
            gateway.kill()
        for one in asked:
            with pytest.raises(ConnectionError):
                one.answer()
            one.close()
        gateway.start()
        assert paths() == {"a"}
        again = gateway.request("POST", "/api/sessions", body)
        assert (again.status, again.json()["id"]) == (201, session)


def test_a_disk_that_is_full_as_a_body_comes(tmp_path: Path, contract: Contract) -> None:
    """The gateway says so, and lives."""
    library = programs().build / "tests" / "gateway" / "hold.so"
    full = tmp_path / "full"
    with with_own_socket(LD_PRELOAD=str(library), NO_SPACE=str(full)) as (gateway, _):
        names = {"sandboxes": create(gateway)["id"], "path": "file"}
        (operation,) = of(contract, [f"PUT {BOX}/files/{{path}}"])
        path, body = filled(operation.path, names), bytes(1 << 20)
        full.touch()
        for _ in range(3):
            Waits(operation, Asking(gateway, "PUT", path, body)).gets(507, "no space is left")
        full.unlink()
        assert gateway.request("PUT", path, body).status == 201
        assert gateway.get(path).body == body


def test_more_executions_than_may_wait(place: Place, contract: Contract) -> None:
    gateway, _ = place
    sandbox = create(gateway)
    path = f"/v1/sandboxes/{sandbox['id']}/executions"
    (operation,) = of(contract, [f"POST {BOX}/executions"])
    for body, most in (
        ({"code": "wait", "detach": True}, 1000),
        ({"code": f"wait {'x' * (7 << 20)}", "detach": True}, 9),
    ):
        made = gateway.request("POST", f"/v1/sandboxes/{sandbox['id']}/contexts", {})
        asked = body | {"context": made.json()["id"]}
        for _ in range(most):
            answer = gateway.request("POST", path, asked)
            assert answer.status == 202, answer
        refused = Asking(gateway, "POST", path, asked)
        Waits(operation, refused).gets(429, f"has {most} executions open, the most allowed")
    assert gateway.request("DELETE", f"/v1/sandboxes/{sandbox['id']}").status == 204

"""What routes of the native API tell when what is around them fails: a body that does not arrive,
no descriptor left. The routes are those of /openapi.json."""

from __future__ import annotations

import http.client
import json
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from gateway.good_requests import BOX, filled, good
from gateway.test_sandboxes import Place, context_of, create, end, start
from support import processes
from support.contract import Contract, Operation
from support.gateway import Answer, Gateway
from support.route_list import name, native


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
    return {"sandboxes": box["id"], "path": "file", "templates": template,
            "context": context_of(box)}  # fmt: skip


def await_idle(gateway: Gateway, sandbox: str) -> None:
    path = f"/v1/sandboxes/{sandbox}"
    processes.until(lambda: gateway.get(path).json()["contexts"][0]["state"] == "idle", "idle")


def told(answer: Answer) -> str:
    assert answer.headers["content-type"] == "application/problem+json", answer
    return str(answer.json()["detail"])


class Asking:
    """A request on a connection of its own, whose answer is read later."""

    def __init__(self, gateway: Gateway, method: str, path: str, body: Any = None) -> None:
        self.connection = gateway.connection(timeout=120)
        self.head = gateway.authorization
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


def words_of(operation: Operation, names: dict[str, str]) -> tuple[str, str, Any]:
    request = good(operation)
    return operation.method, filled(operation.path, names) + request.query, request.body


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
        waiting = [half_a_request(gateway, one, names) for one in asked]
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

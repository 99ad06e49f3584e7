"""Every route of the native API: who is let in, what is foreign or not there, and what a paused
sandbox takes. The routes are those of /openapi.json, so that a new one is among them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from gateway.good_requests import BOX, OPEN, UPGRADE, empty_tar, filled, good, native
from gateway.test_sandboxes import NOBODY, Place, context_of, create, end, start
from gateway.test_tokens import mint
from support import processes
from support.contract import Contract, Operation
from support.gateway import Answer, Gateway

FOR_ADMINS = {"GET /metrics", "GET /v1/backup", "POST /v1/gc"}
OTHER_NOUNS = {"sandboxes": NOBODY, "artifacts": NOBODY, "templates": NOBODY, "tokens": NOBODY}
# what a paused sandbox answers, and how; the rest is 409
AT_REST = {
    f"GET {BOX}": 200,
    f"PATCH {BOX}": 200,
    f"POST {BOX}/pause": 200,
    f"GET {BOX}/metrics": 200,
    f"GET {BOX}/contexts": 200,
    f"GET {BOX}/contexts/{{context}}": 200,
    f"GET {BOX}/snapshots": 200,
    f"GET {BOX}/executions": 200,
    f"GET {BOX}/executions/{{execution}}": 200,
    f"POST {BOX}/executions/{{execution}}/cancel": 200,
    f"GET {BOX}/artifacts": 200,
    f"GET {BOX}/artifacts.tar": 200,
    f"GET {BOX}/executions/{{execution}}/artifacts": 200,
    f"GET {BOX}/executions/{{execution}}/artifacts.tar": 200,
    f"GET {BOX}/executions/{{execution}}/changes": 200,
    f"GET {BOX}/commands": 200,
    f"GET {BOX}/commands/{{command}}": 200,
    f"GET {BOX}/commands/{{command}}/events": 200,
    f"GET {BOX}/commands/{{command}}/output": 200,
    f"GET {BOX}/commands/{{command}}/artifacts": 200,
    f"GET {BOX}/commands/{{command}}/artifacts.tar": 200,
    f"GET {BOX}/commands/{{command}}/changes": 200,
    f"DELETE {BOX}/commands/{{command}}": 204,
}
END_THE_PAUSE = {f"DELETE {BOX}", f"POST {BOX}/resume", f"POST {BOX}/fork"}


def ask(gateway: Gateway, operation: Operation, names: dict[str, str], **options: Any) -> Answer:
    request = good(operation)
    path = filled(operation.path, names) + request.query
    headers = UPGRADE if "x-websocket" in operation.described else None
    return gateway.request(operation.method, path, request.body, headers, **options)


def told(answer: Answer) -> str:
    assert answer.headers["content-type"] == "application/problem+json", answer
    return str(answer.json()["detail"])


def name(operation: Operation) -> str:
    return f"{operation.method} {operation.path}"


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    gateway, keeper = start("--pool-max", "0", "--share-templates")
    yield gateway, keeper
    end(gateway, keeper)


@pytest.fixture(scope="module")
def contract(gateway: Gateway) -> Contract:
    return Contract(gateway)


@pytest.fixture(scope="module")
def names(place: Place) -> dict[str, str]:
    """Of one thing of each kind that the owner has."""
    gateway, keeper = place
    model = create(gateway, {"name": "of-the-owner"})
    for pid in keeper.pids():
        processes.own(pid)
    box = f"/v1/sandboxes/{model['id']}"
    code = 'publish display_data {"data": {"text/html": "<b>x</b>"}, "metadata": {}}'
    execution = gateway.request("POST", f"{box}/executions", {"code": code}).json()["id"]
    assert gateway.request("PUT", f"{box}/files/file", b"text").status == 201
    listed = gateway.get(f"{box}/executions/{execution}/artifacts?settled=1&kind=display")
    (artifact,) = listed.json()["artifacts"]
    command = gateway.request("POST", f"{box}/commands", {"argv": ["true"]}).json()["id"]
    template = gateway.request("POST", "/v1/templates", {"name": "of-the-owner"}).json()["id"]
    assert gateway.request("PUT", f"/v1/templates/{template}/seed", empty_tar()).status == 200
    return {
        "sandboxes": model["id"], "context": context_of(model), "execution": execution,
        "command": command, "artifacts": artifact["id"], "templates": template,
        "tokens": mint(gateway, name="of-the-owner")[0]["id"], "path": "file", "n": "8000",
        "package": "numpy",
    }  # fmt: skip


def test_nobody_is_let_in_without_a_token(
    gateway: Gateway, contract: Contract, names: dict[str, str]
) -> None:
    for operation in native(contract):
        answer = ask(gateway, operation, names, auth=False)
        assert answer.status == (200 if operation.path in OPEN else 401), operation
        assert answer.status == 200 or told(answer), operation


def test_a_token_opens_what_it_has_the_scope_for(
    gateway: Gateway, contract: Contract, names: dict[str, str]
) -> None:
    """One that may do everything else, of an administrator."""
    for operation in native(contract):
        if operation.path in OPEN:
            continue
        _, without = mint(gateway, role="admin", scopes=OTHERS[scope(operation)])
        answer = ask(without, operation, names)
        assert (answer.status, scope(operation) in told(answer)) == (403, True), operation


OTHERS = {
    "read": ["write", "tokens", "metrics"],
    "write": ["read", "tokens", "metrics"],
    "tokens": ["read", "write", "metrics"],
    "metrics": ["read", "write", "tokens"],
}


def scope(operation: Operation) -> str:
    """The one that the route asks for."""
    if operation.path.startswith("/v1/tokens"):
        return "tokens"
    if operation.path == "/metrics":
        return "metrics"
    writes = operation.method != "GET" or operation.path in ("/v1/stream", "/v1/backup")
    return "write" if writes else "read"


def test_what_is_foreign_is_as_what_is_not_there(
    gateway: Gateway, contract: Contract, names: dict[str, str]
) -> None:
    """404 in the same words, and nothing of it has changed."""
    _, ada = mint(gateway, principal="ada", scopes=["read", "write", "tokens"])
    before = [gateway.get(filled(one, names)) for one in ("/v1/templates/{id}", f"{BOX}/files")]
    for operation in native(contract):
        if "{id}" not in operation.path:
            continue
        foreign = ask(ada, operation, names)
        unknown = ask(ada, operation, names | OTHER_NOUNS)
        assert foreign.status == unknown.status == 404, (operation, foreign, unknown)
        noun = operation.path.split("/")[2]
        assert told(foreign).replace(names[noun], NOBODY) == told(unknown), operation
    after = [gateway.get(filled(one, names)) for one in ("/v1/templates/{id}", f"{BOX}/files")]
    assert [one.body for one in before] == [one.body for one in after]
    assert gateway.get(f"/v1/sandboxes/{names['sandboxes']}").json()["state"] == "running"
    assert gateway.get(f"/v1/artifacts/{names['artifacts']}").status == 200
    assert names["tokens"] in gateway.get("/v1/tokens").body.decode()


def test_what_is_not_in_a_sandbox_is_not_there(
    gateway: Gateway, contract: Contract, names: dict[str, str]
) -> None:
    """Of the owner's own sandbox a context, an execution, a command or a file that is not there."""
    nothing = names | dict.fromkeys(("context", "execution", "command", "path"), NOBODY)
    for operation in native(contract):
        last = [one for one in ("context", "execution", "command", "path") if f"{{{one}}}" in
                operation.path]  # fmt: skip
        makes = operation.method in ("PUT", "POST") and last == ["path"]
        if last and not makes and "/ports/" not in operation.path:
            answer = ask(gateway, operation, nothing)
            assert (answer.status, told(answer) != "") == (404, True), (operation, answer)


def test_administrators_alone(gateway: Gateway, contract: Contract, names: dict[str, str]) -> None:
    _, ada = mint(gateway, principal="ada", scopes=["read", "write", "tokens"])
    for operation in native(contract):
        if name(operation) in FOR_ADMINS:
            answer = ask(ada, operation, names)
            assert (answer.status, told(answer) != "") == (403, True), operation


def test_a_paused_sandbox_is_not_at_work(
    gateway: Gateway, contract: Contract, names: dict[str, str]
) -> None:
    model = create(gateway)
    box = f"/v1/sandboxes/{model['id']}"
    execution = gateway.request("POST", f"{box}/executions", {"code": "print x"}).json()["id"]
    command = gateway.request("POST", f"{box}/commands", {"argv": ["true"]}).json()["id"]
    own = names | {"sandboxes": model["id"], "context": context_of(model), "execution": execution,
                   "command": command}  # fmt: skip
    assert gateway.request("POST", f"{box}/pause", {}).status == 200
    asked = [
        one
        for one in native(contract)
        if one.path.startswith(BOX) and name(one) not in END_THE_PAUSE
    ]
    seen = {
        name(one): ask(gateway, one, own).status
        for one in sorted(asked, key=lambda one: one.method == "DELETE")
    }
    assert seen == {name(one): AT_REST.get(name(one), 409) for one in asked}
    for one in asked:
        assert str(seen[name(one)]) in one.responses, one
    assert gateway.request("DELETE", box).status == 204

"""Every route of the native API: who is let in, what is foreign or not there, what a paused sandbox
takes, and what is told while the database cannot be used. The routes are those of /openapi.json, so
that a new one is among them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import pytest
from gateway.good_requests import BOX, OPEN, UPGRADE, empty_tar, filled, good
from gateway.test_sandboxes import NOBODY, Place, context_of, create, end, start
from gateway.test_tokens import mint
from support import ports, processes
from support.contract import Contract, Operation
from support.gateway import Answer, Gateway
from support.inside import serving, text
from support.route_list import OF_PROGRAMS, name, native

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
# what asks the database before it answers
STORED = {
    f"GET {BOX}/executions",
    f"POST {BOX}/executions",
    f"GET {BOX}/executions/{{execution}}",
    f"GET {BOX}/executions/{{execution}}/events",
    f"GET {BOX}/executions/{{execution}}/output",
    f"POST {BOX}/executions/{{execution}}/cancel",
    f"POST {BOX}/executions/{{execution}}/input",
    f"GET {BOX}/artifacts",
    f"GET {BOX}/artifacts.tar",
    f"GET {BOX}/executions/{{execution}}/artifacts",
    f"GET {BOX}/executions/{{execution}}/artifacts.tar",
    f"GET {BOX}/executions/{{execution}}/changes",
    f"GET {BOX}/commands/{{command}}/artifacts",
    f"GET {BOX}/commands/{{command}}/artifacts.tar",
    f"GET {BOX}/commands/{{command}}/changes",
    "GET /v1/artifacts",
    "GET /v1/artifacts/{id}",
    "DELETE /v1/artifacts/{id}",
    "GET /v1/artifacts/{id}/content",
    "POST /v1/tokens",
    "DELETE /v1/tokens/{id}",
    "POST /v1/templates",
    "PUT /v1/templates/{id}",
    "PATCH /v1/templates/{id}",
    "DELETE /v1/templates/{id}",
    "PUT /v1/templates/{id}/seed",
    "DELETE /v1/templates/{id}/seed",
    "POST /v1/gc",
}
END_THE_PAUSE = {f"DELETE {BOX}", f"POST {BOX}/resume", f"POST {BOX}/fork"}


def ask(gateway: Gateway, operation: Operation, names: dict[str, str], **options: Any) -> Answer:
    request = good(operation)
    path = filled(operation.path, names) + request.query
    if "x-websocket" in operation.described:
        options["headers"] = UPGRADE
    return gateway.request(operation.method, path, request.body, **options)


def told(answer: Answer) -> str:
    assert answer.headers["content-type"] == "application/problem+json", answer
    return str(answer.json()["detail"])


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


def own(
    gateway: Gateway, operation: Operation, names: dict[str, str], number: int
) -> dict[str, str]:
    """Changes of one template or token do not meet those of another."""
    if operation.path == "/v1/tokens/{id}":
        return names | {"tokens": mint(gateway)[0]["id"]}
    if "/templates/" not in operation.path:
        return names
    made = gateway.request("POST", "/v1/templates", {"name": f"of-{number}"}).json()["id"]
    assert gateway.request("PUT", f"/v1/templates/{made}/seed", empty_tar()).status == 200
    return names | {"templates": made}


def test_a_database_that_cannot_be_used(
    gateway: Gateway, contract: Contract, names: dict[str, str]
) -> None:
    """503, and nothing of what was to be changed has changed; afterwards it goes on."""
    asked = [one for one in native(contract) if name(one) in STORED]
    assert len(asked) == len(STORED)
    given = [own(gateway, one, names, number) for number, one in enumerate(asked)]
    kept = gateway.get("/v1/templates").body
    path = gateway.state / "warmcell.db"
    with closing(sqlite3.connect(path, isolation_level=None, timeout=60)) as other:
        other.execute("BEGIN IMMEDIATE")  # as long as another one writes, nobody else does
        with ThreadPoolExecutor(len(asked)) as pool:  # at once: each waits for the lock
            answers = list(
                pool.map(
                    lambda one: ask(gateway, *one, timeout=120), zip(asked, given, strict=True)
                )
            )
        other.execute("ROLLBACK")
    for operation, answer in zip(asked, answers, strict=True):
        assert (answer.status, "database" in told(answer)) == (503, True), (operation, answer)
        assert answer.headers["retry-after"] == "1"
        assert "503" in operation.responses, operation
    assert gateway.get("/v1/templates").body == kept
    assert gateway.get(f"/v1/artifacts/{names['artifacts']}").status == 200


def test_the_same_twice(gateway: Gateway, contract: Contract, names: dict[str, str]) -> None:
    """What is deleted is not there, to be deleted; what is put is there, as it was put."""
    model = create(gateway)
    box = f"/v1/sandboxes/{model['id']}"
    shown = {"code": 'publish display_data {"data": {"text/html": "<i>"}, "metadata": {}}'}
    execution = gateway.request("POST", f"{box}/executions", shown).json()["id"]
    listed = gateway.get(f"{box}/executions/{execution}/artifacts?settled=1&kind=display")
    context = gateway.request("POST", f"{box}/contexts", {}).json()["id"]
    command = gateway.request("POST", f"{box}/commands", {"argv": ["true"]}).json()["id"]
    template = gateway.request("POST", "/v1/templates", {"name": "of-the-twice"}).json()["id"]
    own = names | {
        "sandboxes": model["id"], "context": context, "command": command, "templates": template,
        "artifacts": listed.json()["artifacts"][0]["id"], "tokens": mint(gateway)[0]["id"],
    }  # fmt: skip
    asked = [one for one in native(contract) if one.method in ("PUT", "DELETE") and
             not OF_PROGRAMS & {*one.path.split("/")}]  # fmt: skip
    # what is put first, and what is in something before that
    for operation in sorted(asked, key=lambda one: (one.method == "DELETE", -one.path.count("/"))):
        first, again = (ask(gateway, operation, own) for _ in range(2))
        assert first.status in (200, 201, 204), (operation, first)
        expected = (404,) if operation.method == "DELETE" else (200, 204)
        assert again.status in expected, (operation, again)


def test_ranges_that_are_not_there(gateway: Gateway, names: dict[str, str]) -> None:
    for path in ("/v1/artifacts/{id}/content", "/v1/templates/{id}/seed", f"{BOX}/files/{{path}}"):
        url = filled(path, names)
        some = gateway.get(url, headers={"Range": "bytes=1-2"})
        assert (some.status, some.body) == (206, gateway.get(url).body[1:3]), path
        assert gateway.get(url, headers={"Range": "bytes=999999-"}).status == 416, path


def test_a_name_that_is_taken(gateway: Gateway, names: dict[str, str]) -> None:
    made = gateway.request("POST", "/v1/templates", {"name": "of-another"}).json()["id"]
    taken = {"name": "of-the-owner"}
    for method in ("PUT", "PATCH"):
        answer = gateway.request(method, f"/v1/templates/{made}", taken)
        assert (answer.status, told(answer).startswith("name: ")) == (409, True), method
    assert gateway.request("DELETE", f"/v1/templates/{made}").status == 204


def test_all_methods_reach_a_server(
    gateway: Gateway, contract: Contract, names: dict[str, str]
) -> None:
    passed = [one for one in native(contract) if "/ports/{n}" in one.path]
    with serving(text(b"said")) as inside:
        for operation in passed:
            answer = ask(gateway, operation, names | {"n": str(inside.port)})
            assert (answer.status, answer.body) == (200, b"said"), operation
            assert inside.next().first == f"{operation.method} /file HTTP/1.1"
    with closing(ports.reserve("127.0.0.1")) as nobody:
        for operation in passed:
            there = names | {"n": str(ports.number(nobody))}
            answer = ask(gateway, operation, there)
            assert (answer.status, told(answer) != "") == (502, True), operation
            shown = ask(gateway, operation, there, headers={"Sec-Fetch-Mode": "navigate"})
            assert shown.status == 302, (operation, shown)

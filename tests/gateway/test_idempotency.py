"""Idempotency-Key on contexts, tokens and snapshots, the pages of what is below a sandbox, and
orders to all of its contexts."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from gateway.test_sandbox_names import keyed, refused
from gateway.test_sandboxes import NOBODY, context_of, create, remove
from gateway.test_tokens import mint
from support.gateway import Gateway

GATEWAY = ("--share-templates",)


@pytest.fixture
def made(gateway: Gateway) -> Iterator[dict[str, Any]]:
    model = create(gateway)
    with closing(gateway.client(context_of(model))):
        pass  # it is idle
    yield model
    remove(gateway, model)


def test_a_key_makes_one_context(gateway: Gateway, made: dict[str, Any]) -> None:
    path = f"/v1/sandboxes/{made['id']}/contexts"
    first = keyed(gateway, path, "k", {"name": "one"})
    assert first.status == 201
    again = keyed(gateway, path, "k", {"name": "one"})
    assert (again.status, again.json()["id"]) == (201, first.json()["id"])
    refused(keyed(gateway, path, "k", {"name": "two"}), 422, first.json()["id"])
    refused(keyed(gateway, path, "", {"name": "two"}), 400, "Idempotency-Key")
    gateway.kill()
    gateway.start()
    assert keyed(gateway, path, "k", {"name": "one"}).json()["id"] == first.json()["id"]
    assert len(gateway.get(path).json()["contexts"]) == 2


def sha256(body: Any) -> str:
    return hashlib.sha256(json.dumps(body).encode()).hexdigest()


def kept(gateway: Gateway) -> list[dict[str, Any]]:
    """What the database says of keys."""
    with closing(sqlite3.connect(gateway.state / "warmcell.db")) as db:
        rows = db.execute("SELECT once FROM templates UNION ALL SELECT once FROM tokens")
        return [json.loads(once) for (once,) in rows if once]


def test_nothing_of_a_body_can_be_tried_out(gateway: Gateway) -> None:
    """A short secret would be found by its plain digest; one that was kept so is replaced."""
    template = {"name": "guessed", "env": {"PIN": "1234"}}
    first = keyed(gateway, "/v1/templates", "pin", template)
    token = keyed(gateway, "/v1/tokens", "pin", {"principal": "ada"})
    mine = [one for one in kept(gateway) if one["key"] == "pin"]
    assert [sorted(one) for one in mine] == [["by", "hmac", "key"]] * 2
    plain = sha256(template)
    assert plain not in json.dumps(mine)
    gateway.kill()
    with closing(sqlite3.connect(gateway.state / "warmcell.db")) as db:
        old = json.dumps({"key": "pin", "by": "owner", "sha256": plain})
        db.execute("UPDATE templates SET once = ? WHERE name = 'guessed'", [old])
        db.commit()
    gateway.start()
    assert plain not in json.dumps(kept(gateway))
    again = keyed(gateway, "/v1/templates", "pin", template)
    assert (again.status, again.json()["id"]) == (201, first.json()["id"])
    refused(keyed(gateway, "/v1/templates", "pin", template | {"env": {}}), 422, "another body")
    for answer in (first, token):
        assert gateway.request("DELETE", answer.headers["location"]).status == 204


def test_nothing_of_what_runs_can_be_tried_out(gateway: Gateway, made: dict[str, Any]) -> None:
    """Nor of the body of an execution or a command; what was kept plainly still meets."""
    body = {"code": "out x", "env": {"PIN": "1234"}}
    path, plain = f"/v1/sandboxes/{made['id']}/executions", sha256(body)
    first = keyed(gateway, path, "pin", body)
    gateway.kill()
    with closing(sqlite3.connect(gateway.state / "warmcell.db")) as db:
        (told,) = db.execute("SELECT body_sha256 FROM executions WHERE idempotency_key = 'pin'")
        assert len(told[0]) == 64 and told[0] != plain
    gateway.start()
    for _ in range(2):
        assert keyed(gateway, path, "pin", body).json()["id"] == first.json()["id"]
        refused(keyed(gateway, path, "pin", body | {"env": {}}), 422, "another body")
        gateway.kill()
        with closing(sqlite3.connect(gateway.state / "warmcell.db")) as db:
            db.execute("UPDATE executions SET body_sha256 = ?", [plain])
            db.commit()
        gateway.start()
    path = f"/v1/sandboxes/{made['id']}/commands"
    command = {"argv": ["true"], "background": True, "env": {"PIN": "1234"}}
    answer = keyed(gateway, path, "pin", command)
    assert answer.status == 202, answer
    assert keyed(gateway, path, "pin", command).json()["id"] == answer.json()["id"]
    refused(keyed(gateway, path, "pin", command | {"env": {}}), 422, "another body")
    record = next((gateway.state / "sandboxes" / made["id"] / "commands").glob("*/command.json"))
    assert len(json.loads(record.read_text())["body_sha256"]) == 64
    assert sha256(command) not in record.read_text()


def test_a_key_mints_one_token(gateway: Gateway) -> None:
    body = {"principal": "ada", "scopes": ["read", "write", "tokens"]}
    first = keyed(gateway, "/v1/tokens", "k", body)
    again = keyed(gateway, "/v1/tokens", "k", body)
    assert (first.status, again.status) == (201, 201)
    assert (again.json()["id"], again.json()["token"]) == (first.json()["id"], None)
    refused(keyed(gateway, "/v1/tokens", "k", {}), 422, first.json()["id"])
    _, ada = mint(gateway, principal="ada", scopes=["tokens", "write", "read"])
    theirs = keyed(ada, "/v1/tokens", "k", body).json()
    assert theirs["id"] != first.json()["id"] and theirs["token"]
    gateway.kill()
    gateway.start()
    assert keyed(gateway, "/v1/tokens", "k", body).json()["id"] == first.json()["id"]
    assert gateway.request("DELETE", f"/v1/tokens/{first.json()['id']}").status == 204
    assert keyed(gateway, "/v1/tokens", "k", body).json()["token"]


def test_a_key_makes_one_snapshot(gateway: Gateway, made: dict[str, Any]) -> None:
    path = f"/v1/sandboxes/{made['id']}/snapshots"
    body = {"force": True}
    first = keyed(gateway, path, "k", body)
    assert first.status == 201, first
    again = keyed(gateway, path, "k", body)
    assert (again.status, again.json()) == (201, first.json())
    refused(keyed(gateway, path, "k", {"force": False}), 422, first.json()["id"])
    refused(keyed(gateway, path, "k" * 256, body), 400, "Idempotency-Key")
    other = keyed(gateway, path, "l", body).json()
    assert [one["id"] for one in gateway.get(path).json()["snapshots"]] == [
        first.json()["id"],
        other["id"],
    ]


def paged(gateway: Gateway, path: str, member: str) -> tuple[list[str], list[str]]:
    """The ids of the whole list, and those of its pages of one, one behind the other."""
    found, after = [], ""
    while after is not None:
        page = gateway.get(f"{path}?limit=1{after}").json()
        (one,) = page[member]
        found.append(one["id"])
        after = page["next"] and f"&after={page['next']}"
    return [one["id"] for one in gateway.get(path).json()[member]], found


def test_lists_have_pages(gateway: Gateway, made: dict[str, Any]) -> None:
    path = f"/v1/sandboxes/{made['id']}"
    for _ in range(2):
        assert gateway.request("POST", f"{path}/contexts").status == 201
        assert gateway.request("POST", f"{path}/snapshots", {"force": True}).status == 201
        mint(gateway)
    for what, least in (("contexts", 3), ("snapshots", 2)):
        whole, pages = paged(gateway, f"{path}/{what}", what)
        assert whole == pages and len(pages) >= least
        refused(gateway.get(f"{path}/{what}?after=x"), 400, "after")
        refused(gateway.get(f"{path}/{what}?limit=0"), 400, "limit")
    whole, pages = paged(gateway, "/v1/tokens", "tokens")
    assert whole == pages and len(pages) >= 2
    refused(gateway.get("/v1/tokens?after=x"), 400, "after")


def test_a_restart_begins_all_contexts_anew(gateway: Gateway, made: dict[str, Any]) -> None:
    path = f"/v1/sandboxes/{made['id']}"
    second = gateway.request("POST", f"{path}/contexts").json()["id"]
    contexts = [context_of(made), second]
    pids = []
    for context in contexts:
        with closing(gateway.client(context)) as client:
            pids.append(client.run("pid").stdout)
    answer = gateway.request("POST", f"{path}/restart")
    assert (answer.status, answer.json()["id"]) == (200, made["id"])
    assert [one["id"] for one in answer.json()["contexts"]] == contexts
    for context, before in zip(contexts, pids, strict=True):
        with closing(gateway.client(context)) as client:
            assert client.run("pid").stdout != before


def test_an_interrupt_reaches_all_contexts(gateway: Gateway, made: dict[str, Any]) -> None:
    path = f"/v1/sandboxes/{made['id']}"
    second = gateway.request("POST", f"{path}/contexts").json()["id"]
    clients = [gateway.client(one) for one in (context_of(made), second)]
    asked = [one.execute("print running\nwait") for one in clients]
    for client, run in zip(clients, asked, strict=True):
        client.await_output(run, "running")
    assert gateway.request("POST", f"{path}/interrupt").status == 200
    for client, run in zip(clients, asked, strict=True):
        assert client.collect(run).content["ename"] == "KeyboardInterrupt"
        client.close()


@pytest.mark.parametrize("order", ["restart", "interrupt"])
def test_orders_that_are_refused(gateway: Gateway, made: dict[str, Any], order: str) -> None:
    refused(gateway.request("POST", f"/v1/sandboxes/{NOBODY}/{order}"), 404, NOBODY)
    _, ada = mint(gateway, principal="ada")
    refused(ada.request("POST", f"/v1/sandboxes/{made['id']}/{order}"), 404, made["id"])
    assert (
        gateway.request("POST", f"/v1/sandboxes/{made['id']}/pause", {"force": True}).status == 200
    )
    refused(gateway.request("POST", f"/v1/sandboxes/{made['id']}/{order}"), 409, "resume")

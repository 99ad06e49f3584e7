"""Names, labels, lists and live changes of sandboxes, and the keys that they are made with."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from gateway.test_sandboxes import Place, context_of, create, remove
from gateway.test_tokens import mint
from support.gateway import Answer, Gateway

GATEWAY = ("--share-templates",)


@pytest.fixture
def gateway(place: Place) -> Iterator[Gateway]:
    yield place[0]
    for model in place[0].get("/v1/sandboxes").json()["sandboxes"]:
        remove(place[0], model)


def change(gateway: Gateway, model: dict[str, Any], body: Any) -> Answer:
    return gateway.request("PATCH", f"/v1/sandboxes/{model['id']}", body)


def refused(answer: Answer, status: int, text: str) -> None:
    assert answer.status == status, answer
    assert text in answer.json()["detail"], answer


def ids(gateway: Gateway, query: str = "") -> list[str]:
    return [one["id"] for one in gateway.get(f"/v1/sandboxes{query}").json()["sandboxes"]]


def test_a_name_is_as_good_as_the_id(gateway: Gateway) -> None:
    made = create(gateway, {"name": "blue-1", "labels": {"team": "blue"}})
    assert (made["name"], made["labels"]) == ("blue-1", {"team": "blue"})
    assert gateway.get("/v1/sandboxes/blue-1").json()["id"] == made["id"]
    assert gateway.get("/v1/sandboxes/blue-1/contexts").json()["contexts"] == made["contexts"]
    ran = gateway.request("POST", "/v1/sandboxes/blue-1/executions", {"code": "print hello"})
    assert ran.json()["outputs"]["stdout"] == "hello\n"
    refused(gateway.request("POST", "/v1/sandboxes", {"name": "blue-1"}), 409, "blue-1")
    _, ada = mint(gateway, principal="ada")
    refused(ada.get("/v1/sandboxes/blue-1"), 404, "blue-1")
    theirs = create(ada, {"name": "blue-1"})  # names are each principal's own
    assert ada.get("/v1/sandboxes/blue-1").json()["id"] == theirs["id"] != made["id"]
    assert gateway.request("DELETE", "/v1/sandboxes/blue-1").status == 204
    create(gateway, {"name": "blue-1"})  # it is free again


BAD: list[tuple[dict[str, Any], str]] = [
    ({"name": ""}, "name"),
    ({"name": "-a"}, "name"),
    ({"name": "a b"}, "name"),
    ({"name": "a" * 65}, "name"),
    ({"name": "00000000-0000-0000-0000-000000000000"}, "look like an id"),
    ({"name": 1}, "name: must be a string"),
    ({"labels": []}, "labels"),
    ({"labels": {"a": 1}}, "labels: a: must be a string"),
    ({"labels": {"a b": "c"}}, "labels: a name"),
    ({"labels": {"": "c"}}, "labels: a name"),
    ({"labels": {"a": "c" * 257}}, "256 bytes"),
    ({"labels": {"a": "\n"}}, "control"),
    ({"labels": {f"a{i}": "" for i in range(33)}}, "at most 32"),
]


@pytest.mark.parametrize("case", BAD, ids=lambda case: json.dumps(case[0])[:30])
def test_what_is_refused(place: Place, case: tuple[dict[str, Any], str]) -> None:
    refused(place[0].request("POST", "/v1/sandboxes", case[0]), 400, case[1])
    made = create(place[0], {"name": "kept", "labels": {"kept": "1"}})
    refused(change(place[0], made, case[0]), 400, case[1])
    shown = place[0].get("/v1/sandboxes/kept").json()
    assert shown["labels"] == {"kept": "1"}
    remove(place[0], made)


def test_the_list_is_filtered(gateway: Gateway) -> None:
    blue = create(gateway, {"name": "agent-1", "labels": {"team": "blue", "draft": ""}})
    red = create(gateway, {"name": "agent-2", "labels": {"team": "red"}})
    plain = create(gateway)
    assert ids(gateway) == [blue["id"], red["id"], plain["id"]]
    assert ids(gateway, "?label=team") == [blue["id"], red["id"]]
    assert ids(gateway, "?label=team%3Dred") == [red["id"]]
    assert ids(gateway, "?label=team%3Dblue&label=draft") == [blue["id"]]
    assert ids(gateway, "?label=team%3Dred&label=draft") == []
    assert ids(gateway, "?name_prefix=agent-") == [blue["id"], red["id"]]
    assert ids(gateway, "?name_prefix=agent-2&state=running") in ([], [red["id"]])
    assert ids(gateway, "?state=paused") == []
    refused(gateway.get("/v1/sandboxes?state=happy"), 400, "state")
    refused(gateway.get("/v1/sandboxes?" + "&".join(["label=a"] * 17)), 400, "label")


def test_pages_hold_still(gateway: Gateway) -> None:
    """What is made and deleted between two pages neither repeats nor hides anything else."""
    made = [create(gateway)["id"] for _ in range(5)]
    first = gateway.get("/v1/sandboxes?limit=2").json()
    assert [one["id"] for one in first["sandboxes"]] == made[:2]
    for gone in made[:2]:  # the cursor's own item, too
        remove(gateway, {"id": gone})
    late = create(gateway)["id"]
    second = gateway.get(f"/v1/sandboxes?limit=2&after={first['next']}").json()
    assert [one["id"] for one in second["sandboxes"]] == made[2:4]
    third = gateway.get(f"/v1/sandboxes?limit=2&after={second['next']}").json()
    assert ([one["id"] for one in third["sandboxes"]], third["next"]) == ([made[4], late], None)
    for query in ("limit=0", "limit=1001", "limit=x", "after=x", "after=1-", "after=-x"):
        refused(gateway.get(f"/v1/sandboxes?{query}"), 400, query.split("=", maxsplit=1)[0])


def test_it_changes_while_it_lives(gateway: Gateway) -> None:
    made = create(gateway, {"name": "before", "labels": {"a": "1", "b": "2"}, "env": {"A": "1"}})
    body = {"name": "after", "labels": {"a": None, "c": "3"}, "env": {"A": None, "B": "2"}}
    shown = change(gateway, made, body | {"limits": {"processes": 40}}).json()
    assert (shown["name"], shown["labels"]) == ("after", {"b": "2", "c": "3"})
    assert shown["limits"]["processes"]["value"] == 40
    assert gateway.get("/v1/sandboxes/before").status == 404
    answer = gateway.request("POST", "/v1/sandboxes/after/contexts")
    assert {"A", "B"} & gateway.plan_of(answer.json()["id"])["env"].keys() == {"B"}
    assert change(gateway, made, {"name": None}).json()["name"] is None
    other = create(gateway, {"name": "taken"})
    refused(change(gateway, made, {"name": "taken", "labels": {"d": ""}}), 409, "taken")
    assert gateway.get(f"/v1/sandboxes/{made['id']}").json()["labels"] == {"b": "2", "c": "3"}
    assert change(gateway, other, {"name": "taken"}).status == 200  # its own


@pytest.mark.parametrize(
    "name", ["network", "policy", "cold", "template", "files", "preload", "packages", "language"]
)
def test_what_cannot_change_says_so(gateway: Gateway, name: str) -> None:
    made = create(gateway)
    refused(change(gateway, made, {name: "none", "name": "x"}), 400, f"{name}: cannot be changed")
    assert gateway.get(f"/v1/sandboxes/{made['id']}").json()["name"] is None


def test_a_change_that_the_keeper_refuses(place: Place) -> None:
    gateway, keeper = place
    made = create(gateway, {"name": "whole"})
    keeper.order("refuse-LIMITS", json.dumps({"status": 409, "message": "more is in use"}))
    body = {"limits": {"memory_bytes": 1 << 25}, "name": "half", "labels": {"a": "b"}}
    refused(change(gateway, made, body), 409, "more is in use")
    keeper.forget("refuse-LIMITS")
    shown = gateway.get("/v1/sandboxes/whole").json()
    assert (shown["name"], shown["labels"]) == ("whole", {})
    remove(gateway, made)


def keyed(gateway: Gateway, path: str, key: str, body: Any) -> Answer:
    return gateway.request("POST", path, body, {"Idempotency-Key": key})


def test_a_key_makes_one_sandbox(place: Place) -> None:
    gateway, keeper = place
    first = keyed(gateway, "/v1/sandboxes", "k", {"name": "once"})
    again = keyed(gateway, "/v1/sandboxes", "k", {"name": "once"})
    assert (first.status, again.status) == (201, 201)
    assert first.json()["id"] == again.json()["id"]
    assert first.headers["location"] == again.headers["location"]
    refused(keyed(gateway, "/v1/sandboxes", "k", {"name": "other"}), 422, first.json()["id"])
    refused(keyed(gateway, "/v1/sandboxes", "k" * 256, {}), 400, "Idempotency-Key")
    _, ada = mint(gateway, principal="ada")
    theirs = keyed(ada, "/v1/sandboxes", "k", {"name": "once"})
    assert theirs.json()["id"] != first.json()["id"]
    gateway.plan_of(context_of(theirs.json()))  # a host that is just being started is nobody's
    gateway.kill()
    gateway.start()
    assert keyed(gateway, "/v1/sandboxes", "k", {"name": "once"}).json()["id"] == first.json()["id"]
    shown = gateway.get("/v1/sandboxes/once").json()
    assert context_of(shown) == context_of(first.json())
    remove(gateway, shown)
    fresh = keyed(gateway, "/v1/sandboxes", "k", {"name": "once"}).json()
    assert fresh["id"] != first.json()["id"]  # the key went with what it made
    remove(gateway, fresh)
    remove(ada, theirs.json())
    assert keeper.pids()

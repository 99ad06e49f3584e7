"""Quotas of a single token: they hold for what was made with it and with what was minted with it,
besides those of its principal, whoever asks for more of that."""

from __future__ import annotations

from typing import Any

import pytest
from gateway.test_quotas import MIB, of_size, refused
from gateway.test_sandboxes import context_of, create, remove
from gateway.test_tokens import mint, problem, shown
from support.gateway import Gateway

GATEWAY = ("--share-templates", "--user-sandboxes", "4", "--quotas", "eve.disk_bytes=0")
NONE = {"kernels": None, "memory_bytes": None, "disk_bytes": None, "requests": None}


def minted(gateway: Gateway, **quotas: int) -> tuple[dict[str, Any], Gateway]:
    scopes = ["read", "write", "tokens"]
    return mint(gateway, principal="ada", scopes=scopes, quotas=quotas)


def test_what_is_made_with_it_counts(gateway: Gateway) -> None:
    model, bound = minted(gateway, sandboxes=1)
    assert model["quotas"] == NONE | {"sandboxes": 1}
    other_model, other = mint(gateway, principal="ada")
    assert other_model["quotas"] is None
    child_model, child = mint(bound)
    assert child_model["quotas"] == model["quotas"]
    signed = bound.request("POST", "/api/v1/auth/token", {"user_id": "ada"}).json()
    made = [create(child)]
    for client in (bound, child, shown(gateway, signed["access_token"])):
        answer = client.request("POST", "/v1/sandboxes")
        assert refused(answer, "sandboxes", 1, 1), answer
        assert f"token {model['id']} has 1 sandboxes" in answer.json()["detail"]
    made += [create(other), create(gateway)]
    answer = bound.request("POST", f"/v1/sandboxes/{made[1]['id']}/fork")
    assert refused(answer, "sandboxes", 1, 1), answer
    remove(other, made.pop(0))
    made.append(create(bound))
    gateway.plan_of(context_of(made[-1]))  # a host that is just being started is nobody's
    gateway.kill()
    gateway.start()
    for client in (bound, child):
        assert refused(client.request("POST", "/v1/sandboxes"), "sandboxes", 1, 1)
    assert gateway.request("DELETE", f"/v1/tokens/{model['id']}").status == 204
    assert child.get("/v1/sandboxes").status == 401
    for one in made:
        remove(gateway, one)


def test_whoever_asks_for_more_of_it(gateway: Gateway) -> None:
    _, bound = minted(gateway, kernels=1, memory_bytes=100 * MIB, disk_bytes=50 * MIB)
    _, other = mint(gateway, principal="ada")
    made = create(bound, of_size(60, 30))
    place = f"/v1/sandboxes/{made['id']}"
    for client in (bound, other, gateway):
        answer = client.request("PATCH", place, of_size(101, 30))
        assert refused(answer, "memory_bytes", 100 * MIB, 60 * MIB), answer
        answer = client.request("PATCH", place, of_size(60, 51))
        assert refused(answer, "disk_bytes", 50 * MIB, 30 * MIB), answer
        answer = client.request("POST", f"{place}/contexts")
        assert refused(answer, "kernels", 1, 1), answer
    answer = bound.request("POST", f"{place}/fork")
    assert refused(answer, "kernels", 1, 1), answer
    assert other.request("PATCH", place, of_size(100, 50)).status == 200
    remove(gateway, made)


def test_so_many_requests(gateway: Gateway) -> None:
    model, bound = minted(gateway, requests=1)
    _, child = mint(bound)
    _, other = mint(gateway, principal="ada")
    answers = [client.get("/v1/sandboxes") for _ in range(25) for client in (bound, child)]
    over = [one for one in answers if one.status == 429]
    assert over[0].headers["retry-after"] == "1"
    assert problem(over[0])[1].startswith(f"token {model['id']} makes more than 1 requests")
    assert (over[0].json()["quota"], over[0].json()["limit"]) == ("requests", 1)
    assert {other.get("/v1/sandboxes").status for _ in range(10)} == {200}


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"quotas": {"rooms": 1}}, 400, "quotas.rooms: is none of sandboxes"),
        ({"quotas": {"kernels": 0}}, 400, "quotas.kernels: must be a whole number"),
        ({"quotas": {"requests": -1}}, 400, "quotas.requests: must be a whole number"),
        ({"quotas": {"requests": 1.5}}, 400, "quotas.requests: must be a whole number"),
        ({"quotas": {"memory_bytes": "1"}}, 400, "quotas.memory_bytes: must be a whole number"),
        ({"quotas": {"disk_bytes": 10**18}}, 400, "quotas.disk_bytes: must be a whole number"),
        ({"quotas": [1]}, 400, "quotas: must be an object"),
        ({"quotas": {"sandboxes": 5}}, 403, "quotas.sandboxes: ada has 4, and no token has more"),
        ({"quotas": {"kernels": 1}, "role": "admin"}, 400, "quotas: hold for the role user"),
    ],
)
def test_what_is_no_quota(gateway: Gateway, body: Any, status: int, words: str) -> None:
    found = problem(gateway.request("POST", "/v1/tokens", {"principal": "ada"} | body))
    assert found[0] == status and found[1].startswith(words), found


def test_none_has_more_than_its_own(gateway: Gateway) -> None:
    _, bound = minted(gateway, sandboxes=2)
    status, words = problem(bound.request("POST", "/v1/tokens", {"quotas": {"sandboxes": 1}}))
    assert (status, words.startswith("quotas: the token that it is minted with")) == (403, True)
    plain, _ = mint(gateway, principal="ada", quotas={"sandboxes": None})
    assert plain["quotas"] is None
    model, _ = mint(gateway, principal="eve", quotas={"disk_bytes": 10**15, "sandboxes": 4})
    assert model["quotas"]["disk_bytes"] == 10**15

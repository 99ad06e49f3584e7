"""What a principal may have and ask for at most, and the record of who did what."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from typing import Any

import pytest
from gateway.test_sandboxes import create, end, remove, start
from gateway.test_tokens import mint, problem
from support import processes
from support.gateway import Gateway


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    gateway, keeper = start("--pool-max", "0", "--share-templates", "--user-sandboxes", "2")
    remove(gateway, create(gateway))
    for pid in keeper.pids():
        processes.own(pid)
    yield gateway
    end(gateway, keeper)


def record(gateway: Gateway) -> list[dict[str, Any]]:
    """What is in it: lines are written before the loop takes the next connection."""
    gateway.get("/healthz")
    path = gateway.state / "audit.log"
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_user_has_so_many_sandboxes(gateway: Gateway) -> None:
    _, ada = mint(gateway, principal="ada")
    _, other = mint(gateway, principal="ada")
    _, bob = mint(gateway, principal="bob")
    made = [create(ada), create(other)]
    status, words = problem(ada.request("POST", "/v1/sandboxes"))
    assert status == 403 and words.startswith("Resource Limit: ada has 2 sandboxes")
    others = [create(bob), create(gateway), create(gateway), create(gateway)]
    remove(ada, made[0])
    made[0] = create(other)
    for one in made + others:
        remove(gateway, one)


def test_only_administrators_do_without_confinement(gateway: Gateway) -> None:
    _, ada = mint(gateway, principal="ada")
    status, words = problem(ada.request("POST", "/v1/sandboxes", {"policy": "best-effort"}))
    assert status == 403 and words.startswith("policy:")


def test_nobody_puts_out_more_than_the_most(gateway: Gateway) -> None:
    most = 4 << 30
    _, ada = mint(gateway, principal="ada")
    made = create(ada, {"limits": {"output_bytes": 0}})
    assert made["limits"]["output_bytes"]["value"] == most
    for method, path in (("POST", "/v1/sandboxes"), ("PATCH", f"/v1/sandboxes/{made['id']}")):
        for client in (ada, gateway):
            asked = {"limits": {"output_bytes": most + 1}}
            status, words = problem(client.request(method, path, asked))
            assert (status, words) == (
                403,
                f"Resource Limit: output_bytes: {most} is the most allowed",
            )
    remove(gateway, made)


def test_too_many_requests() -> None:
    gateway, keeper = start("--pool-max", "0", "--user-requests", "1")
    _, ada = mint(gateway, principal="ada")
    _, bob = mint(gateway, principal="bob")
    answers = [ada.get("/v1/sandboxes") for _ in range(50)]
    refused = [one for one in answers if one.status == 429]
    assert answers[0].status == 200 and refused
    assert refused[0].headers["retry-after"] == "1"
    assert problem(refused[0])[1].startswith("ada makes more than 1 requests a second")
    assert bob.get("/v1/sandboxes").status == 200
    assert {gateway.get("/v1/sandboxes").status for _ in range(20)} == {200}
    assert [one["principal"] for one in record(gateway) if one["status"] == 429].count("ada") > 0
    end(gateway, keeper)


def test_who_did_what(gateway: Gateway) -> None:
    before = len(record(gateway))
    token, ada = mint(gateway, principal="ada")
    made = create(ada, {"env": {"A": "a secret of ada's"}})
    place = f"/v1/sandboxes/{made['id']}"
    assert ada.get(place).status == 200
    assert ada.request("PUT", f"{place}/files/a%20name", b"text").status == 403
    assert ada.get("/metrics").status == 403
    assert gateway.get(f"/v1/sandboxes?token={ada.token[:-3]}", auth=False).status == 401
    assert gateway.get("/nothing", auth=False).status == 404
    remove(ada, made)
    lines = record(gateway)[before:]
    assert [
        (one["principal"], one["method"], one["route"], one["id"], one["status"]) for one in lines
    ] == [
        ("owner", "POST", "/v1/tokens", None, 201),
        ("ada", "POST", "/v1/sandboxes", None, 201),
        ("ada", "PUT", "/v1/sandboxes/{id}/files/{path*}", made["id"], 403),
        ("ada", "GET", "/metrics", None, 403),
        (None, "GET", "/v1/sandboxes", None, 401),
        ("ada", "DELETE", "/v1/sandboxes/{id}", made["id"], 204),
    ]
    assert {one["remote"] for one in lines} == {"127.0.0.1"}
    assert [one["token"] for one in lines[:2]] == [None, token["id"]]
    path = gateway.state / "audit.log"
    text = path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for secret in (gateway.token, ada.token[:20], "a secret", "a name", "a%20name"):
        assert secret not in text


def test_who_is_not_known_cannot_fill_the_record(gateway: Gateway) -> None:
    before = len(record(gateway))
    for _ in range(100):
        assert gateway.get("/v1/sandboxes", auth=False).status == 401
    _, ada = mint(gateway, principal="ada")
    lines = record(gateway)[before:]
    assert len(lines) - 1 + sum(one.get("unlogged", 0) for one in lines) == 100
    assert ada.get("/v1/sandboxes").status == 200

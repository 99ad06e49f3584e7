"""What a principal may have and ask for at most, and the record of who did what."""

from __future__ import annotations

import json
import stat
from typing import Any

import pytest
from gateway.test_sandboxes import create, end, remove, start
from gateway.test_tokens import mint, problem
from support import processes
from support.gateway import Answer, Gateway
from support.service import Service

GATEWAY = (
    "--share-templates",
    "--user-sandboxes",
    "2",
)


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
    told = other.request("POST", "/v1/sandboxes").json()
    assert (told["quota"], told["limit"], told["used"]) == ("sandboxes", 2, 2)
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
    assert (refused[0].json()["quota"], refused[0].json()["limit"]) == ("requests", 1)
    assert bob.get("/v1/sandboxes").status == 200
    assert {gateway.get("/v1/sandboxes").status for _ in range(20)} == {200}
    assert [one["principal"] for one in record(gateway) if one["status"] == 429].count("ada") > 0
    end(gateway, keeper)


MIB = 1 << 20


def refused(answer: Answer, quota: str, limit: int, used: int) -> bool:
    told = answer.json()
    return (answer.status, told["quota"], told["limit"], told["used"]) == (403, quota, limit, used)


def of_size(memory: int, disk: int) -> dict[str, Any]:
    return {"limits": {"memory_bytes": memory * MIB, "workspace_bytes": disk * MIB}}


def used(gateway: Gateway) -> dict[str, tuple[int, int | None]]:
    quotas = gateway.get("/v1/usage").json()["quotas"]
    return {name: (one["used"], one["limit"]) for name, one in quotas.items() if "used" in one}


def test_what_is_promised_counts() -> None:
    single = "eve.x.kernels=1,eve.x.requests=0,eve.x.disk_bytes=0"
    options = ["--user-kernels", "2", "--user-memory", str(100 * MIB),
               "--user-disk", str(50 * MIB), "--quotas", single]  # fmt: skip
    gateway, keeper = start("--pool-max", "0", "--share-templates", *options)
    _, ada = mint(gateway, principal="ada")
    _, eve = mint(gateway, principal="eve.x")
    made = create(ada, of_size(60, 30))
    place = f"/v1/sandboxes/{made['id']}"
    assert used(ada) == {
        "sandboxes": (1, 32), "kernels": (1, 2), "memory_bytes": (60 * MIB, 100 * MIB),
        "disk_bytes": (30 * MIB, 50 * MIB),
    }  # fmt: skip

    # making one: each sum, and what has no limit
    bound = 100 * MIB, 60 * MIB
    assert refused(ada.request("POST", "/v1/sandboxes", of_size(41, 1)), "memory_bytes", *bound)
    assert refused(ada.request("POST", "/v1/sandboxes", of_size(0, 1)), "memory_bytes", *bound)
    bound = 50 * MIB, 30 * MIB
    assert refused(ada.request("POST", "/v1/sandboxes", of_size(20, 21)), "disk_bytes", *bound)

    # changing one, also by an administrator: what does not grow is not asked
    raised = gateway.request("PATCH", place, of_size(101, 30))
    assert refused(raised, "memory_bytes", 100 * MIB, 60 * MIB)
    assert ada.request("PATCH", place, of_size(100, 20)).status == 200
    assert used(ada)["memory_bytes"] == (100 * MIB, 100 * MIB)
    assert ada.request("PATCH", place, {"limits": {"processes": 99}}).status == 200
    assert ada.request("PATCH", place, of_size(40, 20)).status == 200

    # contexts, and those of all sandboxes
    other = create(ada, of_size(60, 30))
    assert refused(ada.request("POST", f"{place}/contexts"), "kernels", 2, 2)
    assert used(ada)["kernels"] == (2, 2)

    # a paused one has its workspace alone, and asks again when it is resumed
    pause = f"/v1/sandboxes/{other['id']}/pause"
    processes.until(lambda: ada.request("POST", pause).status == 200, "it is paused")
    assert (used(ada)["kernels"], used(ada)["disk_bytes"]) == ((1, 2), (50 * MIB, 50 * MIB))
    assert ada.request("PATCH", place, of_size(50, 20)).status == 200
    gateway.kill()
    gateway.start()
    refusal = gateway.request("POST", pause.replace("pause", "resume"))
    assert refused(refusal, "memory_bytes", 100 * MIB, 50 * MIB)
    assert ada.request("PATCH", place, of_size(40, 20)).status == 200
    assert ada.request("POST", pause.replace("pause", "resume")).status == 200

    # others are others, and who is no user has no quota
    assert used(eve) == {"sandboxes": (0, 32), "kernels": (0, 1), "memory_bytes": (0, 100 * MIB),
                         "disk_bytes": (0, None)}  # fmt: skip
    theirs = create(eve, of_size(100, 5000))
    refusal = eve.request("POST", f"/v1/sandboxes/{theirs['id']}/contexts")
    assert refused(refusal, "kernels", 1, 1)
    owners = create(gateway, of_size(0, 0))
    for one, client in ((theirs, eve), (owners, gateway), (other, ada), (made, ada)):
        remove(client, one)
    assert [count for count, _ in used(ada).values()] == [0, 0, 0, 0]
    end(gateway, keeper)


def test_usage_is_ones_own(gateway: Gateway) -> None:
    _, ada = mint(gateway, principal="ada")
    for answer in (ada.get("/v1/usage?principal=ada"), gateway.get("/v1/usage?principal=ada")):
        told = answer.json()
        assert (answer.status, told["principal"], told["bounded"]) == (200, "ada", True)
        assert told["quotas"]["sandboxes"] == {"used": 0, "limit": 2}
        assert told["quotas"]["requests"] == {"limit": 200}
    assert problem(ada.get("/v1/usage?principal=bob"))[0] == 403
    assert problem(gateway.get("/v1/usage?principal=a%20b"))[0] == 400
    assert gateway.get("/v1/usage", auth=False).status == 401
    own = gateway.get("/v1/usage").json()
    assert (own["principal"], own["bounded"]) == ("owner", False)
    assert {one["limit"] for one in own["quotas"].values()} == {None}


@pytest.mark.parametrize("text", ["ada", "ada.kernels", "ada.kernels=", "ada.fish=1", "=1",
                                  ".kernels=1", "a b.kernels=1", "ada.kernels=-1"])  # fmt: skip
def test_what_is_no_quota(text: str) -> None:
    ended = Service("--quotas", text).fail_to_start()
    assert (ended.returncode, f"quotas: {text} is not NAME.WORD=N" in ended.stderr) == (1, True)


def test_who_did_what(gateway: Gateway) -> None:
    before = len(record(gateway))
    token, ada = mint(gateway, principal="ada")
    made = create(ada, {"env": {"A": "a secret of ada's"}})
    place = f"/v1/sandboxes/{made['id']}"
    assert ada.get(place).status == 200
    assert ada.request("PUT", f"{place}/files/a%20name", b"text").status == 201
    assert ada.get("/metrics").status == 403
    assert gateway.get(f"/v1/sandboxes?token={ada.token[:-3]}", auth=False).status == 401
    assert gateway.get("/nothing", auth=False).status == 404
    remove(ada, made)
    lines = record(gateway)[before:]
    assert [
        (one["principal"], one["method"], one["route"], one["id"], one["status"]) for one in lines
    ] == [
        ("owner", "POST", "/v1/tokens", token["id"], 201),
        ("ada", "POST", "/v1/sandboxes", made["id"], 201),
        ("ada", "PUT", "/v1/sandboxes/{id}/files/{path*}", made["id"], 201),
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


def test_what_was_made_is_in_the_record(gateway: Gateway) -> None:
    """Also by the other APIs, whose answers have no Location."""
    before = len(record(gateway))
    kernel = gateway.start_kernel()
    body = {"path": "a", "name": "a", "type": "notebook", "kernel": {"id": kernel}}
    session = gateway.request("POST", "/api/sessions", body).json()["id"]
    template = gateway.request("POST", "/v1/templates", {"name": "t"}).json()["id"]
    lone = gateway.request("POST", "/api/v1/sandbox/acquire", {}).json()["sandbox_id"]
    assert gateway.request("DELETE", "/v1/templates/t").status == 204
    assert gateway.request("POST", "/v1/templates", {"name": "a b"}).status == 400
    found = [(one["route"], one["id"], one["status"]) for one in record(gateway)[before:]]
    assert found == [
        ("/api/kernels", kernel, 201),
        ("/api/sessions", session, 201),
        ("/v1/templates", template, 201),
        ("/api/v1/sandbox/acquire", lone, 200),
        ("/v1/templates/{id}", "t", 204),
        ("/v1/templates", None, 400),
    ]
    for path in (f"/api/kernels/{kernel}", f"/v1/sandboxes/{lone}"):
        assert gateway.request("DELETE", path).status == 204


def test_a_backup_is_in_the_record(gateway: Gateway) -> None:
    """It carries all there is, and is but read."""
    _, ada = mint(gateway, principal="ada")
    before = len(record(gateway))
    assert gateway.get("/v1/backup").status == 200
    assert ada.get("/v1/backup").status == 403
    found = [(one["principal"], one["method"], one["route"], one["status"])
             for one in record(gateway)[before:]]  # fmt: skip
    assert found == [
        ("owner", "GET", "/v1/backup", 200),
        ("ada", "GET", "/v1/backup", 403),
    ]


def test_who_is_not_known_cannot_fill_the_record(gateway: Gateway) -> None:
    before = len(record(gateway))
    for _ in range(100):
        assert gateway.get("/v1/sandboxes", auth=False).status == 401
    _, ada = mint(gateway, principal="ada")
    lines = record(gateway)[before:]
    assert len(lines) - 1 + sum(one.get("unlogged", 0) for one in lines) == 100
    assert ada.get("/v1/sandboxes").status == 200

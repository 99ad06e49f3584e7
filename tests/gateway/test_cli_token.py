"""`warmcell token create|ls|revoke`."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator

import pytest
from gateway.test_sandboxes import NOBODY, end, start
from support import processes
from support.cli import Tool, refused
from support.gateway import Gateway


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    gateway, keeper = start("--pool-max", "0", "--share-templates")
    for pid in keeper.pids():
        processes.own(pid)
    yield gateway
    end(gateway, keeper)


def test_create_list_revoke(gateway: Gateway) -> None:
    run = Tool(gateway)
    options = ["--principal", "ada", "--name", "of ada's", "--scopes", "read,tokens"]
    secret = run.ok("token", "create", *options, "--expires-s", "3600").strip()
    assert secret.startswith("wc_")
    (model,) = json.loads(run.ok("token", "ls", "--json"))
    assert (model["principal"], model["name"], model["role"]) == ("ada", "of ada's", "user")
    assert model["scopes"] == ["read", "tokens"] and model["expires"]
    head, row = run.ok("token", "ls").splitlines()
    assert head.split() == ["ID", "PRINCIPAL", "ROLE", "SCOPES", "EXPIRES", "NAME"]
    assert row.split()[:4] == [model["id"], "ada", "user", "read,tokens"]
    assert row.endswith("of ada's") and secret not in row
    assert run.ok("token", "revoke", model["id"]) == ""
    assert dataclasses.replace(gateway, token=secret).get("/v1/sandboxes").status == 401
    assert json.loads(run.ok("token", "ls", "--json")) == []
    made = json.loads(run.ok("token", "create", "--quotas", "sandboxes=2,requests=5", "--json"))
    assert (made["quotas"]["sandboxes"], made["quotas"]["requests"]) == (2, 5)
    assert run.ok("token", "revoke", made["id"]) == ""
    made = json.loads(run.ok("token", "create", "--json"))
    assert (made["principal"], made["scopes"]) == ("owner", ["read", "write"])
    assert json.loads(run.ok("token", "revoke", made["id"], "--json")) == [made["id"]]


def test_all_are_listed(gateway: Gateway) -> None:
    """More than the gateway gives at a time."""
    run = Tool(gateway)
    made = [gateway.request("POST", "/v1/tokens", {}).json()["id"] for _ in range(101)]
    assert {one["id"] for one in json.loads(run.ok("token", "ls", "--json"))} >= set(made)
    run.ok("token", "revoke", *made)
    assert json.loads(run.ok("token", "ls", "--json")) == []


def test_what_is_refused(gateway: Gateway) -> None:
    run = Tool(gateway)
    user = run.ok("token", "create", "--principal", "ada", "--scopes", "tokens").strip()
    other = Tool(dataclasses.replace(gateway, token=user))
    refused(other("token", "create", "--role", "admin"), 1, "role: no token has more than the one")
    for words in ("kernels", "kernels=", "kernels=1x", "kernels=0"):
        refused(run("token", "create", "--quotas", words), 1, "quotas.kernels: must be a whole")
    refused(other("token", "revoke", NOBODY), 1, f"there is no token {NOBODY}")
    refused(other("token", "revoke"), 2, "ID")
    refused(other("token", "create", "--expires-s", "soon"), 2, "expires-s")

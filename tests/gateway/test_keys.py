"""`warmcell keys rotate`: what was sealed is opened, what is sealed is under another key."""

from __future__ import annotations

import json
import os
from contextlib import closing

from gateway.test_sandbox_names import keyed
from gateway.test_sandboxes import Begin, begin, context_of, create
from gateway.test_store import run
from support.cli import problem, refused, tool
from support.gateway import Gateway

__all__ = ["begin"]


def names(gateway: Gateway) -> set[str]:
    return {one["name"] for one in gateway.get("/v1/templates").json()["templates"]}


def test_a_key_that_is_changed(begin: Begin) -> None:
    gateway, _ = begin("--pool-max", "0")
    state = ["keys", "rotate", "--state-dir", str(gateway.state), "--json"]
    old = {"name": "old", "env": {"PIN": "1234"}}
    first = keyed(gateway, "/v1/templates", "k", old)
    box = create(gateway, {"env": {"SECRET": "kept"}})
    run(gateway, box, "set x 1")
    assert gateway.request("POST", f"/v1/sandboxes/{box['id']}/pause").status == 200
    told = problem(tool(*state), 1)
    assert told["detail"] == f"a gateway uses {gateway.state}: end it first"
    refused(tool("keys", "rotate"), 2, "--state-dir has to be said")
    refused(tool(*state[:3], str(gateway.home / "none")), 1, "is no state folder")
    gateway.kill()
    file = gateway.state / "snapshot.key"
    before = file.read_bytes()
    (gateway.state / "snapshot.key.new").write_bytes(b"of one that was killed")
    own = os.geteuid() != 0
    if not own:  # the gateway's user is another than who changes its key
        os.chown(file, 65534, 65533)
    done = tool(*state)
    assert own or (file.stat().st_uid, file.stat().st_gid) == (65534, 65533)
    os.chown(file, os.geteuid(), os.getegid())
    assert (done.returncode, json.loads(done.stdout)) == (0, {"keys": 2})
    both = file.read_bytes()
    assert (len(both), both[32:], file.stat().st_mode & 0o777) == (64, before, 0o600)
    gateway.start()
    again = keyed(gateway, "/v1/templates", "k", old)
    assert (again.status, again.json()["id"]) == (201, first.json()["id"])
    assert gateway.request("POST", f"/v1/sandboxes/{box['id']}/resume").status == 200
    with closing(gateway.client(context_of(box))) as client:
        assert client.run("get x").stdout == "1\n"
    plan = gateway.runtime / "kernels" / context_of(box) / "sandbox.json"
    assert json.loads(plan.read_text())["env"]["SECRET"] == "kept"
    assert keyed(gateway, "/v1/templates", "n", {"name": "new"}).status == 201
    gateway.kill()
    file.write_bytes(both[:32])  # what is new needs the old key no more
    gateway.start()
    assert names(gateway) == {"new"}
    gateway.kill()
    for count in range(2, 9):
        assert json.loads(tool(*state).stdout) == {"keys": count}
    told = problem(tool(*state), 1)
    assert "holds 8 keys, the most that there may be" in told["detail"]
    assert json.loads(tool(*state, "--drop-oldest").stdout) == {"keys": 8}
    assert len(file.read_bytes()) == 256
    gateway.start()

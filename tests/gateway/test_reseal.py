"""`warmcell keys reseal`: all that is kept is under the newest key, the older ones are gone, and
nothing is lost whenever it is killed."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path
from typing import Any

from gateway.test_pause import change, resume
from gateway.test_pause import run as run_in
from gateway.test_sandboxes import Begin, begin, context_of, create
from gateway.test_store import run
from support.cli import Done, problem, refused, tool
from support.gateway import Gateway
from support.programs import programs

__all__ = ["begin"]


def words(gateway: Gateway, verb: str) -> list[str]:
    state = ["keys", verb, "--state-dir", str(gateway.state), "--json"]
    return [*state, "--runtime-dir", str(gateway.runtime)] if verb == "reseal" else state


def key_of(gateway: Gateway) -> bytes:
    return (gateway.state / "snapshot.key").read_bytes()


def killed_at(gateway: Gateway, number: int) -> Done:
    library = programs().build / "tests" / "gateway" / "hold.so"
    return tool(*words(gateway, "reseal"), LD_PRELOAD=str(library), KILL_RENAME=str(number))


def killed_everywhere(gateway: Gateway) -> Done:
    """Before its first rename, then before its second, until there are no more."""
    both = key_of(gateway)
    for number in range(1, 200):
        done = killed_at(gateway, number)
        if done.returncode == 0:
            return done
        assert done.returncode == -signal.SIGKILL, done
        assert key_of(gateway) == both, "the older key stays until all is done"
    raise AssertionError("it never ends")


def secret(gateway: Gateway, box: dict[str, Any]) -> Any:
    return gateway.plan_of(context_of(box))["env"]["SECRET"]


def test_the_older_key_is_needed_no_more(begin: Begin) -> None:
    gateway, _ = begin("--pool-max", "0")
    template = {"name": "mine", "env": {"SECRET": "t"}, "files": {"f": "text"}}
    assert gateway.request("POST", "/v1/templates", template).status == 201
    boxes = {name: create(gateway, {"env": {"SECRET": name}}) for name in ("lives", "paused")}
    for name, box in boxes.items():
        run(gateway, box, f"set x {name}")
        assert change(gateway, box, labels={"a": "b"}).status == 200, "its keepsake is written"
    assert gateway.request("POST", f"/v1/sandboxes/{boxes['paused']['id']}/pause").status == 200
    told = problem(tool(*words(gateway, "reseal")), 1)
    assert told["detail"] == f"a gateway uses {gateway.state}: end it first"
    refused(tool("keys", "reseal"), 2, "--state-dir and --runtime-dir have to be said")
    gateway.kill()
    old = key_of(gateway)
    assert tool(*words(gateway, "rotate")).returncode == 0
    new = key_of(gateway)[:32]
    done = json.loads(killed_everywhere(gateway).stdout)
    assert key_of(gateway) == new != old
    assert (done["keys"], done["kernels"], done["templates"]) == (1, 1, 1)
    assert done["records"] >= 4, "a state, a snapshot, and a keepsake of each"
    again = json.loads(tool(*words(gateway, "reseal")).stdout)
    assert (again["keys"], again["files"]) == (0, 0)
    gateway.start()
    resume(gateway, boxes["paused"])
    for name, box in boxes.items():
        assert run_in(gateway, context_of(box), "get x") == f"{name}\n"
    made = create(gateway, {"template": "mine"})
    assert secret(gateway, made) == "t"
    kernel = gateway.request(
        "POST", f"/v1/sandboxes/{boxes['lives']['id']}/contexts", {"name": "other"}
    ).json()["id"]
    assert gateway.plan_of(kernel)["env"]["SECRET"] == "lives"
    assert secret(gateway, boxes["paused"]) == "paused"
    assert gateway.get(f"/v1/sandboxes/{made['id']}/files/f").body == b"text"


def paused_and_rotated(begin: Begin) -> tuple[Gateway, dict[str, Any]]:
    """A gateway that does not run, with a paused sandbox that an older key sealed; x in it is 1."""
    gateway, _ = begin("--pool-max", "0")
    box = create(gateway)
    run(gateway, box, "set x 1")
    assert gateway.request("POST", f"/v1/sandboxes/{box['id']}/pause").status == 200
    gateway.kill()
    assert tool(*words(gateway, "rotate")).returncode == 0
    return gateway, box


def test_what_cannot_be_opened_keeps_the_older_keys(begin: Begin, tmp_path: Path) -> None:
    gateway, box = paused_and_rotated(begin)
    both = key_of(gateway)
    state = gateway.state / "snapshots" / box["id"] / "state.sealed"
    shutil.copy(state, tmp_path / "whole")
    state.write_bytes(state.read_bytes()[:-1])
    told = problem(tool(*words(gateway, "reseal")), 1)
    assert "is not what was sealed" in told["detail"]
    assert key_of(gateway) == both
    shutil.copy(tmp_path / "whole", state)
    assert json.loads(tool(*words(gateway, "reseal")).stdout)["keys"] == 1
    gateway.start()
    resume(gateway, box)


def test_what_cannot_be_listed_is_not_taken_for_empty(begin: Begin) -> None:
    """A volume that is not there just now: the older keys stay until it is."""
    gateway, box = paused_and_rotated(begin)
    both = key_of(gateway)
    for name in ("snapshots", f"snapshots/{box['id']}"):
        folder, away = gateway.state / name, gateway.state / "away"
        folder.rename(away)
        folder.symlink_to(gateway.state / "not-there")
        told = problem(tool(*words(gateway, "reseal")), 1)
        assert "cannot be read" in told["detail"]
        assert key_of(gateway) == both
        folder.unlink()
        away.rename(folder)
    assert json.loads(tool(*words(gateway, "reseal")).stdout)["keys"] == 1
    gateway.start()
    resume(gateway, box)
    assert run_in(gateway, context_of(box), "get x") == "1\n"

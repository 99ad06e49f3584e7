"""Snapshots, pause and resume with a keeper that starts nothing and kernels of the small driver:
what is answered and refused, what a gateway that was killed finds, and what wrong words do."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import websocket
from gateway.test_sandboxes import NOBODY, Place, context_of, create, end, remove, start
from support import processes
from support.gateway import Answer, Gateway

GATEWAY = (
    "--max-kernels",
    "4",
    "--snapshot-limit",
    "100000",
)


@pytest.fixture
def sandbox(gateway: Gateway) -> Iterator[dict[str, Any]]:
    made = create(gateway, {"env": {"A": "b"}, "limits": {"processes": 55}})
    run(gateway, context_of(made), "set x 1")
    yield made
    gateway.request("DELETE", f"/v1/sandboxes/{made['id']}")


def run(gateway: Gateway, kernel: str, code: str) -> str:
    with closing(gateway.client(kernel)) as client:
        return client.run(code).stdout


def url(sandbox: dict[str, Any], rest: str = "") -> str:
    return f"/v1/sandboxes/{sandbox['id']}{rest}"


def post(gateway: Gateway, sandbox: dict[str, Any], verb: str, **body: Any) -> Answer:
    return gateway.request("POST", url(sandbox, f"/{verb}"), body)


def show(gateway: Gateway, sandbox: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = gateway.get(url(sandbox)).json()
    return found


def pause(gateway: Gateway, sandbox: dict[str, Any], **body: Any) -> dict[str, Any]:
    answer = post(gateway, sandbox, "pause", **body)
    assert answer.status == 200, answer
    assert answer.json()["state"] == "paused"
    model: dict[str, Any] = answer.json()
    return model


def resume(gateway: Gateway, sandbox: dict[str, Any], **body: Any) -> dict[str, Any]:
    answer = post(gateway, sandbox, "resume", **body)
    assert answer.status == 200, answer
    assert answer.json()["sandbox"]["state"] == "running"
    found: dict[str, Any] = answer.json()
    return found


def detail(answer: Answer) -> str:
    assert answer.headers["content-type"] == "application/problem+json"
    return str(answer.json()["detail"])


def vault(gateway: Gateway, sandbox: dict[str, Any]) -> Path:
    return gateway.state / "snapshots" / str(sandbox["id"])


def test_there_and_back(place: Place, sandbox: dict[str, Any]) -> None:
    gateway, keeper = place
    kernel = context_of(sandbox)
    model = pause(gateway, sandbox)
    (context,) = model["contexts"]
    assert (context["id"], context["state"]) == (kernel, "paused")
    mine = {"state": "paused", "snapshot": model["snapshot"]}
    assert context == sandbox["contexts"][0] | mine
    assert (model["uid"], model["snapshot"]) == (None, gateway_snapshots(gateway, sandbox)[0]["id"])
    assert model["limits"]["processes"]["value"] == 55
    assert keeper.requests("CLOSE")[-1]["sandbox"] == sandbox["id"]
    assert not (gateway.runtime / "kernels" / kernel).exists()
    assert pause(gateway, sandbox) == model, "once more changes nothing"
    answer = resume(gateway, sandbox)
    assert answer["snapshot"] == model["snapshot"]
    assert answer["contexts"] == [
        {"id": kernel, "name": "default", "restored": ["x"], "problem": None,
         "not_restored": [{"name": "n", "reason": "r"}]}
    ]  # fmt: skip
    opened = keeper.requests("OPEN")[-1]
    assert (opened["sandbox"], opened["limits"]["processes"]) == (sandbox["id"], 55)
    assert "uid" not in opened
    assert run(gateway, kernel, "get x") == "1\n"
    assert gateway.plan_of(kernel)["env"]["A"] == "b"


def begins_with(gateway: Gateway, sandbox: dict[str, Any]) -> str | None:
    """The snapshot that its context's interpreter began with."""
    (context,) = show(gateway, sandbox)["contexts"]
    found: str | None = context["snapshot"]
    return found


def test_a_context_says_which_snapshot_its_state_came_from(
    gateway: Gateway, sandbox: dict[str, Any]
) -> None:
    kernel = context_of(sandbox)
    assert begins_with(gateway, sandbox) is None
    pause(gateway, sandbox)
    first = resume(gateway, sandbox)["snapshot"]
    post(gateway, sandbox, "snapshots")
    assert begins_with(gateway, sandbox) == first
    gateway.kill()
    gateway.start()
    assert begins_with(gateway, sandbox) == first
    run(gateway, kernel, "crash 9")
    assert begins_with(gateway, sandbox) is None, "it is dead, and the next one began empty"
    assert run(gateway, kernel, "get x") == "nothing\n"
    pause(gateway, sandbox)
    assert resume(gateway, sandbox)["snapshot"] == begins_with(gateway, sandbox)
    assert gateway.request("POST", f"/api/kernels/{kernel}/restart", {}).status == 200
    assert begins_with(gateway, sandbox) is None


def gateway_snapshots(gateway: Gateway, sandbox: dict[str, Any]) -> list[dict[str, Any]]:
    answer = gateway.get(url(sandbox, "/snapshots"))
    assert (answer.status, answer.json()["next"]) == (200, None)
    found: list[dict[str, Any]] = answer.json()["snapshots"]
    return found


def test_snapshots_are_listed_and_five_are_kept(gateway: Gateway, sandbox: dict[str, Any]) -> None:
    assert gateway_snapshots(gateway, sandbox) == []
    made = []
    for number in range(6):
        run(gateway, context_of(sandbox), f"set y {number}")
        answer = post(gateway, sandbox, "snapshots")
        assert answer.status == 201, answer
        made.append(answer.json())
    (context,) = made[-1]["contexts"]
    assert context == {
        "id": context_of(sandbox), "name": "default", "problem": None,
        "saved": [{"name": "x", "type": "str"}, {"name": "y", "type": "str"}], "saved_more": 0,
        "not_saved": [{"name": "n", "reason": "r"}], "not_saved_more": 0,
    }  # fmt: skip
    assert (made[-1]["why"], made[-1]["bytes"]) == ("asked", len('{"x": "1", "y": "5"}') + 6)
    assert gateway_snapshots(gateway, sandbox) == made[1:]
    files = [path.name for path in vault(gateway, sandbox).iterdir()]
    assert sum(name.endswith(".sealed") for name in files) == 5 + 1
    assert sum(len(name) == 128 for name in files) == 5 + 1, "the buffer is the same in all"
    (vault(gateway, sandbox) / f"{made[2]['id']}.sealed").unlink()
    left = [made[1], *made[3:]]
    assert gateway_snapshots(gateway, sandbox) == left, "they are read when they are asked for"


@pytest.mark.parametrize(("many", "told"), [("names", 10000), ("text", 16)])
def test_ten_thousand_variables_are_named(
    gateway: Gateway, sandbox: dict[str, Any], many: str, told: int
) -> None:
    """Or half a MiB of them; the others are saved, too, and counted."""
    run(gateway, context_of(sandbox), f"snapshot many_{many}")
    made = post(gateway, sandbox, "snapshots")
    assert made.status == 201, made
    (context,) = made.json()["contexts"]
    assert (len(context["saved"]), context["saved_more"]) == (told, 5)
    assert (len(context["not_saved"]), context["not_saved_more"]) == (told, 5)
    assert gateway_snapshots(gateway, sandbox) == [made.json()]
    pause(gateway, sandbox)
    assert resume(gateway, sandbox)["contexts"][0]["restored"] == ["x"]


def test_while_paused_all_else_is_refused(gateway: Gateway, sandbox: dict[str, Any]) -> None:
    kernel = context_of(sandbox)
    client = gateway.client(kernel)
    pause(gateway, sandbox)
    opcode, data = 0, b""
    while opcode != websocket.ABNF.OPCODE_CLOSE:
        opcode, data = client.ws.recv_data(control_frame=True)
    assert struct.unpack_from(">H", data)[0] == 1013
    for method, path, body in (
        ("GET", url(sandbox, "/files/"), None), ("PUT", url(sandbox, "/files/a"), None),
        ("POST", url(sandbox, "/contexts"), {}),
        ("POST", url(sandbox, "/snapshots"), {}),
        ("DELETE", url(sandbox, f"/contexts/{kernel}"), None),
        ("POST", url(sandbox, "/executions"), {"code": "print x"}),
        ("GET", f"/api/kernels/{kernel}", None), ("DELETE", f"/api/kernels/{kernel}", None),
        ("POST", f"/api/kernels/{kernel}/restart", {}),
    ):  # fmt: skip
        answer = gateway.request(method, path, body)
        assert answer.status == 409, (method, path, answer)
        assert b"is paused: resume it" in answer.body
    with pytest.raises(websocket.WebSocketBadStatusException, match="409"):
        gateway.client(kernel)
    (context,) = gateway.get(url(sandbox, "/contexts")).json()["contexts"]
    assert gateway.get(url(sandbox, f"/contexts/{kernel}")).json() == context
    assert context["state"] == "paused"
    assert gateway.get(url(sandbox, "/contexts/none")).status == 404
    assert kernel not in [one["id"] for one in gateway.get("/api/kernels").json()]
    assert sandbox["id"] in [one["id"] for one in gateway.get("/v1/sandboxes").json()["sandboxes"]]


def change(gateway: Gateway, sandbox: dict[str, Any], **body: Any) -> Answer:
    return gateway.request("PATCH", url(sandbox), body)


def test_a_paused_one_is_changed(place: Place, sandbox: dict[str, Any]) -> None:
    """It is on the disk when it is answered, and holds when it is resumed."""
    gateway, keeper = place
    assert sandbox["limits_hold"] == "now"
    pause(gateway, sandbox)
    changed = change(gateway, sandbox, name="new", labels={"a": "b"}, env={"A": None, "C": "d"},
                     limits={"processes": 66, "life_s": 3600, "idle_s": 1800})  # fmt: skip
    assert changed.status == 200, changed
    gateway.kill()
    gateway.start()
    model = show(gateway, sandbox)
    assert model | {"usage": 0, "confinement": 0} == changed.json() | {"usage": 0, "confinement": 0}
    assert (model["state"], model["limits_hold"]) == ("paused", "from_resume")
    assert (model["name"], model["labels"]) == ("new", {"a": "b"})
    limits = {name: model["limits"][name]["value"] for name in ("processes", "life_s", "idle_s")}
    assert limits == {"processes": 66, "life_s": 3600, "idle_s": 1800}
    assert change(gateway, sandbox, name=None).json()["name"] is None
    resumed = resume(gateway, sandbox)["sandbox"]
    assert (resumed["limits_hold"], resumed["limits"]) == ("now", model["limits"])
    assert keeper.requests("OPEN")[-1]["limits"]["processes"] == 66
    kernel = context_of(sandbox)
    plan = json.loads((gateway.runtime / "kernels" / kernel / "sandbox.json").read_text())
    assert plan["env"]["C"] == "d" and "A" not in plan["env"]
    assert run(gateway, kernel, "get x") == "1\n"


def test_a_change_of_a_paused_one_that_is_refused(
    gateway: Gateway, sandbox: dict[str, Any], tmp_path: Path
) -> None:
    other = create(gateway, {"name": "taken"})
    pause(gateway, sandbox)
    for body, status, text in (
        ({"name": "taken"}, 409, "has a sandbox taken already"),
        ({"limits": {"processes": 1}}, 400, "processes"),
        ({"labels": {"a": 1}}, 400, "labels"),
        ({"network": "full"}, 400, "network: cannot be changed"),
        ({}, 400, "one of them is required"),
    ):
        answer = change(gateway, sandbox, **body)
        assert (answer.status, text in detail(answer)) == (status, True), answer
    answer = change(gateway, sandbox, labels={"a": "b"})
    assert answer.status == 200, "and its pause is written as well: the file is nobody's now"
    paused = show(gateway, sandbox)
    place = gateway.state / "snapshots" / "keepsakes" / f"{sandbox['id']}.sealed.new"
    place.mkdir()
    answer = change(gateway, sandbox, name="lost")
    assert (answer.status, "cannot be made" in detail(answer)) == (503, True), answer
    place.rmdir()
    assert show(gateway, sandbox) == paused, "nothing has changed"
    gate, sign = tmp_path / "gate", tmp_path / "sign"
    resume(gateway, sandbox)
    run(gateway, context_of(sandbox), f"set gate {gate}\nset sign {sign}")
    pause(gateway, sandbox)
    connection = gateway.connection()
    connection.request("POST", url(sandbox, "/resume"), headers=gateway.authorization)
    processes.until(sign.exists, "it is being resumed")
    answer = change(gateway, sandbox, name="late")
    assert (answer.status, "resumed" in detail(answer)) == (409, True)
    remove(gateway, sandbox)
    assert connection.getresponse().status >= 400
    connection.close()
    remove(gateway, other)


def test_what_is_not_there(gateway: Gateway, sandbox: dict[str, Any]) -> None:
    for verb in ("snapshots", "pause", "resume"):
        answer = gateway.request("POST", f"/v1/sandboxes/{NOBODY}/{verb}", {})
        assert (answer.status, detail(answer)) == (404, f"there is no sandbox {NOBODY}")
        wrong = post(gateway, sandbox, verb, force=1)
        assert (wrong.status, detail(wrong)) == (400, "force: must be true or false")
    assert gateway.get(f"/v1/sandboxes/{NOBODY}/snapshots").status == 404
    answer = post(gateway, sandbox, "resume")
    assert (answer.status, detail(answer)) == (409, f"sandbox {sandbox['id']} is not paused")


def test_a_busy_context_is_waited_for_or_left_out(
    gateway: Gateway, sandbox: dict[str, Any]
) -> None:
    with closing(gateway.client(context_of(sandbox))) as client:
        client.await_output(client.execute("print go\nwait"), "go")
        for verb in ("snapshots", "pause"):
            answer = post(gateway, sandbox, verb)
            assert answer.status == 409
            assert "is busy: its variables can be saved between two" in detail(answer)
        assert show(gateway, sandbox)["state"] == "running"
        assert not vault(gateway, sandbox).exists()
    pause(gateway, sandbox, force=True)
    (saved,) = gateway_snapshots(gateway, sandbox)
    assert "is busy" in saved["contexts"][0]["problem"]
    (context,) = resume(gateway, sandbox)["contexts"]
    assert (context["problem"], context["restored"]) == (saved["contexts"][0]["problem"], [])
    assert run(gateway, context_of(sandbox), "get x") == "nothing\n"


WRONG = {
    "word": (502, "malformed: version"), "text": (502, "not valid JSON"), "length": (413, "larger"),
    "size": (413, "--snapshot-limit"), "sum": (413, "--snapshot-limit"),
    "sign": (502, "malformed: buffers"), "names": (502, "malformed: name"),
    "file": (502, "malformed: buffers"), "end": (502, "went away"), "nothing": (502, "gave it up"),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_no_snapshot(gateway: Gateway, sandbox: dict[str, Any], wrong: str) -> None:
    run(gateway, context_of(sandbox), f"snapshot {wrong}")
    answer = post(gateway, sandbox, "pause")
    status, text = WRONG[wrong]
    assert answer.status == status, answer
    assert text in detail(answer)
    assert show(gateway, sandbox)["state"] == "running"
    folder = vault(gateway, sandbox)
    assert not folder.exists() or list(folder.iterdir()) == [], "nothing is left of it"
    assert run(gateway, context_of(sandbox), "get x") == "1\n"
    pause(gateway, sandbox)


def test_a_pause_is_deleted_with_all_that_it_kept(
    gateway: Gateway, sandbox: dict[str, Any]
) -> None:
    pause(gateway, sandbox)
    logs = gateway.state / "logs" / context_of(sandbox)
    assert logs.exists() and vault(gateway, sandbox).exists()
    remove(gateway, sandbox)
    assert not vault(gateway, sandbox).exists() and not logs.exists()
    assert not (gateway.state / "sandboxes" / sandbox["id"]).exists()
    assert gateway.get(f"/api/kernels/{context_of(sandbox)}").status == 404


def test_a_resume_that_fails_leaves_it_paused(place: Place, sandbox: dict[str, Any]) -> None:
    gateway, keeper = place
    run(gateway, context_of(sandbox), "set die yes")
    pause(gateway, sandbox)
    answer = post(gateway, sandbox, "resume")
    assert answer.status == 503, answer
    assert "were not restored" in detail(answer)
    keeper.order("refuse-OPEN", json.dumps({"status": 501, "message": "not today"}))
    answer = post(gateway, sandbox, "resume", force=True)
    assert (answer.status, detail(answer)) == (501, "not today")
    keeper.forget("refuse-OPEN")
    assert show(gateway, sandbox)["state"] == "paused"
    answer = post(gateway, sandbox, "resume", force=True)
    assert answer.status == 200, answer
    assert "ended" in answer.json()["contexts"][0]["problem"]


def test_what_nobody_uses_is_paused() -> None:
    """By a gateway that is told to, so that nothing is idle for too long before and behind it."""
    gateway, keeper = start("--pool-max", "0")
    plain, culling = gateway.options, ["--cull-idle-timeout", "1", "--cull-interval", "1"]
    made = create(gateway)
    for pid in keeper.pids():
        processes.own(pid)
    run(gateway, context_of(made), "set x 1")
    gateway.kill()
    gateway.options = plain + culling
    gateway.start()
    processes.until(lambda: show(gateway, made)["state"] == "paused", "paused")
    model = show(gateway, made)
    assert model["reason"] == "it was idle for 1 seconds"
    assert [one["why"] for one in gateway_snapshots(gateway, made)] == ["idle"]
    gateway.kill()
    gateway.options = plain
    gateway.start()
    assert show(gateway, made)["reason"] == model["reason"]
    assert resume(gateway, made)["contexts"][0]["restored"] == ["x"]
    assert show(gateway, made)["reason"] is None
    end(gateway, keeper)


def test_kernels_that_run_are_counted(gateway: Gateway, sandbox: dict[str, Any]) -> None:
    pause(gateway, sandbox)
    others = [create(gateway) for _ in range(4)]
    answer = post(gateway, sandbox, "resume")
    assert (answer.status, "4 kernels run" in detail(answer)) == (403, True)
    for other in others:
        remove(gateway, other)
    resume(gateway, sandbox)


def test_there_must_be_room_for_all_contexts_of_a_resume(
    gateway: Gateway, sandbox: dict[str, Any]
) -> None:
    second = gateway.request("POST", url(sandbox, "/contexts"), {})
    assert second.status == 201
    run(gateway, second.json()["id"], "set y 1")
    pause(gateway, sandbox)
    others = [create(gateway) for _ in range(3)]
    answer = post(gateway, sandbox, "resume")
    assert answer.status == 403, answer
    assert "2 kernels are asked for, and 3 of 4 run" in detail(answer)
    remove(gateway, others.pop())
    assert len(resume(gateway, sandbox)["contexts"]) == 2
    for other in others:
        remove(gateway, other)


def test_a_gateway_that_was_killed(place: Place, sandbox: dict[str, Any]) -> None:
    gateway, _keeper = place
    kernel = context_of(sandbox)
    with closing(gateway.client(kernel)) as client:
        client.run("print before")
    before = pause(gateway, sandbox)
    saved = gateway_snapshots(gateway, sandbox)
    gateway.kill()
    gateway.start()
    after = show(gateway, sandbox)
    assert after | {"usage": 0, "confinement": 0} == before | {"usage": 0, "confinement": 0}
    assert gateway_snapshots(gateway, sandbox) == saved
    assert gateway.get(f"/api/kernels/{kernel}").status == 409
    resume(gateway, sandbox)
    assert run(gateway, kernel, "get x") == "1\n"


def ask_and_kill(gateway: Gateway, sandbox: dict[str, Any], verb: str, sign: Path) -> None:
    """Kills the gateway when there is a sign that it does what it was asked."""
    connection = gateway.connection()
    connection.request("POST", url(sandbox, f"/{verb}"), headers=gateway.authorization)
    processes.until(sign.exists, f"{verb} is under way")
    gateway.kill()
    connection.close()
    gateway.start()


def test_a_gateway_that_is_killed_as_it_saves(
    gateway: Gateway, sandbox: dict[str, Any], tmp_path: Path
) -> None:
    kernel, sign = context_of(sandbox), tmp_path / "sign"
    run(gateway, kernel, f"snapshot wait {sign}")
    ask_and_kill(gateway, sandbox, "pause", sign)
    assert show(gateway, sandbox)["state"] in ("starting", "running")  # until its host is found
    assert gateway_snapshots(gateway, sandbox) == []
    assert run(gateway, kernel, "get x") == "1\n"
    pause(gateway, sandbox)
    resume(gateway, sandbox)


def test_a_gateway_that_is_killed_as_it_restores(
    gateway: Gateway, sandbox: dict[str, Any], tmp_path: Path
) -> None:
    kernel, gate, sign = context_of(sandbox), tmp_path / "gate", tmp_path / "sign"
    run(gateway, kernel, f"set gate {gate}\nset sign {sign}")
    pause(gateway, sandbox)
    ask_and_kill(gateway, sandbox, "resume", sign)
    assert show(gateway, sandbox)["state"] == "paused"
    gate.touch()
    folder = gateway.runtime / "kernels" / kernel
    processes.until(lambda: not folder.exists(), "what was begun is ended")
    assert show(gateway, sandbox)["state"] == "paused"
    assert resume(gateway, sandbox)["contexts"][0]["restored"] == ["x", "gate", "sign"]
    assert run(gateway, kernel, "get x") == "1\n"


def test_a_gateway_that_was_killed_between_the_record_and_the_end(
    gateway: Gateway, sandbox: dict[str, Any], tmp_path: Path
) -> None:
    kernel = context_of(sandbox)
    pause(gateway, sandbox)
    shutil.copytree(vault(gateway, sandbox), tmp_path / "paused")
    resume(gateway, sandbox)
    run(gateway, kernel, "set x 2")
    gateway.kill()
    shutil.rmtree(vault(gateway, sandbox))
    shutil.copytree(tmp_path / "paused", vault(gateway, sandbox))
    gateway.start()
    assert show(gateway, sandbox)["state"] == "paused"
    folder = gateway.runtime / "kernels" / kernel
    processes.until(lambda: not folder.exists(), "its processes are ended")
    resume(gateway, sandbox)
    assert run(gateway, kernel, "get x") == "1\n"


def test_a_record_stands_for_nothing_else(gateway: Gateway, sandbox: dict[str, Any]) -> None:
    """Neither for another sandbox, nor for another snapshot of its own."""
    other = create(gateway)
    run(gateway, context_of(other), "set x foreign")
    first = post(gateway, sandbox, "snapshots").json()
    pause(gateway, sandbox)
    pause(gateway, other)
    last = show(gateway, sandbox)["snapshot"]
    mine, foreign = vault(gateway, sandbox), vault(gateway, other)
    whole = (mine / f"{last}.sealed").read_bytes()
    wrong = [(mine / f"{first['id']}.sealed").read_bytes(),
             next(p for p in foreign.glob("*-*.sealed")).read_bytes(), whole[:70], b""]  # fmt: skip
    for content in wrong:
        gateway.kill()
        (mine / f"{last}.sealed").write_bytes(content)
        gateway.start()
        assert gateway.get(url(sandbox)).status == 404
    gateway.kill()
    (mine / f"{last}.sealed").write_bytes(whole)
    gateway.start()
    resume(gateway, sandbox)
    remove(gateway, other)


def test_a_record_that_was_changed_is_not_used(place: Place, sandbox: dict[str, Any]) -> None:
    gateway, _keeper = place
    model = pause(gateway, sandbox)
    record = vault(gateway, sandbox) / f"{model['snapshot']}.sealed"
    whole = record.read_bytes()
    assert b"processes" not in whole, "it is encrypted"
    gateway.kill()
    record.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    gateway.start()
    assert gateway.get(url(sandbox)).status == 404
    assert "is not what was sealed" in gateway.log.read_text()
    gateway.kill()
    record.write_bytes(whole)
    gateway.start()
    resume(gateway, sandbox)

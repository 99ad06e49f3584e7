"""POST /v1/sandboxes/{id}/fork with a keeper that starts nothing and kernels of the small driver:
what the copy has, what is refused, and what is left when it does not come about."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from gateway.test_pause import detail, gateway_snapshots, pause, post, resume, run, show, url, vault
from gateway.test_quotas import record
from gateway.test_sandbox_names import keyed, refused
from gateway.test_sandboxes import NOBODY, Place, context_of, create, end, remove, start, workspace
from gateway.test_tokens import mint
from support import processes
from support.cli import Tool
from support.gateway import Gateway

HOLE = 8 << 20


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    gateway, keeper = start("--pool-max", "0", "--max-kernels", "4", "--share-templates",
                            "--user-sandboxes", "2")  # fmt: skip
    remove(gateway, create(gateway))
    for pid in keeper.pids():
        processes.own(pid)
    yield gateway, keeper
    end(gateway, keeper)


@pytest.fixture
def gateway(place: Place) -> Gateway:
    return place[0]


@pytest.fixture
def first(gateway: Gateway) -> Iterator[dict[str, Any]]:
    made = create(gateway, {"name": "first", "labels": {"team": "blue"}, "env": {"SECRET": "b"},
                            "limits": {"processes": 55}, "network": "full"})  # fmt: skip
    run(gateway, context_of(made), "set x 1")
    yield made
    gateway.request("DELETE", url(made))


def fork(gateway: Gateway, sandbox: dict[str, Any], **body: Any) -> dict[str, Any]:
    answer = post(gateway, sandbox, "fork", **body)
    assert answer.status == 201, answer
    found: dict[str, Any] = answer.json()
    assert answer.headers["location"] == url(found["sandbox"])
    return found


def ids(gateway: Gateway) -> set[str]:
    return {one["id"] for one in gateway.get("/v1/sandboxes").json()["sandboxes"]}


def folders(gateway: Gateway) -> set[str]:
    """Of sandboxes; those without a snapshot have a file in one that they share."""
    found = {path.name for path in (gateway.state / "sandboxes").iterdir()}
    return found | {path.name for path in (gateway.state / "snapshots").iterdir()} - {"keepsakes"}


def fill(folder: Path) -> None:
    (folder / "deep" / "closed").mkdir(parents=True)
    (folder / "deep" / "closed" / "text").write_text("words")
    (folder / "deep" / "closed").chmod(0o500)
    (folder / "run").write_bytes(os.urandom(3_000_000))
    (folder / "run").chmod(0o750)
    os.utime(folder / "run", ns=(1, 1_600_000_000_123_456_789))
    with (folder / "sparse").open("wb") as file:
        file.seek(HOLE)
        file.write(b"end")
        file.truncate(2 * HOLE)
    (folder / "there").symlink_to("deep/closed/text")
    (folder / "out").symlink_to("/etc/passwd")
    os.mkfifo(folder / "pipe")
    (folder / os.fsdecode(b"odd \xff name")).touch()


def test_the_copy_has_what_the_first_has(gateway: Gateway, first: dict[str, Any]) -> None:
    fill(workspace(gateway, first))
    executed = gateway.request("POST", url(first, "/executions"), {"code": "print y"})
    assert executed.status == 200
    answer = fork(gateway, first, name="second")
    copy = answer["sandbox"]
    same = ("labels", "limits", "network", "policy", "cold", "preload", "template", "owner")
    assert {name: copy[name] for name in same} == {name: first[name] for name in same}
    assert (copy["name"], copy["forked_from"], copy["state"]) == ("second", first["id"], "running")
    assert answer["workspace"] == {
        "files": 4, "folders": 2, "links": 2, "bytes": 3_000_000 + 2 * HOLE + len("words"),
        "changed": [], "changed_more": 0, "not_copied_more": 0,
        "not_copied": [{"path": "pipe", "reason": "it is neither a file, a folder nor a link"}],
    }  # fmt: skip
    kernel = context_of(copy)
    assert kernel != context_of(first)
    assert copy["contexts"][0]["forked_from"] == context_of(first)
    assert answer["contexts"] == [
        {"id": kernel, "name": "default", "restored": ["x"], "problem": None,
         "not_restored": [{"name": "n", "reason": "r"}]}
    ]  # fmt: skip
    assert answer["snapshot"] == copy["snapshot"] == copy["contexts"][0]["snapshot"]
    check_files(workspace(gateway, first), workspace(gateway, copy))
    plan = json.loads((gateway.runtime / "kernels" / kernel / "sandbox.json").read_text())
    assert plan["env"]["SECRET"] == "b" and "SECRET" not in json.dumps(answer)
    for what in ("executions", "artifacts", "commands"):
        assert gateway.get(url(copy, f"/{what}")).json()[what] == [], "that is the first's"
    run(gateway, kernel, "set x 2")
    (workspace(gateway, copy) / "run").write_text("other")
    assert run(gateway, context_of(first), "get x") == "1\n"
    assert (workspace(gateway, first) / "run").stat().st_size == 3_000_000
    assert [one["why"] for one in gateway_snapshots(gateway, first)] == ["fork"]
    (line,) = [one for one in record(gateway) if one["route"].endswith("/fork")]
    assert (line["id"], line["status"]) == (first["id"], 201)
    remove(gateway, first)
    gateway.kill()
    gateway.start()
    assert run(gateway, kernel, "get x") == "2\n", "it needs the first no more"
    assert show(gateway, copy)["forked_from"] == first["id"]
    pause(gateway, copy)
    assert resume(gateway, copy)["contexts"][0]["restored"] == ["x"]
    remove(gateway, copy)


def check_files(there: Path, here: Path) -> None:
    for name in ("deep", "deep/closed", "deep/closed/text", "run", "sparse"):
        was, now = (there / name).stat(), (here / name).stat()
        assert (now.st_mode, now.st_mtime_ns) == (was.st_mode, was.st_mtime_ns), name
        if (there / name).is_file():
            assert (here / name).read_bytes() == (there / name).read_bytes(), name
    assert (here / "sparse").stat().st_blocks * 512 < HOLE, "a hole is a hole"
    assert str((here / "there").readlink()) == "deep/closed/text"
    assert str((here / "out").readlink()) == "/etc/passwd"
    assert (here / os.fsdecode(b"odd \xff name")).exists()


def test_of_a_paused_one_with_two_contexts(gateway: Gateway, first: dict[str, Any]) -> None:
    second = gateway.request("POST", url(first, "/contexts"), {"name": "other"}).json()["id"]
    run(gateway, second, "set y 2")
    (workspace(gateway, first) / "file").write_text("text")
    pause(gateway, first)
    copy = fork(gateway, first)["sandbox"]
    assert (copy["name"], show(gateway, first)["state"]) == (None, "paused")
    assert [one["name"] for one in copy["contexts"]] == ["default", "other"]
    assert run(gateway, copy["contexts"][1]["id"], "get y") == "2\n"
    assert (workspace(gateway, copy) / "file").read_text() == "text"
    remove(gateway, copy)
    resume(gateway, first)
    assert run(gateway, second, "get y") == "2\n"


def test_a_key_makes_one_copy(gateway: Gateway, first: dict[str, Any]) -> None:
    path = url(first, "/fork")
    made = keyed(gateway, path, "k", {"name": "once"})
    assert made.status == 201
    copy = made.json()["sandbox"]
    gateway.kill()
    gateway.start()
    again = keyed(gateway, path, "k", {"name": "once"})
    assert (again.status, again.json()["sandbox"]["id"]) == (201, copy["id"])
    assert (again.json()["contexts"], again.json()["workspace"]) == (None, None)
    refused(keyed(gateway, path, "k", {"name": "two"}), 422, copy["id"])
    refused(keyed(gateway, url(copy, "/fork"), "k", {"name": "once"}), 422, copy["id"])
    refused(keyed(gateway, path, "", {}), 400, "Idempotency-Key")
    remove(gateway, copy)


def test_what_is_refused(gateway: Gateway, first: dict[str, Any]) -> None:
    before, left = ids(gateway), folders(gateway)
    for body, status, text in (
        ({"name": "first"}, 409, "has a sandbox first already"),
        ({"name": "?"}, 400, "name:"),
        ({"name": 1}, 400, "name: must be a string"),
        ({"labels": {"a": 1}}, 400, "labels"),
        ({"force": 1}, 400, "force: must be true or false"),
        ({"limits": {}}, 400, "limits: a copy has that of the first"),
    ):
        refused(post(gateway, first, "fork", **body), status, text)
    refused(gateway.request("POST", f"/v1/sandboxes/{NOBODY}/fork", {}), 404, NOBODY)
    _, ada = mint(gateway, principal="ada")
    refused(ada.request("POST", url(first, "/fork"), {}), 404, str(first["id"]))
    others = [create(gateway) for _ in range(3)]
    refused(post(gateway, first, "fork"), 403, "4 kernels run")
    for other in others:
        remove(gateway, other)
    assert (ids(gateway), folders(gateway) - left) == (before, set())


def test_quotas_hold(gateway: Gateway) -> None:
    """Those of whose it is, whoever asks for it."""
    _, ada = mint(gateway, principal="ada")
    mine = create(ada, {"limits": {"workspace_bytes": 1 << 20}})
    run(ada, context_of(mine), "set x 1")
    copy = fork(gateway, mine)["sandbox"]
    assert copy["owner"] == "ada"
    refused(post(ada, mine, "fork"), 403, "ada has 2 sandboxes")
    remove(ada, copy)
    (workspace(gateway, mine) / "big").write_bytes(os.urandom(2 << 20))
    refused(post(ada, mine, "fork"), 507, "workspace_bytes")
    assert ids(ada) == {mine["id"]}
    processes.until(lambda: copy["id"] not in folders(gateway), "nothing of it is left")
    remove(ada, mine)


def test_a_busy_context(gateway: Gateway, first: dict[str, Any]) -> None:
    with closing(gateway.client(context_of(first))) as client:
        client.await_output(client.execute("print go\nwait"), "go")
        refused(post(gateway, first, "fork"), 409, "is busy: its variables can be saved between")
        (context,) = fork(gateway, first, force=True, name="forced")["contexts"]
    assert "is busy" in context["problem"] and context["restored"] == []
    assert run(gateway, context["id"], "get x") == "nothing\n"
    assert gateway.request("DELETE", "/v1/sandboxes/forced").status == 204


def test_what_cannot_be_restored(place: Place, first: dict[str, Any]) -> None:
    gateway, keeper = place
    before = folders(gateway)
    keeper.order("refuse-OPEN", json.dumps({"status": 501, "message": "not today"}))
    refused(post(gateway, first, "fork"), 501, "not today")
    keeper.forget("refuse-OPEN")
    run(gateway, context_of(first), "set die yes")
    answer = post(gateway, first, "fork")
    assert answer.status == 503 and "were not restored" in detail(answer)
    assert ids(gateway) == {first["id"]}
    processes.until(lambda: folders(gateway) - {first["id"]} == before - {first["id"]},
                    "nothing of it is left")  # fmt: skip
    assert run(gateway, context_of(first), "get x") == "1\n"


def test_one_at_a_time(gateway: Gateway, first: dict[str, Any], tmp_path: Path) -> None:
    """While it is under way the first is neither paused nor forked once more, and goes on else. A
    gateway that is killed then leaves the first as it was, and nothing of the copy."""
    kernel, gate, sign = context_of(first), tmp_path / "gate", tmp_path / "sign"
    run(gateway, kernel, f"set gate {gate}\nset sign {sign}")
    connection = gateway.connection()
    head = gateway.authorization | {"Idempotency-Key": "k"}
    connection.request("POST", url(first, "/fork"), json.dumps({"name": "late"}), head)
    processes.until(sign.exists, "the copy restores its variables")
    (copy,) = folders(gateway) - {first["id"]}
    refused(keyed(gateway, url(first, "/fork"), "k", {"name": "late"}), 409, "is being made")
    refused(post(gateway, first, "fork", name="late"), 409, "late")
    assert gateway.get(f"/v1/sandboxes/{copy}").status == 404, "it is there for nobody yet"
    assert run(gateway, kernel, "get x") == "1\n"
    gateway.kill()
    connection.close()
    gateway.start()
    assert ids(gateway) == {first["id"]}
    gate.touch()
    processes.until(lambda: folders(gateway) == {first["id"]}, "nothing of it is left")
    copy = fork(gateway, first, name="late")["sandbox"]["id"]
    assert run(gateway, kernel, "get x") == "1\n"
    assert gateway.request("DELETE", f"/v1/sandboxes/{copy}").status == 204


def test_a_save_that_is_under_way(gateway: Gateway, first: dict[str, Any], tmp_path: Path) -> None:
    kernel, sign = context_of(first), tmp_path / "sign"
    run(gateway, kernel, f"snapshot wait {sign}")
    connection = gateway.connection()
    connection.request("POST", url(first, "/fork"), headers=gateway.authorization)
    processes.until(sign.exists, "the first is saved")
    for verb in ("fork", "pause", "snapshots"):
        refused(post(gateway, first, verb), 409, "is being saved")
    remove(gateway, first)
    assert connection.getresponse().status == 409
    connection.close()
    processes.until(lambda: folders(gateway) == set(), "nothing of either is left")
    assert not vault(gateway, first).exists()


def test_the_tool(gateway: Gateway, first: dict[str, Any]) -> None:
    run(gateway, context_of(first), "print")
    os.mkfifo(workspace(gateway, first) / "pipe\x1b[2J\x9b2J")  # which would clear a terminal
    tool = Tool(gateway)
    told = tool("sandbox", "fork", "first", "--name", "second", "--label", "a=b")
    assert told.returncode == 0, told
    copy = gateway.get("/v1/sandboxes/second").json()
    assert (told.stdout.decode().strip(), copy["labels"]) == (copy["id"], {"a": "b"})
    assert told.stderr.decode().splitlines() == [
        "default: n was not restored: r",
        "pipe?[2J??2J was not copied: it is neither a file, a folder nor a link",
    ]
    answer = json.loads(tool.ok("sandbox", "fork", "second", "--json"))
    assert answer["sandbox"]["forked_from"] == copy["id"]
    remove(gateway, answer["sandbox"])
    assert tool.ok("sandbox", "interrupt", "second") == ""
    assert json.loads(tool.ok("sandbox", "restart", "second", "--json"))["id"] == copy["id"]
    assert run(gateway, context_of(copy), "get x") == "nothing\n"
    remove(gateway, copy)

"""What is kept for how long, and the copy of all of it: `warmcell gc` and `warmcell backup`."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import os
import re
import shutil
import sqlite3
import tarfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from gateway.test_sandboxes import Begin, Place, context_of, create, end, start, workspace
from support import processes
from support.cli import Tool, refused, tool
from support.gateway import Gateway

HOURS = 3600
NOTHING = {"dry_run": False, "executions": 0, "kernels": 0, "artifacts": 0, "blobs": 0,
           "blob_bytes": 0}  # fmt: skip


def looked_through(gateway: Gateway) -> None:
    """The pass that comes right after the start is over."""

    def is_over() -> bool:
        found = re.search(
            r"^warmcell_retention_passes_total (\d+)$",
            gateway.get("/metrics").body.decode(),
            re.MULTILINE,
        )
        return found is not None and int(found[1]) > 0

    processes.until(is_over, "what is old has been looked for")


@pytest.fixture
def begin() -> Iterator[Begin]:
    places: list[Place] = []

    def begin_one(*options: str) -> Place:
        places.append(start("--pool-max", "0", *options))
        looked_through(places[-1][0])  # it takes nothing by itself for an hour
        return places[-1]

    yield begin_one
    for one in places:
        end(*one)


def run(gateway: Gateway, box: dict[str, Any], code: str) -> dict[str, Any]:
    answer = gateway.request("POST", f"/v1/sandboxes/{box['id']}/executions", {"code": code})
    assert answer.status == 200, answer
    record: dict[str, Any] = answer.json()
    return record


def artifacts(gateway: Gateway) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = gateway.get("/v1/artifacts").json()["artifacts"]
    return found


def display(gateway: Gateway, box: dict[str, Any], count: int) -> list[dict[str, Any]]:
    """So many pages, each of its own."""
    for number in range(count):
        content = json.dumps({"data": {"text/html": f"<p>{number}"}, "metadata": {}})
        run(gateway, box, f"publish display_data {content}")
    processes.until(lambda: len(artifacts(gateway)) == count, f"{count} artifacts")
    return artifacts(gateway)


def blob(gateway: Gateway, artifact: dict[str, Any]) -> Path:
    name = artifact["sha256"]
    return Path(gateway.state, "blobs", name[:2], name[2:])


def age(path: Path) -> None:
    then = time.time() - 2 * HOURS
    os.utime(path, (then, then))


def test_only_the_newest_artifacts_are_kept(begin: Begin) -> None:
    gateway, _ = begin("--artifacts-keep", "1")
    tell = Tool(gateway)
    first, second, last = display(gateway, create(gateway), 3)
    age(blob(gateway, first))
    size = len("<p>0")
    dry = json.loads(tell.ok("gc", "--dry-run", "--json"))
    assert dry == NOTHING | {"dry_run": True, "artifacts": 2, "blobs": 1, "blob_bytes": size}
    assert artifacts(gateway) == [first, second, last]
    assert gateway.get(first["content_url"]).body == b"<p>0"
    assert json.loads(tell.ok("gc", "--json")) == dry | {"dry_run": False}
    assert artifacts(gateway) == [last]
    assert not blob(gateway, first).exists()
    assert blob(gateway, second).exists(), "it may just be on its way to a row"
    assert gateway.get(last["content_url"]).body == b"<p>2"
    assert tell.ok("gc").split() == ["executions", "0", "kernels", "0", "artifacts", "0", "blobs",
                                     "0", "blob_bytes", "0"]  # fmt: skip


def test_bytes_that_are_stored_again_are_young_again(begin: Begin) -> None:
    gateway, _ = begin("--artifacts-bytes", "1")
    box = create(gateway)
    (only,) = display(gateway, box, 1)
    age(blob(gateway, only))
    content = json.dumps({"data": {"text/html": "<p>0"}, "metadata": {}})
    run(gateway, box, f"publish display_data {content}")
    processes.until(lambda: len(artifacts(gateway)) == 2, "two of the same bytes")
    assert gateway.request("POST", "/v1/gc").json() == NOTHING | {"artifacts": 2}
    assert blob(gateway, only).exists()


def test_what_is_old_is_forgotten_without_being_asked(begin: Begin) -> None:
    """By age and by count, soon after the start: a gateway may never live for an hour."""
    gateway, _ = begin("--executions-days", "100", "--artifacts-keep", "1")
    box = create(gateway)
    old, last = (row["execution_id"] for row in display(gateway, box, 2))
    gateway.kill()
    with closing(sqlite3.connect(gateway.state / "warmcell.db")) as database, database:
        database.execute(
            "UPDATE executions SET ended = '2001-02-03T04:05:06.000000Z' WHERE id = ?", (old,)
        )
    gateway.start()
    looked_through(gateway)
    records = gateway.get(f"/v1/sandboxes/{box['id']}/executions").json()["executions"]
    assert [row["id"] for row in records] == [last]
    assert [row["execution_id"] for row in artifacts(gateway)] == [last]


def test_what_is_old_is_forgotten_in_a_folder_that_nobody_uses(begin: Begin) -> None:
    gateway, _ = begin()
    box = create(gateway)
    display(gateway, box, 1)
    done = tool("gc", "--state-dir", str(gateway.state))
    refused(done, 1, f"a gateway uses {gateway.state}: ask it, without --state-dir")
    state = gateway.home / "copy"
    gateway.kill()
    shutil.copytree(gateway.state, state)
    gateway.start()
    with closing(sqlite3.connect(state / "warmcell.db")) as database, database:
        database.execute("UPDATE executions SET ended = '2001-02-03T04:05:06.000000Z'")
        database.execute("UPDATE artifacts SET created = '2001-02-03T04:05:06.000000Z'")
    rules = ["--executions-days", "100", "--artifacts-days", "100"]
    options = ["gc", "--state-dir", str(state), "--json"]
    wanted = NOTHING | {"executions": 1, "artifacts": 1}
    for dry_run in (["--dry-run"], [], []):
        done = tool(*options, *rules, *dry_run)
        assert (done.returncode, json.loads(done.stdout)) == (
            0,
            wanted | {"dry_run": bool(dry_run)},
        )
        wanted = wanted if dry_run else NOTHING
    refused(tool("gc", "--state-dir", str(state / "none")), 1, "is no state folder")


def user_of(gateway: Gateway) -> Gateway:
    made = gateway.request("POST", "/v1/tokens", {"principal": "ada", "role": "user"}).json()
    return dataclasses.replace(gateway, token=made["token"])


def test_both_are_for_administrators(begin: Begin) -> None:
    gateway, _ = begin()
    ada = user_of(gateway)
    assert ada.request("POST", "/v1/gc").status == 403
    assert ada.get("/v1/backup").status == 403
    assert gateway.request("POST", "/v1/gc", {"dry_run": 1}).status == 400


def test_a_gateway_on_the_backup_has_all(begin: Begin, tmp_path: Path) -> None:
    gateway, _ = begin()
    box = create(gateway)
    record = run(gateway, box, "set x 1")
    (page,) = display(gateway, box, 1)
    (workspace(gateway, box) / "file").write_bytes(b"of a sandbox")
    sparse = workspace(gateway, box) / ("long" * 40) / "sparse"
    sparse.parent.mkdir()
    with sparse.open("wb") as holes:
        for at in (0, 1 << 20, (1 << 40) - 5):
            holes.seek(at)
            holes.write(b"here!")
    (workspace(gateway, box) / "empty").touch()
    os.truncate(workspace(gateway, box) / "empty", 1 << 40)
    assert gateway.request("POST", f"/v1/sandboxes/{box['id']}/snapshots").status == 201
    saved = gateway.get(f"/v1/sandboxes/{box['id']}/snapshots").json()
    events = gateway.get(f"/v1/sandboxes/{box['id']}/executions/{record['id']}/events").json()
    file = tmp_path / "all.tar"
    assert Tool(gateway).ok("backup", str(file)) == ""
    assert file.stat().st_mode & 0o777 == 0o600
    processes.until(lambda: not list(gateway.state.glob("backup-*")), "its copy is removed")
    with tarfile.open(file) as tar:
        names = tar.getnames()
        assert "warmcell.db" in names and "warmcell.db-wal" not in names
        assert file.stat().st_size < 1 << 26
        below = workspace(gateway, box)
        for member in tar:
            if f"{box['id']}/workspace/" in member.name:
                found = (below / member.name.partition("/workspace/")[2]).stat()
                assert (member.uid, member.gid) == (found.st_uid, found.st_gid)
                assert member.isdir() or member.size == found.st_size
        place = start_on(tar)
    other, _ = place
    try:
        path = f"/v1/sandboxes/{box['id']}"
        assert other.get(f"{path}/executions/{record['id']}").json()["status"] == "ok"
        assert other.get(f"{path}/snapshots").json() == saved
        assert artifacts(other) == [page]
        body = other.get(page["content_url"]).body
        assert hashlib.sha256(body).hexdigest() == page["sha256"]
        assert (workspace(other, box) / "file").read_bytes() == b"of a sandbox"
        restored = workspace(other, box) / ("long" * 40) / "sparse"
        assert restored.stat().st_size == 1 << 40
        with restored.open("rb") as holes:
            for at in (0, 1 << 20, (1 << 40) - 5):
                holes.seek(at)
                assert holes.read(6).rstrip(b"\0") == b"here!"
        assert (workspace(other, box) / "empty").stat().st_size == 1 << 40
        restored.unlink()
        (workspace(other, box) / "empty").unlink()
        assert other.request("POST", f"{path}/resume").status == 200
        assert other.get(f"{path}/executions/{record['id']}/events").json() == events
        with closing(other.client(context_of(box))) as client:
            assert client.run("get x").stdout == "1\n"
    finally:
        end(*place)


def start_on(tar: tarfile.TarFile) -> Place:
    gateway, keeper = start("--pool-max", "0")
    gateway.stop()
    processes.wait_gone(keeper.pids())
    shutil.rmtree(gateway.state)
    tar.extractall(gateway.state)
    return gateway.start(), keeper


def test_a_backup_that_breaks_off_leaves_nothing(begin: Begin, tmp_path: Path) -> None:
    gateway, _ = begin()
    gateway.kill()
    left = gateway.state / "backup-of-one-that-was-killed.db"
    left.write_bytes(b"half")
    gateway.start()
    assert not left.exists()
    done = Tool(gateway)("backup", str(tmp_path / "no" / "folder"))
    refused(done, 1, f"cannot write {tmp_path}/no/folder.partial")


def test_a_backup_to_stdout_and_over_a_file(begin: Begin, tmp_path: Path) -> None:
    run = Tool(begin()[0])
    done = run("backup", "-")
    assert (done.returncode, done.stderr) == (0, b"")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as tar:
        assert "warmcell.db" in tar.getnames()
    file, link = tmp_path / "all.tar", tmp_path / "link"
    file.write_bytes(b"mine")
    link.symlink_to(file)
    refused(run("backup", str(file)), 1, "is there; name another file, or replace it with --force")
    refused(run("backup", "--force", str(link)), 1, "is no file that could be replaced")
    assert file.read_bytes() == b"mine"
    assert run.ok("backup", "--force", str(file)) == ""
    assert tarfile.is_tarfile(file)
    assert link.is_symlink()

"""`warmcell files …`: what is in a sandbox's workspace, from a shell."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from typing import Any

import pytest
from gateway.test_sandboxes import Place, create, end, remove, start
from support import processes
from support.cli import Tool, refused


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    gateway, keeper = start("--pool-max", "0")
    remove(gateway, create(gateway))
    for pid in keeper.pids():
        processes.own(pid)
    yield gateway, keeper
    end(gateway, keeper)


@pytest.fixture(scope="module")
def run(place: Place) -> Tool:
    return Tool(place[0])


@pytest.fixture(scope="module")
def sandbox(place: Place) -> dict[str, Any]:
    return create(place[0], {"name": "box"})


@pytest.fixture
def box(place: Place, sandbox: dict[str, Any]) -> str:
    """The sandbox by its name, with a file and a folder alone."""
    gateway, files = place[0], f"/v1/sandboxes/{sandbox['id']}/files"
    for one in gateway.get(files).json()["files"]:
        assert gateway.request("DELETE", f"{one['url']}?recursive=1").status == 204
    assert gateway.request("PUT", f"{files}/a%20b", b"first\n").status == 201
    assert gateway.request("PUT", f"{files}/deep/c", b"second\n").status == 201
    return "box"


def names(run: Tool, place: str) -> list[str]:
    return [one["name"] for one in json.loads(run.ok("files", "ls", "--json", place))]


def test_list_and_stat(run: Tool, box: str) -> None:
    assert names(run, box) == names(run, f"{box}:/workspace") == ["a b", "deep"]
    assert names(run, f"{box}:deep/c") == ["c"]
    head, first, second = run.ok("files", "ls", box).splitlines()
    assert head.split() == ["KIND", "MODE", "BYTES", "MODIFIED", "NAME"]
    assert first.split()[:3] == ["file", "0644", "6"]
    assert first.endswith("a b")
    assert second.startswith("folder")
    told = json.loads(run.ok("files", "stat", f"{box}:deep/c", "--json"))
    assert (told["path"], told["size_bytes"]) == ("deep/c", 7)
    assert run.ok("files", "stat", f"{box}:deep/c").splitlines()[1].endswith("deep/c")


def test_cat_and_tar(run: Tool, box: str) -> None:
    assert run.ok("files", "cat", f"{box}:a b", f"{box}:/workspace/deep/c") == "first\nsecond\n"
    for options in [], ["--gzip"]:
        done = run("files", "tar", box, *options)
        assert (done.returncode, done.stderr) == (0, b"")
        assert done.stdout.startswith(b"\x1f\x8b") == bool(options)
        with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
            assert sorted(m.name.rstrip("/") for m in archive) == ["a b", "deep", "deep/c"]


def test_make_move_remove(run: Tool, box: str) -> None:
    assert run.ok("files", "mkdir", f"{box}:x/y", f"{box}:z") == ""
    assert names(run, f"{box}:x") == ["y"]
    assert run.ok("files", "mv", f"{box}:a b", "/workspace/x/new") == ""
    assert run.ok("files", "cat", f"{box}:x/new") == "first\n"
    refused(run("files", "mv", f"{box}:deep/c", "x/new"), 1, "x/new")
    moved = json.loads(run.ok("files", "mv", "--overwrite", "--json", f"{box}:deep/c", "x/new"))
    assert moved == {"path": "x/new"}
    assert run.ok("files", "cat", f"{box}:x/new") == "second\n"
    refused(run("files", "rm", f"{box}:x"), 1, "recursive")
    said = json.loads(run.ok("files", "rm", "-r", "--json", f"{box}:x", f"{box}:deep"))
    assert said == [{"path": f"{box}:x"}, {"path": f"{box}:deep"}]
    assert names(run, box) == ["z"]


REFUSALS = [
    (["ls", "nobody:a"], 1, "no sandbox nobody"),
    (["ls", "box:gone"], 1, "gone"),
    (["stat", "box:/etc/passwd"], 2, "only files below /workspace"),
    (["cat", "box:deep"], 1, "is a folder; use: warmcell files tar"),
    (["tar", "box:a b"], 1, "is no folder; use: warmcell files cat"),
    (["mv", "box:a b", "/etc/x"], 2, "only files below /workspace"),
    (["mkdir", "box:a b/c"], 1, "a b"),
    (["rm", "box:gone"], 1, "gone"),
    (["rm"], 2, "too few words"),
]


def test_refusals(run: Tool, box: str) -> None:
    assert box == "box"
    for words, status, sentence in REFUSALS:
        refused(run("files", *words), status, sentence)

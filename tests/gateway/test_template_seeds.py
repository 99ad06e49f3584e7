"""The seed of a template: a tar that is in each new workspace before anybody has the sandbox."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest
from gateway.test_files_tar import END, entry
from gateway.test_quotas import used
from gateway.test_sandbox_names import refused
from gateway.test_sandboxes import NOBODY, create, workspace
from gateway.test_templates import drop, gateway, make
from gateway.test_tokens import mint
from support import cli, processes
from support.gateway import Answer, Gateway

__all__ = ["gateway"]

GATEWAY = ("--file-limit", "65536", "--share-templates", "--quotas", "tim.disk_bytes=4096")
TAR = (
    entry("data", tarfile.DIRTYPE)
    + entry("data/a")
    + entry("run.sh", mode=0o755)
    + entry("now", tarfile.SYMTYPE, "data/a")
    + END
)


def put(gateway: Gateway, body: bytes, template: str = "seeded") -> Answer:
    return gateway.request("PUT", f"/v1/templates/{template}/seed", body)


def facts(body: bytes, files: int = 2, folders: int = 1, symlinks: int = 1) -> dict[str, Any]:
    sha256 = hashlib.sha256(body).hexdigest()
    counts = {"files": files, "folders": folders, "symlinks": symlinks}
    return {"sha256": sha256, "bytes": len(body), **counts}


def blob(gateway: Gateway, body: bytes) -> Path:
    sha256 = hashlib.sha256(body).hexdigest()
    return gateway.state / "blobs" / sha256[:2] / sha256[2:]


def test_each_new_workspace_begins_with_it(gateway: Gateway) -> None:
    made = make(gateway, name="seeded", files={"data/a": "mine", "more": ""})
    assert made["seed"] is None
    answer = put(gateway, TAR)
    assert answer.status == 200, answer
    model = answer.json()
    assert model == gateway.get("/v1/templates/seeded").json()
    assert model == made | {"seed": facts(TAR), "changed": model["changed"]}
    for _ in range(2):
        sandbox = create(gateway, {"template": "seeded", "files": {"now": "later"}})
        folder = workspace(gateway, sandbox)
        assert sorted(one.name for one in folder.iterdir()) == ["data", "more", "now", "run.sh"]
        # The template's files go over it, and those of the request over both.
        assert folder.joinpath("data/a").read_text() == "mine"
        assert not folder.joinpath("now").is_symlink()
        assert folder.joinpath("now").read_text() == "later"
        program = folder.joinpath("run.sh").stat()
        assert (program.st_mode & 0o777, program.st_uid) == (0o755, sandbox["uid"])
        assert folder.joinpath("data").stat().st_uid == sandbox["uid"]


def test_it_is_told_as_it_came(gateway: Gateway) -> None:
    make(gateway, name="seeded")
    path = "/v1/templates/seeded/seed"
    refused(gateway.get(path), 404, "no seed")
    refused(gateway.request("DELETE", path), 404, "no seed")
    for body, kind in ((gzip.compress(TAR), "application/gzip"), (TAR, "application/x-tar")):
        assert put(gateway, body).json()["seed"] == facts(body)
        told = gateway.get(path)
        assert (told.status, told.body, told.headers["content-type"]) == (200, body, kind)
        tag = told.headers["etag"]
        assert tag == f'"{hashlib.sha256(body).hexdigest()}"'
        assert gateway.request("GET", path, headers={"If-None-Match": tag}).status == 304
        part = gateway.request("GET", path, headers={"Range": "bytes=1-3"})
        assert (part.status, part.body) == (206, body[1:4])
        sandbox = create(gateway, {"template": "seeded"})
        assert workspace(gateway, sandbox).joinpath("now").read_text() == "data/a"
    assert put(gateway, TAR).status == 200  # once more is the same
    assert gateway.request("DELETE", path).status == 204
    assert gateway.get("/v1/templates/seeded").json()["seed"] is None
    refused(gateway.get(path), 404, "no seed")
    assert list(workspace(gateway, create(gateway, {"template": "seeded"})).iterdir()) == []


def test_changes_of_its_template_leave_it(gateway: Gateway) -> None:
    make(gateway, name="seeded")
    put(gateway, TAR)
    for method, body in (("PATCH", {"env": {"A": "1"}}), ("PUT", {"name": "seeded"})):
        answer = gateway.request(method, "/v1/templates/seeded", body)
        assert (answer.status, answer.json()["seed"]) == (200, facts(TAR))


@pytest.mark.parametrize(
    ("body", "status", "why"),
    [
        (b"", 400, "tar"),
        (b"x" * 512, 400, "no tar"),
        (TAR[:700], 400, "breaks off"),
        (gzip.compress(TAR)[:-9], 400, "breaks off"),
        (entry("../evil") + END, 400, "../evil: its path has a .."),
        (entry("evil", tarfile.SYMTYPE, "../x") + END, 400, "a link that leads out"),
        (entry("evil", tarfile.CHRTYPE) + END, 400, "a device"),
        (gzip.compress(entry("evil", size=65537)[:512] + bytes(66048) + END), 413, "evil: with it"),
        (bytes(65537), 413, "--file-limit"),
    ],
    ids=lambda value: str(value)[:30] if isinstance(value, str) else None,
)
def test_what_is_refused(gateway: Gateway, body: bytes, status: int, why: str) -> None:
    """The template keeps what it had."""
    make(gateway, name="seeded")
    put(gateway, TAR)
    refused(put(gateway, body), status, why)
    assert gateway.get("/v1/templates/seeded").json()["seed"] == facts(TAR)
    assert list((gateway.state / "blobs" / "tmp").iterdir()) == []


def test_whose_it_is(gateway: Gateway) -> None:
    _, ada = mint(gateway, principal="ada")
    _, bob = mint(gateway, principal="bob")
    own = make(ada, name="seeded")
    assert put(ada, TAR).json()["seed"] == facts(TAR)
    shared = make(gateway, name="open", shared=True)
    put(gateway, TAR, "open")
    for path, who, status in ((own["id"], bob, 404), (shared["id"], bob, 403), (NOBODY, ada, 404)):
        seed = f"/v1/templates/{path}/seed"
        assert who.request("PUT", seed, TAR).status == status
        assert who.request("DELETE", seed).status == status
        assert who.get(seed).status == (200 if status == 403 else 404)
    assert workspace(gateway, create(bob, {"template": "open"})).joinpath("run.sh").exists()
    _, tim = mint(gateway, principal="tim")
    small = make(tim, name="seeded")
    one, other = entry("a") + END, entry("b") + END
    assert (len(one), len(other), len(TAR)) == (2048, 2048, 4096)
    assert put(tim, one).status == put(tim, other).status == 200  # in the place of the first
    make(tim, name="second")
    refused(put(tim, TAR, "second"), 403, "bytes for workspaces")
    assert used(tim)["disk_bytes"] == (2048, 4096)
    drop(gateway, small)
    assert put(tim, TAR, "second").status == 200


def test_one_that_does_not_fit(gateway: Gateway) -> None:
    """Nothing stays of a sandbox whose workspace cannot begin as its template says."""
    make(gateway, name="seeded", limits={"workspace_inodes": 16})
    put(gateway, b"".join(entry(f"a{i}") for i in range(17)) + END)
    refused(gateway.request("POST", "/v1/sandboxes", {"template": "seeded"}), 507, "inodes")
    put(gateway, entry("a") + entry("a/b") + END)  # a file, and something below it
    answer = gateway.request("POST", "/v1/sandboxes", {"template": "seeded"})
    refused(answer, 409, "a/b")
    assert gateway.get("/v1/sandboxes").json()["sandboxes"] == []
    processes.until(lambda: not list((gateway.state / "sandboxes").iterdir()), "removed")


def test_it_survives_and_is_in_the_backup(gateway: Gateway, tmp_path: Path) -> None:
    make(gateway, name="seeded")
    put(gateway, TAR)
    old, long_ago = entry("old") + END, time.time() - 7200
    make(gateway, name="other")
    put(gateway, old, "other")
    assert gateway.request("DELETE", "/v1/templates/other/seed").status == 204
    gateway.kill()
    gateway.start()
    assert gateway.get("/v1/templates/seeded/seed").body == TAR
    for body in (old, TAR):
        os.utime(blob(gateway, body), (long_ago, long_ago))
    answer = gateway.request("POST", "/v1/gc")
    assert answer.status == 200 and not blob(gateway, old).exists()
    sandbox = create(gateway, {"template": "seeded"})
    assert workspace(gateway, sandbox).joinpath("now").read_text() == "data/a"
    backup = tmp_path / "backup.tar"
    backup.write_bytes(gateway.get("/v1/backup").body)
    with tarfile.open(backup) as tar:
        found = tar.extractfile(str(blob(gateway, TAR).relative_to(gateway.state)))
        assert found is not None and found.read() == TAR
    blob(gateway, TAR).unlink()
    refused(gateway.request("POST", "/v1/sandboxes", {"template": "seeded"}), 503, "the seed of")


def test_from_the_command_line(gateway: Gateway, tmp_path: Path) -> None:
    make(gateway, name="seeded")
    tool = cli.Tool(gateway)
    file = tmp_path / "seed.tar"
    file.write_bytes(TAR)
    assert tool.ok("template", "seed", "seeded", str(file)) == f"{facts(TAR)['sha256']}\n"
    assert gateway.get("/v1/templates/seeded/seed").body == TAR
    cli.refused(tool("template", "seed", "seeded"), 2, "--remove")
    assert tool.ok("template", "seed", "--remove", "seeded") == ""
    cli.refused(tool("template", "seed", "--remove", "seeded"), 1, "no seed")
    packed = gzip.compress(TAR)  # which says when it was made
    told = tool.ok("template", "seed", "--json", "seeded", "-", stdin=packed)
    assert json.loads(told)["seed"] == facts(packed)

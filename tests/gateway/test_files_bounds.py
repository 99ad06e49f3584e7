"""The bounds of /v1/sandboxes/{id}/files: what a workspace may hold, how long a body may be; what
is left of an upload when its sandbox or its gateway ends; file systems that can do less."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import processes
from support.files import MODES, Box, end, finish, make_gateway, make_lacking, problem
from support.gateway import Gateway

MIB = 1 << 20


@pytest.fixture(scope="module", params=MODES)
def gateway(request: pytest.FixtureRequest) -> Iterator[Gateway]:
    gateway = make_gateway(request.param).start()
    yield gateway
    end(gateway)


@pytest.fixture(scope="module")
def box(gateway: Gateway) -> Iterator[Box]:
    box = Box.make(gateway)
    yield box
    box.remove()


# --- limits


@pytest.fixture
def small(gateway: Gateway) -> Iterator[Box]:
    box = Box.make(gateway, limits={"workspace_bytes": MIB, "workspace_inodes": 16})
    yield box
    box.remove()


def test_more_than_the_workspace_may_hold(small: Box) -> None:
    status, why = problem(small.put("big", bytes(2 * MIB)))
    assert (status, "workspace_bytes" in why) == (507, True)
    upload = small.begin("big", None)
    for _ in range(32):
        upload.send(b"10000\r\n" + bytes(0x10000) + b"\r\n")
    upload.send(b"0\r\n\r\n")
    status, why = problem(finish(upload))
    assert (status, "workspace_bytes" in why) == (507, True)
    assert problem(small.ask("POST", "big?append=1", bytes(2 * MIB)))[0] == 507
    assert small.names("") == []


def test_what_is_full_and_has_room_again(small: Box) -> None:
    """Every byte of earlier requests counts at once, and none of what was removed."""
    for _ in range(3):
        statuses = [small.put(f"file{n}", os.urandom(300 * 1024)).status for n in range(4)]
        assert statuses == [201, 201, 201, 507]
        small.cell("import os; [os.remove(n) for n in os.listdir() if n.startswith('file')]")
    small.cell("open('own', 'wb').write(os.urandom(900 * 1024))")
    assert problem(small.put("file", bytes(300 * 1024)))[0] == 507
    assert small.put("own", b"less").status == 204
    assert small.put("file", bytes(300 * 1024)).status == 201
    state = small.gateway.get(f"/v1/sandboxes/{small.id}").json()["state"]
    assert state in ("running", "starting")


def test_more_files_than_the_workspace_may_hold(small: Box) -> None:
    statuses = [small.put(f"file{n}", b"").status for n in range(20)]
    refused = statuses.index(507)
    assert statuses == [201] * refused + [507] * (20 - refused)
    assert 10 <= refused <= 16
    small.cell("import os; [os.remove(n) for n in os.listdir()]")
    assert small.put("file", b"").status == 201


def test_uploads_at_the_same_time_share_the_room(small: Box) -> None:
    uploads = [small.begin(f"file{n}", 300 * 1024) for n in range(6)]
    for upload in uploads:
        upload.send(bytes(300 * 1024))
    assert sorted(finish(upload).status for upload in uploads) == [201] * 3 + [507] * 3


# --- the end of a sandbox, and of a gateway


def is_begun(gateway: Gateway, box: Box) -> None:
    """The gateway has read the head of an upload: what comes is in a file without a name. What was
    sent alone may be in nobody's hands yet."""
    processes.until(lambda: has_nameless(gateway, box.folder), "a file without a name")


def has_nameless(gateway: Gateway, folder: Path) -> bool:
    """The gateway has a file of this folder open that has no name."""
    found = [str(place) for place in processes.open_files(gateway.pid)]
    return any(one.startswith(f"{folder}/") and one.endswith(" (deleted)") for one in found)


def test_a_sandbox_that_ends_in_the_middle(gateway: Gateway) -> None:
    box = Box.make(gateway)
    upload = box.begin("file", 3 * MIB)
    upload.send(bytes(2 * MIB))
    is_begun(gateway, box)
    box.remove()
    upload.send(bytes(MIB))
    assert problem(finish(upload))[0] == 404
    assert not (gateway.state / "sandboxes" / box.id).exists()


def test_a_sandbox_has_its_own_files(box: Box, gateway: Gateway) -> None:
    other = Box.make(gateway)
    box.put("mine", b"x")
    assert (other.names(""), other.get("mine").status) == ([], 404)
    other.remove()


def test_a_kernel_that_is_dead_leaves_its_files(gateway: Gateway) -> None:
    box = Box.make(gateway)
    box.put("file", b"x")
    answer = gateway.request("POST", f"/api/kernels/{box.kernel}/restart")
    assert answer.status == 200
    assert box.get("file").body == b"x"
    box.remove()


@pytest.fixture(params=MODES)
def passing(request: pytest.FixtureRequest) -> Iterator[Gateway]:
    """A gateway that is killed or ended by its test."""
    gateway = make_gateway(request.param, "--file-limit", "4194304", "--drain-s", "60").start()
    yield gateway
    end(gateway)


def test_a_gateway_that_is_killed_leaves_no_half(passing: Gateway) -> None:
    box = Box.make(passing)
    upload = box.begin("file", 3 * MIB)
    upload.send(bytes(2 * MIB + 1))
    is_begun(passing, box)
    passing.kill()
    upload.close()
    assert os.listdir(box.folder) == []
    passing.start()
    assert box.put("file", b"x").status == 201
    assert (box.folder / "file").lstat().st_uid == box.owner


def test_a_gateway_that_ends_takes_what_is_under_way(passing: Gateway) -> None:
    box = Box.make(passing)
    upload = box.begin("file", 3 * MIB)
    upload.send(bytes(2 * MIB))
    is_begun(passing, box)
    assert passing.process is not None
    passing.process.terminate()
    processes.until(lambda: "ending" in passing.log.read_text(), "the end begins")
    upload.send(bytes(MIB))
    assert finish(upload).status == 201
    assert passing.process.wait(30) == 0
    passing.start()
    assert box.get("file?stat=1").json()["size_bytes"] == 3 * MIB


@pytest.fixture
def poor(request: pytest.FixtureRequest) -> Iterator[Gateway]:
    gateway = make_lacking(request.param).start()
    yield gateway
    end(gateway)


@pytest.mark.parametrize("poor", ["nameless-files"], indirect=True)
def test_where_no_file_is_without_a_name(poor: Gateway) -> None:
    """A file that is not whole then has another name for that time."""
    box = Box.make(poor)
    upload = box.begin("file", 3 * MIB)
    upload.send(bytes(2 * MIB + 1))
    processes.until(lambda: box.names("") != [], "a file under way")
    (name,) = box.names("")
    assert name.startswith(".warmcell-")
    upload.send(bytes(MIB - 1))
    assert finish(upload).status == 201
    assert box.names("") == ["file"]
    assert box.put("file", b"replaced").status == 204
    assert problem(box.put("file", b"x", If_None_Match="*"))[0] == 412
    upload = box.begin("file", 3 * MIB)
    upload.send(bytes(2 * MIB + 1))
    processes.until(lambda: len(box.names("")) == 2, "another under way")
    upload.close()
    processes.until(lambda: box.names("") == ["file"], "nothing stays of it")
    assert box.get("file").body == b"replaced"


@pytest.mark.parametrize("poor", ["rename-to-new"], indirect=True)
def test_where_a_rename_always_replaces(poor: Gateway) -> None:
    box = Box.make(poor)
    box.put("a", b"a")
    box.put("b", b"b")
    assert problem(box.ask("POST", "a?move_to=b"))[0] == 409
    assert box.get("b").body == b"b"
    assert box.ask("POST", "a?move_to=c").status == 201
    assert box.ask("POST", "b?move_to=c&overwrite=1").status == 204
    assert box.get("c").body == b"b"


def test_a_body_that_is_too_long(passing: Gateway) -> None:
    box = Box.make(passing)
    status, why = problem(box.put("file", bytes(4 * MIB + 1)))
    assert (status, "--file-limit" in why) == (413, True)
    upload = box.begin("file", None)
    for _ in range(5):
        upload.send(b"100000\r\n" + bytes(MIB) + b"\r\n")
    upload.send(b"0\r\n\r\n")
    assert problem(finish(upload))[0] == 413
    assert box.names("") == []
    assert box.put("file", bytes(4 * MIB)).status == 201

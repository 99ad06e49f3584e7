"""Files that executions add, change and delete in their workspace: found after the end, kept once,
told by one event, and whose each is."""

from __future__ import annotations

import hashlib
import io
import json
import os
import socket
import sqlite3
import struct
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from gateway.test_executions import LINES, SSE, Box, numbers
from gateway.test_executions_return import come_back
from gateway.test_sandboxes import NOBODY, Place, create, end, remove, start, workspace
from support import processes

Record = dict[str, Any]


class Work(Box):
    """A sandbox, and its workspace as its cells see it."""

    def __init__(self, place: Place) -> None:
        super().__init__(place[0], create(place[0]))
        self.folder = workspace(place[0], self.model)
        if os.geteuid() == 0:  # it is looked into as its owner
            os.chown(self.folder, 700001, 700001)

    def shell(self, command: str) -> Record:
        return self.run(f"shell cd {self.folder} && {command}")

    def changes(self, execution: str, query: str = "") -> Record:
        answer = self.get(f"/{execution}/changes?settled=1{query}")
        assert answer.status == 200, answer
        found: Record = answer.json()
        return found

    def files(self, **filters: str) -> list[Record]:
        query = "&".join(f"{name}={value}" for name, value in filters.items())
        answer = self.gateway.get(f"/v1/sandboxes/{self.model['id']}/artifacts?{query}")
        assert answer.status == 200, answer
        found: list[Record] = answer.json()["artifacts"]
        return found


@pytest.fixture
def work(place: Place) -> Iterator[Work]:
    work = Work(place)
    yield work
    remove(work.gateway, work.model)


@pytest.fixture
def own() -> Iterator[Work]:
    """With a gateway of its own, which may be killed."""
    gateway, keeper = start("--pool-max", "0")
    work = Work((gateway, keeper))
    yield work
    for pid in keeper.pids():
        processes.own(pid)
    end(gateway, keeper)


def let_pass(changed: Path) -> None:
    """Until the file system's clock says that a change is well past."""
    probe, before = changed.parent.parent / "probe", changed.stat().st_ctime_ns

    def now() -> int:
        probe.write_text("x")
        return probe.stat().st_ctime_ns

    processes.until(lambda: now() > before + 50_000_000, "the clock goes on")


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        whole = kind + data
        return struct.pack(">I", len(data)) + whole + struct.pack(">I", zlib.crc32(whole))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = b"".join(b"\0" + bytes(width) for _ in range(height))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows))
            + chunk(b"IEND", b""))  # fmt: skip


def counts(record: Record) -> tuple[int, int, int]:
    files = record["files_changed"]
    return files["added"], files["changed"], files["deleted"]


def test_added_changed_and_deleted(work: Work) -> None:
    first = work.shell("printf one >a.txt; mkdir -p d/e; printf two >d/e/b.csv")
    assert first["status"] == "ok"
    assert counts(first) == (2, 0, 0)
    assert (first["artifacts"], first["files_changed"]["bytes"]) == (2, 6)
    found = work.changes(first["id"])
    assert [(one["path"], one["what"], one["before"]) for one in found["changes"]] == [
        ("a.txt", "added", None), ("d/e/b.csv", "added", None),
    ]  # fmt: skip
    assert found["changes"][0]["after"] == {"sha256": sha256(b"one"), "size_bytes": 3}
    second = work.shell("printf three >a.txt; rm d/e/b.csv; printf new >c")
    assert counts(second) == (1, 1, 1)
    changes = {one["path"]: one for one in work.changes(second["id"])["changes"]}
    assert changes["a.txt"]["before"] == {"sha256": sha256(b"one"), "size_bytes": 3}
    assert changes["a.txt"]["after"] == {"sha256": sha256(b"three"), "size_bytes": 5}
    assert changes["d/e/b.csv"]["before"] == {"sha256": sha256(b"two"), "size_bytes": 3}
    assert (changes["d/e/b.csv"]["after"], changes["d/e/b.csv"]["artifact_id"]) == (None, None)
    assert (changes["c"]["what"], changes["c"]["shared"], changes["c"]["outside"]) == (
        "added", False, False,
    )  # fmt: skip
    nothing = work.shell("cat a.txt >/dev/null; touch c; printf three >a.txt")
    assert counts(nothing) == (0, 0, 0)  # their bytes are the same
    assert (nothing["artifacts"], work.changes(nothing["id"])["changes"]) == (0, [])


def test_holes_of_files_are_not_read_without_end(work: Work) -> None:
    """What no run made is read as far as a bound: of what lies beyond no sha256 is known."""
    for n in range(300):
        file = work.folder / f"{n:03}"
        file.touch()
        os.truncate(file, 512 << 20)
        if os.geteuid() == 0:
            os.chown(file, 700001, 700001)
    let_pass(file)
    assert counts(work.shell("true")) == (0, 0, 0)
    both = work.changes(work.shell("printf x >000; printf x >299")["id"])["changes"]
    assert [(one["path"], one["what"]) for one in both] == [("000", "changed"), ("299", "changed")]
    assert {one["before"]["size_bytes"] for one in both} == {512 << 20}
    assert both[0]["before"]["sha256"]
    assert both[1]["before"]["sha256"] is None


def test_artifacts_of_a_sandbox_by_its_name(work: Work) -> None:
    work.shell("printf one >a.txt")
    answer = work.gateway.request("PATCH", f"/v1/sandboxes/{work.model['id']}", {"name": "called"})
    assert answer.status == 200, answer
    found = work.gateway.get("/v1/sandboxes/called/artifacts").json()["artifacts"]
    assert [one["path"] for one in found] == ["a.txt"]


def test_an_artifact_of_a_file(work: Work) -> None:
    data = png(7, 3)
    (work.folder / "source").write_bytes(data)
    # its directory stands behind the pixels, as libtiff writes it
    sizes = struct.pack("<HHHIIHHII", 2, 256, 3, 1, 9, 257, 3, 1, 4)
    (work.folder / "tiff").write_bytes(b"II*\0" + struct.pack("<I", 100008) + bytes(100000) + sizes)
    let_pass(work.folder / "source")
    let_pass(work.folder / "tiff")
    record = work.shell("cp source plot.png; cp source named-nothing; printf '<b>' >page.html;"
                        "cp tiff scan.tif")  # fmt: skip
    rows = {row["path"]: row for row in work.files(execution=record["id"])}
    plot = rows["plot.png"]
    assert (plot["kind"], plot["mime_type"], plot["size_bytes"]) == ("file", "image/png", len(data))
    assert (plot["width"], plot["height"], plot["sha256"]) == (7, 3, sha256(data))
    assert (rows["scan.tif"]["width"], rows["scan.tif"]["height"]) == (9, 4)
    assert (plot["execution_id"], plot["command_id"]) == (record["id"], None)
    assert (plot["sandbox_id"], plot["kernel_id"]) == (work.model["id"], work.context)
    assert rows["named-nothing"]["mime_type"] == "image/png"  # by its first bytes
    assert rows["page.html"]["mime_type"].startswith("text/html")
    assert "source" not in rows  # it was there before the first cell
    blobs = work.gateway.state / "blobs"
    assert (blobs / sha256(data)[:2] / sha256(data)[2:]).read_bytes() == data  # once for both
    content = work.gateway.get(plot["content_url"])
    assert (content.status, content.body) == (200, data)
    page = work.gateway.get(rows["page.html"]["content_url"])
    assert page.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    assert page.headers["x-content-type-options"] == "nosniff"
    assert [row["path"] for row in work.files(mime_type="image/")] == [
        "named-nothing", "plot.png", "scan.tif"]  # fmt: skip
    assert [row["path"] for row in work.files(mime_type="text/html")] == ["page.html"]
    work.shell("mv plot.png moved.png; rm named-nothing page.html")
    assert work.gateway.get(plot["content_url"]).body == data  # what became of the file or not


def test_the_event_and_its_number(work: Work) -> None:
    execution = work.detach(f"shell cd {work.folder} && printf x >x")
    events = [json.loads(line) for line in work.get(
        f"/{execution}/events?settled=1", headers=LINES).body.splitlines()]  # fmt: skip
    assert [event["type"] for event in events[-2:]] == ["end", "artifacts_settled"]
    assert numbers(events) == list(range(1, len(events) + 1))
    assert "files_changed" not in events[-2]["execution"]
    settled = events[-1]
    assert (settled["artifacts"], counts(settled)) == (1, (1, 0, 0))
    for after in range(len(events) + 1):  # exactly behind any number
        answer = work.get(f"/{execution}/events?settled=1&after={after}", headers=LINES)
        assert [json.loads(line) for line in answer.body.splitlines()] == events[after:]
        page = work.get(f"/{execution}/events?settled=1&after={after}").json()
        last = max(after, len(events))
        assert page == {"events": events[after:], "after": last, "ended": True, "settled": True}
    assert work.get(f"/{execution}/events").json()["events"] == events[:-1]
    page = work.get(f"/{execution}/events?settled=1&limit={len(events) - 1}").json()
    assert (page["events"], page["settled"]) == (events[:-1], False)
    sse = work.get(f"/{execution}/events?settled=1", headers=SSE).body.decode()
    assert f'id: {len(events)}\ndata: {{"number":{len(events)},"type":"artifacts' in sse
    assert work.show(execution)["files_changed"] == settled["files_changed"]


def test_displays_are_in_before_it(work: Work) -> None:
    content = json.dumps({"data": {"image/svg+xml": "<svg/>"}, "metadata": {}})
    record = work.run(f"publish display_data {content}")
    assert (record["artifacts"], counts(record)) == (1, (0, 0, 0))
    (row,) = work.get(f"/{record['id']}/artifacts").json()["artifacts"]
    assert (row["kind"], row["path"], row["sandbox_id"]) == ("display", None, work.model["id"])
    assert work.files(kind="file") == []


@pytest.mark.parametrize("code", ["fail x", "crash 9"])
def test_one_that_fails(work: Work, code: str) -> None:
    record = work.run(f"shell printf x >{work.folder}/left\n{code}")
    assert record["status"] in ("error", "killed")
    assert counts(record) == (1, 0, 0)


def test_what_has_no_bytes_to_keep(work: Work) -> None:
    record = work.shell(
        "mkfifo pipe; ln -s /etc/passwd out; ln -s nowhere dead; printf x >real; "
        "truncate -s 1T huge; mkdir -p empty/er __pycache__; >__pycache__/m.pyc"
    )
    changes = {one["path"]: one for one in work.changes(record["id"])["changes"]}
    assert sorted(changes) == ["dead", "huge", "out", "pipe", "real"]
    assert "problem" not in changes["real"]
    assert "not followed" in changes["out"]["problem"]
    assert "FIFO" in changes["pipe"]["problem"]
    assert changes["huge"]["problem"].startswith("1099511627776 bytes, more than the 512 MiB")
    assert changes["huge"]["after"] == {"sha256": None, "size_bytes": 1 << 40}
    files = record["files_changed"]
    assert (counts(record), files["not_kept"], files["bytes"]) == ((5, 0, 0), 4, 1)
    assert [row["path"] for row in work.files()] == ["real"]
    again = work.shell("true")
    assert counts(again) == (0, 0, 0)  # each is told of once
    with socket.socket(socket.AF_UNIX) as listener:
        os.chdir(work.folder)
        try:
            listener.bind("socket")
        finally:
            os.chdir("/")
        assert "socket" in work.changes(work.shell("true")["id"])["changes"][0]["problem"]


def test_more_than_are_recorded(work: Work) -> None:
    record = work.shell("i=0; while [ $i -lt 1003 ]; do : >f$i; i=$((i+1)); done")
    files = record["files_changed"]
    assert (files["added"], files["passed_over"]) == (1000, 3)
    first = work.changes(record["id"], "&limit=999")
    rest = work.changes(record["id"], f"&limit=999&after={first['next']}")
    assert (len(first["changes"]), len(rest["changes"]), rest["next"]) == (999, 1, None)
    assert counts(work.shell("true")) == (0, 0, 0)


def test_the_files_api_is_nobodys_run(work: Work) -> None:
    def put(path: str, data: bytes) -> None:
        url = f"/v1/sandboxes/{work.model['id']}/files/{path}"
        assert work.gateway.request("PUT", url, data).status in (201, 204)

    if os.geteuid() == 0:
        work.folder.chmod(0o777)
    put("data.csv", b"1")
    assert counts(work.shell("true")) == (0, 0, 0)
    put("more", b"2")
    record = work.shell("printf 22 >data.csv")
    (change,) = work.changes(record["id"])["changes"]
    assert (change["path"], change["before"]["sha256"]) == ("data.csv", sha256(b"1"))
    url = f"/v1/sandboxes/{work.model['id']}/files/data.csv"
    assert work.gateway.request("DELETE", url).status == 204
    assert counts(work.shell("true")) == (0, 0, 0)


def test_what_others_write(work: Work) -> None:
    """While nothing runs it is the next run's, and marked; while two run, it may be either's."""
    work.shell("true")
    (work.folder / "later").write_text("by what was left in the background")
    let_pass(work.folder / "later")
    (change,) = work.changes(work.shell("true")["id"])["changes"]
    assert (change["path"], change["outside"], change["shared"]) == ("later", True, False)
    path = f"/v1/sandboxes/{work.model['id']}/contexts"
    other = work.gateway.request("POST", path, {"name": "other"}).json()["id"]
    long = work.detach("input x", context=other, allow_input=True)
    work.until(long, awaits_input=True)
    (change,) = work.changes(work.shell("printf x >both")["id"])["changes"]
    assert (change["path"], change["shared"]) == ("both", True)
    assert work.ask(long, "input", {"value": "v"}).status == 204
    assert work.changes(long)["changes"] == []  # each change is listed once


def test_names_of_any_bytes(work: Work) -> None:
    record = work.shell(r"""printf x >"$(printf 'a\377\n"b')"; printf y >'-é ü'""")
    paths = {one["path"] for one in work.changes(record["id"])["changes"]}
    assert paths == {'a�\n"b', "-é ü"}
    (row,) = [row for row in work.files() if row["path"].startswith("a")]
    answer = work.gateway.get(row["content_url"] + "?download")
    assert answer.headers["content-disposition"].startswith('attachment; filename="a_____b"')
    named = work.gateway.get(row["content_url"] + "?download=x%0d%0a.txt")
    assert "\n" not in named.headers["content-disposition"]


def test_it_is_settled_once_by_the_next_gateway(own: Work) -> None:
    """A gateway is killed between the reply and the settlement: what the second committed is taken
    out of its database again."""
    first = own.shell("printf 1 >one")
    database = own.gateway.state / "warmcell.db"
    known = "SELECT * FROM workspace_files"
    with closing(sqlite3.connect(database)) as db:
        before = db.execute(known).fetchall()
    second = own.shell("printf 2 >two && rm one")
    found = own.changes(second["id"])["changes"]
    own.gateway.kill()
    with closing(sqlite3.connect(database)) as db:
        assert db.execute(known).fetchall() != before
        db.execute("DELETE FROM workspace_files")
        db.executemany(f"INSERT INTO workspace_files VALUES ({','.join('?' * 8)})", before)
        db.execute("DELETE FROM artifacts WHERE execution_id = ?", (second["id"],))
        db.execute("DELETE FROM file_changes WHERE run_id = ?", (second["id"],))
        db.execute("UPDATE executions SET settled = NULL WHERE id = ?", (second["id"],))
        db.commit()
    own.gateway.start()
    again = own.changes(second["id"])["changes"]
    same = ("path", "what", "before", "after", "shared", "outside")
    assert [{name: one[name] for name in same} for one in again] == [
        {name: one[name] for name in same} for one in found
    ]
    assert [(one["path"], one["what"]) for one in again] == [("one", "deleted"), ("two", "added")]
    come_back(own)
    assert own.changes(second["id"])["changes"] == again
    assert own.changes(first["id"])["changes"][0]["path"] == "one"
    assert [row["path"] for row in own.files()] == ["one", "two"]
    assert counts(own.shell("true")) == (0, 0, 0)


def test_a_sandbox_that_is_deleted(own: Work) -> None:
    """Who waits for it is told; what was kept stays."""
    kept = own.shell("printf kept >kept")
    execution = own.detach("wait")
    own.until(execution, status="running")
    stream = own.gateway.connection()
    stream.request("GET", f"{own.path}/{execution}/events?settled=1",
                   headers=LINES | own.gateway.authorization)  # fmt: skip
    reply = stream.getresponse()
    assert b"started" in reply.readline()
    remove(own.gateway, own.model)
    events = [json.loads(line) for line in reply.read().splitlines()]
    stream.close()
    assert [event["type"] for event in events].count("artifacts_settled") == 1
    assert events[-1]["type"] == "artifacts_settled"
    assert "deleted" in events[-1]["files_changed"]["problem"]
    answer = own.gateway.get(f"/v1/artifacts?sandbox={own.model['id']}")
    (row,) = answer.json()["artifacts"]
    assert (row["path"], row["execution_id"]) == ("kept", kept["id"])
    assert own.gateway.get(row["content_url"]).body == b"kept"
    with closing(sqlite3.connect(own.gateway.state / "warmcell.db")) as database:
        assert database.execute("SELECT COUNT(*) FROM workspace_files").fetchone() == (0,)
        assert database.execute("SELECT COUNT(*) FROM file_changes").fetchone() == (0,)


def test_a_tar_of_all(work: Work) -> None:
    big = bytes(range(256)) * 4096  # more than one piece
    (work.folder / "big").write_bytes(big)
    record = work.shell("mkdir d; cp big d/same.bin; cp big same.bin; printf x >'a\"$b'; ln -s d l")
    content = json.dumps({"data": {"image/svg+xml": "<svg/>"}, "metadata": {}})
    shown = work.run(f"publish display_data {content}")
    for n in range(110):  # more than one page
        (work.folder / f"n{n}").write_text(str(n))
    work.shell("true")
    answer = work.gateway.get(f"/v1/sandboxes/{work.model['id']}/artifacts.tar")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/x-tar")
    assert answer.headers["content-disposition"].startswith('attachment; filename="artifacts.tar"')
    rows = [row for row in work.files(limit="1000") if row["sha256"]]
    with tarfile.open(fileobj=io.BytesIO(answer.body)) as tar:
        members = tar.getmembers()
        assert len({member.name for member in members}) == len(members) == len(rows) > 110
        for number, (row, member) in enumerate(zip(rows, members, strict=True), 1):
            assert member.isfile()
            assert member.name.startswith(f"{number:06}-")
            assert "/" not in member.name
            data = tar.extractfile(member)
            assert data is not None
            assert sha256(data.read()) == row["sha256"]
    answer = work.get(f"/{record['id']}/artifacts.tar?settled=1")
    with tarfile.open(fileobj=io.BytesIO(answer.body)) as tar:
        names = {member.name[7:] for member in tar}
        assert names >= {"same.bin", "a__b"}
    answer = work.get(f"/{shown['id']}/artifacts.tar")
    with tarfile.open(fileobj=io.BytesIO(answer.body)) as tar:
        assert tar.getnames() == ["000001-display.svg"]
    empty = work.get(f"/{shown['id']}/artifacts.tar?kind=file")
    with tarfile.open(fileobj=io.BytesIO(empty.body)) as tar:
        assert tar.getnames() == []
    assert work.get(f"/{NOBODY}/artifacts.tar").status == 404
    assert work.gateway.get(f"/v1/sandboxes/{NOBODY}/artifacts.tar").status == 404
    bad = work.gateway.get(f"/v1/sandboxes/{work.model['id']}/artifacts.tar?kind=x")
    assert bad.status == 400


def test_an_artifact_is_forgotten(work: Work) -> None:
    work.shell("printf same >a; printf same >b")
    first, second = work.files()
    minted = work.gateway.request("POST", "/v1/tokens", {"principal": "someone"}).json()["token"]
    path = f"/v1/artifacts/{first['id']}"
    foreign = {"Authorization": f"Bearer {minted}"}
    assert work.gateway.request("DELETE", path, headers=foreign).status == 404
    assert work.gateway.request("DELETE", f"/v1/artifacts/{first['sha256']}").status == 404
    assert work.gateway.request("DELETE", path).status == 204
    assert work.gateway.request("DELETE", path).status == 404
    assert work.files() == [second]
    assert work.gateway.get(second["content_url"]).body == b"same"  # others have its bytes
    assert work.gateway.get(first["content_url"]).status == 404
    assert counts(work.shell("true")) == (0, 0, 0)  # its file is still there


@pytest.mark.parametrize(
    ("query", "text"),
    [("kind=x", "kind: must be display or file"), ("limit=0", "limit: out of range"),
     ("after=x", "after: must be a number"), ("settled=2", "settled: must be 1 or 0")],
)  # fmt: skip
def test_queries_that_are_wrong(work: Work, query: str, text: str) -> None:
    execution = work.run("print x")["id"]
    for path in (f"{work.path}/{execution}/artifacts", f"{work.path}/{execution}/changes"):
        answer = work.gateway.get(f"{path}?{query}")
        assert query == "kind=x" or (answer.status, text in answer.json()["detail"]) == (400, True)
    if not query.startswith("settled"):
        path = f"/v1/sandboxes/{work.model['id']}/artifacts?{query}"
        assert (work.gateway.get(path).status, query) == (400, query)


def test_what_is_not_there(work: Work, place: Place) -> None:
    other = create(place[0])
    execution = work.run("print x")["id"]
    for path in (f"{work.path}/{NOBODY}/changes", f"{work.path}/{NOBODY}/artifacts",
                 f"/v1/sandboxes/{NOBODY}/artifacts",
                 f"/v1/sandboxes/{other['id']}/executions/{execution}/changes",
                 f"/v1/sandboxes/{other['id']}/executions/{execution}/artifacts"):  # fmt: skip
        assert work.gateway.get(path).status == 404, path
    minted = work.gateway.request("POST", "/v1/tokens", {"principal": "someone"}).json()["token"]
    foreign = {"Authorization": f"Bearer {minted}"}
    for path in (f"{work.path}/{execution}/changes", f"{work.path}/{execution}/artifacts",
                 f"/v1/sandboxes/{work.model['id']}/artifacts"):  # fmt: skip
        assert work.gateway.get(path, headers=foreign).status == 404, path
    remove(place[0], other)

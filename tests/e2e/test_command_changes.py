"""Files that commands add, change and delete in their workspace, with a real keeper: found after
the end, kept once, told by one event, counted to whom, and settled once by the next gateway."""

from __future__ import annotations

import io
import json
import shutil
import sqlite3
import tarfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from e2e.test_sandbox_commands import LINES, Stream, events_of, text_of
from e2e.test_sandbox_life import create
from gateway.test_changes import counts, let_pass, sha256
from support import processes
from support.files import keeper_pids
from support.gateway import Answer, Gateway

Record = dict[str, Any]


class Work:
    """A sandbox and the commands in it."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.model = create(gateway)
        self.sandbox = f"/v1/sandboxes/{self.model['id']}"
        self.path = f"{self.sandbox}/commands"
        self.folder: Path = gateway.state / "sandboxes" / self.model["id"] / "workspace"

    def shell(self, line: str, query: str = "?settled=1", **body: Any) -> Record:
        answer = self.gateway.request("POST", self.path + query, {"shell": line} | body)
        assert answer.status in (200, 202), answer
        record: Record = answer.json()
        return record

    def get(self, command: str, what: str, **options: Any) -> Answer:
        return self.gateway.get(f"{self.path}/{command}{what}", **options)

    def changes(self, command: str, query: str = "") -> list[Record]:
        answer = self.get(command, f"/changes?settled=1{query}")
        assert answer.status == 200, answer
        found: list[Record] = answer.json()["changes"]
        return found

    def artifacts(self, command: str) -> list[Record]:
        found: list[Record] = self.gateway.get(
            f"{self.sandbox}/artifacts?command={command}"
        ).json()["artifacts"]
        return found

    def in_background(self, line: str) -> Record:
        """It has said that it is ready."""
        record = self.shell(line, "", background=True)
        stream = Stream(self.gateway, self.path, record)
        stream.until("ready")
        stream.close()
        return record


@pytest.fixture
def work() -> Iterator[Work]:
    gateway = Gateway(options=["--pool-max", "0"])
    with gateway:
        yield Work(gateway)
        for pid in keeper_pids(gateway):
            processes.own(pid)
    assert not processes.wait_gone(keeper_pids(gateway))
    shutil.rmtree(gateway.home, ignore_errors=True)


def what(changes: list[Record]) -> list[tuple[str, str]]:
    return [(one["path"], one["what"]) for one in changes]


def flags(changes: list[Record]) -> dict[str, tuple[bool, bool]]:
    return {one["path"]: (one["shared"], one["outside"]) for one in changes}


def test_what_commands_left(work: Work) -> None:
    first = work.shell("printf one >a.txt; mkdir -p d/e; printf two >d/e/b.csv")
    assert (first["status"], counts(first), first["artifacts"]) == ("exited", (2, 0, 0), 2)
    found = work.changes(first["id"])
    assert what(found) == [("a.txt", "added"), ("d/e/b.csv", "added")]
    assert (found[0]["before"], found[0]["after"]) == (
        None, {"sha256": sha256(b"one"), "size_bytes": 3},
    )  # fmt: skip
    assert set(flags(found).values()) == {(False, False)}
    rows = work.get(first["id"], "/artifacts").json()["artifacts"]
    assert [(row["path"], row["number"]) for row in rows] == [("a.txt", 1), ("d/e/b.csv", 2)]
    assert {(row["command_id"], row["execution_id"], row["kernel_id"], row["kind"])
            for row in rows} == {(first["id"], None, None, "file")}  # fmt: skip
    assert work.gateway.get(rows[1]["content_url"]).body == b"two"
    assert work.artifacts(first["id"]) == rows
    with tarfile.open(fileobj=io.BytesIO(work.get(first["id"], "/artifacts.tar").body)) as tar:
        assert tar.getnames() == ["000001-a.txt", "000002-b.csv"]
    second = work.shell("printf three >a.txt; rm d/e/b.csv")
    assert (counts(second), second["artifacts"]) == ((0, 1, 1), 1)
    assert work.changes(second["id"])[0]["before"]["sha256"] == sha256(b"one")
    assert counts(work.shell("cat a.txt")) == (0, 0, 0)
    assert work.shell("cat a.txt", "")["stdout"] == "three"  # without waiting
    never = work.shell("", argv=["/nowhere"], shell=None)
    assert (never["exit_code"], counts(never)) == (127, (0, 0, 0))
    known = {one["id"]: one for one in work.gateway.get(work.path).json()["commands"]}
    assert counts(known[first["id"]]) == (2, 0, 0)
    is_an_event(work)
    is_refused(work, first["id"])
    is_deleted(work, first["id"], rows[0]["content_url"])


def is_an_event(work: Work) -> None:
    answer = work.gateway.request("POST", f"{work.path}?settled=1",
                                  {"shell": "printf 1 >1; echo out"}, headers=LINES)  # fmt: skip
    events = events_of(answer)
    command = answer.headers["location"].rsplit("/", 1)[1]
    assert [event["kind"] for event in events] == ["started", "stdout", "end", "artifacts_settled"]
    assert [event["number"] for event in events] == [1, 2, 3, 4]
    settled = events[-1]
    assert (counts(settled), settled["artifacts"]) == ((1, 0, 0), 1)
    assert settled["time"] == settled["settled"]
    for after in range(6):
        found = events_of(work.get(command, f"/events?settled=1&after={after}"))
        assert found == events[after:]
        there = events_of(work.get(command, f"/events?settled=1&follow=0&after={after}"))
        assert there == events[after:]
    assert events_of(work.get(command, "/events")) == events[:-1]
    text = work.get(command, "/events?settled=1&after=3", headers={"Accept": "text/event-stream"})
    assert text.body.startswith(b'id: 4\nevent: artifacts_settled\ndata: {"number":4,')
    assert work.get(command, "").json()["files_changed"] == settled["files_changed"]
    begun = work.gateway.request("POST", work.path, {"shell": "printf 1 >2", "background": True})
    awaited = work.get(begun.json()["id"], "?settled=1").json()  # nobody knows how far it is
    assert (counts(awaited), awaited["exit_code"]) == ((1, 0, 0), 0)
    record = json.loads(work.get(command, "/changes").body)
    assert (record["settled"], record["artifacts"]) == (settled["settled"], 1)


def is_refused(work: Work, command: str) -> None:
    minted = work.gateway.request("POST", "/v1/tokens", {"principal": "someone"}).json()["token"]
    foreign = {"Authorization": f"Bearer {minted}"}
    nobody = "00000000-0000-4000-8000-000000000000"
    for path in ("/artifacts", "/artifacts.tar", "/changes"):
        assert work.get(command, path, headers=foreign).status == 404
        assert work.get(nobody, path).status == 404
        answer = work.get(command, f"{path}?settled=2")
        assert (answer.status, "settled" in answer.json()["detail"]) == (400, True)
    assert work.get(command, "/changes?limit=0").status == 400
    assert work.get(command, "/artifacts?kind=x").status == 400
    assert work.get(command, "/artifacts.tar?kind=x").status == 400
    assert work.get(command, "/events?settled=x").status == 400
    assert work.get(command, "?settled=x").status == 400
    answer = work.gateway.request("POST", f"{work.path}?settled=x", {"shell": "true"})
    assert answer.status == 400


def is_deleted(work: Work, command: str, content: str) -> None:
    """With its sandbox. What was kept stays, and nothing is known of its commands any more."""
    assert work.gateway.request("DELETE", work.sandbox).status == 204
    assert work.get(command, "/changes").status == 404
    rows = work.gateway.get(f"/v1/artifacts?command={command}").json()["artifacts"]
    assert [row["path"] for row in rows] == ["a.txt", "d/e/b.csv"]
    assert work.gateway.get(content).body == b"one"
    with closing(sqlite3.connect(work.gateway.state / "warmcell.db")) as database:
        query = "SELECT COUNT(*) FROM settled_commands"
        processes.until(lambda: database.execute(query).fetchone() == (0,), "they are gone")


def test_whose_a_change_is(work: Work) -> None:
    """Of several that run at once, with the first to end; what only one may have done is its own,
    however many others end before it."""
    long = work.in_background("printf 1 >mine; echo ready; read x; printf 2 >late; exit 3")
    let_pass(work.folder / "mine")
    short = work.shell("printf 3 >both")
    assert flags(work.changes(short["id"])) == {"both": (True, False)}
    code = {"code": "open('too', 'w').write('4')"}
    ran = work.gateway.request("POST", f"{work.sandbox}/executions?settled=1", code).json()
    listed = work.gateway.get(f"{work.sandbox}/executions/{ran['id']}/changes").json()["changes"]
    assert flags(listed) == {"too": (True, False)}
    assert "files_changed" not in work.get(long["id"], "").json()
    let_pass(work.folder / "too")
    stdin = f"{work.path}/{long['id']}/stdin?eof=1"
    assert work.gateway.request("POST", stdin, b"go\n").status == 204
    assert flags(work.changes(long["id"])) == {"late": (False, False), "mine": (False, False)}
    killed = work.in_background("printf 5 >left; echo ready; read x")
    path = f"{work.path}/{killed['id']}"
    assert work.gateway.request("POST", f"{path}/signal", {"signal": "SIGKILL"}).status == 204
    assert what(work.changes(killed["id"])) == [("left", "added")]
    forgotten = work.in_background("printf 6 >gone; echo ready; read x")
    path = f"{work.path}/{forgotten['id']}"
    assert work.gateway.request("DELETE", path).status == 204
    assert counts(work.shell("true")) == (0, 0, 0)  # it is that one's, who has no record any more
    (row,) = work.artifacts(forgotten["id"])
    assert row["path"] == "gone"
    with closing(sqlite3.connect(work.gateway.state / "warmcell.db")) as database:
        query = "SELECT COUNT(*) FROM file_changes WHERE run_id = ?"
        processes.until(
            lambda: database.execute(query, (forgotten["id"],)).fetchone() == (0,), "they are gone"
        )


def come_back(work: Work, forget: str) -> None:
    """The gateway is killed before a command was settled: what it committed is taken out of its
    database again."""
    database = work.gateway.state / "warmcell.db"
    work.gateway.kill()
    with closing(sqlite3.connect(database)) as db:
        db.execute("DELETE FROM workspace_files WHERE path = CAST('two' AS BLOB)")
        db.execute("DELETE FROM artifacts WHERE command_id = ?", (forget,))
        db.execute("DELETE FROM file_changes WHERE run_id = ?", (forget,))
        db.execute("DELETE FROM settled_commands WHERE id = ?", (forget,))
        db.commit()
    work.gateway.start()


def test_it_is_settled_once_by_the_next_gateway(work: Work) -> None:
    many = 3_000_000  # more than is read of a log at once
    first = work.shell(f"printf 1 >one; head -c {many} /dev/zero | tr '\\0' x")
    second = work.shell("printf 2 >two")
    found = work.changes(second["id"])
    let_pass(work.folder / "two")
    running = work.in_background(
        f"printf 3 >three; head -c {many} /dev/zero | tr '\\0' x; echo ready; read x"
    )
    come_back(work, second["id"])
    shown = work.get(first["id"], "").json()
    assert (shown["status"], shown["bytes"]["stdout"]) == ("exited", many)
    stream = Stream(work.gateway, work.path, running)
    assert len(text_of(stream.until("ready"))) == many + 6
    stream.close()
    again = work.changes(second["id"])
    same = ("path", "what", "before", "after", "shared", "outside")
    assert [{name: one[name] for name in same} for one in again] == [
        {name: one[name] for name in same} for one in found
    ]
    work.gateway.kill()
    work.gateway.start()
    assert work.changes(second["id"]) == again
    assert what(work.changes(first["id"])) == [("one", "added")]
    assert work.get(first["id"], "").json()["files_changed"] == first["files_changed"]
    stdin = f"{work.path}/{running['id']}/stdin?eof=1"
    assert work.gateway.request("POST", stdin, b"go\n").status == 204
    assert what(work.changes(running["id"])) == [("three", "added")]
    assert counts(work.shell("true")) == (0, 0, 0)

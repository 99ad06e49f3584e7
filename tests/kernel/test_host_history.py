"""The history: IPython's file, every row in it whatever is killed, and the three ways to ask."""

from __future__ import annotations

import os
import signal
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from kernel.host_process import Host
from support import processes
from support.direct import DirectClient


def ask(client: DirectClient, access: str, **content: Any) -> list[Any]:
    request = {"hist_access_type": access, "output": False, "raw": True, **content}
    reply = client.ask("history_request", request).content
    assert reply["status"] == "ok"
    rows: list[Any] = reply["history"]
    return rows


def rows_of(file: Path) -> list[Any]:
    with sqlite3.connect(file) as db:
        return db.execute("SELECT session, line, source_raw FROM history").fetchall()


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "deep" / "history.sqlite"


def journals(file: Path) -> list[Path]:
    return list(file.parent.parent.glob("state/warmcell/history/*"))


def fill(file: Path, *sources: str) -> None:
    with Host(history=str(file)) as host:
        host.client().run("\n".join(f"history {n} {s}" for n, s in enumerate(sources, 1)))


def test_the_ways_to_ask(file: Path) -> None:
    fill(file, "a = 1", "b = 2")
    fill(file, "a = 1", "c = 'π\u2028'", "d")
    with sqlite3.connect(file) as db:
        db.execute("INSERT INTO output_history VALUES (2, 3, 'shown')")
    with Host(history=str(file)) as host:
        client = host.client()
        client.run("history 1 x = 1\nhistory 2 a = 1\nhistory 3 y")
        everything = [
            [1, 1, "a = 1"], [1, 2, "b = 2"],
            [2, 1, "a = 1"], [2, 2, "c = 'π\u2028'"], [2, 3, "d"],
            [3, 1, "x = 1"], [3, 2, "a = 1"], [3, 3, "y"],
        ]  # fmt: skip
        assert ask(client, "tail", n=100) == everything
        assert ask(client, "tail", n=2) == everything[-2:]
        assert ask(client, "tail", n=4) == everything[-4:]
        assert ask(client, "tail", n=0) == []
        own = [[0, line, source] for _, line, source in everything[5:]]
        assert ask(client, "range", session=0, start=1) == own
        assert ask(client, "range", session=0, start=2, stop=3) == own[1:2]
        assert ask(client, "range", session=0, start=-2) == own[1:]
        assert ask(client, "range", session=0, start=1, stop=-1) == own[:2]
        assert ask(client, "range", session=3, start=1) == [[3, *row[1:]] for row in own]
        assert ask(client, "range", session=-1, start=2) == everything[3:5]
        assert ask(client, "range", session=1, start=1, stop=2) == everything[:1]
        assert ask(client, "range", session=99, start=1) == []
        found = [r for r in everything if r[2] == "a = 1"]
        assert ask(client, "search", pattern="a*") == found
        assert ask(client, "search", pattern="a*", n=2) == found[-2:]
        assert len(ask(client, "search", pattern="a*", unique=True)) == 1
        assert ask(client, "search", pattern="?") == [[2, 3, "d"], [3, 3, "y"]]
        assert ask(client, "search", pattern="'; DROP TABLE history") == []
        assert ask(client, "range", session=-1, start=3, output=True) == [[2, 3, ["d", "shown"]]]
        assert ask(client, "tail", n=1, output=True) == [[3, 3, ["y", None]]]


def test_the_file_is_the_one_of_ipython(file: Path) -> None:
    fill(file, "a")
    with sqlite3.connect(file) as db:
        tables = {row[0]: row[1] for row in db.execute("SELECT name, sql FROM sqlite_master")}
        (session,) = db.execute("SELECT * FROM sessions").fetchall()
    assert {"sessions", "history", "output_history"} <= tables.keys()
    number, start, end, count, remark = session
    assert (number, count, remark) == (1, 1, "") and start < end


@pytest.mark.parametrize("victim", ["host", "interpreter"])
def test_kill_9_loses_no_row(file: Path, victim: str) -> None:
    """A row that a cell made before it was answered is there, also when it is killed at once."""
    with Host(history=str(file)) as host:
        client = host.client()
        pid = int(client.run("pid").stdout.split()[0])
        for n in range(1, 41):
            client.run(f"history {n} row {n}")
        if victim == "host":
            host.kill()
            assert processes.wait_gone([pid]) == []
        else:
            os.kill(pid, signal.SIGKILL)
            client.take(lambda m: m.state == "restarting")
    fill(file)
    assert [r for r in rows_of(file) if r[0] == 1] == [(1, n, f"row {n}") for n in range(1, 41)]
    assert journals(file) == []


def test_a_file_that_is_locked_holds_nothing_up(file: Path) -> None:
    fill(file, "old")
    with Host(history=str(file)) as host:
        client = host.client()
        client.run("print a")
        with sqlite3.connect(file, isolation_level=None) as db:
            db.execute("BEGIN EXCLUSIVE")
            for n in range(1, 20):
                assert client.run(f"history {n} locked\nprint {n}").stdout == f"{n}\n"
            db.execute("ROLLBACK")
        assert len(ask(client, "tail", n=100)) == 20


def test_a_file_that_cannot_be_used(file: Path) -> None:
    file.parent.mkdir()
    file.write_text("this is no database" * 100)
    with Host(history=str(file)) as host:
        client = host.client()
        for n in range(1, 10):
            assert client.run(f"history {n} x\nprint {n}").stdout == f"{n}\n"
        reply = client.ask("history_request", {"hist_access_type": "tail"}).content
        assert reply["status"] == "error"
        assert host.log.read_text().count("not a database") == 1, "it is told once"
    assert file.read_text().startswith("this is no database")


def test_a_kernel_without_history(file: Path) -> None:
    with Host(history="none") as host:
        client = host.client()
        client.run("history 1 a")
        assert ask(client, "tail", n=10) == []


def test_damaged_journals_are_no_danger(file: Path) -> None:
    with Host(history=str(file)) as host:
        client = host.client()
        client.run("history 1 first\nhistory 2 second")
        host.kill()
    (journal,) = journals(file)
    data = journal.read_bytes()
    journal.write_bytes(data[:-3])
    for n in range(20):
        copy = bytearray(data)
        copy[n * len(data) // 20] ^= 0xFF
        (journal.parent / f"{n}.journal").write_bytes(copy)
    (journal.parent / "other.journal").write_bytes(b"")
    fill(file)
    assert (1, 1, "first") in rows_of(file)


def test_each_interpreter_has_a_session(file: Path) -> None:
    with Host(history=str(file)) as host:
        client = host.client()
        client.run("history 1 a")
        client.run("crash 9")
        client.run("history 1 b")
        assert ask(client, "range", session=0, start=1) == [[0, 1, "b"]]
        assert ask(client, "range", session=-1, start=1) == [[1, 1, "a"]]

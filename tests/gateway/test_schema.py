"""Databases of other versions: each that was released is brought to the newest, with all that is in
it; a newer one is left alone. schema/N.sql is what version N added, as it was released: a new
version adds a file there, and no other is ever changed."""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from gateway.test_changes import Work
from gateway.test_files_tar import END, entry
from gateway.test_sandboxes import Place, end, start
from support import processes
from support.cli import tool

Record = dict[str, Any]
Rows = dict[str, list[dict[str, Any]]]

FOLDER = Path(__file__).with_name("schema")
STEPS = [path.read_text() for path in sorted(FOLDER.iterdir(), key=lambda path: int(path.stem))]
NEWEST = len(STEPS)
# by the version that brought them
EXECUTIONS, TOKENS, TEMPLATES, FILES, SEEDS, QUOTAS = 2, 3, 5, 7, 8, 9
SETTLED = ("settled", "artifacts", "files_changed")


def read_rows(database: sqlite3.Connection) -> Rows:
    database.row_factory = sqlite3.Row
    tables = database.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    )
    return {
        name: [dict(row) for row in database.execute(f"SELECT * FROM {name}")]
        for (name,) in tables.fetchall()
    }


def insert(database: sqlite3.Connection, table: str, row: dict[str, Any]) -> None:
    """With the columns that there are in this version."""
    there = [one[1] for one in database.execute(f"PRAGMA table_info({table})")]
    names = [name for name in row if name in there]
    places = ", ".join("?" * len(names))
    database.execute(
        f"INSERT INTO {table} ({', '.join(names)}) VALUES ({places})", [row[name] for name in names]
    )


def build(state: Path, version: int, rows: Rows) -> None:
    """The database of a folder that a gateway of this version has left."""
    for old in state.glob("warmcell.db*"):
        old.unlink()
    with closing(sqlite3.connect(state / "warmcell.db")) as database, database:
        database.execute("PRAGMA journal_mode=WAL")
        database.executescript("".join(STEPS[:version]) + f"PRAGMA user_version = {version};")
        tables = {one[0] for one in database.execute("SELECT name FROM sqlite_master")}
        for table in tables & rows.keys():
            for row in rows[table]:
                newer = (
                    (row.get("kind") == "file", FILES),
                    (table == "templates" and row["seed"], SEEDS),
                )
                if not any(is_one and version < since for is_one, since in newer):
                    insert(database, table, row)


def dump(path: Path) -> list[str]:
    """All that is in it, in one way of writing."""
    with closing(sqlite3.connect(path)) as database:
        (version,) = database.execute("PRAGMA user_version").fetchone()
        lines = [" ".join(line.split()).replace("( ", "(") for line in database.iterdump()]
    return [f"version {version}", *lines]


class Past(Work):
    """A gateway with something of every kind, and what its database has of that."""

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        for pid in (self.gateway.host_of(self.context), *place[1].pids()):
            processes.own(pid)
        page = '{"data": {"text/html": "<p>1"}, "metadata": {}}'
        assert self.run(f"publish display_data {page}")["artifacts"] == 1
        self.changed = self.shell("printf one >a.txt")["id"]
        self.ask_for("/v1/tokens", {"name": "ada's", "principal": "ada", "role": "user"})
        self.ask_for("/v1/tokens", {"principal": "bob", "role": "user", "quotas": {"sandboxes": 2}})
        self.ask_for("/v1/templates", {"name": "plain", "files": {"a": "1"}})
        self.ask_for("/v1/templates", {"name": "seeded"})
        seed = entry("now") + END
        answer = self.gateway.request("PUT", "/v1/templates/seeded/seed", seed)
        assert answer.status in (200, 201), answer
        self.ask_for("/api/sessions", {"path": "a.ipynb", "name": "a", "type": "notebook",
                                       "kernel": {"id": self.context}})  # fmt: skip
        self.answers = self.answered()
        self.gateway.kill()
        with closing(sqlite3.connect(self.gateway.state / "warmcell.db")) as database:
            (version,) = database.execute("PRAGMA user_version").fetchone()
            assert version == NEWEST, f"write schema/{version}.sql: what the new version adds"
            self.rows = read_rows(database)
        command = {"id": "c", "sandbox_id": self.model["id"], "settled": "{}"}
        self.rows["settled_commands"].append(command)

    def ask_for(self, path: str, body: Record) -> None:
        answer = self.gateway.request("POST", path, body, {"Idempotency-Key": path + repr(body)})
        assert answer.status == 201, answer

    def answered(self) -> Record:
        """What the API says of all rows."""
        box = f"/v1/sandboxes/{self.model['id']}"
        asked = {
            "artifacts": "/v1/artifacts",
            "of_sandbox": f"{box}/artifacts",
            "executions": f"{box}/executions",
            "changes": f"{box}/executions/{self.changed}/changes",
            "tokens": "/v1/tokens",
            "templates": "/v1/templates",
            "sessions": "/api/sessions",
        }
        answers: Record = {}
        for name, path in asked.items():
            answer = self.gateway.get(path)
            if name == "changes" and not answers["executions"]:
                assert answer.status == 404, answer
                continue
            assert answer.status == 200, answer
            found = answer.json()
            if name == "sessions":
                answers[name] = [{**row, "kernel": row["kernel"]["id"]} for row in found]
            else:
                answers[name] = found[name.replace("of_sandbox", "artifacts")]
        return answers

    def expected(self, version: int) -> Record:
        """Those of the newest version, without what this one could not keep."""
        wanted: Record = {name: list(rows) for name, rows in self.answers.items()}
        if version < FILES:
            for name in ("artifacts", "of_sandbox"):
                wanted[name] = [row for row in wanted[name] if row["kind"] == "display"]
            wanted["changes"] = []
            wanted["executions"] = [
                {name: value for name, value in row.items() if name not in SETTLED}
                for row in wanted["executions"]
            ]
        if version < SEEDS:
            wanted["templates"] = [row for row in wanted["templates"] if not row["seed"]]
        if version < QUOTAS:
            wanted["tokens"] = [{**row, "quotas": None} for row in wanted["tokens"]]
        if version < TEMPLATES:
            wanted["templates"] = []
        if version < TOKENS:
            wanted["tokens"] = []
        if version < EXECUTIONS:
            wanted["executions"] = wanted["of_sandbox"] = []
            del wanted["changes"]
            wanted["artifacts"] = [{**row, "sandbox_id": None} for row in wanted["artifacts"]]
        return wanted


@pytest.fixture(scope="module")
def past() -> Iterator[Past]:
    gateway, keeper = start("--pool-max", "0")
    past = Past((gateway, keeper))
    yield past
    build(gateway.state, NEWEST, past.rows)
    gateway.start()
    end(gateway, keeper)


@pytest.mark.parametrize("version", range(1, NEWEST + 1))
def test_each_step_makes_what_it_made_when_it_was_released(
    past: Past, version: int, tmp_path: Path
) -> None:
    """Tables, columns, indexes, triggers, and all rows."""
    wanted, found = tmp_path / "wanted", tmp_path / "found"
    wanted.mkdir()
    shutil.copytree(past.gateway.state, found)
    for folder in (wanted, found):
        build(folder, version, past.rows)
    with closing(sqlite3.connect(wanted / "warmcell.db")) as database, database:
        rest = "".join(STEPS[version:])
        database.executescript(f"{rest} PRAGMA user_version = {NEWEST};")
    done = tool("gc", "--state-dir", str(found))  # it forgets nothing of this
    assert done.returncode == 0, done
    assert dump(found / "warmcell.db") == dump(wanted / "warmcell.db")


@pytest.mark.parametrize("version", range(1, NEWEST + 1))
def test_what_an_older_gateway_left_is_answered(past: Past, version: int) -> None:
    build(past.gateway.state, version, past.rows)
    past.gateway.start()
    try:
        answers, wanted = past.answered(), past.expected(version)
        for name in wanted:
            assert answers[name] == wanted[name], name
    finally:
        past.gateway.kill()


def test_what_a_newer_gateway_left_is_not_touched(past: Past) -> None:
    gateway = past.gateway
    build(gateway.state, NEWEST, past.rows)
    file = gateway.state / "warmcell.db"
    with closing(sqlite3.connect(file)) as database, database:
        database.execute(f"PRAGMA user_version = {NEWEST + 1}")
    before = hashlib.sha256(file.read_bytes()).digest()
    gateway.launch()
    assert gateway.process
    assert gateway.process.wait(processes.LONG_S) == 1
    processes.disown(gateway.process.pid)
    gateway.process = None
    assert (
        f"the database is of version {NEWEST + 1}, this program knows version {NEWEST}; "
        "use a newer warmcell or another --state-dir" in gateway.log.read_text()
    )
    assert hashlib.sha256(file.read_bytes()).digest() == before

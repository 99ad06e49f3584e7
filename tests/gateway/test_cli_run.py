"""`warmcell run`, `warmcell cp` and `warmcell logs` with kernels of the small driver."""

from __future__ import annotations

import base64
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gateway.test_cli_sandbox import ids
from gateway.test_sandboxes import NOBODY, Place, create, remove, workspace
from support.cli import Tool, refused

PNG = base64.b64encode(b"\x89PNG picture").decode()


@pytest.fixture
def run(place: Place) -> Iterator[Tool]:
    yield Tool(place[0])
    assert ids(place[0]) == [], "nothing is left"


@pytest.fixture
def box(place: Place, run: Tool) -> Iterator[dict[str, Any]]:
    made = create(place[0])
    give(place, made)
    yield made
    run.ok("sandbox", "rm", made["id"])


def give(place: Place, made: dict[str, Any]) -> None:
    """The workspace belongs to the sandbox, as a keeper would have made it."""
    if os.geteuid() == 0:
        os.chown(workspace(place[0], made), made["uid"], made["uid"])


def script(folder: Path, *orders: str) -> str:
    place = folder / "script.py"
    place.write_text("\n".join(orders))
    return str(place)


def display(kind: str, data: dict[str, str]) -> str:
    content: dict[str, Any] = {"data": data, "metadata": {}}
    if kind == "execute_result":
        content["execution_count"] = 1
    return f"publish {kind} {json.dumps(content)}"


class TestRun:
    def test_script(self, run: Tool, tmp_path: Path) -> None:
        name = script(tmp_path, "print one", display("execute_result", {"text/plain": "4"}))
        assert run.ok("run", name) == "one\n4\n"
        assert run.ok("run", "-", stdin=b"print two") == "two\n"

    def test_error(self, run: Tool, tmp_path: Path) -> None:
        done = run("run", script(tmp_path, "print one", "fail oh dear", "print never"))
        assert (done.returncode, done.stdout) == (1, b"one\n")
        assert done.stderr == b"Failed\n"

    def test_cells_of_a_notebook_to_the_first_that_fails(self, run: Tool, tmp_path: Path) -> None:
        sources = [
            ("code", "print one"),
            ("markdown", "print text"),
            ("code", ["print two\n", "print three"]),
            ("code", " \n"),
            ("code", "fail oh"),
            ("code", "print never"),
        ]
        cells = [{"cell_type": kind, "source": source} for kind, source in sources]
        book = json.dumps({"nbformat": 4, "cells": cells})
        place = tmp_path / "book.ipynb"
        place.write_text(book)
        for words, stdin in ([str(place)], b""), (["-"], book.encode()):
            done = run("run", *words, stdin=stdin)
            assert (done.returncode, done.stdout) == (1, b"one\ntwo\nthree\n")
            assert done.stderr == b"Failed\n"

    def test_artifacts(self, run: Tool, place: Place, tmp_path: Path) -> None:
        name = script(
            tmp_path,
            display("display_data", {"image/png": PNG, "text/plain": "<Figure>"}),
            display("display_data", {"image/svg+xml": "<svg/>", "text/html": "<b>x</b>"}),
            display("display_data", {"image/png": "!", "application/json": "1"}),
        )
        folder = tmp_path / "out"
        made = create(place[0])
        inside = workspace(place[0], made)
        (inside / "deep").mkdir()
        (inside / "deep" / "table ä.csv").write_text("1,2")
        (inside / "link").symlink_to("deep")
        done = run("run", name, "--artifacts", str(folder), "--sandbox", made["id"])
        assert (done.returncode, done.stdout) == (0, b"<Figure>\n"), done
        # what was put there just before may count as the run's own, and the link is not kept then
        said = [line for line in done.stderr.decode().splitlines() if "not kept" not in line]
        assert said == [
            f"warmcell: saved {folder}/{path}" for path in ("1-1.png", "1-2.svg", "1-3.html")
        ]
        found = {str(one.relative_to(folder)) for one in folder.rglob("*") if one.is_file()}
        assert found == {"1-1.png", "1-2.svg", "1-3.html", "workspace/deep/table ä.csv"}
        assert (folder / "1-1.png").read_bytes() == b"\x89PNG picture"
        assert (folder / "workspace" / "deep" / "table ä.csv").read_text() == "1,2"
        assert ids(place[0]) == [made["id"]]
        remove(place[0], made)

    def test_a_folder_for_artifacts_that_cannot_be(self, run: Tool, tmp_path: Path) -> None:
        """That is said before anything has run."""
        name = script(tmp_path, "print one")
        (tmp_path / "file").write_text("mine")
        (tmp_path / "half").mkdir()
        (tmp_path / "half" / "workspace").write_text("mine")
        for place, sentence in [
            ("file", "file is there already and is no folder"),
            ("half", "half/workspace is there already and is no folder"),
            ("file/deep", "cannot be made"),
            ("absent/deep", "cannot be made"),
        ]:
            refused(run("run", name, "--artifacts", str(tmp_path / place)), 1, sentence)
        assert (tmp_path / "file").read_text() == "mine"

    def test_input(self, run: Tool, tmp_path: Path) -> None:
        name = script(tmp_path, "input first? ", "input second? ")
        done = run("run", name, stdin="eins\nzwei ä".encode())
        assert (done.returncode, done.stderr) == (0, b"")
        assert done.stdout.decode() == "first? got eins\nsecond? got zwei ä\n"

    def test_keep(self, run: Tool, place: Place, tmp_path: Path) -> None:
        done = run("run", "--keep", script(tmp_path, "print one"))
        (kept,) = ids(place[0])
        assert done.stderr.decode() == f"warmcell: the sandbox is {kept}\n"
        assert run.ok("run", "--sandbox", kept[:8], script(tmp_path, "print two")) == "two\n"
        run.ok("sandbox", "rm", kept)

    def test_json(self, run: Tool, tmp_path: Path) -> None:
        done = run("run", "--json", script(tmp_path, "print one", "fail oh"))
        events = [json.loads(line) for line in done.stdout.splitlines()]
        types = [event["type"] for event in events]
        assert (types[0], types[-1], done.returncode) == ("started", "end", 1)
        assert events[-1]["execution"]["status"] == "error" and done.stderr == b""

    @pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 1)])
    def test_signals(self, run: Tool, tmp_path: Path, number: int, status: int) -> None:
        """The sandbox is removed whatever ends it."""
        with run.begin("run", script(tmp_path, "print on", "wait")) as tool:
            assert tool.stdout and tool.stderr
            assert tool.stdout.readline() == b"on\n"
            tool.send_signal(number)
            said = tool.stderr.read().decode()
            assert tool.wait() == status
        assert ("SIGTERM" if number == signal.SIGTERM else "interrupted") in said

    def test_the_interpreter_dies(self, run: Tool, tmp_path: Path) -> None:
        done = run("run", script(tmp_path, "print one", "crash 11"))
        assert (done.returncode, done.stdout) == (1, b"one\n")
        assert b"the code ended with killed" in done.stderr

    @pytest.mark.parametrize(
        ("name", "data", "sentence"),
        [
            ("absent.py", None, "cannot be read"),
            ("x.py", b"\xff", "is not UTF-8 text"),
            ("x.py", b"a\0b", "is not UTF-8 text"),
            ("x.ipynb", b"[", "not valid JSON"),
            ("x.ipynb", b"{}", 'no "cells"'),
        ],
    )
    def test_refused(
        self, run: Tool, tmp_path: Path, name: str, data: bytes | None, sentence: str
    ) -> None:
        if data is not None:
            (tmp_path / name).write_bytes(data)
        refused(run("run", str(tmp_path / name)), 1, sentence)


class TestCopy:
    def test_in_and_out(self, run: Tool, place: Place, box: dict[str, Any], tmp_path: Path) -> None:
        inside, short = workspace(place[0], box), box["id"][:8]
        data = os.urandom(3_000_000)
        (tmp_path / "a b%ä").write_bytes(data)
        for target in ("in/", "in/a b%ä", "/workspace/in/x"):
            assert run.ok("cp", str(tmp_path / "a b%ä"), f"{short}:{target}") == ""
        run.ok("cp", "-", f"{short}:in/piped", stdin=data)
        assert {one.name for one in (inside / "in").iterdir()} == {"a b%ä", "x", "piped"}
        assert all(one.read_bytes() == data for one in (inside / "in").iterdir())
        (tmp_path / "out").mkdir()
        run.ok("cp", f"{short}:in/a b%ä", str(tmp_path / "out"))
        run.ok("cp", f"{short}:in/x", str(tmp_path / "out" / "y"))
        assert (tmp_path / "out" / "a b%ä").read_bytes() == data
        assert (tmp_path / "out" / "y").read_bytes() == data
        assert run("cp", f"{short}:in/x", "-").stdout == data
        said = run.ok("cp", "--json", f"{short}:in/x", str(tmp_path / "z"))
        assert json.loads(said) == {"bytes": len(data)}

    def test_refused(self, run: Tool, place: Place, box: dict[str, Any], tmp_path: Path) -> None:
        here = tmp_path / "file"
        here.write_text("mine")
        (workspace(place[0], box) / "folder").mkdir()
        name = box["id"]
        for words, status, sentence in [
            ((str(here), "other"), 2, "one of the two must be SANDBOX:PATH"),
            ((f"{name}:a", f"{name}:b"), 2, "one of the two"),
            ((f"{name}:", "x"), 2, "names no file"),
            ((f"{name}:folder", "-"), 1, "is a folder"),
            (("-", f"{name}:"), 2, "needs a name"),
            ((str(here), f"{name}:/etc/x"), 2, "only files below /workspace"),
            ((str(here), f"{name}:../x"), 1, "path"),
            ((f"{name}:folder", str(here)), 1, "cannot be opened"),
            ((f"{name}:absent", str(here)), 1, "no such file"),
            ((f"{name}:absent", "-"), 1, "no such file"),
            ((str(tmp_path / "none"), f"{name}:x"), 1, "cannot be read"),
            (("zzzz:x", str(here)), 1, "no sandbox zzzz"),
        ]:
            refused(run("cp", *words), status, sentence)
        assert here.read_text() == "mine"
        assert [one.name for one in tmp_path.iterdir() if one.name.endswith(".part")] == []

    def test_folders(self, run: Tool, place: Place, box: dict[str, Any], tmp_path: Path) -> None:
        inside, short = workspace(place[0], box), box["id"][:8]
        data = os.urandom(2_000_000)
        here = tmp_path / "tree"
        (here / "deep" / "empty").mkdir(parents=True)
        (here / "deep" / "data").write_bytes(data)
        (here / "run").write_text("#!/bin/sh\n")
        (here / "run").chmod(0o750)
        (here / "link").symlink_to("deep/data")
        run.ok("cp", str(here), f"{short}:copies/")
        run.ok("cp", f"{here}/", f"{short}:copies/named")
        for name in ("tree", "named"):
            there = inside / "copies" / name
            assert (there / "deep" / "data").read_bytes() == data
            assert (there / "deep" / "empty").is_dir()
            assert (there / "link").readlink() == Path("deep/data")
            assert (there / "run").stat().st_mode & 0o777 == 0o750
        (tmp_path / "out").mkdir()
        run.ok("cp", f"{short}:copies/tree/", str(tmp_path / "out"))
        said = run.ok("cp", "--json", f"{short}:copies/tree", str(tmp_path / "new"))
        assert json.loads(said) == {"bytes": 2_000_010}
        for place_ in (tmp_path / "out" / "tree", tmp_path / "new"):
            assert (place_ / "deep" / "data").read_bytes() == data
            assert (place_ / "link").readlink() == Path("deep/data")
        os.mkfifo(here / "fifo")
        refused(run("cp", str(here), f"{short}:left"), 1, "1 of all were left out")
        (here / "fifo").unlink()
        assert (inside / "left" / "run").exists()
        os.mkfifo(inside / "left" / "fifo")
        refused(run("cp", f"{short}:left", str(tmp_path / "left")), 1, "1 of all were left out")
        (inside / "left" / "evil").symlink_to("/etc/passwd")
        done = run("cp", f"{short}:left", str(tmp_path / "evil"))
        assert (done.returncode, done.stdout) == (1, b"")
        skipped, last = done.stderr.decode().splitlines()
        assert skipped == "skipped: evil -> /etc/passwd leads out of the folder"
        assert "1 of all were left out" in last and "; 1 link was skipped" in last
        assert not (tmp_path / "evil" / "evil").is_symlink()
        assert (tmp_path / "evil" / "link").is_symlink()
        (here / "out").symlink_to("../..")
        done = run("cp", str(here), f"{short}:evil")
        assert (done.returncode, done.stdout) == (1, b"")
        assert done.stderr.startswith(b"skipped: out -> ../.. leads out of the folder\n")
        assert (inside / "evil" / "link").is_symlink()
        assert not (inside / "evil" / "out").is_symlink()

    def test_a_refusal_in_the_middle_is_told(self, run: Tool, place: Place, tmp_path: Path) -> None:
        """The limit of the workspace, of a file whose length nobody knows."""
        limits = {"limits": {"workspace_bytes": 1 << 20}}
        made = create(place[0], limits)
        give(place, made)
        refused(run("cp", "-", f"{made['id']}:x", stdin=b"x" * (64 << 20)), 1, "workspace")
        big = tmp_path / "big"
        with big.open("wb") as file:
            file.truncate(64 << 20)
        refused(run("cp", str(big), f"{made['id']}:x"), 1, "workspace")
        remove(place[0], made)


class TestLogs:
    def post(self, place: Place, box: dict[str, Any], code: str) -> str:
        path = f"/v1/sandboxes/{box['id']}/executions"
        answer = place[0].request("POST", path, {"code": code, "detach": True})
        assert answer.status == 202
        return str(answer.json()["id"])

    def test_of_an_execution(self, run: Tool, place: Place, box: dict[str, Any]) -> None:
        execution = self.post(place, box, "lines 3000\nfail oh")
        done = run("logs", "-f", box["id"], execution)
        text = "".join(f"line {n}\n" for n in range(3000)).encode()
        assert (done.returncode, done.stdout, done.stderr) == (0, text, b"Failed\n")
        again = run("logs", box["id"][:8], execution)
        assert (again.returncode, again.stdout, again.stderr) == (0, text, b"Failed\n")
        for words in (["--json"], ["--json", "--follow"]):
            lines = run("logs", *words, box["id"], execution).stdout.splitlines()
            events = [json.loads(line) for line in lines]
            assert [event["number"] for event in events] == [n + 1 for n in range(len(events))]
            assert events[-1]["type"] == "end"

    def test_while_it_runs(self, run: Tool, place: Place, box: dict[str, Any]) -> None:
        execution = self.post(place, box, "print one\nwait")
        with run.begin("logs", "-f", box["id"], execution) as tool:
            assert tool.stdout
            assert tool.stdout.readline() == b"one\n"
            assert run.ok("logs", box["id"], execution) == "one\n"
            path = f"/v1/sandboxes/{box['id']}/executions/{execution}/cancel"
            assert place[0].request("POST", path).status == 202
            assert tool.stdout.read() == b""
            assert tool.wait() == 0

    def test_refused(self, run: Tool, box: dict[str, Any]) -> None:
        for name in (NOBODY, "x", "../..", "a b"):
            refused(run("logs", box["id"], name), 1, "neither a command nor an execution")
        refused(run("logs", NOBODY, NOBODY), 1, NOBODY)
        refused(run("logs", box["id"]), 2, "too few words; use: warmcell logs SANDBOX")

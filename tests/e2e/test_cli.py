"""The command-line tool against a gateway with a real keeper and real interpreters."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import processes
from support.cli import Tool, refused
from support.files import keeper_pids
from support.gateway import Gateway


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    gateway = Gateway(options=["--pool-max", "0"])
    with gateway:
        yield gateway
    assert not processes.wait_gone(keeper_pids(gateway))
    shutil.rmtree(gateway.home, ignore_errors=True)


@pytest.fixture(scope="module")
def run(gateway: Gateway) -> Tool:
    return Tool(gateway)


@pytest.fixture(scope="module")
def box(gateway: Gateway, run: Tool) -> Iterator[str]:
    made = run.ok("sandbox", "create").strip()
    for pid in keeper_pids(gateway):
        processes.own(pid)
    yield made
    run.ok("sandbox", "rm", made)


def test_pause_and_resume(gateway: Gateway, run: Tool) -> None:
    made = run.ok("sandbox", "create").strip()
    for pid in keeper_pids(gateway):
        processes.own(pid)
    code = {"code": "import threading; x = 5; lock = threading.Lock()"}
    path = f"/v1/sandboxes/{made}/executions"
    assert gateway.request("POST", path, code).json()["status"] == "ok"
    assert run.ok("sandbox", "pause", made) == ""
    assert run.ok("sandbox", "ls").splitlines()[1].split()[1] == "paused"
    assert json.loads(run.ok("sandbox", "pause", made, "--json"))["state"] == "paused"
    done = run("sandbox", "resume", made)
    assert (done.returncode, done.stdout) == (0, b"")
    outputs = gateway.request("POST", path, {"code": "x"}).json()["outputs"]
    assert outputs["text"] == "5"
    run.ok("sandbox", "rm", made)
    refused(run("sandbox", "pause", made), 1, made)


class TestExec:
    def test_output_stdin_and_status(self, run: Tool, box: str) -> None:
        assert run.ok("exec", box, "--", "echo", "a  b", "--help", "-f") == "a  b --help -f\n"
        data = os.urandom(3_000_000)
        done = run("exec", box[:8], "--", "cat", stdin=data)
        assert (done.returncode, done.stderr, done.stdout == data) == (0, b"", True)
        done = run("exec", box, "--shell", "echo out; echo err >&2; exit 7")
        assert (done.returncode, done.stdout, done.stderr) == (7, b"out\n", b"err\n")
        run.ok("exec", box, "--", "mkdir", "deep")
        assert run.ok("exec", box, "--cwd", "deep", "--", "pwd") == "/workspace/deep\n"

    def test_stdin_is_not_always_passed_on(self, run: Tool, box: str) -> None:
        assert run.ok("exec", box, "--no-stdin", "--", "cat", stdin=b"mine") == ""
        # a program that does not read it ends nevertheless
        assert run.ok("exec", box, "--", "true", stdin=b"x" * 1_000_000) == ""

    @pytest.mark.parametrize(
        ("words", "status", "sentence"),
        [
            (["--shell", "kill -9 $$"], 128 + 9, ""),
            (["--", "no-such-program"], 127, "No such file"),
            (["--deadline-s", "1", "--", "sleep", "1000"], 124, "deadline"),
            (["--", "cat", "--no-such-option"], 1, "unrecognized option"),
        ],
    )
    def test_ends(self, run: Tool, box: str, words: list[str], status: int, sentence: str) -> None:
        done = run("exec", box, *words)
        assert (done.returncode, done.stdout) == (status, b"")
        assert sentence in done.stderr.decode()

    def test_refused(self, run: Tool, box: str) -> None:
        refused(run("exec", box), 2, "either a program behind -- or a line with --shell")
        refused(run("exec", box, "--shell", "true", "--", "true"), 2, "either a program")
        refused(run("exec", "--", "true"), 2, "use: warmcell exec SANDBOX -- PROGRAM")
        refused(run("exec", box, "--cwd", "x" * 5000, "--", "true"), 1, "cwd")
        refused(run("exec", "zzzz", "--", "true"), 1, "no sandbox zzzz")

    def test_json(self, run: Tool, box: str) -> None:
        done = run("exec", box, "--json", "--", "sh", "-c", "echo hello; exit 3")
        events = [json.loads(line) for line in done.stdout.splitlines()]
        assert [event["kind"] for event in events] == ["started", "stdout", "end"]
        assert (events[1]["text"], events[2]["exit_code"], done.returncode) == ("hello\n", 3, 3)

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_signals_are_passed_on(self, run: Tool, box: str, number: signal.Signals) -> None:
        name = number.name.removeprefix("SIG")
        line = f"trap 'echo got {name}; exit 5' {name}; echo ready; while :; do sleep 0.05; done"
        with run.begin("exec", box, "--shell", line) as tool:
            assert tool.stdout and tool.stdin
            assert tool.stdout.readline() == b"ready\n"
            tool.send_signal(number)
            assert tool.stdout.read() == f"got {name}\n".encode()
            tool.stdin.close()
            assert tool.wait() == 5

    def test_lines_come_as_they_are_written(self, run: Tool, box: str) -> None:
        with run.begin("exec", box, "--", "cat") as tool:
            assert tool.stdin and tool.stdout
            for line in (b"one\n", b"two\n"):
                tool.stdin.write(line)
                tool.stdin.flush()
                assert tool.stdout.readline() == line
            tool.stdin.close()
            assert tool.wait() == 0

    @pytest.mark.parametrize(
        ("words", "by"),
        [
            (["--shell", "while :; do echo word; sleep 0.05; done"], "SIGPIPE"),
            (["--shell", "while :; do echo word >&2; sleep 0.05; done"], "SIGPIPE"),
            (["--json", "--shell", "while :; do echo word; sleep 0.05; done"], "SIGPIPE"),
            (["--", "yes", "word"], "SIGPIPE"),
            (["--shell", "trap '' PIPE; while :; do echo word; sleep 0.05; done"], "SIGKILL"),
        ],
    )
    def test_nobody_reads_any_more(
        self, gateway: Gateway, run: Tool, box: str, words: list[str], by: str
    ) -> None:
        with run.begin("exec", box, *words) as tool:
            assert tool.stdout and tool.stderr
            read, other = tool.stdout, tool.stderr
            if ">&2" in words[-1]:
                read, other = other, read
            assert read.readline()
            read.close()
            assert other.read() == b""
            assert tool.wait(60) == -signal.SIGPIPE
        command = gateway.get(f"/v1/sandboxes/{box}/commands").json()["commands"][0]
        assert (command["status"], command["signal"]) == ("killed", by)

    def test_the_last_words_of_what_nobody_reads(self, run: Tool, box: str) -> None:
        line = "trap 'echo end >&2; exit 1' PIPE; while :; do echo word; sleep 0.05; done"
        with run.begin("exec", box, "--shell", line) as tool:
            assert tool.stdout and tool.stderr
            assert tool.stdout.readline() == b"word\n"
            tool.stdout.close()
            assert tool.stderr.read() == b"end\n"
            assert tool.wait(60) == -signal.SIGPIPE

    def test_output_that_cannot_be_written(self, gateway: Gateway, run: Tool, box: str) -> None:
        with Path("/dev/full").open("wb") as full:
            done = run("exec", box, "--", "yes", stdout=full)
        assert done.returncode == 1
        assert done.stderr == b"warmcell: cannot write the output: No space left on device\n"
        command = gateway.get(f"/v1/sandboxes/{box}/commands").json()["commands"][0]
        assert (command["status"], command["signal"]) == ("killed", "SIGPIPE")

    def test_goes_on_after_the_gateway_was_killed(self) -> None:
        gateway = Gateway(options=["--pool-max", "0"])
        with gateway:
            run = Tool(gateway)
            box = run.ok("sandbox", "create").strip()
            with run.begin("exec", box, "--", "cat") as tool:
                assert tool.stdin and tool.stdout
                tool.stdin.write(b"one\n")
                tool.stdin.flush()
                assert tool.stdout.readline() == b"one\n"
                for pid in keeper_pids(gateway):
                    processes.own(pid)
                gateway.kill()
                gateway.start()
                tool.stdin.write(b"two\n")
                tool.stdin.close()
                assert tool.stdout.read() == b"two\n"
                assert tool.wait() == 0
            run.ok("sandbox", "rm", box)
        assert not processes.wait_gone(keeper_pids(gateway))
        shutil.rmtree(gateway.home, ignore_errors=True)


class TestRun:
    def test_notebook_with_plots(self, run: Tool, tmp_path: Path) -> None:
        cells = [
            "import matplotlib.pyplot as plt\nx = 3",
            "plt.plot([1, x]); plt.show()\nopen('table.csv', 'w').write('1,2')\nx * 2",
            "1 / 0",
            "print('never')",
        ]
        book = {"cells": [{"cell_type": "code", "source": source} for source in cells]}
        (tmp_path / "book.ipynb").write_text(json.dumps(book))
        out = tmp_path / "out"
        before = run.ok("sandbox", "ls", "-q")
        done = run("run", str(tmp_path / "book.ipynb"), "--artifacts", str(out))
        assert done.returncode == 1
        assert done.stdout.endswith(b"6\n") and b"never" not in done.stdout
        assert b"ZeroDivisionError: division by zero\n" in done.stderr
        assert b"----> 1 1 / 0\n" in done.stderr and b"\x1b" not in done.stderr
        assert (out / "2-1.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
        assert (out / "workspace" / "table.csv").read_text() == "1,2"
        assert run.ok("sandbox", "ls", "-q") == before

    def test_what_is_not_kept_is_named(self, run: Tool, tmp_path: Path) -> None:
        place = tmp_path / "script.py"
        place.write_text(
            "import os\nopen('kept', 'w').write('1')\n"
            "os.symlink('kept', 'the link')\nos.mkfifo('pipe')\n"
        )
        done = run("run", str(place), "--artifacts", str(tmp_path / "out"))
        assert (done.returncode, done.stdout) == (0, b"")
        assert sorted(done.stderr.decode().splitlines()) == [
            "warmcell: pipe is not kept as an artifact: a FIFO, a socket or a device has no bytes "
            "that could be kept",
            "warmcell: the link is not kept as an artifact: a symbolic link: it is not followed",
        ]

    def test_input_ends(self, run: Tool, tmp_path: Path) -> None:
        place = tmp_path / "script.py"
        place.write_text(
            "print('hello', input())\ntry:\n    input()\nexcept EOFError:\n    print('end')"
        )
        assert run.ok("run", str(place), stdin=b"you") == "hello you\nend\n"

    @pytest.mark.parametrize(
        ("end", "status", "said"),
        [
            ("sys.exit(main())", 0, ""),
            ("sys.exit()", 0, ""),
            ("sys.exit(3)", 3, ""),
            ("raise SystemExit(-1)", 255, ""),
            ("sys.exit('no such thing: ä')", 1, "no such thing: ä\n"),
            ("sys.exit('-')", 1, "-\n"),
            ("sys.exit('3 files')", 1, "3 files\n"),
        ],
    )
    def test_exit_status(self, run: Tool, tmp_path: Path, end: str, status: int, said: str) -> None:
        """That of `python script.py`, which stderr is like, too."""
        place = tmp_path / "script.py"
        place.write_text(
            "import sys\ndef main():\n    print('ran')\n    return 0\n"
            f"if __name__ == '__main__':\n    {end}\n    print('never')\n"
        )
        done = run("run", str(place))
        assert (done.returncode, done.stderr.decode()) == (status, said)
        assert done.stdout == (b"ran\n" if "main()" in end else b"")
        done = run("run", str(place), "--json")
        assert (done.returncode, done.stderr) == (status, b"")

    def test_a_script_has_words(self, run: Tool, box: str, tmp_path: Path) -> None:
        place = tmp_path / "f.py"
        place.write_text("import sys; print(sys.argv, __file__)\nquit()\nprint('never')")
        name = str(place)
        assert run.ok("run", name) == f"['{name}'] {name}\n"
        said = run.ok("run", name, "a b", "--sandbox", box, "ä", "--", "--json", "-x")
        assert said == f"['{name}', 'a b', 'ä', '--json', '-x'] {name}\n"
        code = b"import sys; print(sys.argv)"
        assert run.ok("run", "-", "--sandbox", box, "a", stdin=code) == "['-', 'a']\n"
        assert run.ok("run", "-", "--sandbox", box, stdin=code) == "['-']\n"
        (tmp_path / "book.ipynb").write_text('{"cells": []}')
        refused(run("run", str(tmp_path / "book.ipynb"), "a"), 2, "a notebook takes no words")

    def test_exit_ends_a_notebook(self, run: Tool, tmp_path: Path) -> None:
        cells = ["print('one')", "raise SystemExit(4)", "print('never')"]
        book = {"cells": [{"cell_type": "code", "source": source} for source in cells]}
        (tmp_path / "book.ipynb").write_text(json.dumps(book))
        done = run("run", str(tmp_path / "book.ipynb"))
        assert (done.returncode, done.stdout, done.stderr) == (4, b"one\n", b"")


def test_copy_and_run(run: Tool, box: str, tmp_path: Path) -> None:
    data = os.urandom(2_000_000)
    (tmp_path / "data").write_bytes(data)
    run.ok("cp", str(tmp_path / "data"), f"{box}:in/")
    run.ok("exec", box, "--no-stdin", "--", "cp", "in/data", "copy")
    run.ok("cp", f"{box}:copy", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == data


def below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


LINKS = {"aa": "/usr/bin/python3", "deep/mm": "../../elsewhere", "inside": "deep/file"}


def test_links_that_lead_out_are_skipped(run: Tool, box: str, tmp_path: Path) -> None:
    here = tmp_path / "here"
    (here / "deep").mkdir(parents=True)
    for name in ("deep/file", "zz"):
        (here / name).write_text(name)
    for name, target in LINKS.items():
        (here / name).symlink_to(target)
    copied = {"deep", "deep/file", "inside", "zz"}
    said = {
        "skipped: aa -> /usr/bin/python3 leads out of the folder",
        "skipped: deep/mm -> ../../elsewhere leads out of the folder",
    }
    last = "warmcell: 2 links were skipped: what leads out of the folder is not copied"

    done = run("cp", str(here), f"{box}:there")
    assert (done.returncode, done.stdout) == (1, b"")
    *lines, end = done.stderr.decode().splitlines()
    assert (set(lines), end) == (said, last)

    run.ok("exec", box, "--no-stdin", "--shell", "cd there && ln -s /usr/bin/python3 aa")
    run.ok("exec", box, "--no-stdin", "--shell", "cd there && ln -s ../../elsewhere deep/mm")
    done = run("cp", f"{box}:there", str(tmp_path / "back"))
    assert (done.returncode, done.stdout) == (1, b"")
    *lines, end = done.stderr.decode().splitlines()
    assert (set(lines), end) == (said, last)
    assert below(tmp_path / "back") == copied

    done = run("cp", "--json", f"{box}:there", str(tmp_path / "again"))
    *skipped, error = (json.loads(line) for line in done.stderr.splitlines())
    targets = {one["skipped"]: one["target"] for one in skipped}
    assert targets == {name: LINKS[name] for name in ("aa", "deep/mm")}
    assert (done.returncode, error["title"]) == (1, "Failed")
    assert below(tmp_path / "again") == copied


def test_logs_of_a_command(gateway: Gateway, run: Tool, box: str) -> None:
    body = {
        "shell": "printf 'one\\377\\n'; echo two >&2; read line; echo $line",
        "background": True,
    }
    path = f"/v1/sandboxes/{box}/commands"
    command = gateway.request("POST", path, body).json()["id"]
    with run.begin("logs", "--follow", box, command) as tool:
        assert tool.stdout and tool.stderr
        assert tool.stdout.readline() == b"one\377\n"
        assert tool.stderr.readline() == b"two\n"
        assert run("logs", box, command).stdout == b"one\377\n"
        assert gateway.request("POST", f"{path}/{command}/stdin", b"three\n").status == 204
        assert tool.stdout.read() == b"three\n"
        assert tool.wait() == 0
    assert run("logs", box, command).stdout == b"one\377\nthree\n"

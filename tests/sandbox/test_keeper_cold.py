"""A keeper that starts what it is asked for by exec: what the process gets, how its end is told,
and what nonsense is answered with."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from support import processes
from support.keeper import keeper_process as wire
from support.keeper.keeper_process import FAKE_INTERPRETER, Asker, Keeper, Process
from support.programs import programs

FAKE = FAKE_INTERPRETER
COMMAND = (sys.executable, "-S", FAKE)


@pytest.fixture
def keeper() -> Iterator[Keeper]:
    with Keeper() as keeper:
        yield keeper


@pytest.fixture
def asker(keeper: Keeper) -> Asker:
    return keeper.asker()


def order(process: Process, text: str) -> str:
    process.link.sendall(text.encode() + b"\n")
    return process.line()


def test_a_process_gets_its_descriptors_environment_and_folder(asker: Asker) -> None:
    env = {"PATH": os.environ["PATH"], "A": "1", "B": "x=y é"}
    process = asker.start(*COMMAND, env=env, cwd="/usr")
    assert process.line() == str(process.pid)
    found = dict(word.split("=", 1) for word in order(process, "env").split(" ") if "=" in word)
    assert found["A"] == "1"
    assert found["B"] == "x=y"
    assert "HOME" not in found
    assert order(process, "place") == "/usr True"
    assert order(process, "fds") == "0 1 2 3 4"
    assert order(process, "umask") == "0o22"
    blocked, ignored = order(process, "signals").split()
    assert int(blocked, 16) == 0
    # Python itself ignores SIGPIPE and SIGXFSZ
    assert int(ignored, 16) & ~(1 << signal.SIGPIPE - 1 | 1 << signal.SIGXFSZ - 1) == 0
    assert not process.warm
    assert process.cold_because is None


def test_a_process_has_the_umask_that_is_asked_for(asker: Asker) -> None:
    process = asker.start(*COMMAND, umask=0o27)
    process.line()
    assert order(process, "umask") == "0o27"
    assert "umask: out of range" in asker.refused(*COMMAND, umask=0o1000)["message"]


@pytest.mark.parametrize(
    ("text", "status"), [("exit 3", 3 << 8), ("exit 0", 0), ("signal 9", 9), ("signal 15", 15)]
)
def test_the_end_is_told_with_its_status(asker: Asker, text: str, status: int) -> None:
    process = asker.start(*COMMAND)
    process.line()
    process.link.sendall(f"{text}\n".encode())
    end = asker.end_of(process)
    assert end["wait_status"] == status
    assert end["oom"] is False
    process.wait_gone()
    assert asker.status()["processes"] == 0


def test_the_command_is_looked_up_in_the_path_that_was_given(asker: Asker, tmp_path: Path) -> None:
    program = tmp_path / "greet"
    program.write_text("#!/bin/sh\necho hello\n")
    program.chmod(0o755)
    process = asker.start("greet", env={"PATH": str(tmp_path)})
    assert process.output() == "hello\n"


def test_what_cannot_be_started_is_said(asker: Asker, tmp_path: Path) -> None:
    answer = asker.refused("/no/such/program")
    assert answer["status"] == 503
    assert "/no/such/program: exec: No such file" in answer["message"]
    answer = asker.refused("true", cwd=str(tmp_path / "none"))
    assert "its working directory" in answer["message"]
    processes.until(lambda: asker.status()["processes"] == 0, "what failed is reaped")


def test_what_a_process_leaves_in_its_group_ends_with_it(asker: Asker) -> None:
    process = asker.start(*COMMAND)
    process.line()
    child = int(order(process, "child"))
    process.link.sendall(b"exit 0\n")
    asker.end_of(process)
    assert processes.wait_gone([child]) == []


@pytest.mark.parametrize("what", ["child", "daemon"])
def test_an_asker_that_leaves_takes_everything_along(keeper: Keeper, what: str) -> None:
    stays = keeper.asker().start(*COMMAND)
    stays.line()
    daemon_of_other = int(order(stays, "daemon"))
    asker = keeper.asker()
    process = asker.start(*COMMAND)
    process.line()
    below = int(order(process, what))
    process.link.sendall(b"deaf\n")
    asker.socket.close()
    process.wait_gone()
    assert processes.wait_gone([below]) == []
    assert processes.alive(stays.pid)
    assert processes.alive(daemon_of_other)


def test_a_daemon_outlives_its_interpreter_until_the_asker_leaves(
    keeper: Keeper, asker: Asker
) -> None:
    process = asker.start(*COMMAND)
    process.line()
    daemon = int(order(process, "daemon"))
    process.link.sendall(b"exit 0\n")
    asker.end_of(process)
    assert processes.alive(daemon)
    asker.socket.close()
    assert processes.wait_gone([daemon]) == []


def test_a_process_of_a_killed_keeper_goes_on(keeper: Keeper, asker: Asker) -> None:
    process = asker.start(*COMMAND)
    process.line()
    keeper.kill()
    assert order(process, "place").endswith("True")
    process.link.close()
    process.wait_gone()


def test_end_ends_everything_and_is_answered_last(keeper: Keeper, asker: Asker) -> None:
    process = asker.start(*COMMAND)
    process.line()
    daemon = int(order(process, "daemon"))
    other = keeper.asker()
    assert other.ask(wire.END, {}).kind == wire.OK
    process.wait_gone()
    assert asker.end_of(process)["wait_status"] == signal.SIGKILL
    assert processes.wait_gone([daemon], 0) == []
    assert keeper.wait() == 0
    assert not keeper.socket.exists()


def test_what_is_said_before_leaving_counts(keeper: Keeper) -> None:
    """A gateway ends its keeper with its last words, and awaits no answer to those before."""
    asker = keeper.asker()
    os.kill(keeper.pid, signal.SIGSTOP)
    asker.send(wire.STATUS, {})
    asker.send(wire.END, {})
    asker.close()
    os.kill(keeper.pid, signal.SIGCONT)
    assert keeper.wait() == 0


def test_draining_waits_for_what_runs(keeper: Keeper, asker: Asker) -> None:
    process = asker.start(*COMMAND)
    process.line()
    assert asker.ask(wire.END, {"drain": True}).kind == wire.OK
    answer = asker.refused(*COMMAND)
    assert answer == {"status": 503, "message": "the keeper is ending"}
    with pytest.raises(OSError):
        keeper.asker()
    process.link.sendall(b"exit 0\n")
    asker.end_of(process)
    assert keeper.wait() == 0


class Hasty(Keeper):
    """The first connection that it takes is that of an asker, who stays: it might have ended before
    the next."""

    def listens(self) -> bool:
        with suppress(OSError):
            self.asker()
        return bool(self.askers)


def test_an_idle_keeper_ends() -> None:
    with Hasty("--idle", "1") as keeper:
        (asker,) = keeper.askers
        process = asker.start(*COMMAND)
        process.line()
        assert asker.status()["processes"] == 1
        asker.close()
        assert keeper.wait() == 0
        assert not keeper.socket.exists()


class Bad:
    """What is wrong with a START, and what is answered."""

    def __init__(self, text: str, body: Any = None, **fds: int) -> None:
        self.text, self.body, self.fds = text, body, fds


BODY = {"argv": ["true"]}
BAD = [
    Bad("argv: must be a list of 1 to 256 strings", {}),
    Bad("argv: must be a list of 1 to 256 strings", {"argv": []}),
    Bad("argv: must be a list of 1 to 256 strings", {"argv": "true"}),
    Bad("argv: must be a list of 1 to 256 strings", {"argv": ["x"] * 257}),
    Bad("argv: must be a list of strings without NUL", {"argv": ["a\0b"]}),
    Bad("argv: must be a list of strings without NUL", {"argv": [1]}),
    Bad("cwd: must be an absolute path", {**BODY, "cwd": "here"}),
    Bad("warm: must be true or false", {**BODY, "warm": 1}),
    Bad("sandbox: this keeper starts nothing that is confined", {**BODY, "sandbox": "a"}),
    Bad("START: needs 5 descriptors", BODY, count=4),
    Bad("START: needs 5 descriptors", BODY, count=0),
    Bad("descriptor 0: the link must be a socket", BODY, place=0),
    Bad("descriptor 1: stdout must be a pipe", BODY, place=1),
    Bad("descriptor 2: stderr must be a pipe", BODY, place=2),
    Bad("descriptor 3: the pipes page must be a sealed memory", BODY, place=3),
    Bad("descriptor 4: the environment must be a sealed memory", BODY, place=4),
]


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: f"{bad.text[:30]}-{bad.body}"[:60])
def test_a_bad_start_is_refused_and_leaves_nothing(asker: Asker, keeper: Keeper, bad: Bad) -> None:
    assert asker.status()["processes"] == 0
    fds_before = len(os.listdir(f"/proc/{keeper.pid}/fd"))
    process = Process()
    fds = [*process.theirs, wire.environment({})][: bad.fds.get("count", 5)]
    folder = os.open("/", os.O_RDONLY)
    if "place" in bad.fds:
        fds[bad.fds["place"]] = folder
    answer = asker.ask(wire.START, bad.body, fds)
    assert answer.kind == wire.FAILED
    assert answer.body == {"status": 400, "message": bad.text}
    assert asker.status()["processes"] == 0
    assert len(os.listdir(f"/proc/{keeper.pid}/fd")) <= fds_before
    for fd in {*process.theirs, *fds, folder}:
        os.close(fd)
    process.close()


@pytest.mark.parametrize(
    ("memory", "text"),
    [
        (b"A=1\0B", "environment: must be NAME=VALUE strings with a NUL behind each"),
        (b"=1\0", "environment: must be NAME=VALUE strings with a NUL behind each"),
        (b"A=\0" * 65537, "environment: must be NAME=VALUE strings with a NUL behind each"),
        (b"A=" + b"x" * (8 << 20) + b"\0", "environment: longer than 8388608 bytes"),
    ],
)  # fmt: skip
def test_a_bad_environment_is_refused(asker: Asker, memory: bytes, text: str) -> None:
    process = Process()
    answer = asker.ask(wire.START, BODY, [*process.theirs, wire.sealed(memory)])
    assert answer.kind == wire.FAILED
    assert answer.body["message"].startswith(text)


@pytest.mark.parametrize(
    ("data", "number", "text"),
    [
        (b"1234567", 0, "datagram: shorter than its head of 8 bytes"),
        (struct.pack("<II", 2, 9) + b"[]", 9, "datagram: must be an object"),
        (struct.pack("<II", 2, 9), 9, "datagram: not valid JSON"),
        (struct.pack("<II", 2, 9) + b"{}" + b" " * 65536, 9, "datagram: longer than 65536 bytes"),
        (struct.pack("<II", 99, 9) + b"{}", 9, "kind 99: is nothing that a keeper does"),
        (struct.pack("<II", 33, 9) + b"{}", 9, "kind 33: is nothing that a keeper does"),
        (struct.pack("<II", 7, 9) + b'{"drain": 1}', 9, "drain: must be true or false"),
    ],
)
def test_nonsense_is_answered_and_the_next_is_read(
    asker: Asker, data: bytes, number: int, text: str
) -> None:
    asker.socket.send(data)
    answer = wire.receive(asker.socket)
    assert (answer.kind, answer.number) == (wire.FAILED, number)
    assert answer.body["message"].startswith(text)
    assert asker.status()["fork_server"]["state"] == "off"


def test_an_asker_that_does_not_read_is_let_go(keeper: Keeper) -> None:
    deaf = keeper.asker()
    deaf.socket.settimeout(30)
    with pytest.raises(OSError):
        for number in range(1, 100000):
            wire.send(deaf.socket, wire.STATUS, number, {})
    assert keeper.asker().status()["processes"] == 0


def test_the_socket_is_for_its_user_alone(keeper: Keeper) -> None:
    assert stat.S_IMODE(keeper.socket.stat().st_mode) == 0o600
    if os.getuid() != 0:
        pytest.skip("only root can be somebody else")
    keeper.folder.chmod(0o777)
    keeper.socket.chmod(0o777)
    code = (
        "import os, socket, sys; os.setgroups([]); os.setgid(64999); os.setuid(64999);"
        "s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); s.connect(sys.argv[1]);"
        "s.settimeout(30); print(s.recv(100))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(keeper.socket)],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.stdout == "b''\n", done.stderr


def pids_with(words: str) -> list[int]:
    found = []
    for row in Path("/proc").iterdir():
        with suppress(OSError):
            if row.name.isdigit() and words.encode() in (row / "cmdline").read_bytes():
                found.append(int(row.name))
    return found


def test_a_second_keeper_leaves_the_first_alone_and_a_dead_ones_socket_is_taken(
    keeper: Keeper,
) -> None:
    command = [str(programs().keeper), "--socket", str(keeper.socket)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0
    assert "another one listens" in done.stderr
    keeper.kill()
    assert keeper.socket.exists()
    log = keeper.folder / "log2"
    subprocess.run([*command, "--log", str(log)], check=True, timeout=30)
    asker = Asker(keeper.socket)
    assert asker.status()["askers"] == 1
    # it has left its starter: a session of its own, no descriptor of ours, no folder of ours
    (pid,) = pids_with(f"{keeper.socket}\0--log")
    assert os.getsid(pid) != os.getsid(0)
    assert str(Path(f"/proc/{pid}/cwd").readlink()) == "/"
    assert Path(f"/proc/{pid}/fd/2").readlink() == log
    assert str(Path(f"/proc/{pid}/fd/0").readlink()) == "/dev/null"
    assert asker.ask(wire.END, {}).kind == wire.OK
    assert processes.wait_gone([pid]) == []


def test_its_environment_holds_no_secret(tmp_path: Path) -> None:
    env = {
        **os.environ,
        "MY_SECRET": "hidden-one",
        "WARMCELL_TOKEN": "hidden-two",
        "WARMCELL_PYTHONPATH": "/kept",
    }
    inherited = os.open("/", os.O_RDONLY)
    os.set_inheritable(inherited, True)
    with Keeper(env=env) as keeper:
        keeper.asker().status()
        found = Path(f"/proc/{keeper.pid}/environ").read_bytes()
        assert b"hidden-one" not in found
        assert b"hidden-two" not in found
        assert b"WARMCELL_PYTHONPATH=/kept" in found
        assert Path("/") not in processes.open_files(keeper.pid)
    os.close(inherited)


def test_a_long_path_is_refused(tmp_path: Path) -> None:
    path = "/tmp/" + "x" * 120
    done = subprocess.run(
        [str(programs().keeper), "--socket", path], check=False, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "longer than 107 bytes" in done.stderr


def test_status_says_what_there_is(asker: Asker) -> None:
    assert json.dumps(asker.status())
    status = asker.status()
    assert status["fork_server"]["state"] == "off"
    assert status["fork_server"]["why"] is None
    assert status["sandboxes"] == []
    assert status["confinement"]["profile"] == "owner"


def test_many_are_started_and_ended_at_once(keeper: Keeper) -> None:
    askers = [keeper.asker() for _ in range(4)]
    started = [asker.start(*COMMAND) for asker in askers for _ in range(5)]
    for process in started:
        process.line()
    fds = len(os.listdir(f"/proc/{keeper.pid}/fd"))
    for asker in askers:
        for process in asker.processes:
            process.link.sendall(b"exit 5\n")
        for process in asker.processes:
            assert asker.end_of(process)["wait_status"] == 5 << 8
    askers[0].status()  # it has done with what came before
    assert len(os.listdir(f"/proc/{keeper.pid}/fd")) <= fds
    assert isinstance(askers[0].socket, socket.socket)

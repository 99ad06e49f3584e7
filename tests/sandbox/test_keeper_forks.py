"""A keeper with a fork server: what is forked is the keeper's own, and whatever becomes of the fork
server, each start gets one interpreter."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from support import processes
from support.keeper.keeper_process import FAKE_INTERPRETER, Asker, Keeper, Process, fake, receive

FAKE = FAKE_INTERPRETER
COMMAND = (sys.executable, "-S", FAKE)


def order(process: Process, text: str) -> str:
    process.link.sendall(text.encode() + b"\n")
    return process.line()


def until_state(asker: Asker, state: str, generation: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = {}

    def is_there() -> bool:
        found.update(asker.status()["fork_server"])
        return bool(found["state"] == state and found["generation"] >= generation)

    processes.until(is_there, f"the fork server is {state}")
    return found


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])


def test_a_fork_is_the_keepers_child_with_what_it_was_given(tmp_path: Path) -> None:
    with Keeper(fork_server=fake()) as keeper:
        asker = keeper.asker()
        server = until_state(asker, "ready")
        process = asker.start(*COMMAND, warm=True, env={"A": "b"}, cwd=str(tmp_path), umask=0o27)
        assert process.line() == str(process.pid)
        assert process.warm
        assert process.cold_because is None
        assert parent_of(process.pid) == keeper.pid
        assert order(process, "env") == "A=b"
        assert order(process, "place") == f"{tmp_path} True"
        assert order(process, "fds") == "0 1 2 3 4"
        assert order(process, "umask") == "0o27"
        status = asker.status()["fork_server"]
        assert (status["forks"], status["pid"]) == (1, server["pid"])
        process.link.sendall(b"signal 11\n")
        assert asker.end_of(process)["wait_status"] & 127 == signal.SIGSEGV


def test_what_is_not_to_be_warm_is_cold() -> None:
    with Keeper(fork_server=fake()) as keeper:
        asker = keeper.asker()
        until_state(asker, "ready")
        process = asker.start(*COMMAND)
        process.line()
        assert not process.warm
        assert process.cold_because is None
        assert asker.status()["fork_server"]["forks"] == 0


def test_forks_outlive_their_fork_server_and_it_is_replaced() -> None:
    with Keeper(fork_server=fake()) as keeper:
        asker = keeper.asker()
        server = until_state(asker, "ready")
        process = asker.start(*COMMAND, warm=True)
        process.line()
        os.kill(server["pid"], signal.SIGKILL)
        again = until_state(asker, "ready", generation=2)
        assert again["pid"] != server["pid"]
        assert order(process, "place").endswith("True")
        second = asker.start(*COMMAND, warm=True)
        assert second.warm
        process.link.sendall(b"exit 4\n")
        assert asker.end_of(process)["wait_status"] == 4 << 8


@pytest.mark.parametrize(
    ("what", "why"),
    [
        ("hang", "the fork server died while it forked"),
        ("die", "the fork server died while it forked"),
        ("die-after", "the fork server died while it forked"),
        ("wrong", "the fork server died while it forked"),
        ("nonsense", "the fork server died while it forked"),
        ("fail", "no memory"),
    ],
)
def test_a_start_that_gets_no_fork_goes_cold_once(tmp_path: Path, what: str, why: str) -> None:
    once = tmp_path / "once"
    with Keeper(fork_server=fake(what, f"once={once}")) as keeper:
        asker = keeper.asker()
        until_state(asker, "ready")
        process = asker.start(*COMMAND, warm=True)
        assert process.cold_because == why
        assert not process.warm
        process.link.sendall(b"exit 0\n")
        asker.end_of(process)
        # one that was forked and not told of may have come as far as its first line
        first, *more = reversed(process.output().splitlines())
        assert first == str(process.pid)
        assert len(more) <= (what == "die-after")
        assert processes.wait_gone([int(pid) for pid in more]) == []
        until_state(asker, "ready", generation=1 if what == "fail" else 2)
        assert asker.start(*COMMAND, warm=True).warm


def test_one_that_cannot_warm_up_is_said_with_its_words() -> None:
    with Keeper(fork_server=fake("broken")) as keeper:
        asker = keeper.asker()
        status = until_state(asker, "failed")
        assert status["why"].startswith("it ended with status 1; it wrote: no such library")
        process = asker.start(*COMMAND, warm=True)
        process.line()
        assert process.cold_because is not None
        assert "no such library" in process.cold_because


def test_a_command_that_cannot_be_run_is_said() -> None:
    with Keeper(fork_server=["/no/such/python"]) as keeper:
        asker = keeper.asker()
        status = until_state(asker, "failed")
        assert "No such file" in status["why"]
        assert not asker.start(*COMMAND, warm=True).warm


def test_while_it_warms_up_starts_are_cold() -> None:
    with Keeper(fork_server=fake("cold")) as keeper:
        asker = keeper.asker()
        assert asker.status()["fork_server"]["state"] == "starting"
        process = asker.start(*COMMAND, warm=True)
        process.line()
        assert process.cold_because == "the fork server is still warming up"


def test_it_is_replaced_after_so_many_forks_without_a_gap() -> None:
    with Keeper("--recycle-forks", "3", fork_server=fake()) as keeper:
        asker = keeper.asker()
        first = until_state(asker, "ready")
        started = [asker.start(*COMMAND, warm=True) for _ in range(8)]
        assert all(process.warm for process in started)
        second = until_state(asker, "ready", generation=2)
        assert processes.wait_gone([first["pid"]]) == []
        assert second["pid"] != first["pid"]
        assert {order_pid(process) for process in started} == {p.pid for p in started}


def order_pid(process: Process) -> int:
    return int(process.line())


def test_it_is_replaced_when_it_is_old() -> None:
    with Keeper("--recycle-age", "1", fork_server=fake()) as keeper:
        asker = keeper.asker()
        first = until_state(asker, "ready")
        until_state(asker, "ready", generation=2)
        assert processes.wait_gone([first["pid"]]) == []


def test_it_is_replaced_at_once_when_a_library_changed() -> None:
    with Keeper(fork_server=fake("stale")) as keeper:
        asker = keeper.asker()
        first = until_state(asker, "ready")
        process = asker.start(*COMMAND, warm=True)
        assert process.warm
        until_state(asker, "ready", generation=2)
        assert processes.wait_gone([first["pid"]]) == []
        assert order(process, "place")


def test_an_asker_that_left_while_it_waited_leaves_no_fork() -> None:
    with Keeper(fork_server=fake()) as keeper:
        asker = keeper.asker()
        server = until_state(asker, "ready")
        os.kill(server["pid"], signal.SIGSTOP)
        hasty = keeper.asker()
        hasty.begin(*COMMAND, warm=True)
        processes.until(lambda: asker.status()["processes"] == 1, "the start is there")
        hasty.close()
        processes.until(lambda: asker.status()["askers"] == 1, "the asker has left")
        os.kill(server["pid"], signal.SIGCONT)
        processes.until(lambda: asker.status()["processes"] == 0, "the start is gone")
        children = Path(f"/proc/{keeper.pid}/task/{keeper.pid}/children").read_text().split()
        assert children == [str(server["pid"])]


def test_a_burst_is_forked() -> None:
    with Keeper(fork_server=fake()) as keeper:
        askers = [keeper.asker() for _ in range(5)]
        until_state(askers[0], "ready")
        for asker in askers:
            for _ in range(10):
                asker.begin(*COMMAND, warm=True)
        for asker in askers:
            answers = [receive(asker.socket) for _ in range(10)]
            for answer in answers:
                (process,) = (p for p in asker.processes if p.number == answer.number)
                process.started(answer)
                assert process.warm
                assert process.line() == str(process.pid)

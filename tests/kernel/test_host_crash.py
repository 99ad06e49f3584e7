"""The interpreter ends, breaks its word, or never begins: what clients are told, what is left."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
from kernel.host_process import Host
from support import processes
from support.direct import DirectClient

CRASHES = [
    ("crash 11", "signal 11 (SIGSEGV)"),
    ("crash 9", "signal 9 (SIGKILL)"),
    ("crash 6", "signal 6 (SIGABRT)"),
    ("exit 7", "status 7"),
    ("exit 0", "status 0"),
    ("break ffffffffffffffffffffffffffffffff\nwait", "SIGKILL"),
    ("break 0400000063000000000000000000000001020304\nwait", "SIGKILL"),
    ("break 000000005a0000000000000000000000\nwait", "SIGKILL"),
    ("done\nwait", "SIGKILL"),
]


@pytest.mark.parametrize(("order", "named"), CRASHES)
def test_crash(order: str, named: str) -> None:
    with Host() as host:
        client = host.client()
        before = client.run("print a")
        code = f"input ?\nwrite 776f726473\nlines 10000\n{order}"
        first = client.execute(code, allow_stdin=True)
        queued = client.execute("print never")
        info = client.send("comm_info_request", {})
        client.ask("kernel_info_request")  # it has them all
        run = client.collect(first, answers=["last"])
        assert run.stdout.startswith("got last\n") and run.stdout.replace("words", "").endswith(
            "9999\n"
        )
        assert "words" in run.stdout
        (error,) = run.of("error")
        assert named in error.content["evalue"] and "variables are lost" in error.content["evalue"]
        assert run.content["ename"] == error.content["ename"] == "KernelDied"
        assert run.content["execution_count"] == 2 and run.content["traceback"]
        assert run.iopub[-1].state == "idle"
        assert client.collect(queued).content == {"status": "aborted"}
        assert client.collect(info).status == "ok", "what is no execution is answered by the next"
        states = [m.state for m in client.pending if m.channel == "iopub" and not m.parent_header]
        assert states == ["restarting", "starting", "idle"]
        after = client.run("print b")
        assert after.content["execution_count"] == 1
        assert after.iopub[0].header["session"] != before.iopub[0].header["session"]


def test_killed_while_idle() -> None:
    with Host() as host:
        client = host.client()
        pid = int(client.run("pid").stdout.split()[0])
        os.kill(pid, signal.SIGKILL)
        client.take(lambda m: m.state == "restarting")
        assert client.run("print b").stdout == "b\n"


def test_a_crash_loop_ends_the_kernel(tmp_path: Path) -> None:
    with Host() as host:
        client = host.client()
        client.run("print a")
        for _ in range(5):
            assert client.run("crash 11").content["ename"] == "KernelDied"
        assert host.wait() == 3
        assert "5 times in a row" in host.log.read_text()


def test_crashes_between_answers_are_no_loop() -> None:
    with Host() as host:
        client = host.client()
        for _ in range(7):
            assert client.run("print a").stdout == "a\n"
            assert client.run("crash 11").content["ename"] == "KernelDied"


def refused(client: DirectClient) -> str:
    run = client.run("print a")
    assert run.status == "error" and run.content["ename"] == "KernelDied"
    return str(run.content["evalue"])


def test_a_command_that_does_not_exist() -> None:
    with Host(command=["/does/not/exist"]) as host:
        client = host.client()
        assert client.ask("kernel_info_request", channel="control").content["status"] == "ok"
        assert "/does/not/exist: No such file" in refused(client)
        assert host.wait() == 1, "it ends by itself"


def test_an_interpreter_that_fails_to_start() -> None:
    with Host(driver=["--die"]) as host:
        client = host.client()
        text = refused(client)
        assert "ended with status 1 before it was ready" in text
        assert "this driver cannot start" in text, "the end of its stderr is told"
        assert host.wait() == 1, "it ends by itself"


def test_one_that_cannot_start_ends_however_often_it_is_asked() -> None:
    """Its gateway starts it again when it has ended: a client must not be able to prevent that."""
    with Host(driver=["--die"]) as host:
        client = host.client()
        refused(client)
        for _ in range(100):
            client.execute("again")
            with suppress(subprocess.TimeoutExpired):
                assert host.wait(timeout=0.2) == 1
                break
        else:
            pytest.fail("it lives for twenty seconds, as long as it is asked")


def test_the_interpreter_inherits_nothing() -> None:
    with Host() as host:
        client = host.client()
        assert client.run("fds").stdout.split()[:5] == ["0", "1", "2", "3", "4"]
        own = 2  # the driver's copy of the memory's, and the one that lists them
        assert len(client.run("fds").stdout.split()) == 5 + own
        pid, group, session = client.run("pid").stdout.split()
        assert pid == group == session


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL, None])
def test_nothing_is_left(end: signal.Signals | None) -> None:
    """Neither the interpreter nor what it started elsewhere outlives the host's orderly end;
    when the host is killed the interpreter ends with the link."""
    with Host() as host:
        client = host.client()
        pid = int(client.run("pid").stdout.split()[0])
        daemon = int(client.run("daemon").stdout)
        if end is None:
            client.ask("shutdown_request", {}, channel="control")
        else:
            host.process.send_signal(end)
        host.wait()
        if end == signal.SIGKILL:
            os.kill(daemon, signal.SIGKILL)
        assert processes.wait_gone([pid, daemon]) == []


def test_a_cell_that_runs_does_not_hold_up_the_end() -> None:
    with Host() as host:
        client = host.client()
        cell = client.execute("print started\nwait")
        client.await_output(cell, "started")
        client.ask("shutdown_request", {}, channel="control")
        assert client.answer(cell).content["status"] == "error"
        assert host.wait() == 0


def test_the_end_of_the_parent(tmp_path: Path) -> None:
    """JPY_PARENT_PID names a process: the kernel ends with it, however it was started."""
    import subprocess

    with subprocess.Popen(["sleep", "1000"]) as parent:
        with Host(env={"JPY_PARENT_PID": str(parent.pid)}) as host:
            host.client().run("print a")
            parent.kill()
            parent.wait()
            assert host.wait() == 0


@pytest.mark.parametrize("pid", ["1", "999999999", "0", "-1", "x"])
def test_parents_that_cannot_be_watched(pid: str) -> None:
    with Host(env={"JPY_PARENT_PID": pid}) as host:
        assert host.client().run("print a").stdout == "a\n"


def test_signals_never_kill_it_by_chance() -> None:
    with Host() as host:
        client = host.client()
        for _ in range(10):
            host.process.send_signal(signal.SIGINT)
        client.run("print it may have been interrupted")
        assert client.run("print a").stdout == "a\n"
        host.process.send_signal(signal.SIGTERM)
        assert host.wait() == 0

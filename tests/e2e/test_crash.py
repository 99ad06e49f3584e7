"""The interpreter dies: what it wrote arrives, the client is told why, and the next cell works."""

from __future__ import annotations

import os
import select
import signal
from pathlib import Path

import pytest
from support import processes
from support.direct import Kernel

CRASHES = [
    ("os.kill(os.getpid(), signal.SIGSEGV)", "SIGSEGV"),
    ("os.kill(os.getpid(), signal.SIGKILL)", "SIGKILL"),
    ("os.abort()", "SIGABRT"),
    ("os._exit(3)", "3"),
    ("import ctypes; ctypes.string_at(0)", "SIGSEGV"),
]


@pytest.mark.parametrize(("code", "named"), CRASHES)
def test_crash(shared_kernel: Kernel, code: str, named: str) -> None:
    client = shared_kernel.client()
    client.run("lost = 1")
    run = client.run(
        "import os, signal, subprocess, sys\n"
        "print('printed'); print('error', file=sys.stderr)\n"
        "subprocess.run(['echo', 'by a child']); display('shown')\n"
        f"os.write(1, b'by descriptor'); sys.stdout.write('last words')\n{code}"
    )
    assert "printed\n" in run.stdout and "by a child\n" in run.stdout
    assert "by descriptor" in run.stdout
    assert "last words" in run.stdout
    assert "error\n" in run.stderr
    assert len(run.of("display_data")) == 1
    (error,) = run.of("error")
    assert named in error.content["evalue"], error.content
    assert run.status == "error"
    assert run.content["ename"] == error.content["ename"]
    assert named in run.content["evalue"]
    assert [m.state for m in run.iopub if m.state][-1] == "idle"
    assert run.iopub[-1].state == "idle"
    assert client.run("6 * 7").result["text/plain"] == "42"
    assert client.run("lost").content["ename"] == "NameError"


def test_crash_with_a_lot_of_output(shared_kernel: Kernel) -> None:
    run = shared_kernel.client().run(
        "import os\nfor i in range(100_000): print(i)\nos.kill(os.getpid(), 9)"
    )
    assert run.stdout == "".join(f"{i}\n" for i in range(100_000))
    assert "SIGKILL" in run.content["evalue"]


def test_killed_while_the_host_does_not_read(shared_kernel: Kernel) -> None:
    """What print() has returned for is told, wherever it stood: in the socket or before it."""
    client = shared_kernel.client()
    pids = client.run("import os, signal; (os.getpid(), os.getppid())").result["text/plain"]
    pid, host = (int(part) for part in pids.strip("()").split(","))
    ended = select.poll()
    ended.register(os.pidfd_open(pid), select.POLLIN)
    msg_id = client.execute(
        "os.kill(os.getppid(), signal.SIGSTOP)\n"
        "for i in range(100_000): print(i, end=' ')\n"
        "display('shown'); print('last words', end=''); os.kill(os.getpid(), 9)"
    )
    try:
        assert ended.poll(60_000)
    finally:
        os.kill(host, signal.SIGCONT)
    run = client.collect(msg_id)
    assert run.stdout == "".join(f"{i} " for i in range(100_000)) + "last words"
    assert len(run.of("display_data")) == 1
    assert "SIGKILL" in run.content["evalue"]


def test_killed_between_cells(shared_kernel: Kernel) -> None:
    client = shared_kernel.client()
    pid = int(client.run("import os; os.getpid()").result["text/plain"])
    os.kill(pid, signal.SIGKILL)
    client.take(lambda m: m.state == "restarting")  # before that a cell would be lost with it
    assert client.run("6 * 7").result["text/plain"] == "42"
    assert shared_kernel.manager.is_alive()


def test_what_is_queued_behind_a_crash_gets_its_reply(
    shared_kernel: Kernel, tmp_path: Path
) -> None:
    client = shared_kernel.client()
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    crash = client.execute(f"import os; open({str(gate)!r}).read(); os._exit(4)")
    queued = [client.execute("print('queued')") for _ in range(3)]
    info = client.send("comm_info_request")
    gate.write_text("now")
    assert client.collect(crash).status == "error"
    for msg_id in queued:
        assert client.collect(msg_id).status in ("aborted", "ok")
    assert client.collect(info).status == "ok"


def test_children_of_a_crashed_interpreter_end(shared_kernel: Kernel) -> None:
    client = shared_kernel.client()
    run = client.run(
        "import subprocess; child = subprocess.Popen(['sleep', '1000']); print(child.pid)"
    )
    client.run("import os; os._exit(1)")
    assert processes.wait_gone([int(run.stdout)]) == []


def test_crash_while_asking(shared_kernel: Kernel) -> None:
    client = shared_kernel.client()
    pid = int(client.run("import os; os.getpid()").result["text/plain"])
    msg_id = client.execute("input('?')", allow_stdin=True)
    client.take(lambda m: m.msg_type == "input_request")
    os.kill(pid, signal.SIGKILL)
    assert client.collect(msg_id).status == "error"
    assert client.run("input()", answers=["x"]).result["text/plain"] == "'x'"


def test_crash_in_a_task_between_cells(shared_kernel: Kernel) -> None:
    client = shared_kernel.client()
    client.run(
        "import asyncio, os\nasync def die():\n    await asyncio.sleep(0); os._exit(9)\n"
        "t = asyncio.get_event_loop().call_soon(lambda: asyncio.ensure_future(die()))\n"
    )
    assert client.run("6 * 7").status in ("ok", "error")
    client.take(lambda m: m.state == "restarting")
    assert client.run("6 * 7").result["text/plain"] == "42"

"""What a kernel must do at any time: answer, be interrupted, restart, end."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq
from jupyter_client.connect import write_connection_file
from jupyter_client.kernelspec import KernelSpecManager
from support import processes
from support.client import Client
from support.direct import DirectClient, Kernel


@pytest.fixture
def client(shared_kernel: Kernel) -> Iterator[DirectClient]:
    yield shared_kernel.client()


def test_starting_is_said_once(kernelspec: str) -> None:
    with Kernel(kernelspec) as kernel:
        client = kernel.client(ready=False)
        greeting = client.take(lambda m: m.channel == "iopub")
        assert greeting.msg_type == "iopub_welcome"
        assert greeting.content == {"subscription": ""}
        assert greeting.parent_header == {}
        client.run("1")
        assert len([m for m in client.pending if m.state == "starting"]) <= 1


def test_every_subscriber_is_greeted(shared_kernel: Kernel) -> None:
    for _ in range(3):
        client = shared_kernel.client(ready=False)
        client.take(lambda m: m.msg_type == "iopub_welcome")


def test_answers_before_python_is_up(kernelspec: str, tmp_path: Path, home: Path) -> None:
    """The interpreter is held in its start by a reader that comes only after the answers."""
    fifo = tmp_path / "gate"
    startup = home / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True, exist_ok=True)
    script = startup / "00-gate.py"
    script.write_text("import os\nif 'GATE' in os.environ: open(os.environ['GATE']).read()\n")
    os.mkfifo(fifo)
    try:
        with Kernel(kernelspec, env={**os.environ, "GATE": str(fifo)}) as kernel:
            client = kernel.client(ready=False)
            first = client.execute("print('now')")
            for channel in ("control", "shell"):
                asked = client.send("kernel_info_request", channel=channel)
                reply = client.answer(asked)
                assert reply.content["language_info"]["name"] == "python"
            assert client.heartbeat() == b"ping"
            fifo.write_text("go")
            assert client.collect(first).stdout == "now\n"
    finally:
        script.unlink()


# A C function that keeps the GIL until the test lets it go.
HOLD_GIL = (
    "import ctypes, os, tempfile\n"
    "path = tempfile.mktemp(); os.mkfifo(path); print(path)\n"
    "libc = ctypes.PyDLL(None)\n"
    "libc.open(path.encode(), 0)\n"
    "os.unlink(path)"
)


def hold_gil(client: Client) -> tuple[str, Path]:
    """Runs it; returns the request, and the FIFO that lets it go when it is written to."""
    msg_id = client.execute(HOLD_GIL)
    return msg_id, Path(client.line(msg_id))


def test_answers_while_the_gil_is_held(client: DirectClient) -> None:
    msg_id, gate = hold_gil(client)
    try:
        run = client.ask("kernel_info_request", channel="control")
        assert run.content["status"] == "ok"
        assert client.heartbeat(uuid.uuid4().bytes)
        assert client.ask("usage_request", channel="control").content["pid"]
        shell = client.send("kernel_info_request")
        reply = client.answer(shell)
        assert reply.content["status"] == "ok"
    finally:
        gate.write_text("")
    assert client.collect(msg_id).status == "ok"


def test_heartbeat_echoes_any_bytes(client: DirectClient) -> None:
    for payload in (b"", b"ping", bytes(range(256)) * 1000):
        assert client.heartbeat(payload) == payload


# name: the code prints "ready" when it is where the interrupt is to hit
INTERRUPTED = {
    "sleep": "print('ready'); import time; time.sleep(100)",
    "loop": "print('ready')\nwhile True: pass",
    "await": "import asyncio; print('ready'); await asyncio.sleep(100)",
    "child": "print('ready')\n!sleep 100",
    "subprocess": "import subprocess; print('ready'); subprocess.run(['sleep', '100'])",
    "lock": "import threading; print('ready'); l = threading.Lock(); l.acquire(); l.acquire()",
    "socket": "import socket; s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen()\n"
    "print('ready'); s.accept()",
    "asyncio.run": "import asyncio; print('ready'); asyncio.run(asyncio.sleep(100))",
    "cell magic": "%%time\nprint('ready')\nwhile True: pass",
}


@pytest.mark.parametrize("how", ["signal", "message"])
@pytest.mark.parametrize("what", INTERRUPTED)
def test_interrupt(shared_kernel: Kernel, client: DirectClient, what: str, how: str) -> None:
    msg_id = client.execute(INTERRUPTED[what])
    client.await_output(msg_id, "ready")
    if how == "signal":
        shared_kernel.interrupt()
    else:
        assert client.ask("interrupt_request", channel="control").content["status"] == "ok"
    run = client.collect(msg_id)
    # `!` ends as a KeyboardInterrupt, or as a child that was signalled
    assert run.status == "error" or what in ("child", "cell magic")
    if run.status == "error":
        assert run.content["ename"] in ("KeyboardInterrupt", "CancelledError")
    assert client.run("6 * 7").result["text/plain"] == "42"


def test_interrupt_can_be_caught(shared_kernel: Kernel, client: DirectClient) -> None:
    msg_id = client.execute(
        "import time\ntry:\n    print('ready'); time.sleep(100)\n"
        "except KeyboardInterrupt:\n    print('caught')"
    )
    client.await_output(msg_id, "ready")
    shared_kernel.interrupt()
    run = client.collect(msg_id)
    assert (run.status, "caught" in run.stdout) == ("ok", True)


def test_interrupt_between_cells_does_nothing(shared_kernel: Kernel, client: DirectClient) -> None:
    client.run("kept = 5")
    for _ in range(20):
        shared_kernel.interrupt()
        client.ask("interrupt_request", channel="control")
        assert client.run("kept").result["text/plain"] == "5"


def test_interrupt_drops_what_is_queued_as_an_error_does(
    shared_kernel: Kernel, client: DirectClient
) -> None:
    first = client.execute("print('ready')\nwhile True: pass")
    second = client.execute("print('never')")
    client.ask("kernel_info_request")  # the host has them
    client.await_output(first, "ready")
    shared_kernel.interrupt()
    assert client.collect(first).content["ename"] == "KeyboardInterrupt"
    assert client.collect(second).status == "aborted"


def test_interrupt_of_a_lot_of_printing(shared_kernel: Kernel, client: DirectClient) -> None:
    msg_id = client.execute("i = 0\nwhile True:\n    print(i); i += 1")
    client.await_output(msg_id, "\n1000\n")
    shared_kernel.interrupt()
    assert client.collect(msg_id).content["ename"] == "KeyboardInterrupt"
    assert client.run("i >= 1000").result["text/plain"] == "True"


@pytest.mark.parametrize("channel", ["control", "shell"])
def test_shutdown(kernelspec: str, channel: str) -> None:
    kernel = Kernel(kernelspec)
    client, other = kernel.client(), kernel.client()
    client.run("import atexit; atexit.register(print, 'bye')")
    msg_id = client.send("shutdown_request", {"restart": False}, channel=channel)
    run = client.collect(msg_id)
    assert run.content == {"status": "ok", "restart": False}
    heard = other.take(lambda m: m.msg_type == "shutdown_reply" and m.parent_id == msg_id)
    assert run.reply is not None
    assert heard.header["msg_id"] != run.reply.header["msg_id"]
    assert processes.wait_gone([kernel.pid]) == []
    kernel.stop()


def test_restart_on_the_same_ports(kernelspec: str) -> None:
    with Kernel(kernelspec) as kernel:
        client = kernel.client()
        client.run("x = 1")
        before = kernel.info
        kernel.restart()
        assert {k: kernel.info[k] for k in before if k.endswith("port")} == {
            k: before[k] for k in before if k.endswith("port")
        }
        again = kernel.client()
        assert again.run("x").content["ename"] == "NameError"
        # the client of before goes on, too: its sockets reconnect by themselves
        client.wait_ready()
        assert client.run("1 + 1").result["text/plain"] == "2"


def test_shutdown_for_restart_keeps_the_host(kernelspec: str) -> None:
    """A launcher that asks for a restart, and does nothing further, finds a kernel that ended."""
    kernel = Kernel(kernelspec)
    client = kernel.client()
    run = client.ask("shutdown_request", {"restart": True}, channel="control")
    assert run.content == {"status": "ok", "restart": True}
    assert processes.wait_gone([kernel.pid]) == []
    kernel.stop()


def test_a_second_client_takes_over_an_identity(shared_kernel: Kernel) -> None:
    session = uuid.uuid4().hex
    first = shared_kernel.client(session)
    assert first.run("1").status == "ok"
    second = shared_kernel.client(session)
    assert second.run("print('mine')").stdout == "mine\n"
    # whichever is asked while the second's stdin only connects: the answer comes by the second's
    msg_id = second.execute("input()", allow_stdin=True)
    stdins = [client.sockets["stdin"] for client in (first, second)]
    asked_on = zmq.select(stdins, [], [], 30)[0]
    if stdins[1] in asked_on:
        second.take(lambda m: m.msg_type == "input_request")
    else:
        assert stdins[0] in asked_on
    second.send("input_reply", {"value": "known"}, channel="stdin")
    assert second.collect(msg_id).result["text/plain"] == "'known'"
    asked = second.run("input()", answers=["to the second"])
    assert asked.result["text/plain"] == "'to the second'"


def test_the_kernel_ends_with_its_parent(kernelspec: str) -> None:
    """JPY_PARENT_PID names who started it; when that one is gone, nothing of the kernel stays."""
    program = (
        "import sys, json\nfrom jupyter_client.manager import start_new_kernel\n"
        f"km, kc = start_new_kernel(kernel_name={kernelspec!r})\n"
        "print(km.provisioner.pid, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as launcher:
        assert launcher.stdout is not None
        pid = int(launcher.stdout.readline())
        launcher.kill()
    assert processes.wait_gone([pid]) == []


@pytest.mark.parametrize("transport", ["tcp", "ipc"])
def test_ports_that_the_kernel_chooses(kernelspec: str, tmp_path: Path, transport: str) -> None:
    """Port 0 in a connection file is rewritten; ipc works as tcp does."""
    folder = Path(tempfile.mkdtemp(prefix="wc-"))
    path, _ = write_connection_file(
        str(folder / "c.json"), transport=transport, key=b"secret",
        ip=str(folder / "k") if transport == "ipc" else "127.0.0.1",
    )  # fmt: skip
    info = json.loads(Path(path).read_text())
    if transport == "tcp":
        for name in ("shell", "iopub", "stdin", "control", "hb"):
            info[f"{name}_port"] = 0
        Path(path).write_text(json.dumps(info))
    spec = KernelSpecManager().get_kernel_spec(kernelspec)
    argv = [path if part == "{connection_file}" else part for part in spec.argv]
    process = subprocess.Popen(argv)
    processes.own(process.pid)
    try:
        processes.until(
            lambda: transport == "ipc" or json.loads(Path(path).read_text())["hb_port"] != 0,
            "the connection file is rewritten",
        )
        info = json.loads(Path(path).read_text())
        assert info["key"] == "secret"
        client = DirectClient(info)
        client.wait_ready()
        assert client.run("20 + 1").result["text/plain"] == "21"
        client.ask("shutdown_request", {"restart": False}, channel="control")
        assert process.wait(30) == 0
        client.close()
    finally:
        process.kill()
        process.wait()
        processes.disown(process.pid)
        shutil.rmtree(folder)

"""Foreign kernels that die, and gateways that do: what was printed arrives, the reason is told, and
the next kernel or gateway goes on."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import processes
from support.uplink import INTERRUPT, RESTART, STOP, RelayHost, UplinkClient

FAKE = (sys.executable, str(Path(__file__).with_name("fake_kernel.py")), "{connection_file}")
IPYKERNEL = (sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}")
XEUS = (sys.executable, "-m", "xpython_launcher", "-f", "{connection_file}")
KERNELS = {"ipykernel": IPYKERNEL, "xeus": XEUS}


@pytest.fixture
def fake() -> Iterator[RelayHost]:
    with RelayHost(*FAKE) as host:
        yield host


def states(client: UplinkClient, first: int) -> list[str]:
    """The states of the kernel itself since the first message."""
    return [m.state for m in client.gateway.log[first:] if m.state and m.parent_id is None]


def fifo_of(host: RelayHost) -> Path:
    """Where a cell of the fake kernel awaits the test. A reply comes by another socket than what is
    published, and may be taken before it: a cell that is to outlast its gateway waits for that."""
    fifo = host.home / "go_on"
    os.mkfifo(fifo)
    return fifo


def release(fifo: Path) -> None:
    """The cell that awaits it goes on."""
    fifo.write_text("go")
    fifo.unlink()


# How it ends is the system's to say, alike for all: each kernel ends in two ways.
@pytest.mark.parametrize(
    ("kind", "death", "reason"),
    [
        ("ipykernel", "os.kill(os.getpid(), 9)", "killed by signal 9 (SIGKILL)"),
        ("xeus", "os.kill(os.getpid(), 6)", "killed by signal 6 (SIGABRT)"),
        ("xeus", "os._exit(3)", "ended with status 3"),
        ("ipykernel", "os._exit(0)", "ended with status 0"),
    ],
)
def test_crash_of_a_running_cell(kind: str, death: str, reason: str) -> None:
    with RelayHost(*KERNELS[kind]) as host:
        client = host.gateway().client()
        client.run("import os; x = 1")
        seen = len(client.gateway.log)
        run = client.collect(client.execute(death))
        assert run.status == "error"
        assert run.content["ename"] == "KernelDied"
        assert reason in run.content["evalue"]
        assert [m.content["evalue"] for m in run.of("error")] == [run.content["evalue"]]
        assert run.iopub[-1].state == "idle"
        assert client.run("'x' in globals()").result["text/plain"] == "False"
        assert states(client, seen) == ["restarting", "starting", "idle"]


@pytest.mark.parametrize("kind", KERNELS)
def test_killed_from_outside_while_idle(kind: str) -> None:
    with RelayHost(*KERNELS[kind]) as host:
        client = host.gateway().client()
        pid = int(client.run("import os; print(os.getpid())").stdout)
        seen = len(client.gateway.log)
        os.kill(pid, signal.SIGKILL)
        client.take(lambda m: m.state == "restarting", "restarting")
        assert int(client.run("import os; print(os.getpid())").stdout) != pid
        assert states(client, seen) == ["restarting", "starting", "idle"]


def test_output_before_a_crash_arrives(fake: RelayHost) -> None:
    """What had left the kernel before it died is published before its end is."""
    client = fake.gateway().client()
    run = client.collect(client.execute("lines 2000\nexit 7"))
    # a kernel that is killed takes with it what its own ZeroMQ thread had not written yet
    lines = run.stdout.splitlines()
    assert lines == [f"line {n}" for n in range(len(lines))]
    assert "status 7" in run.content["evalue"]
    kinds = [m.msg_type for m in run.iopub]
    assert kinds == ["status", *["stream"] * len(lines), "error", "status"]


def test_those_behind_a_crash_are_aborted(fake: RelayHost) -> None:
    client = fake.gateway().client()
    sent = [client.execute("crash 9"), client.execute("print no"), client.send("comm_info_request")]
    runs = [client.collect(msg_id) for msg_id in sent]
    assert [run.status for run in runs] == ["error", "aborted", "error"]
    assert all([m.state for m in run.iopub if m.state] == ["busy", "idle"] for run in runs)
    assert client.run("print yes").stdout == "yes\n"


def test_crash_loop_ends_with_the_reason(fake: RelayHost) -> None:
    gateway = fake.gateway()
    client = gateway.client()
    for _ in range(5):
        assert client.run("stderr the reason is here\nexit 3").content["ename"] == "KernelDied"
    death = gateway.await_death()
    assert death["exit_status"] == 3 and death["cause"] == "crash_loop"
    assert "5 times in a row" in death["reason"]
    assert "the reason is here" in death["reason"]
    assert fake.wait() == 3


@pytest.mark.parametrize("kind", KERNELS)
def test_exit_of_the_user_ends_the_host(kind: str) -> None:
    with RelayHost(*KERNELS[kind]) as host:
        gateway = host.gateway()
        client = gateway.client()
        go_on = fifo_of(host)
        code = (
            "import os, threading\n"
            f"def leave(): open({str(go_on)!r}).read(), os._exit(0)\n"
            "threading.Thread(target=leave).start()"
        )
        client.run("exit" if kind == "ipykernel" else code)
        if kind == "xeus":  # when the host has seen the end of the cell
            release(go_on)
        go_on.unlink(missing_ok=True)
        death = gateway.await_death()
        assert death["reason"] == "the code that ran asked the kernel to end"
        assert (death["exit_status"], death["signal"]) == (0, None)
        assert host.wait() == 0


def test_cannot_start() -> None:
    with RelayHost(*FAKE, "--die") as host:
        gateway = host.gateway()
        client = gateway.client()
        run = client.run("print never")
        assert run.content["ename"] == "KernelDied"
        assert "ended with status 1 before it was ready" in run.content["evalue"]
        assert "no module named spam" in run.content["evalue"]
        result = gateway.command(RESTART)
        assert (result["ok"], result["status"]) == (False, 502)
        assert gateway.command(STOP, b'{"reason":"given up"}')["ok"]
        assert gateway.await_death()["reason"] == "given up"
        assert host.wait() in (0, 1)


def test_no_such_program() -> None:
    with RelayHost("/nonexistent/kernel") as host:
        gateway = host.gateway()
        run = gateway.client().run("pass")
        assert "/nonexistent/kernel" in run.content["evalue"]
        gateway.command(STOP, b"{}")
        gateway.await_death()
        host.wait()


def test_a_start_that_failed_is_tried_on_other_ports() -> None:
    with RelayHost(*FAKE, "--die-once") as host:
        client = host.gateway().client()
        assert client.run("print up").stdout == "up\n"
        first = json.loads(host.file.with_name("died").read_text())
        then = json.loads(host.file.read_text())
        assert first["key"] == then["key"]
        assert first["shell_port"] != then["shell_port"]
        host.file.with_name("died").unlink()


def test_wrong_signatures_and_garbage_are_dropped(fake: RelayHost) -> None:
    client = fake.gateway().client()
    run = client.run("forge no\ngarbage\nprint yes")
    assert run.stdout == "yes\n"
    client.run("print after")
    assert len([m for m in client.gateway.log if m.msg_type == "execute_reply"]) == 2
    assert "signature" in fake.log.read_text()


def test_only_questions_of_the_host_come_before(fake: RelayHost) -> None:
    client = fake.gateway().client()
    heard = json.loads(client.run("heard").stdout)
    assert set(heard[:-1]) == {"kernel_info_request"}
    assert heard[-1] == "execute_request"


def test_interrupt_by_message_is_no_signal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mark = tmp_path / "interrupted"
    monkeypatch.setenv("FAKE_INTERRUPTED", str(mark))
    with RelayHost(*FAKE, options=("--interrupt-mode", "message")) as host:
        gateway = host.gateway()
        client = gateway.client()
        client.run("print ready")
        assert gateway.command(INTERRUPT)["ok"]
        processes.until(mark.exists, "the interrupt_request")


def test_gateway_goes_and_comes_back(fake: RelayHost) -> None:
    """A gateway cut off in the middle of a cell finds everything after what it had stored."""
    gateway = fake.gateway()
    client = gateway.client("the-session")
    client.run("print ready")
    go_on = fifo_of(fake)
    msg_id = client.execute(f"lines 20000\nawait {go_on}\nprint end")
    client.await_output(msg_id, "line 99\n")
    gateway.close()
    release(go_on)
    again = fake.gateway(gateway.stored)
    back = again.client("the-session")
    back.collect(msg_id)
    text = "".join(
        m.content["text"]
        for m in [*gateway.log, *again.log]
        if m.msg_type == "stream" and m.parent_id == msg_id
    )
    assert text == "".join(f"line {n}\n" for n in range(20000)) + "end\n"
    again.ack()


def test_the_cell_ends_without_a_gateway(fake: RelayHost) -> None:
    gateway = fake.gateway()
    client = gateway.client("s")
    client.run("print ready")
    go_on, ended = fifo_of(fake), fake.home / "ended"
    msg_id = client.execute(f"print before\nawait {go_on}\nlines 100\ntouch {ended}")
    client.await_output(msg_id, "before")
    gateway.close()
    release(go_on)
    processes.until(ended.exists, "the end of the cell")
    ended.unlink()
    back = fake.gateway(gateway.stored).client("s")
    run = back.collect(msg_id)
    assert run.status == "ok"
    assert run.stdout == "".join(f"line {n}\n" for n in range(100))


def test_host_killed_takes_nothing_with_it() -> None:
    """A host that is killed leaves a kernel that ends by itself: JPY_PARENT_PID names the host."""
    with RelayHost(*IPYKERNEL) as host:
        client = host.gateway().client()
        pid = int(client.run("import os; print(os.getpid())").stdout)
        host.process.kill()
        host.process.wait()
        assert processes.wait_gone([pid]) == []
        host.expect_killed()


def test_200k_lines_for_a_slow_gateway() -> None:
    """Nothing is read for a while; then every line is there, in order, once."""
    with RelayHost(*IPYKERNEL) as host:
        client = host.gateway().client()
        client.run("pass")
        mark = host.home / "done"
        code = (
            "for n in range(200_000):\n    print('line', n)\n"
            f"import pathlib; pathlib.Path({str(mark)!r}).touch()"
        )
        msg_id = client.execute(code)
        processes.until(mark.exists, "the end of the cell", 120)
        mark.unlink()
        run = client.collect(msg_id)
        assert run.stdout == "".join(f"line {n}\n" for n in range(200_000))


def test_many_messages_for_a_slow_gateway(fake: RelayHost) -> None:
    """As above with a message for each line, from a kernel that does not drop any itself."""
    client = fake.gateway().client()
    client.run("print ready")
    mark = fake.home / "done"
    msg_id = client.execute(f"lines 40000\ntouch {mark}")
    processes.until(mark.exists, "the end of the cell", 120)
    mark.unlink()
    run = client.collect(msg_id)
    assert [m.content["text"] for m in run.of("stream")] == [f"line {n}\n" for n in range(40000)]

"""The host and its gateway: nothing unacknowledged is lost, whatever happens to the gateway."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from kernel.fake_driver import dump
from kernel.host_process import (
    ACK,
    ADOPT_KERNEL,
    DRIVER,
    LINK_INTERRUPT,
    RESTART,
    STOP,
    Gateway,
    Host,
    Received,
    v1_encode,
)
from support import processes
from support.programs import programs


def text(messages: list[Received]) -> str:
    return "".join(m.content["text"] for m in messages if m.msg_type == "stream")


def test_a_cell() -> None:
    with Host(zmq=False, uplink=True) as host:
        gateway = host.gateway()
        state = gateway.state()
        assert state["pid"] == host.pid and state["interpreter_pid"] > 0
        assert state["connection_file"] is None and state["started"].endswith("Z")
        msg_id = gateway.execute("print a\nbuffers 10")
        messages = gateway.until_idle(msg_id)
        own = [m for m in messages if m.parent.get("msg_id") == msg_id]
        assert [(m.channel, m.msg_type, m.identity) for m in own] == [
            ("iopub", "status", b""),
            ("iopub", "execute_input", b""),
            ("iopub", "stream", b""),
            ("iopub", "comm_msg", b""),
            ("shell", "execute_reply", b"client"),
            ("iopub", "status", b""),
        ]
        assert own[3].buffers == [b"b" * 10, b""]
        assert host.socket.stat().st_mode & 0o777 == 0o600


def test_a_socket_that_listens_already(tmp_path: Path) -> None:
    """Who connected before the host was there is attached; what does not listen is refused."""
    path = tmp_path / "uplink"
    with socket.socket(socket.AF_UNIX) as listener:
        number = listener.fileno()
        command = [str(programs().host), "--uplink", str(path), "--uplink-fd", str(number),
                   "--history", "none", "--driver", "--", sys.executable, str(DRIVER)]  # fmt: skip
        refused = subprocess.run(
            command, pass_fds=[number], capture_output=True, text=True, check=False
        )
        assert refused.returncode != 0
        assert f"--uplink-fd: descriptor {number} does not listen" in refused.stderr
        listener.bind(str(path))
        listener.listen()
        gateway = Gateway(path)
        host = subprocess.Popen(command, pass_fds=[number])
        processes.own(host.pid)
    assert gateway.state()["pid"] == host.pid
    assert text(gateway.until_idle(gateway.execute("print a"))) == "a\n"
    host.terminate()
    gateway.death()
    host.wait(30)
    processes.disown(host.pid)
    assert not path.exists()


def test_input_goes_to_the_asking_identity() -> None:
    with Host(zmq=False, uplink=True) as host:
        gateway = host.gateway()
        gateway.state()
        msg_id = gateway.execute("input x", identity="one")
        asked = gateway.message()
        while asked.msg_type != "input_request":
            asked = gateway.message()
        assert (asked.identity, asked.channel) == (b"one", "stdin")
        header = {"msg_id": "r", "msg_type": "input_reply"}
        gateway.send(v1_encode("stdin", header, {"value": "v"}, asked.header), "one")
        assert text(gateway.until_idle(msg_id)) == "got v\n"


def test_both_frontends_at_once() -> None:
    with Host(uplink=True) as host:
        gateway, client = host.gateway(), host.client()
        assert gateway.state()["connection_file"] == str(host.file)
        run = client.run("print direct")
        messages = gateway.until_idle(run.msg_id)
        assert text(messages) == "direct\n"
        assert not [m for m in messages if m.msg_type == "execute_reply"], "only who asked"
        msg_id = gateway.execute("print above")
        assert client.collect(msg_id, reply=False).stdout == "above\n"


def test_a_gateway_that_comes_back_gets_what_it_had_not_stored() -> None:
    with Host(zmq=False, uplink=True) as host:
        first = host.gateway()
        first.state()
        first.until_idle(first.execute("print a"))
        first.ack()
        stored = first.last
        msg_id = first.execute("print b")
        seen = first.until_idle(msg_id)
        first.close()
        again = host.gateway(stored)
        assert again.state()["execution_state"] == "idle"
        replayed = again.until_idle(msg_id)
        assert [(m.number, m.header, m.raw) for m in replayed] == [
            (m.number, m.header, m.raw) for m in seen
        ]
        newer = host.gateway(again.last)
        newer.state()
        assert again.link.socket.recv(1) == b"", "a newer gateway replaces the older"
        assert text(newer.until_idle(newer.execute("print c"))) == "c\n"


GATEWAY = """
import sys
sys.path[:0] = {path!r}
from pathlib import Path
from kernel.host_process import Gateway
gateway = Gateway(Path({socket!r}))
gateway.state()
msg_id = gateway.execute("lines 200000\\ndisplay 1000000\\n" * 40 + "print end")
gateway.message()
print(msg_id, flush=True)
while True:
    gateway.message()
    print(gateway.last, flush=True)  # it is stored
    gateway.ack()
"""


def test_kill_9_of_a_gateway_while_a_cell_runs() -> None:
    """100 MB and more: what is not acknowledged goes to a file, and comes back in order."""
    with Host(zmq=False, uplink=True) as host:
        program = GATEWAY.format(path=[p for p in sys.path if p], socket=str(host.socket))
        with subprocess.Popen(
            [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True
        ) as other:
            assert other.stdout is not None
            msg_id = other.stdout.readline().strip()
            told = [other.stdout.readline() for _ in range(20)]
            other.kill()
            told += other.stdout.read().split()
            stored = int(told[-1])
        assert list(host.folder.glob(".spill*")) == [], "the file has no name"
        gateway = host.gateway(stored)
        gateway.state()
        messages = gateway.until_idle(msg_id)
        assert len([m for m in messages if m.msg_type == "display_data"]) >= 38
        assert text(messages).endswith("line 199999\nend\n")
        gateway.ack()
        assert text(gateway.until_idle(gateway.execute("print after"))) == "after\n"


def test_output_without_a_gateway_is_kept() -> None:
    with Host(uplink=True) as host:
        client = host.client()
        run = client.run("display 1000000\n" * 150 + "lines 1000")
        gateway = host.gateway()
        gateway.state()
        messages = gateway.until_idle(run.msg_id)
        displays = [m for m in messages if m.msg_type == "display_data"]
        assert len(displays) == 150
        assert all(len(m.content["data"]["text/plain"]) == 1_000_000 for m in displays)
        assert text(messages) == "".join(f"line {n}\n" for n in range(1000))


def test_an_ack_of_what_was_not_sent_is_an_error() -> None:
    with Host(zmq=False, uplink=True) as host:
        gateway = host.gateway()
        gateway.state()
        gateway.link.send(ACK, 10**6)
        while gateway.link.socket.recv(1 << 16):
            pass
        assert host.gateway().state()["version"] == 1


def test_commands() -> None:
    with Host(zmq=False, uplink=True) as host:
        gateway = host.gateway()
        before = gateway.state()["interpreter_pid"]
        result, _ = gateway.command(ADOPT_KERNEL, dump({"env": {"COLOUR": "red"}, "cwd": "/"}))
        assert result == {"ok": True, "status": 200, "message": ""}
        assert text(gateway.until_idle(gateway.execute("env COLOUR"))) == "COLOUR=red\n"
        cell = gateway.execute("print started\nwait")
        while gateway.message().msg_type != "stream":
            pass
        result, _ = gateway.command(LINK_INTERRUPT)
        assert result["ok"]
        reply = next(m for m in gateway.until_idle(cell) if m.msg_type == "execute_reply")
        assert reply.content["ename"] == "KeyboardInterrupt"
        cell = gateway.execute("print started\nwait")
        while gateway.message().msg_type != "stream":
            pass
        result, messages = gateway.command(RESTART)
        assert result["ok"]
        own = [m.msg_type for m in messages if m.parent.get("msg_id") == cell]
        assert own[-3:] == ["error", "execute_reply", "status"] or "execute_reply" in own
        states = [m.content["execution_state"] for m in messages if not m.parent]
        assert states == ["starting", "idle"]
        assert text(gateway.until_idle(gateway.execute("env COLOUR"))) == "COLOUR=red\n"
        gateway.close()
        again = host.gateway(gateway.last)
        assert again.state()["interpreter_pid"] != before
        result, _ = again.command(STOP, dump({"reason": "culled"}))
        assert result["ok"]
        assert again.death() == {
            "reason": "culled", "cause": "asked", "exit_status": 0, "signal": None
        }  # fmt: skip
        assert host.wait() == 0
        assert not host.socket.exists()


def test_the_lease(tmp_path: Path) -> None:
    """It runs while no gateway is attached."""
    path = tmp_path / "uplink"
    with socket.socket(socket.AF_UNIX) as listener:
        number = listener.fileno()
        listener.bind(str(path))
        listener.listen()
        gateway = Gateway(path)  # attached before it begins to run
        command = [str(programs().host), "--uplink", str(path), "--uplink-fd", str(number),
                   "--lease", "1", "--history", "none", "--driver", "--", sys.executable,
                   str(DRIVER)]  # fmt: skip
        host = subprocess.Popen(command, pass_fds=[number])
        processes.own(host.pid)
    pid = gateway.state()["interpreter_pid"]
    gateway.link.socket.settimeout(1.5)
    with pytest.raises(TimeoutError):
        while True:
            gateway.link.receive()
    assert host.poll() is None
    gateway.close()
    assert host.wait(30) == 0
    processes.disown(host.pid)
    assert processes.wait_gone([pid]) == []
    assert not path.exists()


def test_a_kernel_that_ends_waits_for_its_gateway() -> None:
    """The last outputs and the reason are there for a gateway that was away."""
    with Host("--lease", "60", uplink=True) as host:
        client = host.client()
        run = client.run("print last\nask_exit")
        gateway = host.gateway()
        assert gateway.state()["execution_state"] in ("dead", "idle", "busy")
        assert text(gateway.until_idle(run.msg_id)) == "last\n"
        death = gateway.death()
        assert "asked the kernel to end" in death["reason"] and death["signal"] is None
        assert host.wait() == 0


def test_state_says_why_the_last_interpreter_ended() -> None:
    with Host(zmq=False, uplink=True) as host:
        gateway = host.gateway()
        state = gateway.state()
        assert (state["reason"], state["cause"]) == (None, None)
        gateway.until_idle(gateway.execute("crash 11"))
        gateway.close()
        again = host.gateway(gateway.last)
        state = again.state()
        reason = "the interpreter was killed by signal 11 (SIGSEGV)"
        assert (state["reason"], state["cause"]) == (reason, "signal")
        assert again.command(RESTART)[0]["ok"]
        again.close()
        state = host.gateway(again.last).state()
        assert (state["reason"], state["cause"]) == (None, None)


def test_a_kernel_whose_time_was_over_waits_to_tell_it() -> None:
    """Though its gateway had stored everything; nothing is started in it any more."""
    with Host("--lease", "60", zmq=False, uplink=True) as host:
        gateway = host.gateway()
        pid = gateway.state()["interpreter_pid"]
        gateway.until_idle(gateway.execute("print x"))
        host.process.send_signal(signal.SIGSTOP)  # it finds the gateway gone with its last words
        with gateway.at_once():
            gateway.ack()
            gateway.begin(ADOPT_KERNEL, dump({"limits": {"idle_s": 0.2}}))
        gateway.close()
        host.process.send_signal(signal.SIGCONT)
        assert processes.wait_gone([pid]) == []
        again = host.gateway(gateway.last)
        state = again.state()
        reason = "the kernel was idle for its limit of 0.2 s"
        if state["execution_state"] == "dead":  # and not just ending
            assert (state["cause"], state["reason"]) == ("idle", reason)
        assert again.death()["reason"] == reason
        assert host.wait() == 0


def test_a_kernel_that_cannot_start_says_why() -> None:
    with Host(zmq=False, uplink=True, driver=["--die"]) as host:
        gateway = host.gateway()
        gateway.state()
        messages = gateway.until_idle(gateway.execute("print a"))
        reply = next(m for m in messages if m.msg_type == "execute_reply")
        assert "cannot start" in reply.content["evalue"]
        death = gateway.death()
        assert "cannot start" in death["reason"] and death["exit_status"] == 1
        assert host.wait() == 1


def test_a_socket_in_the_way(tmp_path: Path) -> None:
    with Host(zmq=False, uplink=True) as host:
        for path, named in (
            (host.socket, "another process serves it"),
            (host.log, "is not a socket"),
            (tmp_path / ("x" * 200), "longer than"),
        ):
            program = str(host.process.args[0])  # type: ignore[index]
            run = subprocess.run(
                [program, "--uplink", str(path), "--driver", "--", "true"],
                check=False, capture_output=True, text=True, timeout=30,
            )  # fmt: skip
            assert run.returncode == 1 and named in run.stderr
        assert host.socket.exists() and host.log.exists()
        stale = host.folder / "stale"
        import socket

        with socket.socket(socket.AF_UNIX) as left:
            left.bind(str(stale))
        with subprocess.Popen(
            [program, "--uplink", str(stale), "--history", "none", "--driver", "--", "cat"]
        ) as other:
            processes.until(lambda: _answers(stale), "the uplink in place of the stale socket")
            os.kill(other.pid, signal.SIGTERM)


def _answers(path: Path) -> bool:
    try:
        gateway = Gateway(path)
    except OSError:
        return False
    gateway.state()
    gateway.close()
    return True

"""Foreign kernels behind the host: whatever a client does with ipykernel or xeus-python over
ZeroMQ, it can do through the relay."""

from __future__ import annotations

import json
import stat
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
from support.uplink import ADOPT_KERNEL, INTERRUPT, RESTART, STOP, RelayHost, UplinkClient

IPYKERNEL = (sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}")
XEUS = (sys.executable, "-m", "xpython_launcher", "-f", "{connection_file}")
KERNELS = {"ipykernel": IPYKERNEL, "xeus": XEUS}
GRACE_S = 2.5  # TERMINATE_MS of the host


@pytest.fixture(scope="module", params=KERNELS, name="shared")
def shared_host(request: pytest.FixtureRequest) -> Iterator[RelayHost]:
    """One kernel of each kind, for what leaves no trace in it."""
    with RelayHost(*KERNELS[request.param]) as host:
        yield host


@pytest.fixture
def client(shared: RelayHost) -> Iterator[UplinkClient]:
    gateway = shared.gateway()
    client = gateway.client()
    client.wait_ready()
    yield client
    gateway.close()


@pytest.fixture(name="host")
def ipykernel_host() -> Iterator[RelayHost]:
    """An ipykernel for one test."""
    with RelayHost(*IPYKERNEL) as host:
        yield host


def test_streams_result_and_order(client: UplinkClient) -> None:
    run = client.run("import sys\nprint('out')\nprint('err', file=sys.stderr)\n6 * 7")
    assert run.status == "ok"
    assert run.stdout == "out\n"
    assert run.stderr == "err\n"
    assert run.result["text/plain"] == "42"
    states = [m.state for m in run.iopub if m.state]
    assert states == ["busy", "idle"]
    assert run.iopub[0].state == "busy"
    assert run.reply is not None
    assert run.reply.header["session"] != client.session, "the kernel's own header is passed on"


def test_display_with_bytes_and_float_untouched(client: UplinkClient) -> None:
    code = (
        "from IPython.display import display, JSON\n"
        "display({'application/json': {'x': 0.1, 's': '\\u20ac\\U0001f600'}}, raw=True)"
    )
    (display,) = client.run(code).of("display_data")
    assert display.content["data"]["application/json"] == {"x": 0.1, "s": "€😀"}


def test_buffers_both_ways(host: RelayHost) -> None:
    client = host.gateway().client()
    client.run(
        "from comm import get_comm_manager\n"
        "def _echo(comm, opened):\n"
        "    def answer(message):\n"
        "        comm.send({'n': 1}, buffers=[bytes(message['buffers'][0]) * 2, b''])\n"
        "    comm.on_msg(answer)\n"
        "get_comm_manager().register_target('echo', _echo)"
    )
    opened = {"comm_id": "c1", "target_name": "echo", "data": {}}
    client.collect(client.send("comm_open", opened), reply=False)
    payload = bytes(range(256)) * 1000
    run = client.collect(
        client.send("comm_msg", {"comm_id": "c1", "data": {}}, buffers=[payload]), reply=False
    )
    (answer,) = run.of("comm_msg")
    assert answer.buffers == [payload * 2, b""]


def test_input(client: UplinkClient) -> None:
    run = client.run("print('got', input('name? '))", answers=["Ada"])
    assert [p.content["prompt"] for p in run.prompts] == ["name? "]
    assert run.stdout == "got Ada\n"


def test_two_clients_get_their_own_replies(shared: RelayHost) -> None:
    gateway = shared.gateway()
    one, two = gateway.client(), gateway.client()
    one.wait_ready()
    for client in (one, two):
        client.pending.clear()
        client.arrived.clear()
    first = one.execute("print(input('who? '))", allow_stdin=True)
    run = one.collect(first, answers=["one"])
    second = two.execute("2 + 2")
    other = two.collect(second)
    assert run.stdout == "one\n"
    assert other.result["text/plain"] == "4"
    for client, sent in ((one, first), (two, second)):
        client.gateway.client("marker").ask("kernel_info_request")
        arrived = [*client.pending, *client.arrived]
        private = [m for m in arrived if m.channel != "iopub"]
        assert private == [], f"only its own replies and prompts: {private}"
        assert {m.parent_id for m in arrived} >= {second if sent == first else first}, (
            "what is published goes to everybody"
        )


def test_late_input_reply_is_no_answer(host: RelayHost) -> None:
    client = host.gateway().client()
    client.run("pass")
    client.send("input_reply", {"value": "stale"}, channel="stdin")
    run = client.run("print(input())", answers=["fresh"])
    assert run.stdout == "fresh\n"


def test_other_requests(client: UplinkClient) -> None:
    info = client.ask("kernel_info_request").content
    assert info["language_info"]["name"] == "python"
    assert client.ask("kernel_info_request", channel="control").content["status"] == "ok"
    complete = client.ask("complete_request", {"code": "import o", "cursor_pos": 8}).content
    assert "os" in " ".join(complete["matches"])
    assert client.ask("is_complete_request", {"code": "if x:"}).content["status"] == "incomplete"
    assert "comms" in client.ask("comm_info_request", {}).content


def test_error_reply(client: UplinkClient) -> None:
    run = client.run("1 / 0")
    assert run.status == "error"
    assert "ZeroDivisionError" in run.content["ename"]
    assert [m.content["ename"] for m in run.of("error")] == [run.content["ename"]]


@pytest.mark.parametrize("kind", KERNELS)
def test_queued_before_ready(kind: str) -> None:
    """Requests sent before the kernel process answers are run in order; nothing of them is lost,
    and nothing of the questions by which the host finds out is seen."""
    with RelayHost(*KERNELS[kind]) as host:
        gateway = host.gateway()
        assert gateway.state is not None
        assert gateway.state["execution_state"] in ("starting", "idle")  # where that was quick
        client = gateway.client()
        sent = [client.execute(f"print({n})") for n in range(5)]
        runs = [client.collect(msg_id) for msg_id in sent]
        assert [run.stdout for run in runs] == [f"{n}\n" for n in range(5)]
        parents = {m.parent_id for m in gateway.log}
        assert parents <= {*sent, None}
        assert [m.state for m in gateway.log if m.parent_id is None] == ["starting", "idle"]
        first = gateway.log.index(runs[0].iopub[0])
        # a kernel's reply comes by another socket, and may be here before what it published
        early = [m for m in gateway.log[:first] if m.channel == "iopub"]
        assert all(m.state for m in early), "only states before the first request"


def test_state_names_the_kernel(host: RelayHost) -> None:
    gateway = host.gateway()
    client = gateway.client()
    pid = int(client.run("import os; print(os.getpid())").stdout)
    parent = int(client.run("print(os.environ['JPY_PARENT_PID'])").stdout)
    again = host.gateway(gateway.stored)
    assert again.state is not None
    assert again.state["interpreter_pid"] == pid
    assert again.state["pid"] == parent == host.process.pid
    assert again.state["execution_state"] == "idle"
    assert again.state["connection_file"] == str(host.file)


def test_connection_file_is_private(host: RelayHost) -> None:
    host.gateway()
    assert stat.S_IMODE(host.file.stat().st_mode) == 0o600
    info = json.loads(host.file.read_text())
    assert len(info["key"]) >= 32
    assert info["transport"] == "tcp"
    assert len({info[f"{name}_port"] for name in ("shell", "iopub", "stdin", "control", "hb")}) == 5


def test_ipc() -> None:
    with RelayHost(*IPYKERNEL, options=("--relay-transport", "ipc")) as host:
        client = host.gateway().client()
        assert client.run("1 + 1").result["text/plain"] == "2"
        assert json.loads(host.file.read_text())["transport"] == "ipc"


def test_descriptors_are_clean(host: RelayHost) -> None:
    client = host.gateway().client()
    code = (
        "import os\n"
        "links = [f'/proc/self/fd/{fd}' for fd in range(3, 100)]\n"
        "print([l for l in links if os.path.lexists(l) and 'wcr-' in os.readlink(l)])\n"
        "print(os.getsid(0) == os.getpid() == os.getpgrp(), os.readlink('/proc/self/fd/0'))"
    )
    assert client.run(code).stdout == "[]\nTrue /dev/null\n"


def test_interrupt_by_signal(host: RelayHost) -> None:
    gateway = host.gateway()
    client = gateway.client()
    msg_id = client.execute("print('on', flush=True)\nwhile True: pass")
    client.await_output(msg_id, "on")
    assert gateway.command(INTERRUPT)["ok"]
    assert client.collect(msg_id).content["ename"] == "KeyboardInterrupt"
    assert client.run("'alive'").status == "ok"


def test_interrupt_by_message() -> None:
    """The kernel's control thread gets an interrupt_request, and no signal comes from the host."""
    with RelayHost(*IPYKERNEL, options=("--interrupt-mode", "message")) as host:
        gateway = host.gateway()
        client = gateway.client()
        msg_id = client.execute("print('on', flush=True)\nwhile True: pass")
        client.await_output(msg_id, "on")
        assert gateway.command(INTERRUPT)["ok"]
        assert client.collect(msg_id).content["ename"] == "KeyboardInterrupt"
        assert "interrupt_reply" not in {m.msg_type for m in gateway.log}


def test_interrupt_request_of_a_client(host: RelayHost) -> None:
    client = host.gateway().client()
    msg_id = client.execute("print('on', flush=True)\nwhile True: pass")
    client.await_output(msg_id, "on")
    assert client.ask("interrupt_request", channel="control").content["status"] == "ok"
    assert client.collect(msg_id).content["ename"] == "KeyboardInterrupt"


@pytest.mark.parametrize("kind", KERNELS)
def test_restart(kind: str) -> None:
    with RelayHost(*KERNELS[kind]) as host:
        gateway = host.gateway()
        client = gateway.client()
        client.run("x = 1")
        before = json.loads(host.file.read_text())
        seen = len(gateway.log)
        assert gateway.command(RESTART) == {"ok": True, "status": 200, "message": ""}
        run = client.run("x")
        assert "NameError" in run.content["ename"]
        assert json.loads(host.file.read_text()) == before, "key and ports stay"
        states = [m.state for m in gateway.log[seen:] if m.parent_id is None]
        assert states == ["starting", "idle"]


def test_restart_while_a_cell_runs(host: RelayHost) -> None:
    gateway = host.gateway()
    client = gateway.client()
    code = "import time\nprint('on', flush=True)\nwhile True:\n  try: time.sleep(9)\n  except: pass"
    running = client.execute(code)
    waiting = client.execute("1")
    client.await_output(running, "on")
    assert gateway.command(RESTART)["ok"]
    run = client.collect(running)
    assert run.status == "error"
    assert run.content["ename"] == "KernelRestarted"
    assert client.collect(waiting).content == {"status": "aborted"}
    assert client.run("1 + 1").result["text/plain"] == "2"


def ended_as_asked(death: dict[str, Any], since: float) -> None:
    """By itself; one that took its time, as on a machine that stood still, gets a signal."""
    how = death["exit_status"], death["signal"]
    assert how == (0, None) or (how == (None, 15) and time.monotonic() - since > GRACE_S), how


def test_stop(host: RelayHost) -> None:
    gateway = host.gateway()
    gateway.client().run("pass")
    asked = time.monotonic()
    assert gateway.command(STOP, b'{"reason":"no longer needed"}')["ok"]
    death = gateway.await_death()
    assert (death["reason"], death["cause"]) == ("no longer needed", "asked")
    ended_as_asked(death, asked)
    assert host.wait() == 0


def test_stop_while_starting(host: RelayHost) -> None:
    gateway = host.gateway()
    client = gateway.client()
    msg_id = client.execute("pass")
    assert gateway.command(STOP, b'{"reason":"never mind"}')["ok"]
    assert client.collect(msg_id).content["ename"] == "KernelEnded"
    assert gateway.await_death()["reason"] == "never mind"
    assert host.wait() == 0


def test_shutdown_request_of_a_client(host: RelayHost) -> None:
    gateway = host.gateway()
    client = gateway.client()
    client.run("pass")
    asked = time.monotonic()
    msg_id = client.send("shutdown_request", {"restart": False}, channel="control")
    reply = client.answer(msg_id)
    assert reply.msg_type == "shutdown_reply"
    assert reply.content == {"status": "ok", "restart": False}
    ended_as_asked(gateway.await_death(), asked)
    assert host.wait() == 0


def test_adopt_is_refused(host: RelayHost) -> None:
    result = host.gateway().command(ADOPT_KERNEL, b'{"env":{},"cwd":"/"}')
    assert (result["ok"], result["status"]) == (False, 409)

"""kill -9 of the gateway, a host or an interpreter, at points drawn by a seed, while output flows.

A gateway that comes back within the lease finds its kernels, and a client that comes back with its
session gets what it had not got. After the lease nothing remains.
"""

from __future__ import annotations

import math
import os
import random
import shutil
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from support import processes
from support.client import Client, Message
from support.gateway import Gateway
from support.socket_client import ClosedError, SocketClient

LINES = 30_000
# Small writes, so that there are many messages and many points between them.
LOAD = (
    "import sys\nfor i in range({lines}):\n    print(i)\n"
    "    if i % 100 == 99: display(i)\n    if i % 1000 == 999: print('e', i, file=sys.stderr)"
)


@pytest.fixture
def revenant(kernelspec: str) -> Iterator[Gateway]:
    """A gateway that is killed and comes back at the same place."""
    gateway = Gateway(lease_s=60)
    gateway.start()
    yield gateway
    gateway.stop()
    shutil.rmtree(gateway.home, ignore_errors=True)


def come_back(gateway: Gateway) -> None:
    gateway.kill()
    gateway.start()


class Reader:
    """A client that comes back with its session whenever its connection ends."""

    def __init__(self, gateway: Gateway, kernel: str, framing: str) -> None:
        self.gateway, self.kernel, self.framing = gateway, kernel, framing
        self.session = uuid.uuid4().hex
        self.client: SocketClient = self._connect(ready=True)
        self.seen: list[Message] = []

    def _connect(self, ready: bool) -> SocketClient:
        return self.gateway.client(
            self.kernel, self.session, framing=self.framing, ready=ready, timeout=30
        )

    def read(self, count: int) -> None:
        for _ in range(count):
            self.seen.append(self.client.receive(30, "message"))

    def read_to_the_end_of_the_connection(self) -> None:
        try:
            while True:
                self.read(1)
        except ClosedError:
            self.client = self._connect(ready=False)

    def read_until_done(self, msg_id: str, most: float = math.inf) -> None:
        """Reads what comes, `most` messages at most."""
        missing = {"idle", "reply"}
        for message in self.seen:
            missing -= self._ends(message, msg_id)
        end = len(self.seen) + most
        while missing and len(self.seen) < end:
            self.read(1)
            missing -= self._ends(self.seen[-1], msg_id)

    @staticmethod
    def _ends(message: Message, msg_id: str) -> set[str]:
        if message.parent_id != msg_id:
            return set()
        if message.msg_type == "execute_reply":
            return {"reply"}
        return {"idle"} if message.state == "idle" else set()

    def check(self, msg_id: str, lines: int = LINES) -> None:
        """Everything once and in order."""
        ids = [m.header["msg_id"] for m in self.seen]
        assert len(ids) == len(set(ids)), "no message comes twice"
        mine = [m for m in self.seen if m.parent_id == msg_id and m.channel == "iopub"]
        out = "".join(m.content["text"] for m in mine
                      if m.msg_type == "stream" and m.content["name"] == "stdout")  # fmt: skip
        expected = "".join(f"{i}\n" for i in range(lines))
        same = out == expected
        assert same, f"{out.count(chr(10))} of {lines} lines"
        shown = [m.content["data"]["text/plain"] for m in mine if m.msg_type == "display_data"]
        assert shown == [str(i) for i in range(99, lines, 100)]
        assert [m.state for m in mine if m.state] == ["busy", "idle"]


@pytest.mark.parametrize("seed", range(6))
def test_gateway_killed_under_load(revenant: Gateway, seed: int) -> None:
    draw = random.Random(seed)
    kernel = revenant.start_kernel()
    reader = Reader(revenant, kernel, draw.choice(["v1", "json"]))
    reader.client.run("kept = 5")
    msg_id = reader.client.execute(LOAD.format(lines=LINES))
    for _ in range(draw.randint(1, 3)):
        # the connection that just ended may have held the rest
        reader.read_until_done(msg_id, most=draw.randint(1, 150))
        come_back(revenant)
        reader.read_to_the_end_of_the_connection()
    reader.read_until_done(msg_id)
    reader.check(msg_id)
    reader.client.pending.clear()
    assert reader.client.run("kept").result["text/plain"] == "5"
    assert revenant.kernel_model(kernel)["execution_state"] == "idle"
    reader.client.close()


def test_the_cell_ends_while_there_is_no_gateway(revenant: Gateway, tmp_path: Path) -> None:
    kernel = revenant.start_kernel()
    reader = Reader(revenant, kernel, "v1")
    done = tmp_path / "done"
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    msg_id = reader.client.execute(
        f"print('ready')\nopen({str(gate)!r}).read()\n"
        f"for i in range(50_000): print(i)\nopen({str(done)!r}, 'w').close()"
    )
    assert reader.client.line(msg_id) == "ready"
    revenant.kill()
    gate.write_text("go")
    processes.until(done.exists, "the cell ends")
    revenant.start()
    with pytest.raises(ClosedError):
        while True:
            reader.read(1)
    reader.client = reader._connect(ready=False)
    reader.read_until_done(msg_id)
    out = "".join(m.content["text"] for m in reader.seen if m.msg_type == "stream")
    assert out == "".join(f"{i}\n" for i in range(50_000))
    reader.client.close()


def test_waiting_input_survives_the_gateway(revenant: Gateway) -> None:
    kernel = revenant.start_kernel()
    reader = Reader(revenant, kernel, "v1")
    msg_id = reader.client.execute("input('still? ')", allow_stdin=True)
    prompt = reader.client.take(lambda m: m.msg_type == "input_request")
    come_back(revenant)
    client = reader._connect(ready=False)
    client.send("input_reply", {"value": "yes"}, channel="stdin", parent=prompt.header)
    assert client.collect(msg_id).result["text/plain"] == "'yes'"
    client.close()


def interpreter_of(client: Client) -> int:
    return int(client.run("import os; print(os.getpid())").stdout)


def host_of(gateway: Gateway) -> int:
    (host,) = processes.named_below(gateway.pid, "warmcell-kernel")
    return host


@pytest.mark.parametrize("seed", range(4))
def test_interpreter_killed_under_load(revenant: Gateway, seed: int) -> None:
    draw = random.Random(seed)
    kernel = revenant.start_kernel()
    client = revenant.client(kernel, framing=draw.choice(["v1", "json"]))
    pid = interpreter_of(client)
    left = draw.randint(1, 100)

    def kill_after_some(message: Message) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(pid, signal.SIGKILL)

    run = client.collect(client.execute(LOAD.format(lines=10**7)), on_message=kill_after_some)
    assert run.status == "error"
    assert "SIGKILL" in run.content["evalue"]
    assert run.iopub[-1].state == "idle"
    lines = run.stdout.split("\n")[:-1]
    assert lines == [str(i) for i in range(len(lines))]
    assert client.run("6 * 7").result["text/plain"] == "42"
    client.close()


@pytest.mark.parametrize("seed", range(4))
def test_host_killed_under_load(revenant: Gateway, seed: int) -> None:
    """The kernel is lost: the client is told, its interpreter ends, and a new kernel can be had."""
    draw = random.Random(seed)
    kernel = revenant.start_kernel()
    client = revenant.client(kernel, framing=draw.choice(["v1", "json"]))
    pid, host = interpreter_of(client), host_of(revenant)
    msg_id = client.execute(LOAD.format(lines=10**7))
    for _ in range(draw.randint(1, 100)):
        client.receive(30, "output")
    os.kill(host, signal.SIGKILL)
    client.take(lambda m: m.state in ("dead", "restarting"), "the news of its death")
    client.take(lambda m: m.parent_id == msg_id and m.msg_type == "error", "error")
    client.take(lambda m: m.parent_id == msg_id and m.msg_type == "execute_reply", "reply")
    assert processes.wait_gone([pid, host]) == []
    client.close()
    model = revenant.get(f"/api/kernels/{kernel}")
    if model.status == 200 and model.json()["execution_state"] == "dead":
        assert "SIGKILL" in model.json()["reason"] or "signal 9" in model.json()["reason"]
        assert revenant.request("POST", f"/api/kernels/{kernel}/restart").status == 200
    again = revenant.client(kernel)
    assert again.run("6 * 7").result["text/plain"] == "42"
    again.close()


def test_after_the_lease_nothing_remains(kernelspec: str) -> None:
    gateway = Gateway(lease_s=1)
    with gateway:
        kernels = [gateway.start_kernel() for _ in range(2)]
        clients = [gateway.client(kernel) for kernel in kernels]
        busy = clients[0].execute("import subprocess; p = subprocess.Popen(['sleep', '1000'])\n"
                                  "print('ready')\nwhile True: pass")  # fmt: skip
        clients[0].await_output(busy, "ready")
        family = [p.pid for p in psutil.Process(gateway.pid).children(recursive=True)]
        assert len(family) >= 5, "two hosts, two interpreters, one child"
        gateway.kill()
        assert processes.wait_gone(family) == []
        for client in clients:
            client.close()
        left = list((gateway.runtime / "kernels").iterdir())
        assert not left, "no socket, no environment of a kernel"
        # a gateway that comes later finds no kernel, and knows none
        gateway.start()
        assert gateway.get("/api/kernels").json() == []
        logs = gateway.home / "state" / "logs"
        processes.until(lambda: not list(logs.iterdir()), "no log is kept of them")
    shutil.rmtree(gateway.home)


def test_a_gateway_that_ends_well_leaves_nothing(kernelspec: str) -> None:
    with Gateway() as gateway:
        client = gateway.client(gateway.start_kernel())
        family = [p.pid for p in psutil.Process(gateway.pid).children(recursive=True)]
        assert len(family) >= 2
        gateway.stop()
        assert processes.wait_gone(family) == []
        client.close()
    shutil.rmtree(gateway.home)


def test_no_stuck_state_after_many_kills(revenant: Gateway) -> None:
    """Gateway and interpreter in turn, between and during cells; then all is as it was."""
    draw = random.Random(11)
    kernel = revenant.start_kernel()
    for _ in range(6):
        client = revenant.client(kernel)
        pid = interpreter_of(client)
        running = client.execute("print('ready')\nwhile True: pass") if draw.random() < 0.5 else ""
        if running:
            client.await_output(running, "ready")
        if draw.random() < 0.5:
            os.kill(pid, signal.SIGKILL)
            if running:
                assert client.collect(running).status == "error"
            client.take(lambda m: m.state == "restarting", "what its host says of it")
        else:
            come_back(revenant)
            if running:
                revenant.client(kernel).close()  # its kernel has told it what it does
                assert revenant.kernel_model(kernel)["execution_state"] == "busy"
                interrupted = revenant.request("POST", f"/api/kernels/{kernel}/interrupt")
                assert interrupted.status == 204
                processes.until(lambda: revenant.kernel_model(kernel)["execution_state"] == "idle",
                                "the cell ends; what comes before is aborted")  # fmt: skip
        client.close()
        client = revenant.client(kernel)
        assert client.run("6 * 7").result["text/plain"] == "42"
        assert revenant.kernel_model(kernel)["execution_state"] == "idle"
        client.close()
    assert [m["id"] for m in revenant.get("/api/kernels").json()] == [kernel]

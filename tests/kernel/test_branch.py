"""fork(context): a live interpreter is forked into a second host."""

from __future__ import annotations

import json
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kernel.host_process import BRANCH_KERNEL, LINK_INTERRUPT, Gateway, Host
from kernel.interpreters import command, environment
from support import processes
from support.programs import programs


class Pair:
    """A kernel, and hosts that its branches are forked into."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="wcb-"))
        self.hosts: list[Host] = []
        self.first, self.gateway = self.start()
        self.run(self.gateway, "1")

    def start(self, *options: str) -> tuple[Host, Gateway]:
        host = Host(
            *options, zmq=False, uplink=True, command=command("embedded", programs()),
            env=environment("embedded", programs()),
        )  # fmt: skip
        self.hosts.append(host)
        gateway = host.gateway()
        gateway.state()
        return host, gateway

    def waiting(self) -> tuple[Host, Gateway, str]:
        path = str(self.folder / f"branch{len(self.hosts)}")
        host, gateway = self.start("--await-branch", path)
        return host, gateway, path

    def branch(self, **options: Any) -> tuple[Host, Gateway]:
        host, gateway, path = self.waiting()
        result, _ = self.ask(path, **options)
        assert result["ok"], result
        return host, gateway

    def ask(self, path: str, **options: Any) -> tuple[dict[str, Any], list[Any]]:
        return self.gateway.command(BRANCH_KERNEL, json.dumps({"to": path, **options}).encode())

    @staticmethod
    def run(gateway: Gateway, code: str) -> str:
        """All the text that a cell writes or fails with."""
        messages = gateway.until_idle(gateway.execute(code))
        texts = [m.content["text"] for m in messages if m.msg_type == "stream"]
        texts += [m.content["evalue"] for m in messages if m.msg_type == "error"]
        return "".join(texts)


@pytest.fixture
def pair() -> Iterator[Pair]:
    pair = Pair()
    yield pair
    for host in reversed(pair.hosts):
        host.__exit__(None, None, None)
    shutil.rmtree(pair.folder)


def test_both_have_the_variables_and_go_their_ways(pair: Pair) -> None:
    pair.run(pair.gateway, "import os, sys; x = [1]; f = lambda: x; big = bytes(10**6)")
    _, other = pair.branch()
    assert pair.run(other, "x.append(2); print(f(), len(big))") == "[1, 2] 1000000\n"
    assert pair.run(pair.gateway, "x.append(3); print(f())") == "[1, 3]\n"
    assert pair.run(other, "print(x)") == "[1, 2]\n"
    mine, its = (pair.run(g, "print(os.getpid(), os.getsid(0))").split() for g in
                 (pair.gateway, other))  # fmt: skip
    assert mine[0] == mine[1] and its[0] == its[1] and mine != its


def test_output_of_all_kinds_goes_to_its_own_host(pair: Pair) -> None:
    pair.run(pair.gateway, "import os, sys, subprocess, threading")
    _, other = pair.branch()
    code = (
        "print('{0} print'); os.write(1, b'{0} write\\n'); subprocess.run(['echo', '{0} echo'])\n"
        "t = threading.Thread(target=print, args=('{0} thread',)); t.start(); t.join()"
    )
    for gateway, name in ((pair.gateway, "a"), (other, "b"), (pair.gateway, "c")):
        assert pair.run(gateway, code.format(name)) == (
            f"{name} print\n{name} write\n{name} echo\n{name} thread\n"
        )


def test_asyncio_and_interrupts_work_in_both(pair: Pair) -> None:
    pair.run(pair.gateway, "import asyncio; await asyncio.sleep(0)")
    _, other = pair.branch()
    for gateway in (other, pair.gateway, other):
        code = "async def f(): return 5\nprint(await asyncio.create_task(f()))"
        assert pair.run(gateway, code) == "5\n"
        cell = gateway.execute("print('in', flush=True)\nawait asyncio.sleep(1000)")
        while gateway.message().msg_type != "stream":
            pass
        result, messages = gateway.command(LINK_INTERRUPT)
        assert result["ok"]
        if not any(m.is_idle_of(cell) for m in messages):
            messages += gateway.until_idle(cell)
        (reply,) = (m for m in messages if m.msg_type == "execute_reply")
        assert reply.content["ename"] in ("KeyboardInterrupt", "CancelledError")


def test_a_branch_of_a_branch(pair: Pair) -> None:
    pair.run(pair.gateway, "x = 1")
    _, second = pair.branch()
    pair.run(second, "x = 2")
    first, pair.gateway = pair.gateway, second
    _, third = pair.branch()
    pair.run(third, "x += 1")
    assert [pair.run(g, "print(x)") for g in (first, second, third)] == ["1\n", "2\n", "3\n"]


def test_threads_and_tasks_are_in_the_way_unless_forced(pair: Pair) -> None:
    pair.run(pair.gateway, "import threading; e = threading.Event(); x = 1\n"
             "t = threading.Thread(target=e.wait, name='mine'); t.start()")  # fmt: skip
    _host, other, path = pair.waiting()
    result, _ = pair.ask(path)
    assert (result["ok"], result["status"]) == (False, 409)
    assert "1 threads run (mine)" in result["message"]
    assert "1 threads run (mine)" in other.death()["reason"]
    _, forced = pair.branch(force=True)
    assert pair.run(forced, "print(x, threading.active_count())") == "1 1\n"
    assert pair.run(pair.gateway, "e.set(); t.join(); print(x)") == "1\n"
    pair.run(pair.gateway, "import asyncio; task = asyncio.create_task(asyncio.sleep(1000))")
    _host, _other, path = pair.waiting()
    result, _ = pair.ask(path)
    assert result["status"] == 409 and "asyncio tasks run" in result["message"]
    assert pair.run(pair.gateway, "print(task.cancel())") == "True\n"


def test_what_cannot_be_branched(pair: Pair) -> None:
    for body, status in ((b"{}", 400), (b'{"to":"/no/such/host"}', 503), (b'{"to":1}', 400)):
        result, _ = pair.gateway.command(BRANCH_KERNEL, body)
        assert (result["ok"], result["status"]) == (False, status), result
    cell = pair.gateway.execute("import time; print('go', flush=True); time.sleep(1000)")
    while pair.gateway.message().msg_type != "stream":
        pass
    _host, _other, path = pair.waiting()
    result, _ = pair.ask(path)
    assert result["status"] == 409 and "busy" in result["message"]
    pair.first.process.send_signal(signal.SIGINT)
    pair.gateway.until_idle(cell)
    assert pair.ask(path)[0]["ok"], "the other host still waits"


def test_a_branch_that_dies_is_replaced_by_a_fresh_interpreter(pair: Pair) -> None:
    pair.run(pair.gateway, "x = 1")
    _, other = pair.branch()
    assert "signal 9 (SIGKILL)" in pair.run(other, "import os; os.kill(os.getpid(), 9)")
    assert "not defined" in pair.run(other, "x")
    assert pair.run(pair.gateway, "print(x)") == "1\n"


def test_the_end_of_a_branch_leaves_the_other_alone(pair: Pair) -> None:
    pair.run(pair.gateway, "x = 1; import os")
    host, other = pair.branch()
    pid = int(pair.run(other, "print(os.getpid())"))
    host.process.send_signal(signal.SIGTERM)
    host.wait()
    assert processes.wait_gone([pid]) == []
    assert pair.run(pair.gateway, "print(x)") == "1\n"

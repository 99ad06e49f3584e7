"""Limits of a sandbox at work in the host in front of it: the ladder, memory, output; and a branch
of a confined interpreter into a second context of its sandbox."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kernel.host_process import BRANCH_KERNEL, Gateway, Host, v1_encode
from support import processes
from support.keeper.keeper_process import Keeper, sandboxing
from support.programs import PYTHON, programs

MEMORY = 256 << 20
LIMITS = {"memory_bytes": MEMORY, "output_bytes": 20_000}
GRACES = ("--interrupt-grace", "0.5", "--dump-grace", "0.5")


class Sandbox:
    """One sandbox, whose contexts are hosts."""

    def __init__(self, keeper: Keeper, folder: Path) -> None:
        self.keeper, self.folder = keeper, folder
        self.plan = folder / "plan.json"
        self.hosts: list[Host] = []
        self.host, self.gateway = self.context()

    def context(self, *options: str) -> tuple[Host, Gateway]:
        self.plan.write_text(json.dumps({"limits": LIMITS}))  # a host removes what it has read
        host = Host(
            "--keeper", str(self.keeper.socket), "--sandbox", "one", "--sandbox-plan",
            str(self.plan), *GRACES, *options, zmq=False, uplink=True,
            command=[str(programs().interpreter), "--python", PYTHON],
        )  # fmt: skip
        self.hosts.append(host)
        gateway = host.gateway()
        gateway.state()
        return host, gateway


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    with Keeper(*sandboxing(tmp_path)) as keeper:
        sandbox = Sandbox(keeper, tmp_path)
        yield sandbox
        for host in sandbox.hosts:
            with host:
                pass


def run(
    gateway: Gateway, code: str, deadline_s: float | None = None
) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Its stdout, the reply's content, and what its metadata says of the end."""
    gateway.number += 1
    msg_id = f"run-{gateway.number}"
    header = {"msg_id": msg_id, "msg_type": "execute_request", "session": "client"}
    metadata = {"warmcell": {"deadline_s": deadline_s}}
    gateway.send(v1_encode("shell", header, {"code": code}, metadata=metadata))
    messages = gateway.until_idle(msg_id)
    (reply,) = (m for m in messages if m.msg_type == "execute_reply")
    streams = [m.content for m in messages if m.msg_type == "stream"]
    text = "".join(one["text"] for one in streams if one["name"] == "stdout")
    return text, reply.content, reply.metadata["warmcell"]


DEAF = "import signal, subprocess, time; signal.signal(signal.SIGINT, signal.SIG_IGN)"
STUBBORN = """subprocess.Popen(["sleep", "1000"], start_new_session=True)
while True: time.sleep(1000)
"""
LEFT = """import os
def name(p):
    try: return open(f"/proc/{p}/comm").read().strip()
    except OSError: return ""
print([p for p in os.listdir("/proc") if name(p) == "sleep"], open("/workspace/kept").read())"""


def test_the_ladder_in_a_sandbox(sandbox: Sandbox) -> None:
    """What the execution left behind goes with it; the sandbox and its folder stay."""
    run(sandbox.gateway, "open('/workspace/kept', 'w').write('a')")
    _, content, end = run(sandbox.gateway, "import time; time.sleep(1000)", 1)
    assert content["ename"] == "DeadlineExceeded" and end["deadline_s"] == 1
    # on a machine that stands still the later steps may come before Python hears of the first
    assert end["state_retained"] == (end["ended_by"] == "interrupt")
    assert run(sandbox.gateway, DEAF)[1]["status"] == "ok"
    _, content, end = run(sandbox.gateway, STUBBORN, 1)
    assert content["ename"] == "DeadlineExceeded" and end["ended_by"] == "kill"
    generation = end["generation"]
    processes.until(lambda: run(sandbox.gateway, LEFT)[0] == "[] a\n", "nothing of it is left")
    assert run(sandbox.gateway, "1")[2]["generation"] == generation + 1


def test_memory_that_runs_out(sandbox: Sandbox) -> None:
    confinement = sandbox.keeper.asker().status()["confinement"]
    if confinement["cgroup"] == "none":
        pytest.skip(f"no control group limits memory here: {confinement['missing']}")
    _, content, end = run(sandbox.gateway, "x = [bytearray(50 << 20) for _ in range(20)]")
    assert content["ename"] == "OutOfMemory"
    assert content["evalue"].startswith("the kernel used more than its 256 MiB of memory (peak 2")
    assert (end["outcome"], end["state_retained"]) == ("oom", False)
    restarting = next(m for m in iter(sandbox.gateway.message, None) if m.is_state("restarting"))
    assert restarting.metadata["warmcell"]["cause"] == "oom"
    assert run(sandbox.gateway, "print('again')")[0] == "again\n"


def test_output_past_the_limit_of_the_plan(sandbox: Sandbox) -> None:
    text, content, end = run(sandbox.gateway, "while True: print('x' * 99)")
    assert text == ("x" * 99 + "\n") * 200
    assert content["ename"] == "OutputLimitExceeded" and end["outcome"] == "output_limit"
    assert end["out_bytes"] >= 20_000 and end["withheld_bytes"] > 0  # and its stacks, maybe


def branched(sandbox: Sandbox) -> tuple[Host, Gateway]:
    path = str(sandbox.folder / "branch")
    host, gateway = sandbox.context("--await-branch", path)
    result, _ = sandbox.gateway.command(BRANCH_KERNEL, json.dumps({"to": path}).encode())
    assert result["ok"], result
    return host, gateway


def test_a_branch_lives_in_the_same_sandbox(sandbox: Sandbox) -> None:
    """It has the variables, the folder and the limits, and outlives the one that it came from."""
    run(sandbox.gateway, "import os; x = [1]; open('/workspace/kept', 'w').write('a')")
    _, other = branched(sandbox)
    code = "x.append({}); print(x, open('/workspace/kept').read(), os.getuid(), os.getcwd())"
    assert run(other, code.format(2))[0] == "[1, 2] a 1000 /workspace\n"
    assert run(sandbox.gateway, code.format(3))[0] == "[1, 3] a 1000 /workspace\n"
    sandbox.host.process.send_signal(signal.SIGTERM)
    sandbox.host.wait()
    assert run(other, "print(x)")[0] == "[1, 2]\n"


def test_a_deadline_of_one_context_leaves_the_other_alone(sandbox: Sandbox) -> None:
    run(sandbox.gateway, "x = 1")
    _, other = branched(sandbox)
    run(other, "x = 2")
    run(sandbox.gateway, DEAF)
    assert run(sandbox.gateway, STUBBORN, 1)[2]["ended_by"] == "kill"
    assert run(other, "print(x)")[0] == "2\n"

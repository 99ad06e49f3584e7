"""Why a kernel ended, for each cause: in its model, on every socket, in the reply that was owed,
and once more from a gateway that was away."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
from e2e.test_sandbox_life import MIB, create, kernel_of, remove, show
from support import processes
from support.client import Message, Run
from support.files import keeper_pids, sandbox_keepers
from support.gateway import Gateway
from support.socket_client import ClosedError, SocketClient

HOLD = "block = bytearray(%d << 20)\nblock[::4096] = block[::4096]\n"
# what it holds is gone with it, whose successors would be ended for it, too
FILL = """
import os, time
held = [open(name, "wb") for name in "abcd"]
for file in held:
    os.unlink(file.name)
    os.posix_fallocate(file.fileno(), 0, 2 << 20)
time.sleep(100)
"""
# in a run before: an interrupt that comes as DEAF only begins waits, and is then ignored
HOLD_INTERRUPTS = "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT]); None"
DEAF = """
import signal, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
while True:
    %s
"""


@dataclass(frozen=True)
class Cause:
    """Code that ends its interpreter, what must have run before it, and what is said of that."""

    word: str
    reason: str
    code: str
    ename: str = "KernelDied"
    outcome: str = "killed"
    limits: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    anywhere: bool = False  # for the owner's kernels, too
    before: str = ""


CAUSES = [
    Cause("exit_status", "the interpreter ended with status 3", "import os; os._exit(3)",
          anywhere=True),
    Cause("signal", "the interpreter was killed by signal 11 (SIGSEGV)",
          "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", anywhere=True),
    Cause("signal", "the interpreter was killed by signal 9 (SIGKILL)",
          "import os, signal; os.kill(os.getpid(), signal.SIGKILL)", anywhere=True),
    Cause("oom", "the kernel used more than its 128 MiB of memory (peak ", HOLD % 500,
          "OutOfMemory", "oom", {"memory_bytes": 128 * MIB}),
    Cause("deadline", "the run passed its deadline of 0.5 s", DEAF % "time.sleep(100)",
          "DeadlineExceeded", "timeout", metadata={"warmcell": {"deadline_s": 0.5}},
          anywhere=True, before=HOLD_INTERRUPTS),
    Cause("output_limit", "", DEAF % "print('x' * 1000)", "OutputLimitExceeded",
          "output_limit", {"output_bytes": 4096}),
    Cause("limit", "", FILL,
          "LimitExceeded", "killed", {"workspace_bytes": 4 * MIB}),
]  # fmt: skip


@pytest.fixture(scope="module")
def gateway(kernelspec: str) -> Iterator[Gateway]:
    options = ["--pool-max", "0", "--preload", "json", "--default-kernel-name", kernelspec]
    with Gateway(options=options, warm=True) as gateway:
        yield gateway
    assert not processes.wait_gone(keeper_pids(gateway))
    shutil.rmtree(gateway.home, ignore_errors=True)


def told(message: Message) -> tuple[str, str]:
    found = message.metadata["warmcell"]
    return found["cause"], found["reason"]


def is_end(message: Message) -> bool:
    return message.state in ("restarting", "dead")


def model_of(gateway: Gateway, kernel: str) -> tuple[str | None, str | None]:
    model = gateway.kernel_model(kernel)
    return model.get("cause"), model.get("reason")


def execute(client: SocketClient, code: str, metadata: dict[str, Any] | None = None) -> str:
    content = {"code": code, "silent": False, "store_history": True, "allow_stdin": False,
               "stop_on_error": True, "user_expressions": {}}  # fmt: skip
    return client.send("execute_request", content, metadata=metadata)


def check_reply(ended: Run, cause: Cause) -> None:
    assert ended.reply is not None
    assert ended.content["ename"] == cause.ename
    assert cause.reason in ended.content["evalue"]
    found = ended.reply.metadata["warmcell"]
    assert (found["outcome"], found["state_retained"]) == (cause.outcome, False)


def suffer(gateway: Gateway, kernel: str, cause: Cause) -> str:
    """The cause; checks all that is told of it; returns the reason."""
    with closing(gateway.client(kernel)) as client, closing(gateway.client(kernel)) as other:
        if cause.before:
            assert client.run(cause.before).status == "ok"
        asked = execute(client, cause.code, cause.metadata)
        check_reply(client.collect(asked, timeout=60), cause)
        word, reason = told(client.take(is_end))
        assert told(other.take(is_end)) == (word, reason)
        assert word == cause.word
        assert cause.reason in reason
        assert model_of(gateway, kernel) == (word, reason)
        client.wait_ready()
        assert client.run("1").status == "ok"
    return reason


@pytest.mark.parametrize("cause", CAUSES, ids=lambda c: f"{c.word}-{c.reason[-8:]}")
def test_in_a_sandbox(gateway: Gateway, cause: Cause) -> None:
    made = create(gateway, limits=cause.limits)
    reason = suffer(gateway, kernel_of(made), cause)
    model = show(gateway, made)
    assert (model["cause"], model["reason"]) == (cause.word, reason)
    assert (model["contexts"][0]["cause"], model["contexts"][0]["reason"]) == (cause.word, reason)
    remove(gateway, made)


@pytest.mark.parametrize(
    "cause", [one for one in CAUSES if one.anywhere], ids=lambda c: f"{c.word}-{c.reason[-8:]}"
)
def test_of_the_owner(gateway: Gateway, cause: Cause) -> None:
    kernel = gateway.start_kernel()
    suffer(gateway, kernel, cause)
    gateway.delete_kernel(kernel)


@pytest.mark.parametrize("cause", [CAUSES[3], CAUSES[6], CAUSES[2]], ids=lambda c: str(c.word))
def test_of_a_branch(gateway: Gateway, cause: Cause) -> None:
    """Whose parent is the first process of the sandbox: its host asks the keeper what happened."""
    made = create(gateway, limits=cause.limits)
    body = {"fork": kernel_of(made)}
    with closing(gateway.client(kernel_of(made))) as client:
        client.run("1")
        answer = gateway.request("POST", f"/v1/sandboxes/{made['id']}/contexts", body)
    assert answer.status == 201, answer
    suffer(gateway, answer.json()["id"], cause)
    remove(gateway, made)


def test_a_time_that_is_over(gateway: Gateway) -> None:
    made = create(gateway)
    path = f"/v1/sandboxes/{made['id']}"
    reason = "the kernel has lived for its limit of 1 s"
    with closing(gateway.client(kernel_of(made))) as client:
        asked = execute(client, "import time; time.sleep(100)")
        # what is said to a host by another connection may be heard first
        client.take(lambda m: m.state == "busy" and m.parent_id == asked)
        assert gateway.request("PATCH", path, {"limits": {"life_s": 1}}).status == 200
        content = client.collect(asked).content
        assert (content["ename"], reason in content["evalue"]) == ("KernelEnded", True)
        assert told(client.take(is_end)) == ("life", reason)
    processes.until(lambda: show(gateway, made)["state"] == "failed", "told")
    model = show(gateway, made)
    assert (model["cause"], model["reason"]) == ("life", reason)
    assert model_of(gateway, kernel_of(made)) == ("life", reason)
    remove(gateway, made)


def test_a_restart_that_somebody_asked_for_is_no_death(gateway: Gateway) -> None:
    kernel = gateway.start_kernel()
    with closing(gateway.client(kernel)) as client:
        client.run("import os; os._exit(3)")
        client.take(is_end)
    assert model_of(gateway, kernel)[0] == "exit_status"
    assert gateway.request("POST", f"/api/kernels/{kernel}/restart").status == 200
    assert model_of(gateway, kernel) == (None, None)
    gateway.delete_kernel(kernel)


def test_asked_for(gateway: Gateway) -> None:
    made = create(gateway)
    client = gateway.client(kernel_of(made))
    remove(gateway, made)
    with pytest.raises(ClosedError) as closed:
        client.take(lambda _: False)
    assert (closed.value.code, closed.value.reason) == (1000, "the sandbox was deleted")


def test_asked_for_by_the_code(gateway: Gateway) -> None:
    kernel = gateway.start_kernel()
    with closing(gateway.client(kernel)) as client:
        assert client.run("exit()").status == "ok"
        assert told(client.take(is_end)) == (
            "asked",
            "the code that ran asked the kernel to end",
        )
    gateway.delete_kernel(kernel)


def test_asked_for_by_the_code_in_a_sandbox(gateway: Gateway) -> None:
    """Clients hear the same; the host goes on, and with it what else runs there."""
    made = create(gateway)
    kernel = kernel_of(made)
    with closing(gateway.client(kernel)) as client:
        host = host_of(gateway, kernel)
        run = client.run("exit()")
        assert run.status == "ok"
        assert [one["source"] for one in run.content["payload"]] == ["ask_exit"]
        assert told(client.take(is_end)) == (
            "asked",
            "the code that ran asked the kernel to end",
        )
        assert client.run("1").status == "ok"
        assert host_of(gateway, kernel) == host
        assert model_of(gateway, kernel) == (None, None)
    remove(gateway, made)


def host_of(gateway: Gateway, kernel: str) -> int:
    (host,) = (
        one.pid for one in psutil.process_iter(["cmdline"])
        if "warmcell-kernel" in (one.info["cmdline"] or [""])[0]
        and any(kernel in word for word in one.info["cmdline"])
        and any(str(gateway.home) in word for word in one.info["cmdline"])
    )  # fmt: skip
    return host


@pytest.mark.parametrize("confined", [True, False], ids=["sandbox", "owner"])
def test_a_host_that_is_killed(gateway: Gateway, confined: bool) -> None:
    made = create(gateway) if confined else {}
    kernel = kernel_of(made) if confined else gateway.start_kernel()
    with closing(gateway.client(kernel)) as client, closing(gateway.client(kernel)) as other:
        asked = execute(client, "import time; time.sleep(100)")
        client.take(lambda m: m.state == "busy" and m.parent_id == asked)
        os.kill(host_of(gateway, kernel), signal.SIGKILL)
        reason = "the kernel's host was killed by signal 9 (SIGKILL)"
        content = client.collect(asked).content
        assert (content["ename"], content["evalue"]) == ("KernelDied", reason)
        for one in (client, other):
            assert told(one.take(is_end)) == ("signal", reason)
    assert model_of(gateway, kernel) == ("signal", reason)
    gateway.delete_kernel(kernel)


def test_a_keeper_that_is_killed(gateway: Gateway) -> None:
    made = create(gateway)
    kernel = kernel_of(made)
    body = {"fork": kernel}
    with closing(gateway.client(kernel)) as client:
        client.run("1")
        answer = gateway.request("POST", f"/v1/sandboxes/{made['id']}/contexts", body)
        branch = answer.json()["id"]
        with closing(gateway.client(branch)) as other:
            other.run("1")
            asked = execute(client, "import time; time.sleep(100)")
            client.take(lambda m: m.state == "busy" and m.parent_id == asked)
            for pid in sandbox_keepers(gateway):
                os.kill(pid, signal.SIGKILL)
            reason = "the keeper of its sandbox ended, and with it everything inside"
            assert reason in client.collect(asked).content["evalue"]
            for one in (client, other):
                assert told(one.take(is_end)) == ("keeper", reason)
    for kernel_id in (kernel, branch):
        assert model_of(gateway, kernel_id) == ("keeper", reason)
    processes.until(lambda: show(gateway, made)["state"] == "running", "running again")
    for pid in keeper_pids(gateway):
        processes.own(pid)
    remove(gateway, made)


# --- a gateway that was away


def test_what_was_known_before_is_known_after(gateway: Gateway) -> None:
    made = create(gateway)
    owner = gateway.start_kernel()
    for kernel in (kernel_of(made), owner):
        suffer(gateway, kernel, CAUSES[0])
    gateway.kill()
    gateway.start()
    for kernel in (kernel_of(made), owner):
        gateway.client(kernel).close()
        assert model_of(gateway, kernel) == ("exit_status", CAUSES[0].reason)
    assert show(gateway, made)["cause"] == "exit_status"
    gateway.delete_kernel(owner)
    remove(gateway, made)


AWAY = [
    (CAUSES[1], {}),
    (CAUSES[3], {"memory_bytes": 128 * MIB}),
    (CAUSES[6], {"workspace_bytes": 4 * MIB}),
]


@pytest.mark.parametrize(("cause", "limits"), AWAY, ids=lambda c: getattr(c, "word", ""))
def test_an_interpreter_that_died_meanwhile(
    gateway: Gateway, cause: Cause, limits: dict[str, Any]
) -> None:
    made = create(gateway, limits=limits)
    kernel = kernel_of(made)
    client = gateway.client(kernel, "mine")
    inside = int(client.run("import os, time; print(os.stat('/proc/self/ns/pid').st_ino)").stdout)
    wait = "while not os.path.exists('go'): time.sleep(0.01)\n"
    asked = execute(client, wait + cause.code)
    client.take(lambda m: m.state == "busy" and m.parent_id == asked)
    gateway.kill()
    interpreters = in_namespace(inside)
    (gateway.state / "sandboxes" / made["id"] / "workspace" / "go").touch()
    assert not processes.wait_gone(interpreters)
    gateway.start()
    with closing(gateway.client(kernel, "mine", ready=False)) as again:
        check_reply(again.collect(asked), cause)
        word, reason = told(again.take(is_end))
        assert (word, cause.reason in reason) == (cause.word, True)
    assert model_of(gateway, kernel) == (word, reason)
    assert show(gateway, made)["cause"] == cause.word
    remove(gateway, made)


def in_namespace(inode: int) -> list[int]:
    """The interpreters in a PID namespace; its init is not one."""
    found = []
    for one in psutil.process_iter():
        try:
            inside = Path(f"/proc/{one.pid}/ns/pid").stat().st_ino == inode
            status = Path(f"/proc/{one.pid}/status").read_text().splitlines()
        except OSError:
            continue
        (numbers,) = (line.split() for line in status if line.startswith("NSpid"))
        if inside and numbers[-1] != "1":
            found.append(one.pid)
    assert found
    return found


def test_a_kernel_whose_time_was_over_meanwhile(gateway: Gateway) -> None:
    made = create(gateway)
    kernel = kernel_of(made)
    with closing(gateway.client(kernel)) as client:
        inside = client.run("import os, time; print(os.stat('/proc/self/ns/pid').st_ino)").stdout
    interpreters = in_namespace(int(inside))
    path = f"/v1/sandboxes/{made['id']}"
    assert gateway.request("PATCH", path, {"limits": {"life_s": 3}}).status == 200
    gateway.kill()
    assert not processes.wait_gone(interpreters)
    gateway.start()
    reason = "the kernel has lived for its limit of 3 s"
    processes.until(lambda: show(gateway, made)["state"] == "failed", "told")
    assert model_of(gateway, kernel) == ("life", reason)
    with closing(gateway.client(kernel, ready=False)) as late:
        assert told(late.take(is_end)) == ("life", reason)
    remove(gateway, made)

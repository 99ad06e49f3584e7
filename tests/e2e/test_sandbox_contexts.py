"""Contexts of a sandbox with a real keeper: a branch has the variables, the folder and the limits
of the one that it came from, and is a kernel of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from e2e.test_sandbox_life import MIB, create, kernel_of, remove, show
from support import processes
from support.files import keeper_pids
from support.gateway import Answer, Gateway
from support.socket_client import SocketClient

BEGIN = """
import os
kept = {"numbers": [1]}
open("file", "w").write("text")
"""
LOOK = "kept['numbers'].append(%d); print(kept, open('/workspace/file').read(), os.getcwd())"
TEXT = "{'numbers': [1, %d]} text /workspace\n"


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    with Gateway(options=["--pool-max", "0", "--preload", "json"], warm=True) as gateway:
        yield gateway
    assert not processes.wait_gone(keeper_pids(gateway))
    shutil.rmtree(gateway.home, ignore_errors=True)


@pytest.fixture
def sandbox(gateway: Gateway) -> Iterator[dict[str, Any]]:
    made = create(gateway, limits={"memory_bytes": 512 * MIB})
    yield made
    if gateway.get(f"/v1/sandboxes/{made['id']}").status == 200:
        remove(gateway, made)


@pytest.fixture
def first(gateway: Gateway, sandbox: dict[str, Any]) -> Iterator[SocketClient]:
    with closing(gateway.client(kernel_of(sandbox))) as client:
        assert client.run(BEGIN).status == "ok"
        yield client


def ask(gateway: Gateway, sandbox: dict[str, Any], **body: Any) -> Answer:
    body = {"fork": kernel_of(sandbox)} | body
    return gateway.request("POST", f"/v1/sandboxes/{sandbox['id']}/contexts", body)


def fork(gateway: Gateway, sandbox: dict[str, Any], **body: Any) -> dict[str, Any]:
    answer = ask(gateway, sandbox, **body)
    assert answer.status == 201, answer
    model: dict[str, Any] = answer.json()
    return model


def inside(client: SocketClient) -> int:
    """The interpreter's pid as the sandbox counts."""
    return int(client.run("print(os.getpid())").stdout)


def test_a_branch(gateway: Gateway, sandbox: dict[str, Any], first: SocketClient) -> None:
    made = fork(gateway, sandbox, name="try")
    assert (made["name"], made["forked_from"]) == ("try", kernel_of(sandbox))
    assert gateway.kernel_model(made["id"])["profile"] == "sandbox"
    with closing(gateway.client(made["id"])) as other:
        assert other.run(LOOK % 2).stdout == TEXT % 2
        assert first.run(LOOK % 3).stdout == TEXT % 3
        assert inside(other) != inside(first)
        seen = other.run("print(sorted(p for p in os.listdir('/proc') if p.isdigit()))").stdout
        assert str(inside(first)) in seen
    model = show(gateway, sandbox)
    assert [one["name"] for one in model["contexts"]] == ["default", "try"]
    assert model["usage"]["processes"] >= 3


def test_a_branch_of_a_branch(
    gateway: Gateway, sandbox: dict[str, Any], first: SocketClient
) -> None:
    """It outlives those that it came from."""
    made = fork(gateway, sandbox)
    with closing(gateway.client(made["id"])) as other:
        other.run("kept['numbers'].append(2)")
        last = fork(gateway, sandbox, fork=made["id"])
    path = f"/v1/sandboxes/{sandbox['id']}/contexts"
    for one in (kernel_of(sandbox), made["id"]):
        assert gateway.request("DELETE", f"{path}/{one}").status == 204
    with closing(gateway.client(last["id"])) as client:
        assert client.run("print(kept)").stdout == "{'numbers': [1, 2]}\n"
        pid = inside(client)
        assert pid
    hosts = processes.named_below(gateway.pid, "warmcell-kernel")
    assert gateway.request("DELETE", f"{path}/{last['id']}").status == 204
    assert not processes.wait_gone(hosts)
    processes.until(
        lambda: not (gateway.state / "sandboxes" / sandbox["id"]).exists(), "its folder is removed"
    )


THREAD = """
import threading
go = threading.Event()
thread = threading.Thread(target=go.wait, name="w")
thread.start()
"""


def test_threads_make_it_unsafe(
    gateway: Gateway, sandbox: dict[str, Any], first: SocketClient
) -> None:
    first.run(THREAD)
    answer = ask(gateway, sandbox)
    assert answer.status == 409
    assert answer.json()["detail"] == (
        "1 threads run (w), which a fork would not have and whose locks it would keep; end them,"
        " or force it"
    )
    assert [one["name"] for one in show(gateway, sandbox)["contexts"]] == ["default"]
    forced = fork(gateway, sandbox, force=True)
    with closing(gateway.client(forced["id"])) as other:
        assert other.run("print(kept, threading.active_count())").stdout == "{'numbers': [1]} 1\n"
    first.run("go.set(); thread.join()")
    fork(gateway, sandbox)


def test_several_at_once(gateway: Gateway, sandbox: dict[str, Any], first: SocketClient) -> None:
    """One is made at a time; who comes meanwhile gets a branch too or hears that it is busy."""
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: ask(gateway, sandbox), range(6)))
    made = [answer.json()["id"] for answer in answers if answer.status == 201]
    refused = [answer.json()["detail"] for answer in answers if answer.status != 201]
    assert made and len(made) + len(refused) == 6
    assert set(refused) <= {"the kernel is busy: it can be forked between two executions"}
    for number, one in enumerate(made):
        with closing(gateway.client(one)) as client:
            assert client.run(LOOK % number).stdout == TEXT % number
    contexts = show(gateway, sandbox)["contexts"]
    assert {one["id"] for one in contexts} == {kernel_of(sandbox), *made}


def test_an_empty_one(gateway: Gateway, sandbox: dict[str, Any], first: SocketClient) -> None:
    answer = gateway.request("POST", f"/v1/sandboxes/{sandbox['id']}/contexts")
    assert answer.status == 201
    with closing(gateway.client(answer.json()["id"])) as other:
        assert other.run("print('kept' in globals())").stdout == "False\n"
        assert other.run("print(open('file').read())").stdout == "text\n"


def test_a_branch_that_dies_is_told_and_begins_empty(
    gateway: Gateway, sandbox: dict[str, Any], first: SocketClient
) -> None:
    made = fork(gateway, sandbox)
    with closing(gateway.client(made["id"])) as other:
        ended = other.run("import signal\nos.kill(os.getpid(), signal.SIGSEGV)")
        assert ended.status == "error"
        other.wait_ready()
        assert other.run("print('kept' in globals())").stdout == "False\n"
    contexts = show(gateway, sandbox)["contexts"]
    assert [one["cause"] for one in contexts] == [None, "signal"]
    assert "SIGSEGV" in contexts[1]["reason"]
    assert first.run(LOOK % 4).stdout == TEXT % 4


def test_memory_is_of_the_sandbox(
    gateway: Gateway, sandbox: dict[str, Any], first: SocketClient
) -> None:
    """Two that hold each less than the limit are too much together; one of them ends at
    least, at once or, where the use is looked at from time to time, a little later."""

    def causes() -> list[str | None]:
        return [one["cause"] for one in show(gateway, sandbox)["contexts"]]

    made = fork(gateway, sandbox)
    hold = "block = bytearray(300 << 20)\nblock[::4096] = block[::4096]\nprint('held')"
    with closing(gateway.client(made["id"])) as other:
        assert first.run(hold).stdout == "held\n"
        ended = other.run(hold)
        processes.until(lambda: "oom" in causes(), "a context that ran out of memory")
        if ended.status != "ok":  # the kernel may take both
            processes.until(lambda: causes()[1] == "oom", "it is told of the branch")
    assert set(causes()) <= {None, "oom"}


def test_a_host_that_is_killed_takes_its_branch_alone(
    gateway: Gateway, sandbox: dict[str, Any], first: SocketClient
) -> None:
    made = fork(gateway, sandbox)
    with closing(gateway.client(made["id"])) as other:
        pid = inside(other)
        (host,) = (
            one for one in processes.named_below(gateway.pid, "warmcell-kernel")
            if any(made["id"] in word for word in processes.words_of(one))
        )  # fmt: skip
        os.kill(host, signal.SIGKILL)
        other.take(lambda m: m.state == "restarting")
        other.wait_ready()
        assert other.run("print('kept' in globals())").stdout == "False\n"
    look = f"print({str(pid)!r} in os.listdir('/proc'))"
    processes.until(lambda: first.run(look).stdout == "False\n", "its interpreter is gone")
    assert first.run(LOOK % 5).stdout == TEXT % 5


def test_a_gateway_that_comes_back(
    gateway: Gateway, sandbox: dict[str, Any], first: SocketClient
) -> None:
    """It finds every context, and can fork each."""
    made = fork(gateway, sandbox)
    with closing(gateway.client(made["id"], "mine")) as other:
        other.run("kept['numbers'].append(7)")
    gateway.kill()
    gateway.start()
    assert [one["id"] for one in show(gateway, sandbox)["contexts"]] == [
        kernel_of(sandbox),
        made["id"],
    ]
    gateway.client(made["id"]).close()  # its kernel has told the gateway what it does
    again = fork(gateway, sandbox, fork=made["id"])
    for one, text in ((kernel_of(sandbox), "[1]"), (made["id"], "[1, 7]"), (again["id"], "[1, 7]")):
        with closing(gateway.client(one)) as client:
            assert client.run("print(kept['numbers'])").stdout == f"{text}\n"


def test_one_that_was_only_begun_ends_with_its_gateway(
    gateway: Gateway, sandbox: dict[str, Any], first: SocketClient
) -> None:
    """Killed before it told anybody: the next one leaves nothing of it."""
    (host,) = (
        one for one in processes.named_below(gateway.pid, "warmcell-kernel")
        if any(kernel_of(sandbox) in word for word in processes.words_of(one))
    )  # fmt: skip
    os.kill(host, signal.SIGSTOP)  # so that it does not answer
    connection = gateway.connection()
    body = json.dumps({"fork": kernel_of(sandbox)})
    path = f"/v1/sandboxes/{sandbox['id']}/contexts"
    connection.request("POST", path, body, gateway.authorization)
    folders = gateway.runtime / "kernels"

    def waits() -> bool:
        """And is written down: one that is not lives out its lease."""
        found = [one.parent / "kernel.json" for one in folders.glob("*/branch")]
        return len(found) == 1 and found[0].exists() and json.loads(found[0].read_text())["pid"] > 0

    processes.until(waits, "a host that waits")
    gateway.kill()
    connection.close()
    os.kill(host, signal.SIGCONT)
    gateway.start()
    processes.until(lambda: len(list(folders.iterdir())) == 1, "cleared away")
    assert [one["name"] for one in show(gateway, sandbox)["contexts"]] == ["default"]
    with closing(gateway.client(kernel_of(sandbox))) as client:
        assert client.run(LOOK % 6).stdout == TEXT % 6
    assert Path(folders, kernel_of(sandbox)).exists()

"""The ladder with a real Python behind the host: what it interrupts, and what it can only kill."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from kernel.host_process import Host
from kernel.interpreters import ENTRIES, command, environment
from support.client import Run
from support.direct import DirectClient
from support.programs import Programs

GRACES = ("--interrupt-grace", "0.3", "--dump-grace", "0.3")  # for what cannot be interrupted
PATIENCE = ("--interrupt-grace", "60", "--dump-grace", "60")
EXECUTED = [entry for entry in ENTRIES if entry != "forked"]  # a host starts them itself


@pytest.fixture(params=EXECUTED)
def client(request: pytest.FixtureRequest, programs: Programs) -> Iterator[DirectClient]:
    env = environment(request.param, programs)
    with Host(*GRACES, command=command(request.param, programs), env=env) as host:
        yield host.client()


@pytest.fixture(scope="module", params=EXECUTED)
def patient(request: pytest.FixtureRequest, programs: Programs) -> Iterator[DirectClient]:
    """One for all tests: what is interrupted goes on."""
    env = environment(request.param, programs)
    with Host(*PATIENCE, command=command(request.param, programs), env=env) as host:
        yield host.client()


def run(client: DirectClient, code: str, deadline_s: float, **options: Any) -> Run:
    content = {"code": code, "silent": False, **options}
    metadata = {"warmcell": {"deadline_s": deadline_s}}
    return client.collect(client.send("execute_request", content, metadata=metadata))


def verdict(of: Run) -> dict[str, Any]:
    assert of.reply is not None
    found: dict[str, Any] = of.reply.metadata["warmcell"]
    return found


HELD = """
import ctypes, threading, time
def sleeper(): time.sleep(1000)
def stuck(lock): library.pthread_mutex_lock(lock)
threading.Thread(target=sleeper, daemon=True).start()
library, lock = ctypes.PyDLL(None), ctypes.create_string_buffer(64)
print("before", flush=True)
library.pthread_mutex_lock(lock)
stuck(lock)
"""


def test_a_held_interpreter_lock(client: DirectClient) -> None:
    """No Python can run in it; the stacks of all its threads are told all the same."""
    client.run("x = 1")
    of = run(client, HELD, 1)
    assert of.content["ename"] == "DeadlineExceeded" and of.stdout == "before\n"
    found = verdict(of)
    assert found["ended_by"] == "kill" and found["stack_dumped"] and not found["state_retained"]
    assert re.search(r"line 3 in stuck\n.*line 8 in <module>", of.stderr), of.stderr
    assert "line 2 in sleeper" in of.stderr, "of all threads"
    after = client.run("x")
    assert after.content["ename"] == "NameError"


INTERRUPTED = {
    "sleep": "import time\ntime.sleep(1000)",
    "loop": "while True: pass",
    "await": "import asyncio\nawait asyncio.sleep(1000)",
    "child": "!sleep 1000",
    "input": "input('?')",
}


@pytest.mark.parametrize("kind", INTERRUPTED)
def test_what_an_interrupt_ends(patient: DirectClient, kind: str) -> None:
    """Waiting for input counts as running."""
    client = patient
    client.run("x = 1")
    code = INTERRUPTED[kind]
    metadata = {"warmcell": {"deadline_s": 0.3}}
    content = {"code": code, "silent": False, "allow_stdin": True}
    msg_id = client.send("execute_request", content, metadata=metadata)
    reply = client.answer(msg_id)
    found = reply.metadata["warmcell"]
    if kind == "child":  # the child is interrupted, the cell then ends as it likes
        assert found["deadline_passed"] and found["state_retained"]
    else:
        assert reply.content["ename"] == "DeadlineExceeded"
        assert "KeyboardInterrupt" in "".join(reply.content["traceback"])
        assert found["outcome"] == "timeout" and found["ended_by"] == "interrupt"
    assert client.run("print(x)").stdout == "1\n", "state is retained"


def test_interrupts_are_not_left_over(patient: DirectClient) -> None:
    """The cell after one that was interrupted is not disturbed: a call in C sleeps its time."""
    client = patient
    client.run("import ctypes, time\nlibrary = ctypes.PyDLL(None)")
    for _ in range(3):
        assert verdict(run(client, "time.sleep(1000)", 0.1))["outcome"] == "timeout"
        assert client.run("print(library.usleep(200_000))").stdout == "0\n"


def test_descriptor_2_turned_elsewhere(client: DirectClient) -> None:
    code = "import os, sys\nos.dup2(os.open('/dev/null', os.O_WRONLY), 2)\n" + HELD
    of = run(client, code, 1)
    assert "in stuck" in of.stderr and verdict(of)["stack_dumped"]


STUBBORN = """
import time
while True:
    try:
        time.sleep(1000)
    except KeyboardInterrupt:
        print("no")
"""


def test_code_that_will_not_end(client: DirectClient) -> None:
    of = run(client, STUBBORN, 1)
    # it stands there or, on a machine that stood still, is only about to say so
    assert of.stdout == "no\n" and re.search("line [46] in <module>", of.stderr)
    assert verdict(of)["ended_by"] == "kill"
    assert client.run("print(1)").stdout == "1\n"

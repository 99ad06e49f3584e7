"""Code in a cell that writes frames of its own to the interpreter's link: it can lie about its own
kernel, and reaches nobody else."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from e2e.test_sandbox_life import create, kernel_of, remove
from support import processes
from support.files import keeper_pids
from support.gateway import Gateway

PUBLISH, REPLY, BRANCHED, SAVED = 18, 19, 24, 25
# forge() sends a frame of each number that the running request may have, on every socket there is;
# the highest first, so that none comes for the request that follows a reply
FORGE = """
import os, socket, struct
def forge(kind, *parts, broken=False):
    for name in os.listdir("/proc/self/fd"):
        try:
            if not os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                continue
            with socket.socket(fileno=os.dup(int(name))) as link:
                for number in reversed(range(40)):
                    table = b"".join(struct.pack("<I", len(part) + broken) for part in parts)
                    body = table + b"".join(parts)
                    head = struct.pack("<IBBHQ", len(body), kind, 0, len(parts), number)
                    link.send(head + body, socket.MSG_DONTWAIT)
        except OSError:
            pass
"""
FOR_EVER = "import threading; threading.Event().wait()"
NO_OBJECTS = [
    b"nonsense",
    b'{"a":1}},"channel":"shell","header":{"msg_type":"execute_reply"},"x":{"y":{}',
    b'{"a":"\xff\xfe"}',
]


@pytest.fixture(scope="module", name="gateway")
def gateway_fixture() -> Iterator[Gateway]:
    gateway = Gateway(options=["--pool-max", "0", "--preload", "json"], warm=True)
    with gateway:
        yield gateway
    assert not processes.wait_gone(keeper_pids(gateway))
    shutil.rmtree(gateway.home, ignore_errors=True)


@pytest.fixture
def sandbox(gateway: Gateway) -> Iterator[dict[str, Any]]:
    made = create(gateway)
    yield made
    remove(gateway, made)


def run(gateway: Gateway, sandbox: dict[str, Any], code: str) -> dict[str, Any]:
    answer = gateway.request("POST", f"/v1/sandboxes/{sandbox['id']}/executions", {"code": code})
    assert answer.status == 200, answer
    found: dict[str, Any] = answer.json()
    return found


def test_what_is_no_object(gateway: Gateway, sandbox: dict[str, Any]) -> None:
    with closing(gateway.client(kernel_of(sandbox), framing="json")) as client:
        client.run(FORGE)
        for said in NO_OBJECTS:
            done = client.run(f"forge({PUBLISH}, b'display_data', b'{{}}', {said!r})")
            assert [m.content for m in done.of("display_data")] == [{}]
            assert {m.channel for m in done.iopub} == {"iopub"} and done.status == "ok"
    for said in NO_OBJECTS:
        found = run(gateway, sandbox, f"forge({PUBLISH}, b'display_data', b'{{}}', {said!r})")
        assert found["status"] == "ok"


def test_answers_that_nobody_awaits(gateway: Gateway, sandbox: dict[str, Any]) -> None:
    """One reply is taken for the run's, as its own would be; the next run has its own."""
    run(gateway, sandbox, FORGE)
    for kind in (BRANCHED, SAVED):
        assert run(gateway, sandbox, f"forge({kind}, b'{{}}')\nprint(1)")["status"] == "ok"
    reply = b'{"status":"ok","execution_count":1}'
    assert run(gateway, sandbox, f"forge({REPLY}, b'{{}}', {reply!r})")["status"] == "ok"
    after = run(gateway, sandbox, "print(6 * 7)")
    assert (after["status"], after["outputs"]["stdout"]) == ("ok", "42\n")


@pytest.mark.parametrize("what", ["99", f"{PUBLISH}, b'stream', broken=True"])
def test_frames_that_make_no_sense(gateway: Gateway, sandbox: dict[str, Any], what: str) -> None:
    other = create(gateway)
    assert run(gateway, other, "kept = 5")["status"] == "ok"
    assert run(gateway, sandbox, f"{FORGE}\nforge({what})\n{FOR_EVER}")["status"] == "killed"
    assert run(gateway, sandbox, "print(6 * 7)")["outputs"]["stdout"] == "42\n"
    assert run(gateway, other, "print(kept)")["outputs"]["stdout"] == "5\n"
    remove(gateway, other)

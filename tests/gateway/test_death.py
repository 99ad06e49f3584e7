"""What a gateway says of a kernel that ended: in the model, on every WebSocket, in owed replies."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Iterator

import pytest
from support.client import Message
from support.fake_kernel import DRIVER, NAME, driver_of, fake_gateway, write_spec
from support.gateway import Gateway
from support.programs import programs


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    gateway = fake_gateway()
    with gateway:
        for name in ("idle", "life"):
            host = gateway.home / f"{name}-host"
            host.write_text(f'#!/bin/sh\nexec {programs().host} $(cat {host}-limit) "$@"\n')
            host.chmod(0o755)
            write_spec(
                gateway.home / "specs", name,
                argv=[str(host), "-f", "{connection_file}", "--history", "none",
                      "--driver", "--", sys.executable, str(DRIVER)],
            )  # fmt: skip
        yield gateway
    shutil.rmtree(gateway.home, ignore_errors=True)


def told(message: Message) -> tuple[str, str]:
    found = message.metadata["warmcell"]
    return found["cause"], found["reason"]


@pytest.mark.parametrize("framing", ["v1", "json"])
def test_an_interpreter_that_dies(gateway: Gateway, framing: str) -> None:
    kernel = gateway.start_kernel(NAME)
    clients = [gateway.client(kernel, framing=framing, ready=False) for _ in range(2)]
    driver_of(clients[0]).send_signal(signal.SIGSEGV)
    reason = "the interpreter was killed by signal 11 (SIGSEGV)"
    for client in clients:
        assert told(client.take(lambda m: m.state == "restarting")) == ("signal", reason)
    assert gateway.kernel_model(kernel)["reason"] == reason
    for client in clients:
        client.close()
    gateway.delete_kernel(kernel)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("idle", "the kernel was idle for its limit of 1 s"),
        ("life", "the kernel has lived for its limit of 1 s"),
    ],
)
def test_a_kernel_whose_time_is_over(gateway: Gateway, kind: str, reason: str) -> None:
    """It is not started again; a client that comes later is told too; restart begins it anew."""
    limit = gateway.home / f"{kind}-host-limit"
    limit.write_text(f"--{kind}-limit 1")
    kernel = gateway.start_kernel(kind)
    clients = [gateway.client(kernel, ready=False) for _ in range(2)]
    for client in clients:
        assert told(client.take(lambda m: m.state in ("dead", "restarting"))) == (kind, reason)
        client.close()
    model = gateway.kernel_model(kernel)
    assert (model["execution_state"], model["reason"]) == ("dead", reason)
    late = gateway.client(kernel, ready=False)
    assert told(late.take(lambda m: m.state == "dead")) == (kind, reason)
    late.close()
    limit.write_text("")  # that which begins anew stays
    assert gateway.request("POST", f"/api/kernels/{kernel}/restart").status == 200
    assert "reason" not in gateway.kernel_model(kernel)
    gateway.delete_kernel(kernel)


def test_the_reply_that_was_owed_by_a_host(gateway: Gateway) -> None:
    kernel = gateway.start_kernel(NAME)
    client = gateway.client(kernel, ready=False)
    msg_id = client.execute("print waiting\nwait")
    client.await_output(msg_id, "waiting")
    os.kill(gateway.host_of(kernel), signal.SIGKILL)
    reply = client.answer(msg_id)
    assert reply.metadata["warmcell"] == {"outcome": "killed", "state_retained": False}
    cause, reason = told(client.take(lambda m: m.state == "restarting"))
    assert cause == "signal" and "SIGKILL" in reason
    client.close()
    gateway.delete_kernel(kernel)

"""Sandboxes of a gateway whose network is "full". The gateway is on a machine of the test's own,
before an internet of the test's own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing, suppress

import psutil
import pytest
from e2e.test_sandbox_life import create, kernel_of, remove, show
from support import processes
from support.files import keeper_pids
from support.gateway import Gateway
from support.keeper.stage import OWN, PORT, PUBLIC, Stage

REACH = f"""
import socket
def reach(host):
    try:
        with socket.create_connection((host, {PORT}), 30) as there:
            return there.recv(100).decode()
    except OSError as error:
        return type(error).__name__
print([reach(host) for host in {(PUBLIC, *OWN, "169.254.169.254", "127.0.0.1")}])
print(socket.getaddrinfo("example.test", 80)[0][4][0])
"""


@pytest.fixture(scope="module", name="gateway")
def gateway_fixture() -> Iterator[Gateway]:
    stage = Stage()
    gateway = Gateway(
        options=["--pool-max", "0", "--preload", "json"],
        warm=True,
        prefix=stage.machine.words(),
    )
    gateway.unix = str(gateway.home / "socket")
    with gateway:
        yield gateway
    assert not processes.wait_gone(keeper_pids(gateway))
    shutil.rmtree(gateway.home, ignore_errors=True)
    stage.close()


def pastas(gateway: Gateway) -> list[psutil.Process]:
    keepers = set(keeper_pids(gateway))
    found = []
    for one in psutil.process_iter():
        with suppress(psutil.NoSuchProcess):
            if one.ppid() in keepers and one.name().startswith("pas"):
                found.append(one)
    return found


@pytest.mark.parametrize("cold", [False, True])
def test_a_cell_reaches_the_outside_and_not_the_machine(gateway: Gateway, cold: bool) -> None:
    made = create(gateway, network="full", cold=cold)
    assert made["network"] == show(gateway, made)["network"] == "full"
    (pasta,) = pastas(gateway)
    with closing(gateway.client(kernel_of(made))) as client:
        reached, address = client.run(REACH).stdout.splitlines()
    assert reached == str(["internet", *["PermissionError"] * 5, "ConnectionRefusedError"])
    assert address == PUBLIC
    remove(gateway, made)
    assert processes.wait_gone([pasta.pid]) == []


def test_the_others_have_none(gateway: Gateway) -> None:
    made = create(gateway)
    assert made["network"] == "none"
    with closing(gateway.client(kernel_of(made))) as client:
        reached = client.run(REACH.split("print(socket", maxsplit=1)[0]).stdout.strip()
    assert reached == str(["OSError"] * 6 + ["ConnectionRefusedError"])
    assert pastas(gateway) == []
    remove(gateway, made)

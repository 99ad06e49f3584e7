"""A gateway that ends by itself when nobody uses it (--idle-exit)."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import closing

import pytest
from support import processes
from support.fake_keeper import FakeKeeper
from support.gateway import Gateway

LOOKS_S = 2.2  # longer than the gateway in these tests bears, and a look


@pytest.fixture
def place() -> Iterator[tuple[Gateway, FakeKeeper]]:
    gateway = Gateway(lease_s=10)
    gateway.unix = str(gateway.home / "socket")
    keeper = FakeKeeper(gateway.home / "keeper")
    gateway.env = keeper.environment
    yield gateway, keeper
    assert gateway.stop() == 0, gateway.log.read_text()[-3000:]
    assert not processes.wait_gone(keeper.pids())
    shutil.rmtree(gateway.home, ignore_errors=True)


def stays(gateway: Gateway) -> None:
    assert gateway.process
    with pytest.raises(subprocess.TimeoutExpired):
        gateway.process.wait(LOOKS_S)


def ends(gateway: Gateway) -> None:
    assert gateway.process
    assert gateway.process.wait(processes.LONG_S) == 0
    processes.disown(gateway.process.pid)
    gateway.process = None
    assert "nobody uses this gateway" in gateway.log.read_text()


def test_a_sandbox_or_a_connection_keeps_it(place: tuple[Gateway, FakeKeeper]) -> None:
    """The gateway that ends comes back to a sandbox, so that it is in use from its start on."""
    gateway, _keeper = place
    gateway.options = ["--pool-max", "0"]
    gateway.start()
    made = gateway.request("POST", "/v1/sandboxes", {}).json()
    with closing(gateway.client(made["contexts"][0]["id"])) as client:
        assert client.run("print before").stdout == "before\n"
    gateway.kill()
    gateway.options += ["--idle-exit", "1", "--request-timeout", "300"]
    gateway.start()
    stays(gateway)
    with closing(gateway.connection()) as connection:
        connection.request("DELETE", f"/v1/sandboxes/{made['id']}", headers=gateway.authorization)
        assert connection.getresponse().read() == b""
        stays(gateway)
        connection.request("GET", "/healthz")
        assert connection.getresponse().status == 200
    ends(gateway)
    assert gateway.unix
    assert not (gateway.home / "socket").exists()


def test_one_that_nobody_came_to_ends_with_its_pool(place: tuple[Gateway, FakeKeeper]) -> None:
    gateway, _keeper = place
    gateway.options = ["--idle-exit", "1", "--pool-min", "1"]
    gateway.launch()
    ends(gateway)


def test_told_to_make_way_it_ends_when_nothing_runs(place: tuple[Gateway, FakeKeeper]) -> None:
    """SIGUSR1; without --idle-exit, too."""
    gateway, _keeper = place
    gateway.options = ["--pool-max", "0"]
    gateway.start()
    made = gateway.request("POST", "/v1/sandboxes", {}).json()
    assert gateway.process
    gateway.process.send_signal(signal.SIGUSR1)
    processes.until(lambda: "as soon as nothing runs" in gateway.log.read_text(), "it was told")
    with closing(gateway.client(made["contexts"][0]["id"])) as client:
        assert client.run("print still").stdout == "still\n"
    gateway.request("DELETE", f"/v1/sandboxes/{made['id']}")
    ends(gateway)


def test_told_to_make_way_it_ends_at_once_when_nothing_runs(
    place: tuple[Gateway, FakeKeeper],
) -> None:
    gateway, _keeper = place
    gateway.options = ["--pool-min", "1"]
    gateway.start()
    assert gateway.process
    gateway.process.send_signal(signal.SIGUSR1)
    assert gateway.process.wait(processes.LONG_S) == 0
    processes.disown(gateway.process.pid)
    gateway.process = None
    assert not (gateway.home / "socket").exists()

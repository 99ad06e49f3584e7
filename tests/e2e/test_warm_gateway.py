"""The owner's kernels behind a gateway that keeps a Python warm."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing

import psutil
import pytest
from support import processes
from support.gateway import Gateway

COUNT = 'warmcell_keeper_forks_total{keeper="owner"}'
READY = 'warmcell_fork_server_ready{keeper="owner"} 1'
LOADED = "import sys; print('wave' in sys.modules)"


def keepers_of(gateway: Gateway) -> list[int]:
    folder = str(gateway.runtime / "keepers")
    found = psutil.process_iter(["cmdline"])
    return [
        one.pid for one in found if any(w.startswith(folder) for w in one.info["cmdline"] or [])
    ]


def numbers(gateway: Gateway) -> str:
    return gateway.get("/metrics").body.decode()


def forks(gateway: Gateway) -> int:
    (line,) = [line for line in numbers(gateway).splitlines() if line.startswith(COUNT)]
    return int(line.split()[-1])


@pytest.fixture(scope="module")
def gateway(kernelspec: str) -> Iterator[Gateway]:
    options = ["--preload", "wave", "--default-kernel-name", kernelspec]
    with Gateway(options=options, warm=True) as gateway:
        processes.until(lambda: READY in numbers(gateway), "a fork server that is ready")
        for pid in keepers_of(gateway):
            processes.own(pid)
        yield gateway
    shutil.rmtree(gateway.home, ignore_errors=True)


@pytest.mark.parametrize(
    ("env", "loaded"), [({}, True), ({"WARMCELL_COLD": "1"}, False), ({"WARMCELL_COLD": "0"}, True)]
)
def test_a_kernel_is_a_fork_unless_told(
    gateway: Gateway, env: dict[str, str], loaded: bool
) -> None:
    before = forks(gateway)
    kernel = gateway.start_kernel(env=env)
    with closing(gateway.client(kernel)) as client:
        assert client.run(LOADED).stdout == f"{loaded}\n"
    assert forks(gateway) == before + loaded
    assert gateway.kernel_model(kernel)["profile"] == "owner"
    gateway.delete_kernel(kernel)


def test_a_restart_is_a_fork_too(gateway: Gateway) -> None:
    kernel = gateway.start_kernel()
    with closing(gateway.client(kernel)) as client:
        client.run("x = 1")
        before = forks(gateway)
        assert gateway.request("POST", f"/api/kernels/{kernel}/restart").status == 200
        client.wait_ready()
        assert client.run("print('x' in dir())").stdout == "False\n"
    assert forks(gateway) == before + 1
    gateway.delete_kernel(kernel)

"""Sandboxes of our gateway for the benchmarks: made, used, and their pool waited for."""

from __future__ import annotations

import time
from collections.abc import Callable

from harness.kernels import OURS, program
from harness.processes import BenchError
from harness.servers import Server, ServerKind
from harness.websocket import KernelSocket

WARM_S = 120


def gateway(*options: str) -> ServerKind:
    """Our gateway with these options."""

    def argv(port: int, token: str) -> list[str]:
        return [program("gateway", "warmcell"), "--ip=127.0.0.1", f"--port={port}",
                f"--token={token}", *options]  # fmt: skip

    return ServerKind(OURS, argv, "warmcell")


class Sandbox:
    """One sandbox, from its creation on."""

    def __init__(self, server: Server, **body: object) -> None:
        self.server = server
        model = server.call("POST", "/v1/sandboxes", 201, body)
        self.id = str(model["id"])
        self.kernel_id = str(model["contexts"][0]["id"])

    def open(self) -> KernelSocket:
        return self.server.open(self.kernel_id)

    def delete(self) -> None:
        self.server.call("DELETE", f"/v1/sandboxes/{self.id}", 204)


def metrics(server: Server) -> dict[str, float]:
    """What /metrics says, by name and labels."""
    text = server.text("/metrics")
    lines = (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, value in lines}


def wait_until(server: Server, what: str, happened: Callable[[dict[str, float]], bool]) -> None:
    """Until the gateway's numbers say so; a BenchError when they do not in time."""
    deadline = time.monotonic() + WARM_S
    while not happened(found := metrics(server)):
        if time.monotonic() > deadline:
            raise BenchError(f"{what} did not come in {WARM_S} s: {found}\n"
                             f"{server.home.log_tail()}")  # fmt: skip
        time.sleep(0.05)


def wait_warm(server: Server, keeper: str = "sandbox") -> None:
    """Until the keeper's fork server can fork; a sandbox or a kernel was started before."""
    name = f'warmcell_fork_server_ready{{keeper="{keeper}"}}'
    wait_until(server, "a warm fork server", lambda found: found.get(name) == 1)


def wait_pool(server: Server, count: int) -> None:
    """Until so many sandboxes are ready to be handed out."""
    name = 'warmcell_pool_ready{pool="sandbox"}'
    wait_until(server, f"a pool of {count}", lambda found: found.get(name, 0) >= count)

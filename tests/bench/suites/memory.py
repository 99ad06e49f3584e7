"""The memory of many kernels at once: sandboxes of ours with the imports loaded, and kernels of
jupyter_server after the same imports.

Proportional memory (PSS) of the server and everything that it started, divided by the kernels: what
they share counts once. The peer's kernels share next to nothing, so fewer of them tell the same.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path

from harness import processes, servers
from harness.kernels import OURS
from harness.processes import BenchError
from harness.sandboxes import Sandbox, gateway, wait_warm
from harness.servers import Server, ServerKind, running
from harness.suite import Metric
from harness.websocket import KernelSocket

from suites.start import IMPORTS

Say = Callable[[str], None]

OURS_COUNT = 100
PEER_COUNT = 15
MB = 1e6
PLOT = """
import matplotlib.pyplot as plt, numpy as np
plt.plot(np.arange(100.0), np.arange(100.0) ** 2)
plt.title("a plot")
plt.show()
"""

METRICS = (
    Metric("idle_100", "MB", "each kernel of many, idle, the imports loaded"),
    Metric("plot_100", "MB", "each after a plot"),
)


def pss_mb() -> float:
    """Of everything below this process."""
    return (processes.pss_bytes(os.getpid()) - own_pss()) / MB


def own_pss() -> int:
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise BenchError("this process has no memory map")


def run_each(clients: list[KernelSocket], code: str) -> None:
    for client in clients:
        reply = client.execute(code).reply
        if reply["status"] != "ok":
            raise BenchError(f"a cell gave {reply}")


def measure(server: Server, kernel_ids: list[str], say: Say) -> dict[str, float]:
    with ExitStack() as stack:
        clients = [stack.enter_context(closing(server.open(one))) for one in kernel_ids]
        run_each(clients, IMPORTS)
        say(f"{len(clients)} idle kernels")
        idle = pss_mb() / len(clients)
        run_each(clients, PLOT)
        return {"idle_100": idle, "plot_100": pss_mb() / len(clients)}


def measure_ours(say: Say) -> dict[str, float]:
    with running(gateway("--pool-max=0")) as server:
        Sandbox(server).delete()
        wait_warm(server)
        say(f"{OURS_COUNT} sandboxes")
        made = [Sandbox(server) for _ in range(OURS_COUNT)]
        return measure(server, [one.kernel_id for one in made], say)


def measure_peer(kind: ServerKind, say: Say) -> dict[str, float]:
    with running(kind) as server:
        say(f"{PEER_COUNT} kernels")
        made = [server.start_kernel(kind.kernel_name) for _ in range(PEER_COUNT)]
        return measure(server, made, say)


class MemorySuite:
    """Each round: many sandboxes, then many kernels of the peer."""

    name = "memory"
    metrics = METRICS
    rounds = 1

    @functools.cached_property
    def _peer(self) -> ServerKind:
        return servers.jupyter_server()

    def contenders(self) -> Sequence[str]:
        return [OURS, self._peer.name]

    def measure(self, contender: str, say: Say) -> Mapping[str, float]:
        return measure_ours(say) if contender == OURS else measure_peer(self._peer, say)


SUITE = MemorySuite()

"""From nothing to the first result with numpy, pandas and matplotlib imported, in a sandbox of ours
and in a kernel of jupyter_server.

- fork: a sandbox that is made when it is asked for; pool: one that stood ready.
- Bursts: 50 requests at once from 50 threads; the time of a create is until its 201, of a first
  result until a cell of a sandbox of that burst has answered, all running at once.
- Confinement added: a sandbox from a fork less an owner's kernel from a fork.
"""

from __future__ import annotations

import functools
import statistics
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing

from harness import servers
from harness.kernels import OURS
from harness.processes import BenchError
from harness.sandboxes import Sandbox, gateway, wait_pool, wait_warm
from harness.servers import Server, ServerKind, running
from harness.suite import Metric
from harness.websocket import KernelSocket

Say = Callable[[str], None]

IMPORTS = "import numpy, pandas, matplotlib.pyplot\n1+1"
STARTS = 20
PEER_STARTS = 5
BURST = 50
SMALL_POOL = 8

METRICS = (
    Metric("fork_first_result", "ms", "create to first result with the imports, forked"),
    Metric("pool_first_result", "ms", "the same from the pool"),
    Metric("burst50_p99", "ms", "50 creates at once, a pool of 50: p99 until 201"),
    Metric("burst50_pool8_p99", "ms", "50 creates at once, a pool of 8: p99 until 201"),
    Metric("burst50_first_result_p99", "ms", "50 at once, a pool of 50: p99 until a result"),
    Metric("burst50_pool8_first_result_p99", "ms", "50 at once, a pool of 8: until a result"),
    Metric("confinement_added", "ms", "a forked sandbox less a forked owner's kernel", floor=0.05),
    Metric("owner_first_result", "ms", "an owner's kernel from a fork"),
)


def first_result(client: KernelSocket) -> None:
    """Runs the imports and checks that they gave 2."""
    execution = client.execute(IMPORTS)
    shown = [m for m in execution.published if b'"execute_result"' in m.header]
    if execution.reply["status"] != "ok" or len(shown) != 1:
        raise BenchError(f"the imports gave {execution.reply}")


def sandbox_ms(server: Server) -> float:
    began = time.perf_counter()
    sandbox = Sandbox(server)
    with closing(sandbox.open()) as client:
        first_result(client)
        took = time.perf_counter() - began
    sandbox.delete()
    return took * 1000


def kernel_ms(server: Server) -> float:
    began = time.perf_counter()
    kernel_id = server.start_kernel(server.kind.kernel_name)
    with closing(server.open(kernel_id)) as client:
        first_result(client)
        took = time.perf_counter() - began
    server.end_kernel(kernel_id)
    return took * 1000


def p99(times: list[float]) -> float:
    return sorted(times)[min(len(times) - 1, int(len(times) * 0.99))]


def burst(server: Server) -> tuple[float, float]:
    """p99 of the creates and of the first results, in ms."""
    made: list[Sandbox] = []
    created: list[float] = []
    answered: list[float] = []
    failed: list[BaseException] = []
    start, all_made = threading.Barrier(BURST), threading.Barrier(BURST)

    def one() -> None:
        try:
            start.wait()
            began = time.perf_counter()
            sandbox = Sandbox(server)
            created.append((time.perf_counter() - began) * 1000)
            made.append(sandbox)
            with closing(sandbox.open()) as client:
                first_result(client)
            answered.append((time.perf_counter() - began) * 1000)
            all_made.wait()
        except BaseException as error:
            failed.append(error)
            start.abort()
            all_made.abort()

    threads = [threading.Thread(target=one) for _ in range(BURST)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise BenchError(f"a burst failed: {failed[0]!r}")
    for sandbox in made:
        sandbox.delete()
    return p99(created), p99(answered)


def measure_bursts(say: Say) -> dict[str, float]:
    numbers: dict[str, float] = {}
    for pool, name in ((SMALL_POOL, "burst50_pool8"), (BURST, "burst50")):
        say(f"a burst of {BURST} on a pool of {pool}")
        with running(gateway(f"--pool-min={pool}", f"--pool-max={pool}")) as server:
            wait_warm(server)
            wait_pool(server, pool)
            creates, results = burst(server)
            numbers[f"{name}_p99"] = creates
            numbers[f"{name}_first_result_p99"] = results
    return numbers


def measure_ours(say: Say) -> dict[str, float]:
    say("sandboxes and kernels from forks")
    with running(gateway("--pool-max=0")) as server:
        sandbox_ms(server), kernel_ms(server)
        wait_warm(server)
        wait_warm(server, "owner")
        for _ in range(3):
            sandbox_ms(server), kernel_ms(server)
        both = [(sandbox_ms(server), kernel_ms(server)) for _ in range(STARTS)]
    forked = statistics.median(each[0] for each in both)
    owner = statistics.median(each[1] for each in both)
    numbers = {"fork_first_result": forked, "owner_first_result": owner,
               "confinement_added": forked - owner}  # fmt: skip
    say("sandboxes from the pool")
    with running(gateway(f"--pool-min={SMALL_POOL}", f"--pool-max={SMALL_POOL}")) as server:
        wait_warm(server)
        times = []
        for _ in range(STARTS):
            wait_pool(server, SMALL_POOL)
            times.append(sandbox_ms(server))
    numbers["pool_first_result"] = statistics.median(times)
    return numbers | measure_bursts(say)


def measure_peer(kind: ServerKind, say: Say) -> dict[str, float]:
    say("kernels")
    with running(kind) as server:
        took = statistics.median(kernel_ms(server) for _ in range(PEER_STARTS))
    return {"fork_first_result": took, "pool_first_result": took}


class StartSuite:
    """Each round: ours with and without a pool and under bursts, then the peer."""

    name = "start"
    metrics = METRICS
    rounds = 3

    @functools.cached_property
    def _peer(self) -> ServerKind:
        return servers.jupyter_server()

    def contenders(self) -> Sequence[str]:
        return [OURS, self._peer.name]

    def measure(self, contender: str, say: Say) -> Mapping[str, float]:
        return measure_ours(say) if contender == OURS else measure_peer(self._peer, say)


SUITE = StartSuite()

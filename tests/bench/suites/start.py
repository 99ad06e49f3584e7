"""From nothing to the first result with numpy, pandas and matplotlib imported, in a sandbox of ours
and in a kernel of jupyter_server.

- fork: a sandbox that is made when it is asked for; pool: one that stood ready.
- Bursts: 50 requests at once on 50 connections, each followed by a cell when its 201 is there;
  the time of a create is until its 201, of a first result until its cell has answered.
- Confinement added: a sandbox from a fork less an owner's kernel from a fork.
"""

from __future__ import annotations

import functools
import json
import statistics
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from harness import servers
from harness.kernels import OURS, program
from harness.processes import BenchError
from harness.sandboxes import gateway, wait_pool, wait_warm
from harness.servers import Server, ServerKind, running
from harness.suite import Metric

Say = Callable[[str], None]

IMPORTS = "import numpy, pandas, matplotlib.pyplot\n1+1"
STARTS = 20
PEER_STARTS = 5
BURST = 50
SMALL_POOL = 8
LIMIT_S = 120


class Times(NamedTuple):
    """Of one kernel or sandbox, from the moment before the first request of its burst left."""

    created_ms: float
    answered_ms: float


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


def first_results(server: Server, count: int, path: str, **body: object) -> list[Times]:
    """Creates so many at once, runs the imports in each, and ends them; see first_results.c."""
    argv = [program("tests", "bench", "first_results"), str(server.port), server.token, str(count),
            path, json.dumps(body), IMPORTS]  # fmt: skip
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=LIMIT_S)
    if done.returncode != 0:
        raise BenchError(f"{server.kind.name}: {done.stderr.strip()}")
    found = []
    for line in done.stdout.splitlines():
        name, created, answered = line.split()
        found.append(Times(float(created), float(answered)))
        server.call("DELETE", f"{path}/{name}", 204)
    return found


def sandbox_ms(server: Server) -> float:
    return first_results(server, 1, "/v1/sandboxes")[0].answered_ms


def kernel_ms(server: Server) -> float:
    (times,) = first_results(server, 1, "/api/kernels", name=server.kind.kernel_name)
    return times.answered_ms


def p99(times: Iterable[float]) -> float:
    ordered = sorted(times)
    return ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]


def measure_bursts(say: Say) -> dict[str, float]:
    numbers: dict[str, float] = {}
    for pool, name in ((SMALL_POOL, "burst50_pool8"), (BURST, "burst50")):
        say(f"a burst of {BURST} on a pool of {pool}")
        with running(gateway(f"--pool-min={pool}", f"--pool-max={pool}")) as server:
            wait_warm(server)
            wait_pool(server, pool)
            times = first_results(server, BURST, "/v1/sandboxes")
            numbers[f"{name}_p99"] = p99(each.created_ms for each in times)
            numbers[f"{name}_first_result_p99"] = p99(each.answered_ms for each in times)
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

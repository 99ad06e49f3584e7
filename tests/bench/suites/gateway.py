"""Our gateway with our kernel against jupyter_server with ipykernel.

- Added round trip: a cell through the server less the same cell on a kernel of the same kind by
  ZeroMQ, in alternating blocks.
- Messages per second: a kernel that floods prebuilt messages, so that the way through the server is
  what takes the time. Behind ours stands our host with a driver that floods; behind both (`_zmq`) a
  ZeroMQ kernel that does.
- GETs per second: http_load on /api, 16 connections.
"""

from __future__ import annotations

import functools
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from harness import flood, kernels, servers
from harness.direct import DirectClient
from harness.home import Home
from harness.kernels import OURS, Contender, Kernel, program
from harness.message import execute_content
from harness.processes import BenchError
from harness.servers import Server, ServerKind
from harness.suite import Metric
from harness.websocket import KernelSocket

Say = Callable[[str], None]

BLOCKS = 10
BLOCK = 20
MESSAGES = 20_000
LOAD_CONNECTIONS = 16
LOAD_S = 2
HARNESS = Path(flood.__file__).parent

METRICS = (
    Metric("gateway_added_rtt", "ms", "through the server less direct, 1+1", floor=0.05),
    Metric("gateway_rtt", "ms", "1+1 through the server"),
    Metric("direct_rtt", "ms", "1+1 by ZeroMQ"),
    Metric("gateway_added_rtt_delayed_ack", "ms", "added, for an ordinary client", floor=0.05),
    Metric("gateway_messages_per_s", "1/s", "displays end to end", higher_is_better=True),
    Metric("gateway_messages_per_s_zmq", "1/s", "by a ZeroMQ kernel", higher_is_better=True),
    Metric("http_get_per_s", "1/s", "GET /api, 16 connections", higher_is_better=True),
)


@contextmanager
def running(kind: ServerKind, home: Home, **env: str) -> Iterator[Server]:
    """A server for the length of a block."""
    server = Server(kind, home, **env)
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def running_kernel(contender: Contender, home: Home) -> Iterator[Kernel]:
    """A kernel without a server, for the length of a block."""
    kernel = Kernel(contender, home)
    try:
        yield kernel
    finally:
        kernel.stop()


def block_ms(client: KernelSocket | DirectClient, count: int) -> list[float]:
    """The round trips of some cells, each checked."""
    times = []
    for _ in range(count):
        began = time.perf_counter()
        execution = client.execute("1+1")
        times.append((time.perf_counter() - began) * 1000)
        shown = [m for m in execution.published if b'"execute_result"' in m.header]
        if execution.reply["status"] != "ok" or len(shown) != 1:
            raise BenchError(f"1+1 gave {execution.reply} and {len(shown)} results")
    return times


def added_rtt(server: Server, contender: Contender, say: Say) -> dict[str, float]:
    """The round trip through the server and beside it."""
    say("round trips")
    through: list[float] = []
    direct: list[float] = []
    with ExitStack() as stack:
        kernel_id = server.start_kernel(server.kind.kernel_name)
        stack.callback(server.end_kernel, kernel_id)
        kernel = stack.enter_context(running_kernel(contender, server.home))
        kernel.client.settle()
        with closing(server.open(kernel_id)) as client:
            client.settle()
            for turn in range(BLOCKS + 1):  # the first warms up
                both = block_ms(client, BLOCK), block_ms(kernel.client, BLOCK)
                if turn:
                    through += both[0]
                    direct += both[1]
        with closing(server.open(kernel_id, quick=False)) as ordinary:
            ordinary.settle()
            delayed = block_ms(ordinary, 2 * BLOCK)
    alone = statistics.median(direct)
    return {
        "gateway_rtt": statistics.median(through),
        "direct_rtt": alone,
        "gateway_added_rtt": statistics.median(through) - alone,
        "gateway_added_rtt_delayed_ack": statistics.median(delayed) - alone,
    }


def messages_per_s(server: Server, kernel_name: str, count: int) -> float:
    """How many small displays reach a client in a second, from the first to idle."""
    kernel_id = server.start_kernel(kernel_name)
    client = server.open(kernel_id)
    try:
        client.settle()
        msg_id = client.send("execute_request", execute_content(str(count)))
        while b'"stream"' not in (message := client.receive()).header or (
            msg_id not in message.parent
        ):
            pass
        began = time.perf_counter()
        ended, messages = client.drain_until(b"message %07d" % (count - 1), 120)
        # a reply and idle come by different sockets of the kernel, in either order
        while not any(each.is_idle(msg_id) for each in messages[-5:]):
            messages.append(client.receive())
        flood.check(messages, msg_id, count)
    finally:
        client.close()
        server.end_kernel(kernel_id)
    return count / (ended - began)


def get_per_s(server: Server) -> float:
    """GET /api on kept-alive connections."""
    load = program("tests", "bench", "http_load")
    argv = [load, str(server.port), "/api", server.token, str(LOAD_CONNECTIONS), str(LOAD_S)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=LOAD_S + 30)
    if done.returncode != 0:
        raise BenchError(f"{server.kind.name}: {done.stderr.strip()}")
    answers, seconds = done.stdout.split()
    return int(answers) / float(seconds)


def add_floods(home: Home, kind: ServerKind) -> None:
    """Installs the floods: a ZeroMQ kernel, and behind our host a driver."""
    kernel = [sys.executable, str(HARNESS / "flood_kernel.py"), "{connection_file}"]
    home.add_kernelspec("flood", kernel)
    if kind.name == OURS:
        host = program("kernel", "host", "warmcell-kernel")
        driver = [sys.executable, str(HARNESS / "flood_driver.py")]
        home.add_kernelspec("flood-driver", [host, "--driver", "--", *driver], uplink=True)


class GatewaySuite:
    """Each round: a server with a kernel, then one with a flood."""

    name = "gateway"
    metrics = METRICS
    rounds = 3

    @functools.cached_property
    def _by_name(self) -> dict[str, tuple[ServerKind, Contender]]:
        pairs = ((servers.ours(), kernels.ours()), (servers.jupyter_server(), kernels.ipykernel()))
        return {server.name: (server, kernel) for server, kernel in pairs}

    def contenders(self) -> Sequence[str]:
        return list(self._by_name)

    def measure(self, contender: str, say: Say) -> Mapping[str, float]:
        kind, kernel = self._by_name[contender]
        home = Home()
        add_floods(home, kind)
        try:
            with running(kind, home) as server:
                numbers = added_rtt(server, kernel, say)
                say("GET")
                numbers["http_get_per_s"] = get_per_s(server)
            with running(kind, home, PYTHONPATH=str(HARNESS.parent)) as server:
                say("messages of a ZeroMQ kernel")
                rate = messages_per_s(server, "flood", MESSAGES)
                numbers["gateway_messages_per_s_zmq"] = numbers["gateway_messages_per_s"] = rate
                if contender == OURS:
                    say("messages of a driver")
                    rate = messages_per_s(server, "flood-driver", 5 * MESSAGES)
                    numbers["gateway_messages_per_s"] = rate
            return numbers
        except BenchError as error:
            raise BenchError(f"{contender}: {error}\n{home.log_tail()}") from None
        finally:
            home.close()


SUITE = GatewaySuite()

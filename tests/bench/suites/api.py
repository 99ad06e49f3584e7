"""The native API: what running code by POST adds, and how many runs a second it takes.

- Added: `POST …/executions` of 1+1 on a Unix socket, awaited, less the same cell by ZeroMQ on an
  owner's kernel, in alternating blocks; one connection that stays open.
- Stream: the same by one WebSocket of /v1/stream, and what comes back of a run by each.
- A second: the same over eight sandboxes, each with a connection of its own and one run at a time.
- Create and first result: a sandbox from the pool by POST, then 1+1 in it, one after the other.
- Files: 1 GB in by PUT and out by GET, and what the disk does with the same bytes.
- Pause and resume of a sandbox with 100 variables, and with a changed array of 100 MB.

There is no peer: jupyter_server has no such API.
"""

from __future__ import annotations

import http.client
import json
import socket
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from tempfile import TemporaryDirectory

from harness import filing, kernels, pausing
from harness.home import Home
from harness.kernels import OURS, program
from harness.processes import BenchError
from harness.sandboxes import Sandbox, gateway, wait_pool, wait_warm
from harness.servers import Server
from harness.stream import StreamLine
from harness.suite import Metric

from suites.gateway import block_ms

Say = Callable[[str], None]

BLOCKS = 10
BLOCK = 50
SANDBOXES = 8
RUN_S = 3.0
STARTS = 20
POOL = 8

METRICS = (
    Metric("execution_added", "ms", "POST of 1+1, awaited, less the cell by ZeroMQ", floor=0.05),
    Metric("execution_rtt", "ms", "POST of 1+1, awaited"),
    Metric("execution_kernel_rtt", "ms", "1+1 by ZeroMQ"),
    Metric("stream_added", "ms", "1+1 by /v1/stream, less the cell by ZeroMQ", floor=0.05),
    Metric("stream_rtt", "ms", "1+1 by /v1/stream"),
    Metric("stream_bytes", "bytes", "that come back of 1+1 by /v1/stream"),
    Metric("execution_bytes", "bytes", "that come back of 1+1 by POST"),
    Metric("executions_per_s", "1/s", "1+1 over 8 sandboxes", higher_is_better=True),
    Metric(
        "executions_new_per_s",
        "1/s",
        "the same, each a cell not seen before",
        higher_is_better=True,
    ),
    Metric("create_first_result", "ms", "POST of a sandbox from the pool, then of 1+1"),
    Metric("file_put", "MB/s", "1 GB in by PUT", higher_is_better=True),
    Metric("file_disk_in", "MB/s", "the same bytes copied to that folder", higher_is_better=True),
    Metric("file_get", "MB/s", "1 GB out by GET", higher_is_better=True),
    Metric("file_disk_out", "MB/s", "the same file read there", higher_is_better=True),
    Metric("file_memory", "MB", "more in the gateway at most, for both", floor=0.1),
    Metric("pause_vars", "ms", "pause, 100 variables"),
    Metric("resume_vars", "ms", "resume, 100 variables"),
    Metric("pause_array", "ms", "pause, a changed array of 100 MB"),
    Metric("resume_array", "ms", "resume, an array of 100 MB"),
)


class Line:
    """One connection on which executions of a sandbox are asked for, one after the other."""

    def __init__(self, path: str, token: str, sandbox: str) -> None:
        body = json.dumps({"code": "1+1"})
        self.request = (
            f"POST /v1/sandboxes/{sandbox}/executions HTTP/1.1\r\nHost: localhost\r\n"
            f"Authorization: token {token}\r\nContent-Length: {len(body)}\r\n\r\n{body}"
        ).encode()
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.received = b""

    def send(self) -> None:
        self.received = b""
        self.socket.sendall(self.request)

    def take(self) -> bool:
        """Reads what is there; True: the reply is whole, and right."""
        data = self.socket.recv(1 << 16)
        self.received += data
        head, end, body = self.received.partition(b"\r\n\r\n")
        length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        if not data or (end and not head.startswith(b"HTTP/1.1 200")):
            raise BenchError(f"an execution was answered with {self.received[:300]!r}")
        if not end or len(body) < int(length):
            return False
        if b'"status":"ok"' not in body or b'"text":"2"' not in body:
            raise BenchError(f"1+1 gave {body[:600]!r}")
        return True

    def run_ms(self) -> float:
        began = time.perf_counter()
        self.send()
        while not self.take():
            pass
        return (time.perf_counter() - began) * 1000

    def close(self) -> None:
        self.socket.close()


class UnixConnection(http.client.HTTPConnection):
    """HTTP on a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=60)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


class UnixServer(Server):
    """Our gateway on a Unix socket in a folder."""

    def __init__(self, home: Home, folder: str, pool: int) -> None:
        self.path = f"{folder}/socket"
        pools = (f"--pool-min={pool}", f"--pool-max={pool}")
        super().__init__(gateway(f"--socket={self.path}", *pools), home)

    def connect(self) -> http.client.HTTPConnection:
        return UnixConnection(self.path)

    def line(self, sandbox: str) -> Line:
        return Line(self.path, self.token, sandbox)

    def stream(self, sandbox: Sandbox) -> StreamLine:
        return StreamLine(self.path, self.token, sandbox.id)


@contextmanager
def running(home: Home, pool: int = 0) -> Iterator[UnixServer]:
    """A server with so many sandboxes ready, for the length of a block."""
    with TemporaryDirectory(prefix="wcb-") as folder:
        server = UnixServer(home, folder, pool)
        try:
            yield server
        finally:
            server.stop()


def added(server: UnixServer, line: Line, stream: StreamLine, say: Say) -> dict[str, float]:
    """The round trip of an execution, and of the same cell on a kernel alone."""
    say("round trips")
    through: list[float] = []
    streamed: list[float] = []
    direct: list[float] = []
    kernel = kernels.Kernel(kernels.ours(), server.home)
    try:
        kernel.client.settle()
        for turn in range(BLOCKS + 1):  # the first warms up
            posts = [line.run_ms() for _ in range(BLOCK)]
            calls = [stream.run_ms() for _ in range(BLOCK)]
            cells = block_ms(kernel.client, BLOCK)
            if turn:
                through += posts
                streamed += calls
                direct += cells
    finally:
        kernel.stop()
    alone = statistics.median(direct)
    return {
        "execution_rtt": statistics.median(through),
        "execution_kernel_rtt": alone,
        "execution_added": statistics.median(through) - alone,
        "stream_rtt": statistics.median(streamed),
        "stream_added": statistics.median(streamed) - alone,
        "stream_bytes": float(stream.bytes_in),
        "execution_bytes": float(len(line.received)),
    }


def per_s(server: UnixServer, sandboxes: Sequence[Sandbox], kind: str) -> float:
    """How many executions end in a second, one at a time in each; see execution_load.c."""
    argv = [program("tests", "bench", "execution_load"), kind, server.path, server.token,
            str(RUN_S), *(each.id for each in sandboxes)]  # fmt: skip
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode != 0:
        raise BenchError(done.stderr.strip()[:600])
    count, took = done.stdout.split()
    return int(count) / float(took)


def first_result_ms(server: UnixServer) -> float:
    """From nothing asked to the answer of 1+1, when the pool is full and a connection is open."""
    wait_pool(server, POOL)
    with closing(server.connect()) as connection:
        connection.connect()
        headers = {"Authorization": f"token {server.token}"}
        began = time.perf_counter()
        connection.request("POST", "/v1/sandboxes", "{}", headers)
        answer = connection.getresponse()
        model = json.loads(answer.read())
        if answer.status != 201:
            raise BenchError(f"a sandbox was answered with {answer.status} {model}")
        with closing(server.line(model["id"])) as line:
            line.run_ms()
        took = (time.perf_counter() - began) * 1000
    server.call("DELETE", f"/v1/sandboxes/{model['id']}", 204)
    return took


def create_first_result(home: Home) -> float:
    with running(home, POOL) as server:
        wait_warm(server)
        return statistics.median(first_result_ms(server) for _ in range(STARTS))


class ApiSuite:
    """Each round: a server with one sandbox and a kernel beside it, then with eight."""

    name = "api"
    metrics = METRICS
    rounds = 3

    def contenders(self) -> Sequence[str]:
        return [OURS]

    def measure(self, contender: str, say: Say) -> Mapping[str, float]:
        home = Home()
        try:
            with running(home) as server, ExitStack() as stack:
                sandboxes = [Sandbox(server) for _ in range(SANDBOXES)]
                line = stack.enter_context(closing(server.line(sandboxes[0].id)))
                stream = stack.enter_context(closing(server.stream(sandboxes[0])))
                numbers = added(server, line, stream, say)
                say(f"{SANDBOXES} sandboxes")
                for sandbox in sandboxes:
                    with closing(server.line(sandbox.id)) as warming:
                        warming.run_ms()
                numbers["executions_per_s"] = per_s(server, sandboxes, "same")
                numbers["executions_new_per_s"] = per_s(server, sandboxes, "new")
                say("pause and resume")
                numbers |= pausing.measure(server)
                say("files")
                numbers |= filing.measure(server, server.path, home.path)
            say("sandboxes from the pool")
            return numbers | {"create_first_result": create_first_result(home)}
        except BenchError as error:
            raise BenchError(f"{contender}: {error}\n{home.log_tail()}") from None
        finally:
            home.close()


SUITE = ApiSuite()

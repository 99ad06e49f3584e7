"""The native API: what running code by POST adds, and how many runs a second it takes.

- Added: `POST …/executions` of 1+1 on a Unix socket, awaited, less the same cell by ZeroMQ on an
  owner's kernel, in alternating blocks; one connection that stays open.
- Stream: the same by one WebSocket of /v1/stream, and what comes back of a run by each.
- A second: the same over eight sandboxes, each with a connection of its own and one run at a time.
- Pause and resume of a sandbox with 100 variables, and with a changed array of 100 MB.

There is no peer: jupyter_server has no such API.
"""

from __future__ import annotations

import http.client
import json
import selectors
import socket
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from tempfile import TemporaryDirectory

from harness import kernels, pausing
from harness.home import Home
from harness.kernels import OURS
from harness.processes import BenchError
from harness.sandboxes import Sandbox, gateway
from harness.servers import Server
from harness.stream import StreamLine
from harness.suite import Metric

from suites.gateway import block_ms

Say = Callable[[str], None]

BLOCKS = 10
BLOCK = 50
SANDBOXES = 8
RUN_S = 3.0

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
    Metric("pause_vars", "ms", "pause, 100 variables"),
    Metric("resume_vars", "ms", "resume, 100 variables"),
    Metric("pause_array", "ms", "pause, a changed array of 100 MB"),
    Metric("resume_array", "ms", "resume, an array of 100 MB"),
)


class Line:
    """One connection on which executions of a sandbox are asked for, one after the other."""

    def __init__(self, path: str, token: str, sandbox: str) -> None:
        body = json.dumps({"code": "1+1  # 00000000"})
        self.request = (
            f"POST /v1/sandboxes/{sandbox}/executions HTTP/1.1\r\nHost: localhost\r\n"
            f"Authorization: token {token}\r\nContent-Length: {len(body)}\r\n\r\n{body}"
        ).encode()
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.received = b""
        self.sent = 0

    def send(self, *, new: bool = False) -> None:
        """The same cell again, or one that is told from all others by its comment."""
        self.received = b""
        self.sent += 1
        mark = b"# %08d" % (self.sent if new else 0)
        self.socket.sendall(self.request.replace(b"# 00000000", mark))

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

    def __init__(self, home: Home, folder: str) -> None:
        self.path = f"{folder}/socket"
        super().__init__(gateway(f"--socket={self.path}", "--pool-max=0"), home)

    def connect(self) -> http.client.HTTPConnection:
        return UnixConnection(self.path)

    def line(self, sandbox: Sandbox) -> Line:
        return Line(self.path, self.token, sandbox.id)

    def stream(self, sandbox: Sandbox) -> StreamLine:
        return StreamLine(self.path, self.token, sandbox.id)


@contextmanager
def running(home: Home) -> Iterator[UnixServer]:
    """A server for the length of a block."""
    with TemporaryDirectory(prefix="wcb-") as folder:
        server = UnixServer(home, folder)
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


def per_s(lines: Sequence[Line], *, new: bool) -> float:
    """How many executions end in a second, one at a time on each line."""
    done = 0
    with selectors.DefaultSelector() as selector:
        for line in lines:
            selector.register(line.socket, selectors.EVENT_READ, line)
            line.send(new=new)
        began = time.perf_counter()
        while time.perf_counter() < began + RUN_S:
            for key, _ in selector.select():
                line = key.data
                if line.take():
                    done += 1
                    line.send(new=new)
        took = time.perf_counter() - began
        for line in lines:
            while not line.take():
                pass
    return done / took


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
                lines = []
                sandboxes = [Sandbox(server) for _ in range(SANDBOXES)]
                for sandbox in sandboxes:
                    line = stack.enter_context(closing(server.line(sandbox)))
                    line.run_ms()
                    lines.append(line)
                stream = stack.enter_context(closing(server.stream(sandboxes[0])))
                numbers = added(server, lines[0], stream, say)
                say(f"{SANDBOXES} sandboxes")
                numbers["executions_per_s"] = per_s(lines, new=False)
                numbers["executions_new_per_s"] = per_s(lines, new=True)
                say("pause and resume")
                numbers |= pausing.measure(server)
            return numbers
        except BenchError as error:
            raise BenchError(f"{contender}: {error}\n{home.log_tail()}") from None
        finally:
            home.close()


SUITE = ApiSuite()

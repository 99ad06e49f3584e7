"""How long pause and resume of a sandbox take: with many small variables, with one large one."""

from __future__ import annotations

import statistics
import time

from harness.processes import BenchError
from harness.sandboxes import Sandbox
from harness.servers import Server

TURNS = 7
VARIABLES = "\n".join(
    f"v{i} = {{'numbers': [{i}] * 10, 'text': 'x' * 50}}\ndef f{i}(): return v{i}"
    for i in range(50)
)
ARRAY = "import numpy\nbig = numpy.random.rand(100 * 2**17)"
CHANGE = "big += 1"  # what is unchanged would not be sent again


def run(server: Server, sandbox: Sandbox, code: str) -> None:
    path = f"/v1/sandboxes/{sandbox.id}/executions"
    record = server.call("POST", path, 200, {"code": code})
    if record["status"] != "ok":
        raise BenchError(f"{code[:60]!r} ended as {record}")


def there_and_back(server: Server, code: str, change: str) -> tuple[float, float]:
    """Medians in milliseconds of pause and of resume."""
    sandbox = Sandbox(server)
    run(server, sandbox, code)
    took: list[tuple[float, float]] = []
    for _ in range(TURNS):
        run(server, sandbox, change)
        began = time.perf_counter()
        server.call("POST", f"/v1/sandboxes/{sandbox.id}/pause", 200, {})
        between = time.perf_counter()
        answer = server.call("POST", f"/v1/sandboxes/{sandbox.id}/resume", 200, {})
        took.append(((between - began) * 1000, (time.perf_counter() - between) * 1000))
        if answer["contexts"][0]["not_restored"] or answer["contexts"][0]["problem"]:
            raise BenchError(f"not all came back: {answer}")
    sandbox.delete()
    return statistics.median(t[0] for t in took), statistics.median(t[1] for t in took)


def measure(server: Server) -> dict[str, float]:
    """What the metrics of this file are called, and their values."""
    small = there_and_back(server, VARIABLES, "pass")
    large = there_and_back(server, ARRAY, CHANGE)
    return {
        "pause_vars": small[0], "resume_vars": small[1],
        "pause_array": large[0], "resume_array": large[1],
    }  # fmt: skip

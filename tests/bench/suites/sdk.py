"""What the client and the surfaces of other SDKs add: runs as a program of a user's does them.

- local_run: `LocalSandbox.run("x=1")`, awaited; client_run: the same by our own client, plain, and
  client_run_async by asyncio.
- local_first: a sandbox of a running gateway made, and its first run, by the client.
- interactive_run: `InteractiveSandboxSession.run("x=1")`, against the original's way: a command in
  a file that one side looks for every 0.1 s, its result in a file that the other side looks for
  every 0.1 s. That is played with two processes on this machine, without its containers' time.
- fifty: 50 sandboxes of one asyncio client at once, each made, run in and deleted.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from harness.home import Home
from harness.kernels import OURS
from harness.processes import BenchError
from harness.sandboxes import wait_pool
from harness.suite import Metric

from suites.api import UnixServer, running

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "sdk" / "python"))

import warmcell
from warmcell.compat.llm_sandbox import InteractiveSandboxSession
from warmcell.compat.sandbox import LocalSandbox

Say = Callable[[str], None]

RUNS = 300
WARMING = 20
FIRSTS = 20
POLLED = 15
POLL_S = 0.1
TOGETHER = 50
POOL = 8
POLLING = "polling files"

METRICS = (
    Metric("local_run", "ms", 'LocalSandbox.run("x=1"), p50'),
    Metric("client_run", "ms", 'Sandbox.run("x=1") of the client, p50'),
    Metric("client_run_async", "ms", 'AsyncSandbox.run("x=1") of the client, p50'),
    Metric("local_first", "ms", "a sandbox of a running gateway, and its first run"),
    Metric("interactive_run", "ms", 'InteractiveSandboxSession.run("x=1"), p50'),
    Metric("fifty", "ms", "50 sandboxes at once by asyncio: made, run in, deleted"),
)

# the other side of the polling: looks for a command, runs it, and leaves its result
RUNNER = f"""
import json, pathlib, sys, time
place, scope = pathlib.Path(sys.argv[1]), {{}}
while True:
    for command in sorted(place.glob("*.command")):
        exec(command.read_text(), scope)
        command.unlink()
        part = command.with_suffix(".part")
        part.write_text(json.dumps({{"exit_code": 0}}))
        part.rename(command.with_suffix(".result"))
    time.sleep({POLL_S})
"""


def median_ms(run: Callable[[], object], count: int) -> float:
    took = []
    for turn in range(count + WARMING):
        began = time.perf_counter()
        run()
        if turn >= WARMING:
            took.append((time.perf_counter() - began) * 1000)
    return statistics.median(took)


async def median_ms_async(run: Callable[[], Awaitable[object]], count: int) -> float:
    took = []
    for turn in range(count + WARMING):
        began = time.perf_counter()
        await run()
        if turn >= WARMING:
            took.append((time.perf_counter() - began) * 1000)
    return statistics.median(took)


@contextmanager
def environment(**more: str) -> Iterator[None]:
    """The surfaces find their gateway there."""
    before = dict(os.environ)
    os.environ.update(more)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def first_ms(server: UnixServer, client: warmcell.Client) -> float:
    wait_pool(server, 1)
    began = time.perf_counter()
    sandbox = client.sandboxes.create()
    ran = sandbox.run("x=1")
    took = (time.perf_counter() - began) * 1000
    if ran.status != "ok":
        raise BenchError(f"x=1 ended as {ran.status}")
    sandbox.delete()
    return took


async def by_asyncio(url: str, token: str) -> dict[str, float]:
    async def one(client: warmcell.AsyncClient, number: int) -> str | None:
        async with await client.sandboxes.create() as sandbox:
            return (await sandbox.run(f"{number} + 1")).text

    async with warmcell.AsyncClient(url, token) as client:
        async with await client.sandboxes.create() as sandbox:
            rtt = await median_ms_async(lambda: sandbox.run("x=1"), RUNS)
        began = time.perf_counter()
        said = await asyncio.gather(*(one(client, number) for number in range(TOGETHER)))
        took = (time.perf_counter() - began) * 1000
    if said != [str(number + 1) for number in range(TOGETHER)]:
        raise BenchError(f"50 sandboxes said {said}")
    async with LocalSandbox.create() as local:
        surface = await median_ms_async(lambda: local.run("x=1"), RUNS)
    return {"client_run_async": rtt, "fifty": took, "local_run": surface}


def measure_ours(say: Say) -> dict[str, float]:
    home = Home()
    try:
        with running(home, POOL) as server:
            url = f"unix:{server.path}"
            with environment(WARMCELL_URL=url, WARMCELL_TOKEN=server.token):
                say("plain calls")
                with warmcell.Client(url, server.token) as client:
                    with client.sandboxes.create() as sandbox:
                        numbers = {"client_run": median_ms(lambda: sandbox.run("x=1"), RUNS)}
                    say("first runs")
                    firsts = [first_ms(server, client) for _ in range(FIRSTS)]
                    numbers["local_first"] = statistics.median(firsts)
                say("a session")
                with InteractiveSandboxSession() as session:
                    numbers["interactive_run"] = median_ms(lambda: session.run("x=1"), RUNS)
                say("asyncio")
                return numbers | asyncio.run(by_asyncio(url, server.token))
    except (BenchError, warmcell.WarmcellError) as error:
        raise BenchError(f"{OURS}: {error}\n{home.log_tail()}") from None
    finally:
        home.close()


def polled_ms(place: Path, number: int) -> float:
    """One command by files, as the original's session does it."""
    began = time.perf_counter()
    part = place / f"{number}.part"
    part.write_text("x=1")
    part.rename(place / f"{number}.command")
    result = place / f"{number}.result"
    while not result.exists():
        time.sleep(POLL_S)
    if json.loads(result.read_text())["exit_code"] != 0:
        raise BenchError("x=1 failed")
    return (time.perf_counter() - began) * 1000


def measure_polling(say: Say) -> dict[str, float]:
    say("a session by files")
    with tempfile.TemporaryDirectory(prefix="wcb-") as folder:
        runner = subprocess.Popen([sys.executable, "-c", RUNNER, folder])
        try:
            polled_ms(Path(folder), 0)
            took = [polled_ms(Path(folder), number) for number in range(1, POLLED + 1)]
        finally:
            runner.kill()
            runner.wait()
    return {"interactive_run": statistics.median(took)}


class SdkSuite:
    """Each round: ours, then the original's way of waiting."""

    name = "sdk"
    metrics = METRICS
    rounds = 3

    def contenders(self) -> Sequence[str]:
        return [OURS, POLLING]

    def measure(self, contender: str, say: Say) -> Mapping[str, float]:
        return measure_ours(say) if contender == OURS else measure_polling(say)


SUITE = SdkSuite()

"""Hundreds of readers of one execution: everyone gets every byte once and in order.

The readers are one program, followers.c: a tenth of them reads next to nothing until all others are
done, a tenth leaves at random, in the middle of an event too, and comes back by the number of the
last event that it has, the others read as fast as they can. They take NDJSON, server-sent events,
/v1/stream and plain text. The memory of the gateway stays bounded.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from account import Lost
from harness.home import Home
from harness.kernels import program
from harness.sandboxes import Sandbox, gateway
from harness.servers import Server

LINE = "followers, line %08d of many, and some more text to make it long enough to matter"
LINE_BYTES = len(LINE % 0) + 1
MEMORY_BYTES = 200 * 1024 * 1024


def peak_bytes(pid: int) -> int:
    """The most memory that a process has had."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise Lost(f"/proc/{pid}/status has no VmHWM")


def cpu_s(pid: int) -> float:
    """What a process has used of the processors."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def follow(server: Server, words: list[str]) -> dict[str, int]:
    """Runs the readers; what they say of themselves."""
    argv = [program("tests", "soak", "followers"), str(server.port), server.token, *words]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Lost(f"{done.stderr.strip()}\n{server.home.log_tail()}")
    said: dict[str, int] = json.loads(done.stdout)
    return said


def prove(server: Server, readers: int, lines: int, seed: int, say: Callable[[str], None]) -> str:
    """On a server that runs; a sentence that says what was proven."""
    sandbox = Sandbox(server)
    path = f"/v1/sandboxes/{sandbox.id}/executions"
    server.call("POST", path, 200, {"code": "pass"})
    code = f"for i in range({lines}): print({LINE!r} % i)"
    execution = server.call("POST", path, 202, {"code": code, "detach": True})["id"]
    tenth = max(1, readers // 10)
    counts = [readers - 2 * tenth, tenth, tenth]
    pid, began = server.process.pid, time.monotonic()
    before, used = peak_bytes(pid), cpu_s(pid)
    say(f"followers: {readers} of them begin to read, with the seed {seed}")
    said = follow(server, [sandbox.id, execution, str(lines), *map(str, counts), str(seed)])
    took, used, peak = time.monotonic() - began, cpu_s(pid) - used, peak_bytes(pid)
    if peak > MEMORY_BYTES:
        raise Lost(f"the gateway grew from {before >> 20} to {peak >> 20} MB")
    sandbox.delete()
    gigabytes = said["bytes"] / 1e9
    return (
        f"{readers} readers of one execution of {lines * LINE_BYTES / 1e6:.0f} MB, {tenth} slow "
        f"({said['sips']} sips, {said['dry']} of them dry), {tenth} that came back "
        f"{said['returns']} times, {said['torn']} of them from the middle of an event: all have "
        f"every byte; {gigabytes:.1f} GB in {took:.0f} s, {used / gigabytes:.2f} s of a processor "
        f"for each with the gateway and {said['cpu_ms'] / 1e3 / gigabytes:.2f} s with the readers; "
        f"the gateway had at most {peak >> 20} MB"
    )


def run(readers: int, lines: int, seed: int, say: Callable[[str], None]) -> str:
    """The whole proof."""
    home = Home()
    server = Server(gateway("--pool-max=0"), home)
    try:
        return prove(server, readers, lines, seed, say)
    finally:
        server.stop()
        home.close()

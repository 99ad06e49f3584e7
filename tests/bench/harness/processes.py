"""Processes that a benchmark starts, and the promise that none of them outlives it.

The bench makes itself a subreaper: whatever a kernel or a server starts, even in a session of its
own, becomes our descendant when its parent ends, so `end_all` finds and kills it.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36

_STARTED: set[int] = set()  # our own children, which their Popen reaps


class BenchError(Exception):
    """A measurement that cannot be trusted: the run ends with this sentence."""


def guard() -> None:
    """Makes this process the reaper of all it starts, also when it ends by a signal."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    atexit.register(end_all)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)


def _leave(number: int, _frame: object) -> None:
    sys.exit(128 + number)


def start(
    argv: Sequence[str], env: dict[str, str], log: Path, cwd: Path
) -> subprocess.Popen[bytes]:
    """Starts a program in a session of its own, its output in `log`."""
    with log.open("ab") as out:
        process = subprocess.Popen(
            list(argv), env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
            start_new_session=True,
        )  # fmt: skip
    _STARTED.add(process.pid)
    return process


def children_of(pid: int) -> list[int]:
    """The live children of every thread of a process; none when it is gone."""
    found: list[int] = []
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return found
    for thread in threads:
        try:
            text = Path(f"/proc/{pid}/task/{thread}/children").read_text()
        except OSError:
            continue
        found += [int(word) for word in text.split()]
    return found


def tree_of(pid: int) -> list[int]:
    """A process and all its descendants, parents first."""
    tree = [pid]
    for parent in tree:
        tree += [child for child in children_of(parent) if child not in tree]
    return tree


def live_tree_of(pid: int) -> list[int]:
    """The same without those that have ended and were not waited for yet."""
    live = []
    for each in tree_of(pid):
        with contextlib.suppress(OSError):
            state = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()[0]
            if state not in "ZX":
                live.append(each)
    return live


def pss_bytes(pid: int) -> int:
    """The proportional memory of a process and its descendants."""
    total = 0
    for each in tree_of(pid):
        try:
            lines = Path(f"/proc/{each}/smaps_rollup").read_text().splitlines()
        except ProcessLookupError:
            continue  # it has ended and was not waited for yet
        for line in lines:
            if line.startswith("Pss:"):
                total += int(line.split()[1]) * 1024
    if total == 0:
        raise BenchError(f"process {pid} has no memory map: is it alive?")
    return total


def rss_bytes(pid: int) -> int:
    """The resident memory of one process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def descriptors_of(pid: int) -> int:
    """How many descriptors a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def end(process: subprocess.Popen[bytes], grace_s: float = 3.0) -> None:
    """Asks a process to end, and ends its whole tree when it does not."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(grace_s)
            return
        except subprocess.TimeoutExpired:
            kill(tree_of(process.pid))
    process.wait()


def kill(pids: Sequence[int]) -> None:
    """SIGKILL to each, those already gone passed over."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def reap() -> None:
    """Takes in the orphans that became ours and ended; our own children are left to their Popen."""
    for pid in children_of(os.getpid()):
        if pid not in _STARTED:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)


def end_all() -> None:
    """Kills and reaps every descendant of this process, until there is none."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        rest = tree_of(os.getpid())[1:]
        if not rest:
            return
        kill(rest)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        time.sleep(0.01)

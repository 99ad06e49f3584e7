"""The processes that tests start, and the proof that none is left.

pytest makes itself the subreaper, so whatever loses its parent becomes a child of ours: a kernel
that outlived its gateway, a shell that a dead interpreter had started. A process that is neither
known as the root of a running fixture nor below one is a leftover.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import psutil

PR_SET_CHILD_SUBREAPER = 36
LONG_S = 60.0

_roots: set[int] = set()


def become_subreaper() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def own(pid: int) -> None:
    """Says that a fixture runs this process: neither it nor what it starts is a leftover."""
    _roots.add(pid)


def disown(pid: int) -> None:
    _roots.discard(pid)


def wait_gone(pids: Iterable[int], timeout: float = LONG_S) -> list[int]:
    """Waits until every process has ended, reaps those that are ours, and returns who is left."""
    end = time.monotonic() + timeout
    return [pid for pid in pids if not _wait_one(pid, end)]


def _wait_one(pid: int, end: float) -> bool:
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        if not readable(fd, end - time.monotonic()):
            return False
        with suppress(ChildProcessError):
            os.waitid(os.P_PIDFD, fd, os.WEXITED | os.WNOHANG)
        return True
    finally:
        os.close(fd)


def readable(fd: int, timeout: float) -> bool:
    ready, _, _ = select.select([fd], [], [], max(0.0, timeout))
    return bool(ready)


def alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _is_ours(process: psutil.Process, me: int) -> bool:
    """Is it, or a parent of it below us, the root of a running fixture?"""
    at: psutil.Process | None = process
    while at is not None and at.pid != me:
        if at.pid in _roots:
            return True
        at = at.parent()
    return False


def strangers() -> list[psutil.Process]:
    """Our descendants, zombies apart, that belong to no running fixture."""
    me = os.getpid()
    found = []
    for process in psutil.Process(me).children(recursive=True):
        try:
            if process.status() != psutil.STATUS_ZOMBIE and not _is_ours(process, me):
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found


def reap_and_find_leftovers(timeout: float = 30.0) -> list[str]:
    """What still runs when everything had `timeout` seconds to end; it is killed and described.

    A host that a gateway was just starting when it was killed is known to nobody, and ends by
    itself with its lease, which in tests that kill gateways is up to 10 seconds from its start.
    """
    end = time.monotonic() + timeout
    left = strangers()
    while left and time.monotonic() < end:
        # not longer: one whose parent ended as it was looked at may be a fixture's after all
        wait_gone([left[0].pid], min(1.0, end - time.monotonic()))
        left = strangers()
    described = []
    for process in left:
        try:
            described.append(f"{process.pid} {' '.join(process.cmdline())[:200]}")
            process.kill()
        except psutil.NoSuchProcess:
            continue
    wait_gone([process.pid for process in left], 5.0)
    return described


def kill_tree(pid: int) -> None:
    """kill -9 of a process and all that is below it."""
    try:
        root = psutil.Process(pid)
        family = [*root.children(recursive=True), root]
    except psutil.NoSuchProcess:
        return
    for process in family:
        try:
            process.send_signal(signal.SIGKILL)
        except psutil.NoSuchProcess:
            continue
    wait_gone([process.pid for process in family])


def until(condition: Callable[[], bool], what: str, timeout: float = LONG_S) -> None:
    """For what the system gives no event for (a file that appears, a number in /proc)."""
    end = time.monotonic() + timeout
    pause = 0.002
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"not within {timeout:g} s: {what}")
        time.sleep(pause)
        pause = min(0.05, pause * 1.5)


def peak_bytes(pid: int) -> int:
    """The most memory that it had."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def open_files(pid: int) -> set[Path]:
    """The places of the files that it has open; what it closes meanwhile is left out."""
    found = set()
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            found.add(fd.readlink())
    return found


def named_below(pid: int, name: str) -> list[int]:
    """The processes below pid whose program is called name."""
    return [p.pid for p in psutil.Process(pid).children(recursive=True) if program_of(p) == name]


def program_of(process: psutil.Process) -> str:
    """The name of the program that it runs; "" for one that has just ended."""
    try:
        return Path(process.exe()).name
    except psutil.Error:
        return ""


def words_of(pid: int) -> list[str]:
    """Its command line; none for one that has just ended."""
    try:
        return psutil.Process(pid).cmdline()
    except psutil.Error:
        return []


def is_below(pid: int, ancestor: int) -> bool:
    return ancestor in {p.pid for p in [psutil.Process(pid), *psutil.Process(pid).parents()]}


def check_log(log: str) -> None:
    """Fails when a program that was built with sanitizers complained."""
    for word in ("Sanitizer", "runtime error"):
        assert word not in log, log

"""Attempts at processes of the host and of other sandboxes: to see, signal, read and join them."""

from __future__ import annotations

import ctypes
import os
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from escape.attempts import Result, attempt
from escape.attempts_files import processes
from escape.calls import LIBC, call, passes, said

PTRACE_ATTACH, PTRACE_DETACH, PTRACE_TRACEME = 16, 17, 0
KCMP_FILE = 0


@attempt
def see_process(a: dict[str, Any]) -> Result:
    for process in processes(a):
        try:
            if a["marker"].encode() in Path(f"/proc/{process}/cmdline").read_bytes():
                return True, process
        except OSError:
            continue
    return False, f"{len(processes(a))} processes"


@attempt
def signal_process(a: dict[str, Any]) -> Result:
    os.kill(a["pid"], 0)
    return True, "it is there"


@attempt
def signal_by_thread(a: dict[str, Any]) -> Result:
    numbers = {"x86_64": 200, "aarch64": 130}
    ctypes.set_errno(0)
    result = LIBC.syscall(ctypes.c_long(numbers[os.uname().machine]), a["pid"], 0)
    return result == 0, said(result, ctypes.get_errno())


@attempt
def signal_group(a: dict[str, Any]) -> Result:
    os.killpg(a["pid"], 0)
    return True, "it is there"


@attempt
def open_pidfd(a: dict[str, Any]) -> Result:
    fd, number = call("pidfd_open", a["pid"], 0)
    return fd >= 0, said(fd, number)


@attempt
def change_limits(a: dict[str, Any]) -> Result:
    import resource

    resource.prlimit(a["pid"], resource.RLIMIT_NOFILE)
    return True, "read"


@attempt
def change_affinity(a: dict[str, Any]) -> Result:
    os.sched_setaffinity(a["pid"], os.sched_getaffinity(a["pid"]))
    return True, "set"


@attempt
def change_priority(a: dict[str, Any]) -> Result:
    os.setpriority(os.PRIO_PROCESS, a["pid"], os.getpriority(os.PRIO_PROCESS, a["pid"]))
    return True, "set"


@attempt
def change_oom_score(a: dict[str, Any]) -> Result:
    """Of every process that is seen but this one and what it may change: the score that it has."""
    path = Path(f"/proc/{a['pid']}/oom_score_adj")
    path.write_text(path.read_text())
    return True, str(path)


@attempt
def trace_process(a: dict[str, Any]) -> Result:
    result, number = call("ptrace", PTRACE_ATTACH, a["pid"], 0, 0)
    if result == 0:
        os.waitpid(a["pid"], 0x40000000)
        call("ptrace", PTRACE_DETACH, a["pid"], 0, 0)
    return result == 0, said(result, number)


@attempt
def trace_child(a: dict[str, Any]) -> Result:
    """Not even one's own: ptrace is a way around what a filter says."""
    child = os.fork()
    if child == 0:
        os._exit(0 if call("ptrace", PTRACE_TRACEME, 0, 0, 0)[0] == 0 else 1)
    return os.waitpid(child, 0)[1] == 0, "traced" if child else ""


@attempt
def read_memory(a: dict[str, Any]) -> Result:
    """process_vm_readv of a page that the other process has."""
    local = ctypes.create_string_buffer(len(a["marker"]))
    here = struct.pack("QQ", ctypes.addressof(local), len(a["marker"]))
    there = struct.pack("QQ", a["address"], len(a["marker"]))
    result, number = call("process_vm_readv", a["pid"], here, 1, there, 1, 0)
    return result > 0 and local.raw == a["marker"].encode(), said(result, number)


@attempt
def read_memory_file(a: dict[str, Any]) -> Result:
    """/proc/*/mem of every process but this one."""
    for process in {*processes(a), str(a["pid"])} - {str(os.getpid())}:
        try:
            with open(f"/proc/{process}/mem", "rb", buffering=0) as memory:
                memory.seek(a["address"])
                if memory.read(len(a["marker"])) == a["marker"].encode():
                    return True, process
        except (OSError, OverflowError):
            continue
    return False, "none"


@attempt
def write_init_memory(a: dict[str, Any]) -> Result:
    """The memory of the process that holds the sandbox together."""
    os.close(os.open(f"/proc/{a['init']}/mem", os.O_RDWR))
    return True, "opened"


@attempt
def kill_init(a: dict[str, Any]) -> Result:
    """Signals to PID 1 of the sandbox: it must be there afterwards. Outside: a child of our own."""
    pid = a["init"]
    if pid == 0:
        pid = os.fork()
        if pid == 0:
            time.sleep(60)
    for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGSEGV):
        os.kill(pid, number)
    if a["init"] == 0:
        return os.waitpid(pid, 0)[1] != 0, "ended"
    return False, "it is still there, and so are we"


@attempt
def compare_processes(a: dict[str, Any]) -> Result:
    return passes("kcmp", os.getpid(), os.getpid(), KCMP_FILE, 0, 0)


@attempt
def take_descriptor(a: dict[str, Any]) -> Result:
    """pidfd_getfd, of oneself: what gets past the check takes others' too."""
    fd, number = call("pidfd_open", os.getpid(), 0)
    if fd < 0:
        return False, said(fd, number)
    return passes("pidfd_getfd", fd, 0, 0)


@attempt
def join_namespaces(a: dict[str, Any]) -> Result:
    """Those of PID 1, or of oneself: setns of a namespace that one is in already."""
    why = "nothing could be opened"
    for process in ("1", "self"):
        for name in ("net", "uts", "ipc", "mnt", "pid"):
            try:
                fd = os.open(f"/proc/{process}/ns/{name}", os.O_RDONLY)
            except OSError as error:
                why = str(error)
                continue
            result, number = call("setns", fd, 0)
            why = f"{process} {name}: {said(result, number)}"
            if result == 0:
                return True, why
    return False, why


def living(marker: str) -> bool:
    for process in processes({}):
        try:
            if marker.encode() in Path(f"/proc/{process}/cmdline").read_bytes():
                return True
        except OSError:
            continue
    return False


LINGER = """
import os, signal, sys, time
for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
    signal.signal(number, signal.SIG_IGN)
if sys.argv[2] == "daemon":
    os.setsid()
    if os.fork():
        os._exit(0)
    os.setsid() if os.getpgrp() != os.getpid() and os.getsid(0) != os.getpid() else None
elif sys.argv[2] == "session":
    os.setsid()
os.write(1, b"here\\n")
os.close(1)
time.sleep(100)
"""


@attempt
def leave_process(a: dict[str, Any]) -> Result:
    """Leaves one behind that ignores signals; the test looks for it from outside, afterwards."""
    child = subprocess.Popen(
        [sys.executable, "-c", LINGER, a["marker"], a["how"]],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert child.stdout is not None
    return child.stdout.readline() == b"here\n" and living(a["marker"]), str(child.pid)


@attempt
def dump_core(a: dict[str, Any]) -> Result:
    """A crash leaves no dump, whoever raises the limit first."""
    import resource

    child = os.fork()
    if child == 0:
        try:
            hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
            resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
        finally:
            os.chdir(a["folder"])
            os.kill(os.getpid(), signal.SIGSEGV)
    return os.WCOREDUMP(os.waitpid(child, 0)[1]), os.path.join(a["folder"], "core")

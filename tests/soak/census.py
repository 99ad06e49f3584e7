"""Who is who among the processes of a gateway, what each kind of them holds, and whether it grew.

A fork server is the warmcell-python that is its keeper's child in the keeper's PID namespace and
has one thread; an init is the fork of its keeper that took a name of its own.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from account import Lost
from harness import processes
from harness.home import Home

CGROUPS = "/sys/fs/cgroup"
SETTLE_S = 30
AHEAD = 16  # sandboxes that a gateway's keeper makes ahead: an init each, and nobody else
FILES_SPARE = 4  # a database's companions, a log's next segment
MEMORY_SPARE_BYTES = 4 * 1024 * 1024  # what allocators keep, whatever the number of cycles
MEMORY_EACH_BYTES = 64
# what remains when no kernel lives
LASTING = ("gateway", "keeper", "fork server", "proxy", "pasta")
PROGRAMS = {
    "warmcell": "gateway",
    "warmcell-kernel": "host",
    "warmcell-python": "interpreter",
    "warmcell-keeper": "keeper",
    "warmcell-proxy": "proxy",
    "warmcell-pasta": "pasta",
    "warmcell-command": "command",
}


@dataclass(frozen=True)
class Member:
    """One process: what it is, and its number in each PID namespace from ours inwards."""

    pid: int
    role: str
    numbers: tuple[int, ...]
    namespace: str
    parent: int


@dataclass(frozen=True)
class Holdings:
    """What all processes of a gateway hold; descriptors and memory by what a process is."""

    processes: dict[str, int]
    descriptors: dict[str, int]
    private_bytes: dict[str, int]
    mounts: int
    cgroups: int
    files: int

    def memory(self) -> str:
        return ", ".join(f"{role} {size >> 10} KiB" for role, size in self.private_bytes.items())

    def __str__(self) -> str:
        counts = ", ".join(f"{number} {role}" for role, number in self.processes.items())
        return (f"[{counts}; {sum(self.descriptors.values())} descriptors {self.descriptors}, "
                f"{self.mounts} mounts, {self.cgroups} control groups, {self.files} files; "
                f"{self.memory()}]")  # fmt: skip


def read(pid: int, name: str) -> str:
    return Path(f"/proc/{pid}/{name}").read_text()


def status_of(pid: int) -> dict[str, str]:
    lines = (line.partition(":") for line in read(pid, "status").splitlines())
    return {name: value.strip() for name, _, value in lines}


def program_of(pid: int, status: dict[str, str]) -> str:
    """By its program's file; of an init, which is a fork of its keeper, by the name it took."""
    if status["Name"] == "sandbox-init":
        return "init"
    name = Path(f"/proc/{pid}/exe").readlink().name.removesuffix(" (deleted)")
    return PROGRAMS.get(name, "other")


def member(pid: int) -> Member:
    status = status_of(pid)
    role = program_of(pid, status)
    numbers = tuple(int(word) for word in status["NSpid"].split())
    namespace = str(Path(f"/proc/{pid}/ns/pid").readlink())
    return Member(pid, role, numbers, namespace, int(status["PPid"]))


def name_fork_server(one: Member, keepers: dict[int, Member]) -> Member:
    """Interpreters of sandboxes have namespaces of their own; those of an owner do not, but a
    thread that reads, where a fork server has one thread alone."""
    keeper = keepers.get(one.parent)
    if one.role != "interpreter" or not keeper or one.namespace != keeper.namespace:
        return one
    with contextlib.suppress(OSError):
        if status_of(one.pid)["Threads"] == "1":
            return replace(one, role="fork server")
    return one


def census() -> list[Member]:
    """The live descendants of this process, those that just end left out."""
    found = []
    for pid in processes.live_tree_of(os.getpid())[1:]:
        with contextlib.suppress(OSError, KeyError):
            found.append(member(pid))
    keepers = {one.pid: one for one in found if one.role == "keeper"}
    return [name_fork_server(one, keepers) for one in found]


def groups_of(keepers: list[Member]) -> set[Path]:
    """The control groups of keepers, which they hold open: warmcell/NAME in each hierarchy."""
    found = set()
    for one in keepers:
        with contextlib.suppress(OSError):
            links = [fd.readlink() for fd in Path(f"/proc/{one.pid}/fd").iterdir()]
            found |= {link for link in links if link.is_relative_to(CGROUPS)
                      and link.parent.name == "warmcell"}  # fmt: skip
    return found


def private_bytes(pid: int) -> int:
    """The memory that a process has written: code and files that it looks at do not count."""
    return int(status_of(pid)["RssAnon"].split()[0]) * 1024


def holdings(home: Home) -> Holdings:
    """What the programs of a run hold now. Memory and descriptors of the lasting ones alone."""
    everybody = census()
    counts = Counter(one.role for one in everybody)
    descriptors: Counter[str] = Counter()
    memory: Counter[str] = Counter()
    mounts = len(read(os.getpid(), "mountinfo").splitlines())
    for one in everybody:
        if one.role not in LASTING:
            continue
        with contextlib.suppress(OSError, KeyError):
            descriptors[one.role] += processes.descriptors_of(one.pid)
            memory[one.role] += private_bytes(one.pid)
            if one.role == "keeper":
                mounts += len(read(one.pid, "mountinfo").splitlines())
    groups = groups_of([one for one in everybody if one.role == "keeper"])
    inside = sum(len(below) for group in groups for _, below, _ in os.walk(group))
    files = sum(len(below) + len(names) for _, below, names in os.walk(home.path))
    return Holdings(dict(counts), dict(descriptors), dict(memory), mounts, inside, files)


def at_most(now: Mapping[str, int], before: Mapping[str, int]) -> bool:
    return all(number <= before.get(name, 0) for name, number in now.items())


def settled(home: Home, before: Holdings | None, ahead: int = 0) -> Holdings:
    """The holdings once nothing of the kernels that were deleted is left; before: at a time when
    nothing was, either; ahead: sandboxes that the keeper then has ready. Fails when something
    stays. Memory is not looked at: see check_memory."""
    deadline = time.monotonic() + SETTLE_S
    while True:
        processes.reap()
        now = holdings(home)
        if before is None:
            empty = all(role in (*LASTING, "init") for role in now.processes)
            empty = empty and now.processes.get("init", 0) == ahead
            empty = empty and now.processes.get("fork server", 0) <= now.processes["keeper"]
        else:
            empty = (at_most(now.processes, before.processes)
                     and at_most(now.descriptors, before.descriptors)
                     and now.mounts <= before.mounts and now.cgroups <= before.cgroups
                     and now.files <= before.files + FILES_SPARE)  # fmt: skip
        if empty:
            return now
        if time.monotonic() > deadline:
            strange = [one for one in census() if one.role not in LASTING]
            raise Lost(f"after all kernels are deleted there is {now}; before there was {before}; "
                       f"{strange}")  # fmt: skip
        time.sleep(0.05)


def check_memory(before: Holdings, after: Holdings, cycles: int) -> None:
    """Fails when a lasting program's own memory grew by more than allocators keep."""
    for role, size in after.private_bytes.items():
        grown = size - before.private_bytes.get(role, 0)
        if grown > MEMORY_SPARE_BYTES + MEMORY_EACH_BYTES * cycles:
            raise Lost(f"{role}: {grown} bytes more after {cycles} kernels; {before}, {after}")

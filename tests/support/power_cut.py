"""What a disk may show after a power cut, made of the trace that tests/support/power_cut.c writes.

The disk is modelled by what POSIX promises and no more. A file has what was synced, and of each of
its blocks any prefix of what was written since, also none while the file is as long as if it had
all. A name is there when its folder was synced; of the changes of names since, any are. A mode is
what it was when the file was synced with more than its bytes.
"""

from __future__ import annotations

import fcntl
import random
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from support.programs import programs

BLOCK = 4096
# SQLite makes its index of the log anew; places are hints; locks are empty; the audit log and what
# code in a sandbox writes are nobody's promise
PASSED_OVER = ("warmcell.db-shm", "places", "state.lock", "audit.log")

Name = tuple[int, str]  # the folder's inode, and the name in it


@dataclass
class Step:
    kind: str
    time_ns: int
    inode: int
    folder: int
    offset: int
    name: str
    data: bytes


@dataclass
class File:
    kept: bytearray = field(default_factory=bytearray)
    pending: list[tuple[int, Step]] = field(default_factory=list)
    is_folder: bool = False
    link: str | None = None  # of a link, what it says
    mode: int | None = None  # safe; None: as it was made


def read_trace(path: Path) -> list[Step]:
    data, at, steps = path.read_bytes(), 0, []
    while at < len(data):
        end = data.index(b"\n", at)
        kind, when, inode, folder, offset, length, name = data[at:end].decode().split(" ", 6)
        at = end + 1 + int(length)
        steps.append(Step(kind, int(when), int(inode), int(folder), int(offset), name,
                          data[end + 1 : at]))  # fmt: skip
    return steps


class Trace:
    """Where the gateway's steps are written down, between the marks of a test."""

    def __init__(self, home: Path) -> None:
        self.path = home / "trace"
        self.folder = home / "state"
        self.folder.mkdir()
        self.path.touch()

    @property
    def environment(self) -> dict[str, str]:
        library = programs().build / "tests" / "gateway" / "power_cut.so"
        return {"LD_PRELOAD": str(library), "POWER_CUT_TRACE": str(self.path),
                "POWER_CUT_FOLDER": str(self.folder)}  # fmt: skip

    def mark(self, name: str) -> None:
        """Everything that was acknowledged before stands before this in the trace."""
        with self.path.open("ab", buffering=0) as trace:
            fcntl.flock(trace, fcntl.LOCK_EX)
            trace.write(f"A {time.monotonic_ns()} 0 0 0 0 {name}\n".encode())

    def steps(self) -> list[Step]:
        with self.path.open("rb") as trace:
            fcntl.flock(trace, fcntl.LOCK_SH)
            return read_trace(self.path)


class Disk:
    """The folder as it is, and as it is safe, after some of the steps."""

    def __init__(self, root: int) -> None:
        self.root = root
        self.files: dict[int, File] = {root: File(is_folder=True)}
        self.own: dict[int, int] = {root: root}  # inode numbers are used again: ours are not
        self.last = 0
        self.live: dict[Name, int] = {}
        self.kept: dict[Name, int] = {}
        self.pending: list[tuple[int, list[tuple[Name, int]]]] = []
        self.half: tuple[Name, int] | None = None

    def _new(self, inode: int, is_folder: bool = False) -> int:
        self.last -= 1
        self.own[inode] = self.last
        self.files[self.last] = File(is_folder=is_folder)
        return self.last

    def _file(self, inode: int) -> int:
        return self.own[inode] if inode in self.own else self._new(inode)

    def take(self, at: int, step: Step) -> None:
        name = (self.own.get(step.folder, 0), step.name)
        if step.kind in "WTM":
            assert step.inode in self.own, f"step {at}: bytes of a file that nobody saw made"
            self.files[self.own[step.inode]].pending.append((at, step))
        elif step.kind == "O":  # it has no name yet
            self._new(step.inode)
        elif step.kind in "CD":
            self._name(at, [(name, self._new(step.inode, step.kind == "D"))])
        elif step.kind == "Y":
            own = self._new(step.inode)
            self.files[own].link = step.data.decode()
            self._name(at, [(name, own)])
        elif step.kind == "L":
            self._name(at, [(name, self._file(step.inode))])
        elif step.kind == "U":
            self._name(at, [(name, 0)])
        elif step.kind == "r":
            self.half = (name, self.own.get(step.inode, 0))
        elif step.kind == "R":
            assert self.half
            self._name(at, [self.half, (name, self._file(step.inode))])
        elif step.kind in "Ss":
            self._sync(self._file(step.inode), bytes_alone=step.kind == "s")
        elif step.kind == "F":
            for own in self.files:
                self._sync(own)

    def _name(self, at: int, change: list[tuple[Name, int]]) -> None:
        self.pending.append((at, change))
        self._apply(self.live, change)

    @staticmethod
    def _apply(names: dict[Name, int], change: list[tuple[Name, int]]) -> None:
        for name, own in change:
            if own:
                names[name] = own
            else:
                names.pop(name, None)

    def _sync(self, own: int, bytes_alone: bool = False) -> None:
        file = self.files[own]
        if file.is_folder:
            for _, change in [one for one in self.pending if one[1][-1][0][0] == own]:
                self._apply(self.kept, change)
            self.pending = [one for one in self.pending if one[1][-1][0][0] != own]
        steps = [step for _, step in file.pending]
        modes = [one for one in file.pending if one[1].kind == "M"]
        file.kept = contents(file.kept, steps)
        file.pending = modes if bytes_alone else []
        file.mode = file.mode if bytes_alone or not modes else modes[-1][1].offset

    def unsafe_since(self) -> tuple[int, str]:
        """The first step that a power cut may take yet, and of what it is; (-1, "") for none."""
        found: list[tuple[int, str]] = []
        folders = self._kept_folders()
        for at, change in self.pending:
            for (folder, name), _ in change:
                there, safe = self.live.get((folder, name)), self.kept.get((folder, name))
                if folder in folders and name not in PASSED_OVER and there != safe:
                    found.append((at, f"name {name}"))
        for (_, name), own in self.live.items():
            if self.files[own].pending and name not in PASSED_OVER:
                found.append((self.files[own].pending[0][0], f"bytes of {name}"))
        return min(found, default=(-1, ""))

    def _kept_folders(self) -> set[int]:
        """What lies in a folder that is safely gone is gone with it."""
        below: dict[int, list[int]] = defaultdict(list)
        for (folder, _), own in self.kept.items():
            below[folder].append(own)
        found, waiting = set[int](), [self.root]
        while waiting:
            found.add(at := waiting.pop())
            waiting += below[at]
        return found

    def show(self, dice: random.Random | None, target: Path) -> None:
        """Makes one of the folders that the disk may show; without dice, what is safe alone."""
        names = dict(self.kept)
        chance = dice.choice([0.0, 0.5, 1.0]) if dice else 0.0
        for _, change in self.pending:
            if dice and dice.random() < chance:
                self._apply(names, change)
        below: dict[int, list[tuple[str, int]]] = defaultdict(list)
        for (folder, name), own in names.items():
            below[folder].append((name, own))
        self._write(self.root, target, below, dice)

    def _write(
        self,
        own: int,
        path: Path,
        below: dict[int, list[tuple[str, int]]],
        dice: random.Random | None,
    ) -> None:
        file = self.files[own]
        if file.link is not None:
            path.symlink_to(file.link)
            return
        if file.is_folder:
            path.mkdir(exist_ok=True)
            for name, inside in sorted(below[own]):
                self._write(inside, path / name, below, dice)
        else:
            path.write_bytes(after_cut(file, dice) if dice else file.kept)
        modes = [file.mode, *(step.offset for _, step in file.pending if step.kind == "M")]
        mode = dice.choice(modes) if dice else file.mode
        path.chmod(mode if mode is not None else 0o700 if file.is_folder else 0o600)


def contents(kept: bytearray, steps: list[Step]) -> bytearray:
    data = bytearray(kept)
    for step in steps:
        if step.kind == "M":
            continue
        if step.kind == "T":
            data = data[: step.offset].ljust(step.offset, b"\0")
            continue
        data = data.ljust(step.offset, b"\0")
        data[step.offset : step.offset + len(step.data)] = step.data
    return data


def after_cut(file: File, dice: random.Random) -> bytearray:
    steps = [step for _, step in file.pending if step.kind != "M"]
    how = dice.choice(["none", "all", "prefix", "blocks"])
    if how == "none" or not steps:
        return file.kept
    if how == "all":
        return contents(file.kept, steps)
    steps = steps[: dice.randint(0, len(steps))]
    last = max((i for i, step in enumerate(steps) if step.kind == "T"), default=-1) + 1
    data = contents(file.kept, steps[:last])
    if how == "prefix":
        return contents(data, steps[last:])
    return _some_blocks(data, steps[last:], dice)


def _some_blocks(data: bytearray, steps: list[Step], dice: random.Random) -> bytearray:
    """Each block comes to the disk when it pleases; how long the file is, at once."""
    whole = contents(data, steps)
    shown = bytearray(data.ljust(len(whole), b"\0"))
    written: dict[int, list[int]] = defaultdict(list)
    for i, step in enumerate(steps):
        for block in range(step.offset // BLOCK, -(-(step.offset + len(step.data)) // BLOCK)):
            written[block].append(i)
    for block, by in written.items():
        until = dice.choice([0, *(i + 1 for i in by)])
        part = contents(data, [steps[i] for i in by if i < until])
        begin, end = block * BLOCK, (block + 1) * BLOCK
        shown[begin : begin + len(part[begin:end])] = part[begin:end]
    return shown


@dataclass
class Fact:
    """Something that was acknowledged at a place of the trace."""

    at: int
    name: str
    holds: Callable[[object], None]
    safe_at: int = -1  # from here on no power cut may take it


def find_safe(disk_root: int, steps: list[Step], marks: list[int]) -> tuple[list[int], str]:
    """For each marked place the first one behind it where nothing from before it is unsafe; -1:
    there is none, and the text says why."""
    disk, safe, waiting, why = Disk(disk_root), {}, [], ""
    for at, step in enumerate(steps):
        disk.take(at, step)
        if at in marks:
            waiting.append(at)
        if step.kind in "SA" and waiting:
            first, why = disk.unsafe_since()
            for mark in [mark for mark in waiting if first < 0 or first > mark]:
                safe[mark] = at
                waiting.remove(mark)
    return [safe.get(mark, -1) for mark in marks], why

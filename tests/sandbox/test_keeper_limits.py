"""Bombs in sandboxes of a real keeper: each stops by itself at a size that hurts nobody, and each
is stopped before. The control is the same code with room to end. Where the machine
lends control groups they hold the limits, else the keeper's own accounting does."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import processes
from support.keeper.keeper_process import OK, OPEN, USAGE, Asker, Keeper

MIB = 1 << 20
MEMORY = "m = bytearray(int(sys.argv[1])); m[::4096] = b'x' * len(m[::4096]); print('all of it')"
FORKS = """
n = 0
try:
    for n in range(int(sys.argv[1])):
        if os.fork() == 0:
            signal.pause()
    print("all of it", n + 1, flush=True)
except OSError as error:
    print("refused", n, flush=True)
os.kill(0, signal.SIGKILL)
"""
# many files: each is smaller than the limit of one
DISK = """
for n in range(int(sys.argv[1])):
    with open(f"/workspace/{n}", "wb") as file:
        file.write(bytes(1 << 20))
        os.fsync(file.fileno())
print("all of it", flush=True)
signal.pause()
"""
ONE_FILE = """
with open("/workspace/one", "wb", 0) as file:
    try:
        while True:  # nearly all of it holes, so that what the folder holds is no limit
            file.seek((1 << 20) - 1, os.SEEK_CUR)
            file.write(b"x")
    except OSError as error:
        print(os.strerror(error.errno), os.fstat(file.fileno()).st_size, flush=True)
"""
INODES = """
for n in range(int(sys.argv[1])):
    os.mkdir(f"/workspace/{n}")
print("all of it", flush=True)
signal.pause()
"""
FILES = """
held = []
try:
    while len(held) < 500:
        held.append(open("/dev/null"))
except OSError as error:
    print(os.strerror(error.errno), len(held))
"""


@pytest.fixture(scope="module", name="keeper")
def keeper_fixture() -> Iterator[Keeper]:
    with (
        tempfile.TemporaryDirectory(prefix="wcl-") as state,
        Keeper(
            *("--profile", "sandbox", "--state-dir", state, "--read-only", sys.prefix),
        ) as keeper,
    ):
        yield keeper


@pytest.fixture(name="asker")
def asker_fixture(keeper: Keeper) -> Iterator[Asker]:
    asker = keeper.asker()
    yield asker
    asker.close()


def sandbox(asker: Asker, **limits: object) -> str:
    name = f"box-{os.urandom(4).hex()}"
    answer = asker.ask(OPEN, {"sandbox": name, "limits": limits})
    assert answer.kind == OK, answer
    return name


def run(asker: Asker, name: str, code: str, *arguments: object) -> tuple[str, dict[str, Any]]:
    process = asker.start(
        *(sys.executable, "-I", "-c", f"import os, signal, sys\n{code}"),
        *map(str, arguments),
        sandbox=name,
        env={"PATH": "/usr/bin:/bin"},
    )
    return process.output(), asker.end_of(process)


def test_memory(asker: Asker) -> None:
    name = sandbox(asker, memory_bytes=96 * MIB)
    said, end = run(asker, name, MEMORY, 16 * MIB)
    assert (said, end["wait_status"], end["oom"]) == ("all of it\n", 0, False)
    said, end = run(asker, name, MEMORY + "; signal.pause()", 400 * MIB)
    if "MemoryError" not in said and end["wait_status"] != 1 << 8:
        assert said in ("", "all of it\n")
        assert end["wait_status"] == signal.SIGKILL
        assert end["oom"] is True
        assert end["limit_bytes"] == 96 * MIB
        assert end["peak_bytes"] >= 64 * MIB
    # it was told once, and the sandbox lives
    said, end = run(asker, name, "print('still here')")
    assert (said, end["oom"], end["breach"]) == ("still here\n", False, None)


def test_processes(asker: Asker) -> None:
    name = sandbox(asker, processes=24)
    said, _ = run(asker, name, FORKS, 8)
    assert said == "all of it 8\n"
    processes.until(
        lambda: asker.ask(USAGE, {"sandbox": name}).body["processes"] <= 1, "they are reaped"
    )
    said, _ = run(asker, name, FORKS, 200)
    word, number = said.split()
    assert word == "refused"
    assert 16 <= int(number) <= 24


def test_open_files(asker: Asker) -> None:
    name = sandbox(asker, open_files=64)
    assert run(asker, name, FILES)[0].startswith("Too many open files ")


def test_disk(asker: Asker) -> None:
    name = sandbox(asker, workspace_bytes=20 * MIB)
    said, end = run(asker, name, DISK.replace("signal.pause()", ""), 4)
    assert (said, end["wait_status"], end["breach"]) == ("all of it\n", 0, None)
    said, end = run(asker, name, DISK, 100)
    assert end["wait_status"] == signal.SIGKILL
    assert end["breach"].startswith("The sandbox ran out of disk space: its workspace holds ")
    assert end["breach"].endswith(" its limit is 20.0 MiB.")


def test_one_file(asker: Asker) -> None:
    name = sandbox(asker, workspace_bytes=8 * MIB)
    said, _ = run(asker, name, ONE_FILE)
    assert said == f"File too large {8 * MIB}\n"


def test_inodes(asker: Asker) -> None:
    name = sandbox(asker, workspace_inodes=100)
    _, end = run(asker, name, INODES, 300)
    assert end["wait_status"] == signal.SIGKILL
    assert end["breach"].startswith("The sandbox has too many files: its workspace holds ")
    assert end["breach"].endswith(" files and folders, its limit is 100.")


def test_usage(asker: Asker) -> None:
    name = sandbox(asker)
    process = asker.start(
        *(sys.executable, "-I", "-c"),
        "import os, time\nwhile time.process_time() < 0.2: pass\n"
        "open('/workspace/x', 'wb').write(bytes(1 << 20))\nos.sync()\n"
        "m = b'x' * (32 << 20)\nprint('ready', flush=True)\nos.read(3, 1)",
        sandbox=name,
        env={"PATH": "/usr/bin:/bin"},
    )
    assert process.line() == "ready"
    least = {"cpu_s": 0.2, "memory_bytes": 32 * MIB, "memory_peak_bytes": 32 * MIB,
             "processes": 1, "disk_bytes": MIB, "disk_inodes": 1}  # fmt: skip
    usage: dict[str, Any] = {}

    def is_counted() -> bool:
        usage.update(asker.ask(USAGE, {"sandbox": name}).body)
        return all((usage[what] or 0) >= count for what, count in least.items())

    # what is counted by ticks is there with one of the next: the latest may have been before all
    # that it did, or between two of them
    processes.until(is_counted, f"{least} are used")
    assert usage["disk_inodes"] == 1
    process.link.close()
    asker.end_of(process)


def test_who_holds_it(asker: Asker) -> None:
    answer = asker.ask(OPEN, {"sandbox": "who", "limits": {"idle_s": 0}}).body["enforced"]
    assert answer["open_files"] == "rlimit"
    assert answer["workspace_bytes"] == "accounting"
    assert answer["tmp_bytes"] == "tmpfs"
    assert answer["output_bytes"] == "host"
    assert answer["idle_s"] is None
    groups = Path("/sys/fs/cgroup/memory").is_dir() and os.geteuid() == 0
    if groups:
        assert answer["memory_bytes"].startswith("cgroup-v")
    else:
        assert answer["memory_bytes"] in ("accounting", "cgroup-v1", "cgroup-v2")

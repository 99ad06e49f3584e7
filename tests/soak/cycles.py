"""Create, run, delete: thousands of kernels through one gateway that must not grow.

Kernels end in every way there is (idle, busy, crashed, with and without their client); afterwards
the gateway has no descriptor, process or file more than before, and hardly more memory.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from account import Lost, run_cell
from harness import processes, servers
from harness.home import Home
from harness.message import execute_content
from harness.servers import Server
from harness.websocket import KernelSocket

WARM_UP = 20
IDLE_PROCESSES = 6  # gateway, keepers of two processes each at most, and their fork servers
GROWTH_BYTES_EACH = 2048
GROWTH_BYTES_FREE = 8 * 1024 * 1024  # what the allocator may keep, whatever the number of cycles


@dataclass(frozen=True)
class Holdings:
    """What a gateway holds at one time."""

    descriptors: int
    processes: int
    files: int
    rss_bytes: int


def holdings(server: Server) -> Holdings:
    """Counts what belongs to the gateway: open descriptors, descendants, files, memory."""
    pid = server.process.pid
    files = sum(len(folders) + len(names) for _, folders, names in os.walk(server.home.path))
    return Holdings(
        processes.descriptors_of(pid),
        len(processes.live_tree_of(os.getpid())) - 1,
        files,
        processes.rss_bytes(pid),
    )


def delete_idle(server: Server, kernel_id: str, client: KernelSocket) -> None:
    client.close()
    server.end_kernel(kernel_id)


def delete_attached(server: Server, kernel_id: str, client: KernelSocket) -> None:
    server.end_kernel(kernel_id)
    client.close()


def delete_busy(server: Server, kernel_id: str, client: KernelSocket) -> None:
    client.send("execute_request", execute_content("while True: print('x' * 1000)"))
    client.receive()
    server.end_kernel(kernel_id)
    client.close()


def delete_crashed(server: Server, kernel_id: str, client: KernelSocket) -> None:
    client.send("execute_request", execute_content("import os; os.kill(os.getpid(), 9)"))
    client.receive()
    server.end_kernel(kernel_id)
    client.close()


def delete_interrupted(server: Server, kernel_id: str, client: KernelSocket) -> None:
    client.send("execute_request", execute_content("while True: pass"))
    server.call("POST", f"/api/kernels/{kernel_id}/interrupt", 204)
    client.close()
    server.end_kernel(kernel_id)


ENDINGS: tuple[Callable[[Server, str, KernelSocket], None], ...] = (
    delete_idle,
    delete_attached,
    delete_busy,
    delete_crashed,
    delete_interrupted,
)


def cycle(server: Server, number: int) -> None:
    """One kernel's life."""
    kernel_id = server.start_kernel("warmcell")
    with contextlib.closing(server.open(kernel_id)) as client:
        run_cell(client, f"print({number} * 7)").check_whole(f"{number * 7}\n")
        ENDINGS[number % len(ENDINGS)](server, kernel_id, client)


def settled(
    server: Server, baseline: Holdings | None, count: Callable[[Server], Holdings] = holdings
) -> Holdings:
    """The holdings once the processes of deleted kernels are gone; fails when they stay."""
    deadline = time.monotonic() + 30
    while True:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            now = count(server)
            enough = IDLE_PROCESSES if baseline is None else baseline.processes
            descriptors = now.descriptors if baseline is None else baseline.descriptors
            if now.processes <= enough and now.descriptors <= descriptors:
                return now
            if time.monotonic() > deadline:
                raise Lost(f"the gateway holds {now} after all kernels are deleted, was {baseline}")
        time.sleep(0.05)


def check_growth(before: Holdings, after: Holdings, cycles: int) -> None:
    """Fails when the gateway kept something of the kernels that are gone."""
    if after.files > before.files + 4:  # a database's companions, a log's next segment
        raise Lost(f"{after.files - before.files} files more after {cycles} kernels")
    allowed = GROWTH_BYTES_FREE + GROWTH_BYTES_EACH * cycles
    if after.rss_bytes > before.rss_bytes + allowed:
        grown = after.rss_bytes - before.rss_bytes
        raise Lost(f"the gateway grew by {grown} bytes over {cycles} kernels")


def list_new_files(home: Path, known: set[str]) -> list[str]:
    """The files of a home that were not there before."""
    return sorted(str(path) for path in home.rglob("*") if str(path) not in known)


def run(cycles: int, parallel: int, say: Callable[[str], None]) -> str:
    """The whole proof; a sentence that says what was proven."""
    home = Home()
    server = Server(servers.ours(), home)
    try:
        with ThreadPoolExecutor(parallel) as pool:
            list(pool.map(lambda n: cycle(server, n), range(min(WARM_UP, cycles))))
            before = settled(server, None)
            known = {str(path) for path in home.path.rglob("*")}
            began = time.monotonic()
            for first in range(0, cycles, 100):
                batch = range(first, min(first + 100, cycles))
                list(pool.map(lambda n: cycle(server, n), batch))
                now = settled(server, before)
                say(f"cycles: {batch.stop} of {cycles}, {now.descriptors} descriptors, "
                    f"{now.rss_bytes >> 20} MB, {time.monotonic() - began:.0f} s")  # fmt: skip
        after = settled(server, before)
        try:
            check_growth(before, after, cycles)
        except Lost as lost:
            left = list_new_files(home.path, known)
            raise Lost(f"{lost}\nnew files: {left[:20]}") from None
        if server.call("GET", "/api/kernels", 200):
            raise Lost("deleted kernels are still listed")
    finally:
        server.stop()
        home.close()
    return f"{cycles} kernels came and went; before {before}, after {after}"

"""Create, run, delete: thousands of kernels through one gateway that must not grow.

Kernels end in every way there is (idle, busy, crashed, with and without their client); afterwards
there is no process, descriptor or file more than before, and hardly more memory.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from account import Lost, run_cell
from census import Holdings, check_memory, settled
from harness import servers
from harness.home import Home
from harness.message import execute_content
from harness.servers import Server
from harness.websocket import KernelSocket

WARM_UP = 20


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


def settle(home: Home, before: Holdings, known: set[str]) -> Holdings:
    """settled(), which names new files when it fails."""
    try:
        return settled(home, before)
    except Lost as lost:
        left = sorted(str(path) for path in home.path.rglob("*") if str(path) not in known)
        raise Lost(f"{lost}\nnew files: {left[:20]}") from None


def run(cycles: int, parallel: int, say: Callable[[str], None]) -> str:
    """The whole proof; a sentence that says what was proven."""
    home = Home()
    server = Server(servers.ours(), home)
    try:
        with ThreadPoolExecutor(parallel) as pool:
            list(pool.map(lambda n: cycle(server, n), range(min(WARM_UP, cycles))))
            before = settled(home, None)
            known = {str(path) for path in home.path.rglob("*")}
            began = time.monotonic()
            for first in range(0, cycles, 100):
                batch = range(first, min(first + 100, cycles))
                list(pool.map(lambda n: cycle(server, n), batch))
                now = settle(home, before, known)
                say(f"cycles: {batch.stop} of {cycles}, {time.monotonic() - began:.0f} s; "
                    f"{now.memory()}")  # fmt: skip
        after = settle(home, before, known)
        check_memory(before, after, cycles)
        if server.call("GET", "/api/kernels", 200):
            raise Lost("deleted kernels are still listed")
    finally:
        server.stop()
        home.close()
    return f"{cycles} kernels came and went; before {before}, after {after}"

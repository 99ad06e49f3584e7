"""Sandboxes that come and go by the thousand, and hundreds that live at once: each answers, and
afterwards nothing is left in the gateway, its keeper, the control groups, the mounts or on disk.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from account import Lost, run_cell
from census import AHEAD, Holdings, check_memory, settled
from harness.home import Home
from harness.message import execute_content
from harness.sandboxes import Sandbox, gateway, metrics, wait_warm
from harness.servers import Server
from harness.websocket import KernelSocket

WARM_UP = 20
DAEMONS = """
import subprocess
for _ in range(3):
    subprocess.Popen(["sleep", "1000"], start_new_session=True)
"""
FILES = """
import os
for n in range(50):
    os.makedirs(f"d{n}/e")
    open(f"d{n}/f", "w").write("x")
"""


def delete_idle(sandbox: Sandbox, client: KernelSocket) -> None:
    client.close()
    sandbox.delete()


def delete_busy(sandbox: Sandbox, client: KernelSocket) -> None:
    client.send("execute_request", execute_content("while True: print('x' * 1000)"))
    client.receive()
    sandbox.delete()


def delete_with_daemons(sandbox: Sandbox, client: KernelSocket) -> None:
    run_cell(client, DAEMONS)
    sandbox.delete()


def delete_crashed(sandbox: Sandbox, client: KernelSocket) -> None:
    client.send("execute_request", execute_content("import os; os.kill(os.getpid(), 11)"))
    client.receive()
    sandbox.delete()


def delete_full(sandbox: Sandbox, client: KernelSocket) -> None:
    run_cell(client, FILES)
    sandbox.delete()


KINDS = ("user", "mnt", "pid", "net", "ipc", "uts")
ENDINGS = (delete_idle, delete_busy, delete_with_daemons, delete_crashed, delete_full)


def cycle(server: Server, number: int) -> None:
    """One sandbox's life."""
    sandbox = Sandbox(server)
    with contextlib.closing(sandbox.open()) as client:
        run_cell(client, f"print({number} * 7)").check_whole(f"{number * 7}\n")
        ENDINGS[number % len(ENDINGS)](sandbox, client)


def memory_bytes() -> int:
    """What the machine has left, as the kernel reckons it."""
    lines = (line.split() for line in Path("/proc/meminfo").read_text().splitlines())
    return next(int(words[1]) * 1024 for words in lines if words[0] == "MemAvailable:")


def live_at_once(server: Server, count: int, say: Callable[[str], None]) -> str:
    """Makes so many sandboxes, asks each while all live, and deletes them; what that took."""
    made: list[Sandbox] = []
    before, began = memory_bytes(), time.monotonic()
    with ThreadPoolExecutor(2) as pool:
        for number, sandbox in enumerate(pool.map(lambda _: Sandbox(server), range(count)), 1):
            made.append(sandbox)
            if number % 50 == 0:
                say(f"sandboxes: {number} live, {time.monotonic() - began:.1f} s")
        for number, sandbox in enumerate(made):
            with contextlib.closing(sandbox.open()) as client:
                run_cell(client, f"print({number} * 3)").check_whole(f"{number * 3}\n")
        all_s, used = time.monotonic() - began, before - memory_bytes()
        check_isolated(server, made)
        list(pool.map(Sandbox.delete, made))
    return (f"{count} lived at once and answered after {all_s:.0f} s, with "
            f"{used / count / 2**20:.1f} MiB of the machine's memory each")  # fmt: skip


def spaces(sandbox: Sandbox) -> list[str]:
    """The namespaces that a cell of it is in."""
    code = f"import os\nfor kind in {KINDS}: print(os.readlink('/proc/self/ns/' + kind))"
    with contextlib.closing(sandbox.open()) as client:
        found = run_cell(client, code).text.split()
    if len(found) != len(KINDS):
        raise Lost(f"a cell says that its namespaces are {found}")
    return found


def check_isolated(server: Server, made: list[Sandbox]) -> None:
    """Fails unless all live, each in six namespaces that are neither another's nor ours."""
    if (live := metrics(server)["warmcell_sandboxes"]) != len(made):
        raise Lost(f"{len(made)} sandboxes were made; {live} live")
    found = [spaces(sandbox) for sandbox in made]
    for kind, names in zip(KINDS, zip(*found, strict=True), strict=True):
        ours = str(Path(f"/proc/self/ns/{kind}").readlink())
        if len({*names, ours}) != len(made) + 1:
            raise Lost(f"{len(made)} sandboxes are in {len({*names} - {ours})} {kind} namespaces")


def prove(
    server: Server, cycles: int, live: int, say: Callable[[str], None]
) -> tuple[Holdings, Holdings, str]:
    home = server.home
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda n: cycle(server, n), range(WARM_UP)))
        wait_warm(server)
        together = live_at_once(server, live, say)
        before = settled(home, None, AHEAD)
        began = time.monotonic()
        for first in range(0, cycles, 100):
            batch = range(first, min(first + 100, cycles))
            list(pool.map(lambda n: cycle(server, n), batch))
            now = settled(home, before)
            say(f"sandboxes: {batch.stop} of {cycles}, {time.monotonic() - began:.0f} s; "
                f"{now.memory()}")  # fmt: skip
    after = settled(home, before)
    check_memory(before, after, cycles)
    return before, after, together


def run(cycles: int, live: int, say: Callable[[str], None]) -> str:
    """The whole proof; a sentence that says what was proven. Who is not root sees too little of the
    processes of others to count what is left: then without the cycles."""
    home = Home()
    server = Server(gateway("--pool-max=0", "--preload=json,numpy"), home)
    try:
        if os.geteuid() != 0:
            cycle(server, 0)
            wait_warm(server)
            return f"{live_at_once(server, live, say)}, as an ordinary user; nothing was counted"
        before, after, together = prove(server, cycles, live, say)
        left = list((home.path / ".local/state/warmcell/sandboxes").iterdir())
        if len(left) > AHEAD:
            raise Lost(f"folders are left: {left[:20]}")
    finally:
        server.stop()
        home.close()
    return f"{together}; {cycles} sandboxes came and went; before {before}, after {after}"

"""Sandboxes that come and go by the thousand, and hundreds that live at once: each answers, and
afterwards nothing is left in the gateway, its keeper, the control groups, the mounts or on disk.
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
from cycles import Holdings, check_growth, holdings, settled
from harness import processes
from harness.home import Home
from harness.message import execute_content
from harness.sandboxes import Sandbox, gateway, metrics, wait_warm
from harness.servers import Server
from harness.websocket import KernelSocket

WARM_UP = 20
KEEPER_GROWTH_BYTES = 4 * 1024 * 1024  # what allocators keep, whatever the number of cycles
KEEPER_GROWTH_BYTES_EACH = 512
CGROUPS = "/sys/fs/cgroup"
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


@dataclass(frozen=True)
class KeeperHoldings:
    """What the keepers of this run hold, all their processes together."""

    processes: int
    descriptors: int
    mounts: int
    rss_bytes: int
    cgroups: int


def keepers() -> list[int]:
    """The processes of keepers: their own two, and their fork servers."""
    found = []
    for pid in processes.live_tree_of(os.getpid()):
        with contextlib.suppress(OSError):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if words[0].endswith(b"warmcell-keeper") or b"--fork-server" in words:
                found.append(pid)
    return found


def cgroups(pids: list[int]) -> int:
    """Folders in the control groups that keepers hold open as their own."""
    own: set[str] = set()
    for pid in pids:
        with contextlib.suppress(OSError):
            links = [str(fd.readlink()) for fd in Path(f"/proc/{pid}/fd").iterdir()]
            own |= {link for link in links if "/warmcell-" in link and link.startswith(CGROUPS)}
    return sum(len(folders) for top in own for _, folders, _ in os.walk(top))


def keeper_holdings() -> KeeperHoldings:
    pids = keepers()
    descriptors = mounts = rss = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            descriptors += processes.descriptors_of(pid)
            mounts = max(mounts, len(Path(f"/proc/{pid}/mountinfo").read_text().splitlines()))
            rss += processes.rss_bytes(pid)
    return KeeperHoldings(len(pids), descriptors, mounts, rss, cgroups(pids))


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


ENDINGS = (delete_idle, delete_busy, delete_with_daemons, delete_crashed, delete_full)


def cycle(server: Server, number: int) -> None:
    """One sandbox's life."""
    sandbox = Sandbox(server)
    with contextlib.closing(sandbox.open()) as client:
        run_cell(client, f"print({number} * 7)").check_whole(f"{number * 7}\n")
        ENDINGS[number % len(ENDINGS)](sandbox, client)


def check_keepers(before: KeeperHoldings, cycles: int) -> KeeperHoldings:
    """Fails when a keeper kept something of the sandboxes that are gone."""
    deadline = time.monotonic() + 30
    while True:
        now = keeper_holdings()
        allowed = KEEPER_GROWTH_BYTES + KEEPER_GROWTH_BYTES_EACH * cycles
        same = (now.processes <= before.processes and now.descriptors <= before.descriptors
                and now.mounts <= before.mounts and now.cgroups <= before.cgroups
                and now.rss_bytes <= before.rss_bytes + allowed)  # fmt: skip
        if same:
            return now
        if time.monotonic() > deadline:
            raise Lost(f"the keepers hold {now} after {cycles} sandboxes, was {before}")
        time.sleep(0.1)


def live_at_once(server: Server, count: int, say: Callable[[str], None]) -> None:
    """Makes so many sandboxes, asks each while all live, and deletes them."""
    made: list[Sandbox] = []
    with ThreadPoolExecutor(2) as pool:
        for number, sandbox in enumerate(pool.map(lambda _: Sandbox(server), range(count)), 1):
            made.append(sandbox)
            if number % 50 == 0:
                say(f"sandboxes: {number} live")
        for number, sandbox in enumerate(made):
            with contextlib.closing(sandbox.open()) as client:
                run_cell(client, f"print({number} * 3)").check_whole(f"{number * 3}\n")
        if metrics(server)["warmcell_sandboxes"] != count:
            raise Lost(f"{count} sandboxes were made; {metrics(server)['warmcell_sandboxes']} live")
        list(pool.map(Sandbox.delete, made))


def prove(
    server: Server, cycles: int, live: int, say: Callable[[str], None]
) -> tuple[Holdings, Holdings, KeeperHoldings]:
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda n: cycle(server, n), range(WARM_UP)))
        wait_warm(server)
        before = settled(server, None)
        kept = keeper_holdings()
        began = time.monotonic()
        for first in range(0, cycles, 100):
            batch = range(first, min(first + 100, cycles))
            list(pool.map(lambda n: cycle(server, n), batch))
            say(f"sandboxes: {batch.stop} of {cycles}, {time.monotonic() - began:.0f} s")
    live_at_once(server, live, say)
    after = settled(server, before, holdings)
    check_growth(before, after, cycles + live)
    return before, after, check_keepers(kept, cycles + live)


def run(cycles: int, live: int, say: Callable[[str], None]) -> str:
    """The whole proof; a sentence that says what was proven."""
    home = Home()
    server = Server(gateway("--pool-max=0", "--preload=json,numpy"), home)
    try:
        before, after, kept = prove(server, cycles, live, say)
        left = list((home.path / ".local/state/warmcell/sandboxes").iterdir())
        if left:
            raise Lost(f"folders are left: {left[:20]}")
    finally:
        server.stop()
        home.close()
    return (f"{cycles} sandboxes came and went, {live} at once; before {before}, after {after}, "
            f"keepers {kept}")  # fmt: skip

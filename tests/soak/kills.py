"""kill -9 of the gateway, a host or an interpreter at random points, with exact output accounting.

- The gateway: it comes back, finds its kernel still running, and the returning session gets every
  line of the cell, its reply and its idle.
- The interpreter: everything that it had flushed arrives, then an error that says why, the reply
  and idle; and the next cell runs in a new interpreter.
- The host: what arrived is the beginning of what was written, the interpreter ends with it, and the
  gateway starts the kernel again.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

from account import Lost, run_cell
from census import census
from harness import processes, servers
from harness.home import Home
from harness.processes import BenchError
from harness.servers import Server
from load import TEXT, Load

VICTIMS = ("gateway", "interpreter", "host")


class Scene:
    """A gateway with one kernel under load."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.home = Home()
        self.server = Server(servers.ours(), self.home)
        mark = self.home.work / "mark"
        self.load = Load(self.server, self.server.start_kernel("warmcell"), str(mark), mark)
        self.host, self.interpreter = self.find_processes()

    def find_host(self) -> int | None:
        return next((one.pid for one in census() if one.role == "host"), None)

    def find_processes(self) -> tuple[int, int]:
        host = self.find_host()
        if host is None:
            raise Lost("the kernel has no host")
        return host, self.load.pid()

    def close(self) -> None:
        self.load.close()
        self.server.stop()
        self.home.close()

    def turn(self, victim: str) -> None:
        """Starts the cell, kills the victim somewhere in it, and settles the account."""
        self.load.begin()
        delay = self.chance.choice((0.0, 0.01, 0.05, 0.2)) * self.chance.random() * 2
        self.load.receive_for(delay)
        try:
            TURNS[victim](self)
        except BenchError as error:
            raise Lost(f"{victim} killed {delay * 1000:.0f} ms into the cell: {error}") from None


def kill_gateway(scene: Scene) -> None:
    os.kill(scene.server.process.pid, signal.SIGKILL)
    scene.server.process.wait()
    scene.load.drain()
    scene.server.start_again()
    scene.load.reconnect()
    scene.load.check_whole()
    if scene.find_processes() != (scene.host, scene.interpreter):
        raise Lost("the kernel is another one")


def kill_interpreter(scene: Scene) -> None:
    os.kill(scene.interpreter, signal.SIGKILL)
    # killed between two cells: the host had sent the second before it saw the death
    scene.load.check_again(ended_well=scene.load.check_broken())
    host, scene.interpreter = scene.find_processes()
    if host != scene.host:
        raise Lost("the host is another one")


def kill_host(scene: Scene) -> None:
    os.kill(scene.host, signal.SIGKILL)
    deadline = time.monotonic() + 30
    while Path(f"/proc/{scene.interpreter}").exists():
        processes.reap()
        if time.monotonic() > deadline:
            raise Lost("the interpreter outlives its host")
        time.sleep(0.01)
    while scene.find_host() in (None, scene.host):
        if time.monotonic() > deadline:
            raise Lost("the gateway does not start the kernel again")
        scene.load.receive_for(0.05)
    run_cell(scene.load.client, "print('again')", scene.load.account).check_whole("again\n")
    scene.host, scene.interpreter = scene.find_processes()
    scene.load.cell().check_prefix(TEXT, 0)


TURNS: dict[str, Callable[[Scene], None]] = {
    "gateway": kill_gateway,
    "interpreter": kill_interpreter,
    "host": kill_host,
}


def run(seconds: float, seed: int, say: Callable[[str], None]) -> str:
    """The whole proof; a sentence that says what was proven."""
    counts = dict.fromkeys(VICTIMS, 0)
    scene = Scene(random.Random(seed))
    began = time.monotonic()
    try:
        while time.monotonic() - began < seconds or not all(counts.values()):
            victim = VICTIMS[sum(counts.values()) % len(VICTIMS)]
            try:
                scene.turn(victim)
            except BenchError as error:
                raise Lost(
                    f"{error} (seed {seed}, after {counts})\n{scene.home.log_tail()}"
                ) from None
            counts[victim] += 1
            say(f"kills: {counts}, {time.monotonic() - began:.0f} of {seconds:.0f} s")
    finally:
        scene.close()
    return f"killed {counts} (seed {seed}); no line lost, {scene.load.doubles} messages came twice"

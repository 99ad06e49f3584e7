"""kill -9 of everything that stands behind two sandboxes under load, at random points.

What goes on is exact: output that nobody broke is whole. What ends says so: all that was flushed,
an error, the reply, idle. After each there is nobody who should have ended, nothing of the dead in
the control groups, and the sandbox works again, with its workspace.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

from account import Lost, run_cell
from census import AHEAD, Member, census, groups_of
from harness import processes
from harness.home import Home
from harness.processes import BenchError
from harness.sandboxes import Sandbox, gateway, wait_warm
from harness.servers import Server
from load import TEXT, Load

SIDES = 2  # sandboxes; one is hit, the other is its neighbour
PATIENCE_S = 30
WHERE = "import os\nprint(os.readlink('/proc/self/ns/pid'))"
KEEP = "open('/workspace/kept', 'w').write('kept')"
KEPT = "print(open('/workspace/kept').read())"


def until(what: str, happened: Callable[[], bool]) -> None:
    """Waits for what must come; a Lost when it does not."""
    deadline = time.monotonic() + PATIENCE_S
    while not happened():
        if time.monotonic() > deadline:
            raise Lost(f"not within {PATIENCE_S} s: {what}")
        processes.reap()
        time.sleep(0.01)


def only(found: Iterable[Member], what: str) -> Member:
    members = list(found)
    if len(members) != 1:
        raise Lost(f"there should be one {what}, not {members}")
    return members[0]


def is_told(one: Member, word: str) -> bool:
    """Whether a word is on its command line; one that has just ended has none."""
    try:
        return word.encode() in Path(f"/proc/{one.pid}/cmdline").read_bytes()
    except OSError:
        return False


class Side:
    """One sandbox, the load in it, and its processes."""

    def __init__(self, server: Server) -> None:
        self.sandbox = Sandbox(server)
        folder = server.home.path / ".local/state/warmcell/sandboxes" / self.sandbox.id
        mark = folder / "workspace" / "mark"
        self.load = Load(server, self.sandbox.kernel_id, "/workspace/mark", mark)
        run_cell(self.load.client, KEEP).check_whole("")
        self.look()

    def look(self) -> None:
        """Finds its host, by its command line, and what runs in its PID namespace."""
        space = run_cell(self.load.client, WHERE).text.strip()
        everybody = census()
        hosts = (one for one in everybody if one.role == "host")
        self.host = only((one for one in hosts if is_told(one, self.sandbox.id)), "host")
        inside = [one for one in everybody if one.namespace == space]
        self.init = only((one for one in inside if one.role == "init"), "init")
        self.interpreter = only((one for one in inside if one.role == "interpreter"), "interpreter")

    def check_same(self, *roles: str) -> None:
        """Looks again, and fails unless these processes are the ones that were there."""
        before = {role: getattr(self, role) for role in roles}
        self.look()
        for role, one in before.items():
            if getattr(self, role).pid != one.pid:
                raise Lost(f"the {role} is another one")

    def check_works(self) -> None:
        """Fails unless it comes back to life by itself, with its workspace."""

        def works() -> bool:
            model = self.sandbox.server.call("GET", f"/v1/sandboxes/{self.sandbox.id}", 200)
            if model["state"] == "failed":
                raise Lost(f"the sandbox failed: {model['reason']}")
            # a host whose sandbox is gone answers with an error, ends, and is started again
            return run_cell(self.load.client, KEPT).reply.get("status") == "ok"

        until("the sandbox runs a cell again", works)
        run_cell(self.load.client, KEPT).check_whole("kept\n")
        self.look()

    def close(self) -> None:
        self.load.close()
        self.sandbox.delete()


class Scene:
    """A gateway with sandboxes under load."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.home = Home()
        self.server = Server(gateway("--pool-max=0", "--preload=json"), self.home)
        self.doubles = 0
        self.sides = [Side(self.server) for _ in range(SIDES)]
        wait_warm(self.server)
        until("sandboxes made ahead", lambda: self.roles()["init"] == SIDES + AHEAD)
        self.cast = self.roles()

    def roles(self) -> Counter[str]:
        return Counter(one.role for one in census())

    @property
    def hit(self) -> Side:
        return self.sides[0]

    @property
    def neighbours(self) -> list[Side]:
        return self.sides[1:]

    def keeper(self) -> Member:
        parent = self.hit.init.parent
        return only((one for one in census() if one.pid == parent), "keeper")

    def fork_server(self) -> Member | None:
        parent = self.hit.init.parent
        servers = [one for one in census() if one.role == "fork server" and one.parent == parent]
        return servers[0] if len(servers) == 1 else None

    def renew(self, side: Side) -> None:
        """Another sandbox in its place: one that dies again and again is not started for ever."""
        side.close()
        self.doubles += side.load.doubles
        self.sides[self.sides.index(side)] = Side(self.server)

    def turn(self, victim: str) -> None:
        """Starts the cells, kills the victim somewhere in them, and settles the accounts."""
        self.chance.shuffle(self.sides)
        for side in self.sides:
            side.load.begin()
        delay = self.chance.choice((0.0, 0.01, 0.05, 0.2)) * self.chance.random() * 2
        self.hit.load.receive_for(delay)
        try:
            TURNS[victim](self)
            until(f"{dict(self.cast)}, and nobody else", lambda: self.roles() == self.cast)
        except BenchError as error:
            raise Lost(
                f"{victim} killed {delay * 1000:.0f} ms into the cell: {error}\n{census()}"
            ) from None

    def close(self) -> None:
        for side in self.sides:
            side.close()
        until("no host or interpreter", lambda: not self.roles() & KERNELS)
        until("no init but those ahead", lambda: self.roles()["init"] == AHEAD)
        self.server.stop()
        self.home.close()


KERNELS = Counter({"host": 1, "interpreter": 1})


def kill(one: Member) -> None:
    os.kill(one.pid, signal.SIGKILL)


def gone(*members: Member) -> Callable[[], bool]:
    """Whether these have ended, whoever reaps them."""

    def have_ended() -> bool:
        alive = set(processes.live_tree_of(os.getpid()))
        return not any(one.pid in alive for one in members)

    return have_ended


def kill_gateway(scene: Scene) -> None:
    os.kill(scene.server.process.pid, signal.SIGKILL)
    scene.server.process.wait()
    for side in scene.sides:
        side.load.drain()
    scene.server.start_again()
    for side in scene.sides:
        side.load.reconnect()
        side.load.check_whole()
        side.check_same("host", "init", "interpreter")


def kill_interpreter(scene: Scene) -> None:
    kill(scene.hit.interpreter)
    scene.hit.load.check_again(ended_well=scene.hit.load.check_broken())
    scene.hit.check_same("host", "init")
    check_neighbours(scene)


def kill_host(scene: Scene) -> None:
    kill(scene.hit.host)
    until("the interpreter ends with its host", gone(scene.hit.interpreter))
    scene.hit.load.receive_rest().check_prefix(TEXT, 0)
    scene.hit.check_works()
    check_neighbours(scene)
    scene.renew(scene.hit)


def kill_init(scene: Scene) -> None:
    kill(scene.hit.init)
    until("what is inside ends with its init", gone(scene.hit.interpreter))
    scene.hit.load.check_broken()
    scene.hit.check_works()
    check_neighbours(scene)
    scene.renew(scene.hit)


def kill_fork_server(scene: Scene) -> None:
    killed = scene.fork_server()
    if killed is None:
        raise Lost("there is no fork server")
    kill(killed)
    for side in scene.sides:
        side.load.check_whole()
        side.check_same("host", "init", "interpreter")
    until("another fork server", lambda: scene.fork_server() not in (None, killed))
    wait_warm(scene.server)


def kill_keeper(scene: Scene) -> None:
    keeper = scene.keeper()
    groups = groups_of([keeper])
    inside = [one for side in scene.sides for one in (side.init, side.interpreter)]
    kill(keeper)
    until("all that it kept ends with the keeper", gone(*inside))
    for side in scene.sides:
        side.load.check_broken()
        side.check_works()
    until("no control group of the dead keeper", lambda: not any(map(Path.exists, groups)))
    wait_warm(scene.server)
    for side in list(scene.sides):
        scene.renew(side)


def check_neighbours(scene: Scene) -> None:
    for side in scene.neighbours:
        side.load.check_whole()
        side.check_same("host", "init", "interpreter")


TURNS: dict[str, Callable[[Scene], None]] = {
    "gateway": kill_gateway,
    "interpreter": kill_interpreter,
    "host": kill_host,
    "init": kill_init,
    "fork server": kill_fork_server,
    "keeper": kill_keeper,
}


def run(seconds: float, seed: int, say: Callable[[str], None]) -> str:
    """The whole proof; a sentence that says what was proven."""
    chance = random.Random(seed)
    counts = dict.fromkeys(TURNS, 0)
    began = time.monotonic()
    scene = Scene(chance)
    try:
        while time.monotonic() - began < seconds or not all(counts.values()):
            rarest = min(counts.values())
            victim = chance.choice([name for name in TURNS if counts[name] == rarest])
            try:
                scene.turn(victim)
            except BenchError as error:
                raise Lost(
                    f"{error} (seed {seed}, after {counts})\n{scene.home.log_tail()}"
                ) from None
            counts[victim] += 1
            say(f"sandbox-kills: {counts}, {time.monotonic() - began:.0f} of {seconds:.0f} s")
    finally:
        scene.close()
    return f"killed {counts} (seed {seed}); no line lost, {scene.doubles} messages came twice"

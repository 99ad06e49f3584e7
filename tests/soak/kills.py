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

from account import Account, Cell, Lost, run_cell
from harness import processes, servers
from harness.home import Home
from harness.message import execute_content
from harness.processes import BenchError
from harness.servers import Server
from harness.websocket import KernelSocket

LINES = 4000
TEXT = "".join(f"line {i:05d}\n" for i in range(LINES))
LINE_CHARS = len("line 00000\n")

# each line is flushed and then counted in a file that survives the process
CODE = """
import os, time
def count_lines(path):
    with open(path, "wb", 0) as done:
        for i in range({lines}):
            print(f"line {{i:05d}}", flush=True)
            os.pwrite(done.fileno(), b"%08d" % (i + 1), 0)
            if i % 100 == 99: time.sleep(0.005)
count_lines({path!r})
"""

PATIENCE_S = 20  # without any message, while something is owed

VICTIMS = ("gateway", "interpreter", "host")


class Scene:
    """A gateway with one kernel, and a session that comes back to it."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.home = Home()
        self.server = Server(servers.ours(), self.home)
        self.doubles = 0
        self.new_kernel()

    def new_kernel(self) -> None:
        self.kernel_id = self.server.start_kernel("warmcell")
        self.client = self.server.open(self.kernel_id)
        self.client.socket.settimeout(PATIENCE_S)
        run_cell(self.client, "pass").check_whole("")
        self.host, self.interpreter = self.find_processes()

    def find_host(self) -> int | None:
        for pid in processes.tree_of(os.getpid()):
            exe = Path(f"/proc/{pid}/exe")
            if exe.exists() and exe.resolve().name == "warmcell-kernel":
                return pid
        return None

    def find_processes(self) -> tuple[int, int]:
        """The host, and the interpreter, which says its pid: one that was forked is the keeper's
        child."""
        host = self.find_host()
        if host is None:
            raise Lost("the kernel has no host")
        said = run_cell(self.client, "import os\nprint(os.getpid())").text
        if not said.strip().isdigit():
            raise Lost(f"the interpreter says {said!r} when asked for its pid")
        return host, int(said)

    def reconnect(self) -> None:
        session = self.client.session
        self.client.close()
        self.client = self.server.open(self.kernel_id, session=session)
        self.client.socket.settimeout(PATIENCE_S)

    def close(self) -> None:
        self.client.close()
        self.server.stop()
        self.home.close()

    def turn(self, victim: str) -> None:
        """Starts the cell, kills the victim somewhere in it, and settles the account."""
        mark = self.home.work / "mark"
        mark.unlink(missing_ok=True)
        account = Account()
        code = CODE.format(lines=LINES, path=str(mark))
        request = self.client.send("execute_request", execute_content(code))
        while not account.of(request).states:  # a request is owed an answer once busy says so
            account.add(self.client.receive())
        delay = self.chance.choice((0.0, 0.01, 0.05, 0.2)) * self.chance.random() * 2
        self.receive_for(account, delay)
        try:
            TURNS[victim](self, account, request, mark)
        except BenchError as error:
            raise Lost(f"{victim} killed {delay * 1000:.0f} ms into the cell: {error}") from None
        self.doubles += account.doubles

    def receive_for(self, account: Account, seconds: float) -> None:
        """Receives for a while, so that the kill meets output on its way."""
        until = time.monotonic() + seconds
        whole_s = self.client.socket.gettimeout()
        try:
            while (left := until - time.monotonic()) > 0:
                self.client.socket.settimeout(max(0.001, left))
                account.add(self.client.receive())
        except BenchError:
            pass  # nothing more came in time
        finally:
            self.client.socket.settimeout(whole_s)

    def receive_rest(self, account: Account, request: bytes) -> Cell:
        """Receives until the cell has ended."""
        while not account.has_ended(request):
            try:
                account.add(self.client.receive())
            except BenchError as error:
                so_far = account.of(request)
                raise Lost(
                    f"{error}; so far {len(so_far.text)} characters, states {so_far.states}, "
                    f"reply {so_far.reply}"
                ) from None
        return account.of(request)


def written(mark: Path) -> int:
    """How many characters were flushed for certain."""
    try:
        return int(mark.read_bytes() or b"0") * LINE_CHARS
    except FileNotFoundError:
        return 0


def kill_gateway(scene: Scene, account: Account, request: bytes, _mark: Path) -> None:
    os.kill(scene.server.process.pid, signal.SIGKILL)
    scene.server.process.wait()
    drain(scene.client, account)
    scene.server.start_again()
    scene.reconnect()
    scene.receive_rest(account, request).check_whole(TEXT)
    if scene.find_processes() != (scene.host, scene.interpreter):
        raise Lost("the kernel is another one")


def kill_interpreter(scene: Scene, account: Account, request: bytes, mark: Path) -> None:
    os.kill(scene.interpreter, signal.SIGKILL)
    cell = scene.receive_rest(account, request)
    certain = written(mark)
    cell.check_prefix(TEXT, certain)
    if cell.reply.get("status") == "ok":
        cell.check_whole(TEXT)  # it had ended before the kill
    elif cell.reply.get("status") != "error" or len(cell.errors) != 1:
        raise Lost(f"the reply is {cell.reply}, the errors are {cell.errors}")
    again = run_cell(scene.client, "print('again')")
    if again.reply.get("ename") == "KernelDied" and cell.reply.get("status") == "ok":
        # killed between the two: the host had sent the second before it saw the death
        again = run_cell(scene.client, "print('again')")
    again.check_whole("again\n")
    host, scene.interpreter = scene.find_processes()
    if host != scene.host:
        raise Lost("the host is another one")


def kill_host(scene: Scene, account: Account, request: bytes, _mark: Path) -> None:
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
        scene.receive_for(account, 0.05)
    run_cell(scene.client, "print('again')", account).check_whole("again\n")
    scene.host, scene.interpreter = scene.find_processes()
    account.of(request).check_prefix(TEXT, 0)


def drain(client: KernelSocket, account: Account) -> None:
    """Takes in what was on its way when the peer died."""
    try:
        while True:
            account.add(client.receive())
    except (OSError, BenchError):
        pass


TURNS: dict[str, Callable[[Scene, Account, bytes, Path], None]] = {
    "gateway": kill_gateway,
    "interpreter": kill_interpreter,
    "host": kill_host,
}


def run(seconds: float, seed: int, say: Callable[[str], None]) -> str:
    """The whole proof; a sentence that says what was proven."""
    chance = random.Random(seed)
    counts = dict.fromkeys(VICTIMS, 0)
    scene = Scene(chance)
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
    return f"killed {counts} (seed {seed}); no line lost, {scene.doubles} messages came twice"

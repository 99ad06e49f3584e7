"""Where attempts are made from: a sandbox, and the same machine outside it, as root and as an
ordinary user.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from escape.attempts import RUN
from escape.calls import call
from support import ordinary, processes
from support.keeper.keeper_process import CLOSE, OK, OPEN, USAGE, Asker
from support.programs import programs

PYTHON = str(Path(sys.executable).resolve())  # of the system: a sandbox shows it
USER = 64123  # an ordinary user whom nobody else is
ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/home/user", "LANG": "C.UTF-8"}
NEIGHBOUR = "import time; print('here', flush=True); time.sleep(10000)"
HERE = Path(__file__).resolve().parent
# a user namespace, and all others in it, where the same calls are allowed
NAMESPACES = ["unshare", "-U", "-r", "-m", "-n", "-i", "-u", "-p", "-f"]


@dataclass(frozen=True)
class Answer:
    reached: bool
    why: str


class Outside:
    """One machine with a victim on it, of `mode`: "root" or "user". Who derives from it adds a
    sandbox.
    """

    def __init__(self, mode: str) -> None:
        self.mode = mode
        self.marker = secrets.token_hex(16)
        self.folder = Path(tempfile.mkdtemp(prefix="wce-", dir="/tmp"))
        self.folder.chmod(0o755)
        self.outside = self.folder / "outside"
        self.tools = self.folder / "tools"
        self.state = self.folder / "state" / "sandboxes"
        self.other = self.state / "second" / "workspace"
        self.secret = self.folder / "secret"
        self.fill()
        self.inherited = os.open(self.secret, os.O_RDONLY)
        self.inherited_folder = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
        self.victim = self.start_victim()
        assert self.victim.stdout is not None
        self.found: dict[str, Any] = json.loads(self.victim.stdout.readline())

    def fill(self) -> None:
        for folder in (self.outside, self.tools / "escape", self.other):
            folder.mkdir(parents=True)
        (self.outside / "mnt").mkdir()
        for module in HERE.glob("*.py"):
            shutil.copy(module, self.tools / "escape")
        for file in (self.secret, self.other / "secret", self.tools / "mine"):
            file.write_text(self.marker)
            file.chmod(0o644)
        with sqlite3.connect(self.state.parent / "warmcell.db") as database:
            database.execute("create table tokens (text)")
            database.execute("insert into tokens values (?)", (self.marker,))
        database.close()
        for path in (self.folder, *self.folder.rglob("*")):
            os.chown(path, self.uid, self.uid)
        if os.geteuid() == 0:
            shutil.copy("/usr/bin/id", self.tools / "id-as-root")
            os.chmod(self.tools / "id-as-root", 0o4755)
            os.mknod(self.outside / "sda", 0o20600, os.makedev(1, 5))

    @property
    def uid(self) -> int:
        return USER if self.mode == "user" and os.geteuid() == 0 else os.geteuid()

    def as_user(self, *command: str) -> list[str]:
        """The command, run by who has the place."""
        if self.uid == os.geteuid():
            return list(command)
        return ordinary.command(self.uid, *command)

    def environment(self) -> dict[str, str]:
        return os.environ | {"ESCAPE_SECRET": self.marker}

    def start_victim(self) -> subprocess.Popen[str]:
        victim = subprocess.Popen(
            self.as_user(PYTHON, "-m", "escape.victim", str(self.folder), self.marker),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=self.folder,
            env=self.environment() | {"PYTHONPATH": str(self.tools)},
            start_new_session=True,
        )
        processes.own(victim.pid)
        return victim

    def control(self, how: str, name: str, argument: Mapping[str, Any]) -> Answer:
        """Outside: "user" as who has the place, "root" as root, "namespaces" with the rights of
        one's own.
        """
        command = [PYTHON, "-I", "-c", RUN, str(self.tools), name, "0"]
        if how == "namespaces":
            command = NAMESPACES + command
        if how == "other":
            command = ordinary.command(USER, *command)
        elif how != "root":
            command = self.as_user(*command)
        return self.run(command, argument)

    def run(self, command: list[str], argument: Mapping[str, Any]) -> Answer:
        done = subprocess.run(
            command,
            cwd=self.outside,
            env=self.environment(),
            pass_fds=[self.inherited, self.inherited_folder],
            input=json.dumps(argument),
            capture_output=True,
            text=True,
            check=False,
            timeout=280,
        )
        assert done.returncode == 0, (done.returncode, done.stdout, done.stderr)
        return Answer(**json.loads(done.stdout.splitlines()[-1]))

    def close(self) -> None:
        assert self.victim.stdin is not None
        with suppress(OSError):
            self.victim.stdin.close()
        status = self.victim.wait(30)
        processes.disown(self.victim.pid)
        os.close(self.inherited)
        os.close(self.inherited_folder)
        shutil.rmtree(self.folder)
        assert status == 0


class Place(Outside):
    """With a keeper and two sandboxes; attempts are programs that it starts in the first."""

    def __init__(self, mode: str) -> None:
        super().__init__(mode)
        self.keeper = self.start_keeper()
        with self.identity():
            self.asker = Asker(self.folder / "state" / "keeper")
        self.open("second")
        env = {"SECRET": self.marker}
        command = (PYTHON, "-I", "-c", NEIGHBOUR, self.marker)
        neighbour = self.asker.start(*command, sandbox="second", env=env)
        assert neighbour.line() == "here"
        self.open("first")

    @contextmanager
    def identity(self) -> Iterator[None]:
        """A keeper of an ordinary user's hears nobody else, not even root."""
        mine = os.geteuid()
        os.seteuid(self.uid)
        try:
            yield
        finally:
            os.seteuid(mine)

    def start_keeper(self) -> subprocess.Popen[str]:
        command = [str(programs().keeper), "--socket", str(self.folder / "state" / "keeper")]
        command += ["--foreground", "--profile", "sandbox", "--state-dir", str(self.state)]
        command += ["--read-only", str(self.tools)]
        if not PYTHON.startswith("/usr/"):
            command += ["--read-only", sys.base_prefix]
        keeper = subprocess.Popen(
            self.as_user(*command),
            env=self.environment(),
            pass_fds=[self.inherited, self.inherited_folder],
            stdin=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        processes.own(keeper.pid)
        processes.until(lambda: self.listens() or keeper.poll() is not None, "the keeper")
        return keeper

    def listens(self) -> bool:
        with (
            suppress(OSError),
            self.identity(),
            socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as probe,
        ):
            probe.connect(str(self.folder / "state" / "keeper"))
            return True
        return False

    def open(self, sandbox: str, **limits: Any) -> dict[str, Any]:
        answer = self.asker.ask(OPEN, {"sandbox": sandbox, "limits": limits})
        assert answer.kind == OK, answer
        return answer.body

    def end(self, sandbox: str) -> None:
        answer = self.asker.ask(CLOSE, {"sandbox": sandbox})
        assert answer.kind == OK, answer

    def end_if_there(self, sandbox: str) -> None:
        """It may have been ended for passing a limit."""
        answer = self.asker.ask(CLOSE, {"sandbox": sandbox})
        assert answer.kind == OK or answer.body["status"] == 404, answer

    def usage(self, sandbox: str) -> dict[str, Any]:
        answer = self.asker.ask(USAGE, {"sandbox": sandbox})
        assert answer.kind == OK, answer
        return answer.body

    def inside(
        self, name: str, argument: Mapping[str, Any], sandbox: str = "first", may_die: bool = False
    ) -> Answer:
        """may_die: the attempt may be ended from outside, which is to have failed."""
        command = [PYTHON, "-I", "-c", RUN, str(self.tools), name, "3"]
        process = self.asker.start(*command, sandbox=sandbox, env=ENVIRONMENT)
        process.link.sendall(json.dumps(argument).encode() + b"\n")
        text = process.output()
        end = self.asker.end_of(process)
        if may_die and (end["wait_status"] != 0 or not text):
            return Answer(False, f"it was ended: {end}")
        assert end["wait_status"] == 0, (end, text, os.read(process.err, 65536).decode())
        return Answer(**json.loads(text.splitlines()[-1]))

    def close(self) -> None:
        self.asker.close()
        self.keeper.send_signal(signal.SIGTERM)
        status = self.keeper.wait(30)
        processes.disown(self.keeper.pid)
        super().close()
        assert status == 0


def handle_of(path: Path) -> dict[str, Any]:
    """The file's handle, for open_by_handle_at."""
    import ctypes

    from escape.attempts_files import Handle

    handle, mount = Handle(bytes=128), ctypes.c_int()
    result, number = call(
        "name_to_handle_at", -100, os.fsencode(path), ctypes.byref(handle), ctypes.byref(mount), 0
    )
    assert result == 0, number
    return {"bytes": handle.bytes, "type": handle.type, "handle": bytes(handle.data).hex()}

"""The boundary itself, without a keeper's protocol: what works inside, what the policy does on a
machine that lacks something, and what `warmcell doctor` says of it. As root, all is done as an
ordinary user, too.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import ordinary
from support.keeper import lacking
from support.programs import programs

MODES = ["root", "user"] if os.geteuid() == 0 else ["user"]
USER, UID = 64124, 71002
PYTHON = str(Path(sys.executable).resolve())
NO_SANDBOX = 125
NEEDED = {
    "user": "user namespaces",
    "net": "mount, pid, net, ipc and uts namespaces",
    "mounts": "mount calls",
    "proc": "a /proc of its own",
    "seccomp": "seccomp",
}


class Machine:
    def __init__(self, mode: str) -> None:
        self.other = mode == "user" and os.geteuid() == 0
        self.mode = mode
        self.folder = Path(tempfile.mkdtemp(prefix="wcb-", dir="/tmp"))
        self.state = self.folder / "state"
        self.state.mkdir()
        for path in (self.folder, self.state):
            path.chmod(0o711)
        if self.other:
            for path in (self.folder, self.state):
                os.chown(path, USER, USER)

    def run(self, *command: str, lack: str | None = None) -> subprocess.CompletedProcess[str]:
        words = lacking.run(lack, *command) if lack else list(command)
        if self.other:
            words = ordinary.command(USER, *words)
        return subprocess.run(words, capture_output=True, text=True, check=False, cwd="/tmp")

    def sandboxed(
        self, *command: str, options: tuple[str, ...] = (), lack: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        driver = [str(programs().build / "tests" / "sandbox" / "boundary-run")]
        driver += ["--state", str(self.state), *options]
        # where it lacks something by a user namespace there is no uid but one
        if self.mode == "root" and lack not in ("user", "net", "proc"):
            driver += ["--uid", str(UID)]
        if not PYTHON.startswith("/usr/"):
            driver += ["--read-only", sys.base_prefix]
        return self.run(*driver, "--", *command, lack=lack)

    def python(self, code: str, **keywords: Any) -> str:
        done = self.sandboxed(PYTHON, "-I", "-c", code, **keywords)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def doctor(self, *arguments: str, lack: str | None = None) -> subprocess.CompletedProcess[str]:
        return self.run(str(programs().gateway), "doctor", *arguments, lack=lack)


@pytest.fixture(params=MODES)
def machine(request: pytest.FixtureRequest) -> Iterator[Machine]:
    machine = Machine(request.param)
    yield machine
    shutil.rmtree(machine.folder)


WORKS = {
    "children": """
import subprocess
assert subprocess.run(["sh", "-c", "echo $((1+1))"], capture_output=True).stdout == b"2\\n"
""",
    "threads": """
import threading
found = []
threads = [threading.Thread(target=found.append, args=(n,)) for n in range(20)]
[t.start() for t in threads]; [t.join() for t in threads]
assert sorted(found) == list(range(20))
""",
    "multiprocessing": """
import multiprocessing
for how in ("fork", "spawn", "forkserver"):
    with multiprocessing.get_context(how).Pool(2) as pool:
        assert pool.map(abs, [-1, -2]) == [1, 2]
""",
    "shared-memory": """
from multiprocessing import shared_memory, Lock, Queue
s = shared_memory.SharedMemory(create=True, size=100); s.buf[0] = 7; s.close(); s.unlink()
with Lock(): pass
q = Queue(); q.put(1); assert q.get() == 1
""",
    "asyncio": """
import asyncio
async def main():
    p = await asyncio.create_subprocess_exec("echo", "hi", stdout=-1)
    assert (await p.communicate())[0] == b"hi\\n"
asyncio.run(main())
""",
    "loopback": """
import socket
server = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(server.getsockname())
server.accept()[0].send(b"x"); assert client.recv(1) == b"x"
assert socket.getaddrinfo("localhost", 80)
assert [n for _, n in socket.if_nameindex()] == ["lo"]
""",
    "terminal": """
import os, pty
pid, fd = pty.fork()
if pid == 0: os.execvp("tty", ["tty"])
assert b"/dev/pts/" in os.read(fd, 100)
""",
    "signals": """
import os, signal
child = os.fork()
if child == 0: signal.pause()
os.kill(child, signal.SIGTERM); assert os.waitpid(child, 0)[1] == signal.SIGTERM
""",
    "memory-files": """
import os, mmap
fd = os.memfd_create("x"); os.write(fd, b"abc"); assert mmap.mmap(fd, 3)[:] == b"abc"
""",
    "databases": """
import sqlite3
c = sqlite3.connect("a.db"); c.execute("pragma journal_mode=wal")
c.execute("create table t(x)"); c.commit()
""",
    "places": """
import os, tempfile, pathlib
for folder in (os.getcwd(), os.path.expanduser("~"), tempfile.gettempdir(), "/dev/shm"):
    path = pathlib.Path(folder, "x"); path.write_text("x"); path.rename(path.with_name("y"))
    os.symlink("y", os.path.join(folder, "z"))
assert os.getcwd() == "/workspace" and os.path.expanduser("~") == "/home/user"
os.rename("/workspace/y", "/workspace/x"); os.mkdir("d"); os.rename("x", "d/x")
""",
    "itself": """
import os, pwd, socket
assert os.getuid() == 1000 and pwd.getpwuid(1000).pw_name == "user"
assert socket.gethostname() == "sandbox"
assert open("/proc/self/environ").read() and os.listdir("/proc/self/fd")
assert open("/proc/1/comm").read() == "sandbox-init\\n"
open("/proc/self/comm", "w").write("renamed")
assert [p for p in os.listdir("/proc") if p.isdigit()] and not os.path.exists("/sys")
""",
    "devices": """
import os
assert os.read(os.open("/dev/zero", os.O_RDONLY), 3) == bytes(3)
assert len(os.read(os.open("/dev/urandom", os.O_RDONLY), 3)) == 3
os.write(os.open("/dev/null", os.O_WRONLY), b"x")
assert os.path.realpath("/dev/stdout")
""",
}


@pytest.mark.parametrize("name", WORKS)
def test_ordinary_programs_work_inside(machine: Machine, name: str) -> None:
    machine.python(WORKS[name])


def test_reaped_by_init(machine: Machine) -> None:
    """Whoever loses its parent becomes the init's, which leaves no dead process behind."""
    found = machine.python("""
import os, signal, time
r, w = os.pipe()
if os.fork() == 0:
    if os.fork() == 0:
        time.sleep(0.05)
        os._exit(0)
    os._exit(0)
os.wait(); os.close(w)
os.read(r, 1)  # ends with the grandchild
def dead():
    for process in filter(str.isdigit, os.listdir("/proc")):
        try:
            state, parent = open(f"/proc/{process}/stat").read().rsplit(")")[1].split()[:2]
        except OSError:
            continue
        if parent == "1" and state == "Z":
            return True
while dead():
    time.sleep(0.01)
print("none")
""")
    assert found == "none\n"


def test_the_workspace_stays_and_belongs_to_the_sandbox(machine: Machine) -> None:
    machine.python(
        "open('kept', 'w').write('x'); open('/tmp/lost', 'w'); open('/home/user/l', 'w')"
    )
    assert (
        machine.python("import os; print(os.listdir('.'), os.listdir('/tmp'))") == "['kept'] []\n"
    )
    owner = (machine.state / "first" / "workspace" / "kept").stat().st_uid
    assert owner == (UID if machine.mode == "root" else USER if machine.other else os.geteuid())


def test_private_places_are_bounded(machine: Machine) -> None:
    found = machine.python("""
import errno
for folder in ("/tmp", "/dev/shm", "/home/user"):
    try:
        with open(folder + "/big", "wb") as file:
            for _ in range(96):
                file.write(bytes(1 << 20))
    except OSError as error:
        print(errno.errorcode[error.errno])
""")
    assert found == "ENOSPC\n" * 3


def test_fork_server_has_no_rights_no_network_and_no_state(machine: Machine) -> None:
    found = machine.python(
        """
import os, socket
status = open("/proc/self/status").read()
caps = [line.split()[1] for line in status.splitlines() if line.startswith("Cap")]
print(set(caps), os.path.exists("/state"), os.path.exists("/workspace"))
try:
    socket.create_connection(("127.0.0.1", 1))
except OSError as error:
    print(error.strerror)
open("/tmp/x", "w"); open("/home/user/x", "w")
try:
    open("/usr/x", "w")
except OSError as error:
    print(error.strerror)
""",
        options=("--fork-server",),
    )
    assert found.splitlines() == [
        "{'0000000000000000'} False True",
        "Network is unreachable",
        "Read-only file system",
    ]


@pytest.mark.parametrize("what", NEEDED)
def test_required_refuses_and_says_what_is_missing(machine: Machine, what: str) -> None:
    done = machine.sandboxed("/bin/true", lack=what)
    assert done.returncode == NO_SANDBOX, done.stderr
    refusal = json.loads(done.stderr)
    assert refusal["status"] == 501
    assert refusal["message"].startswith("sandboxes cannot be had here: ")
    assert NEEDED[what] in refusal["message"]


@pytest.mark.parametrize("what", NEEDED)
def test_best_effort_goes_on(machine: Machine, what: str) -> None:
    done = machine.sandboxed("/bin/sh", "-c", "echo here", options=("--best-effort",), lack=what)
    assert (done.returncode, done.stdout) == (0, "here\n"), done.stderr


def test_best_effort_without_namespaces_still_fences(machine: Machine) -> None:
    theirs = Path(tempfile.mkdtemp(prefix="wcb-", dir="/var/tmp"))
    theirs.chmod(0o777)
    code = """
import os
for path in (os.getcwd() + "/mine", FOLDER + "/x"):
    try:
        open(path, "w"); print("written")
    except OSError as error:
        print(error.strerror)
print([l.split()[1] for l in open("/proc/self/status") if l.startswith(("Seccomp:", "NoNew"))])
""".replace("FOLDER", repr(str(theirs)))
    found = machine.python(code, options=("--best-effort",), lack="user")
    shutil.rmtree(theirs)
    assert found.splitlines() == ["written", "Permission denied", "['1', '2']"]


def test_landlock_is_not_needed(machine: Machine) -> None:
    assert machine.sandboxed("/bin/echo", "here", lack="landlock").stdout == "here\n"


def test_doctor_finds_nothing_missing(machine: Machine) -> None:
    done = machine.doctor("--json")
    report = json.loads(done.stdout)
    assert done.returncode == 0
    assert report["required"] is True
    assert report["root"] is (machine.mode == "root")
    names = {check["name"] for check in report["checks"]}
    assert names > {*NEEDED.values(), "landlock", "control groups for memory"}
    for check in report["checks"]:
        assert check["status"] in ("ok", "degraded")
        assert (check["status"] == "ok") == (check["remedy"] is None) == (check["why"] is None)


@pytest.mark.parametrize("what", NEEDED)
def test_doctor_names_what_is_missing_and_the_remedy(machine: Machine, what: str) -> None:
    done = machine.doctor("--json", lack=what)
    assert done.returncode == 1, done.stdout
    report = json.loads(done.stdout)
    (check,) = [c for c in report["checks"] if c["name"] == NEEDED[what]]
    assert (report["required"], check["status"]) == (False, "missing")
    assert check["why"]
    assert check["remedy"]
    lines = machine.doctor(lack=what).stdout.splitlines()
    assert f"missing   {check['name']}: {check['why']}; {check['remedy']}" in lines
    assert len(lines) == len(report["checks"]) + 1


def test_doctor_says_that_landlock_is_degraded(machine: Machine) -> None:
    done = machine.doctor("--json", lack="landlock")
    (check,) = [c for c in json.loads(done.stdout)["checks"] if c["name"] == "landlock"]
    assert (done.returncode, check["status"]) == (0, "degraded")


def test_doctor_refuses_other_words(machine: Machine) -> None:
    assert machine.doctor("--yaml").returncode == 2

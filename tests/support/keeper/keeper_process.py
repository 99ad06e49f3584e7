"""A keeper, and an asker's end of its socket: docs/keeper.md."""

from __future__ import annotations

import array
import fcntl
import json
import mmap
import os
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from support import processes
from support.programs import ROOT, programs

OPEN, START, USAGE, LIMITS, CLOSE, STATUS, END, KILL, CAUSE, RENAME, CONNECT, PORTS = range(1, 13)
OK, FAILED, STARTED, ENDED = 32, 33, 34, 35
FORK, WARM, FORKED, FORK_FAILED, STALE = 64, 80, 81, 82, 83
HEAD = struct.Struct("<II")
LIMIT = 64 * 1024
FAKE = Path(__file__).with_name("fake_fork_server.py")
FAKE_INTERPRETER = str(Path(__file__).with_name("fake_interpreter.py"))


class Datagram:
    def __init__(self, kind: int, number: int, body: dict[str, Any], fds: list[int]) -> None:
        self.kind, self.number, self.body, self.fds = kind, number, body, fds

    def __repr__(self) -> str:
        return f"<{self.kind} {self.number} {self.body} {self.fds}>"


def send(
    connection: socket.socket, kind: int, number: int, body: object, fds: Sequence[int] = ()
) -> None:
    data = HEAD.pack(kind, number) + json.dumps(body).encode()
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    connection.sendmsg([data], rights)


def receive(connection: socket.socket) -> Datagram:
    data, fds, _flags, _address = socket.recv_fds(connection, LIMIT, 16)
    if not data:
        raise EOFError("the keeper closed the connection")
    kind, number = HEAD.unpack_from(data)
    return Datagram(kind, number, json.loads(data[HEAD.size :]), fds)


def sealed(data: bytes) -> int:
    fd = os.memfd_create("test", os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
    os.write(fd, data)
    seals = fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_WRITE
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    return fd


def environment(values: Mapping[str, str]) -> int:
    return sealed(b"".join(f"{name}={value}\0".encode() for name, value in values.items()))


class Process:
    """What a START made: the test's ends of its descriptors."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        self.link = ours
        out, out_theirs = os.pipe()
        err, err_theirs = os.pipe()
        self.out, self.err = out, err
        page = sealed(bytes(mmap.PAGESIZE))
        self.theirs = [theirs.detach(), out_theirs, err_theirs, page]
        self.number = 0  # of its START
        self.pid = 0
        self.pidfd = -1
        self.warm = False
        self.cold_because: str | None = None

    def started(self, answer: Datagram) -> None:
        assert answer.kind == STARTED, answer
        (self.pidfd,) = answer.fds
        self.pid = pid_of(self.pidfd)
        assert answer.body["pid"] == self.pid or 0 in (answer.body["pid"], self.pid + 1)
        self.warm = answer.body["warm"]
        self.cold_because = answer.body["cold_because"]

    def output(self) -> str:
        """All that it writes to descriptor 1, to the end."""
        found = b""
        while chunk := os.read(self.out, 65536):
            found += chunk
        return found.decode()

    def line(self) -> str:
        """The next line of descriptor 1."""
        found = b""
        while not found.endswith(b"\n"):
            chunk = os.read(self.out, 1)
            assert chunk, f"it ended after {found!r}"
            found += chunk
        return found.decode().rstrip("\n")

    def wait_gone(self, timeout: float = 60) -> None:
        ready, _, _ = select.select([self.pidfd], [], [], timeout)
        assert ready, f"process {self.pid} has not ended"

    def close(self) -> None:
        self.link.close()
        for fd in (self.out, self.err, self.pidfd):
            if fd >= 0:
                os.close(fd)


def pid_of(pidfd: int) -> int:
    for line in Path(f"/proc/self/fdinfo/{pidfd}").read_text().splitlines():
        if line.startswith("Pid:"):
            return int(line.split()[1])
    raise AssertionError("no Pid in fdinfo")


class Asker:
    """A connection to a keeper."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(60)
        self.socket.connect(str(path))
        self.number = 0
        self.processes: list[Process] = []
        self.ended: dict[int, dict[str, Any]] = {}

    def send(self, kind: int, body: object, fds: Sequence[int] = ()) -> int:
        self.number += 1
        send(self.socket, kind, self.number, body, fds)
        return self.number

    def ask(self, kind: int, body: object, fds: Sequence[int] = ()) -> Datagram:
        return self.answer_to(self.send(kind, body, fds))

    def answer_to(self, number: int) -> Datagram:
        while True:
            answer = receive(self.socket)
            if answer.number == number and answer.kind != ENDED:
                return answer
            self.note(answer)

    def note(self, answer: Datagram) -> None:
        assert answer.kind == ENDED, answer
        self.ended[answer.number] = answer.body

    def begin(self, *argv: str, env: Mapping[str, str] | None = None, **body: Any) -> Process:
        """Sends START and does not wait for the answer."""
        process = Process()
        self.processes.append(process)
        memory = environment({"PATH": os.environ["PATH"]} if env is None else env)
        fds = [*process.theirs, memory]
        process.number = self.send(START, {"argv": list(argv), **body}, fds)
        for fd in fds:
            os.close(fd)
        return process

    def refused(self, *argv: str, **body: Any) -> dict[str, Any]:
        """What a START is answered that must fail."""
        process = self.begin(*argv, **body)
        answer = self.answer_to(process.number)
        assert answer.kind == FAILED, answer
        return answer.body

    def start(self, *argv: str, **body: Any) -> Process:
        process = self.begin(*argv, **body)
        process.started(self.answer_to(process.number))
        return process

    def end_of(self, process: Process) -> dict[str, Any]:
        while process.number not in self.ended:
            self.note(receive(self.socket))
        return self.ended[process.number]

    def status(self) -> dict[str, Any]:
        return self.ask(STATUS, {}).body

    def close(self) -> None:
        self.socket.close()
        while self.processes:
            self.processes.pop().close()


class Keeper:
    """warmcell-keeper in the foreground, with the fake fork server or without any."""

    def __init__(
        self,
        *options: str,
        fork_server: Sequence[str] | None = None,
        env: Mapping[str, str] | None = None,
        prefix: Sequence[str] = (),
        uid: int | None = None,
    ) -> None:
        """prefix: a command that becomes the keeper in the end, as that uid."""
        self.uid = os.geteuid() if uid is None else uid
        self.folder = Path(tempfile.mkdtemp(prefix="wck-"))
        os.chown(self.folder, self.uid, -1)
        self.socket = self.folder / "keeper"
        self.log = self.folder / "log"
        arguments = [*prefix, str(programs().keeper), "--socket", str(self.socket), "--foreground"]
        arguments += ["--log", str(self.log), *options]
        if fork_server is not None:
            arguments += ["--", *fork_server]
        self.process = subprocess.Popen(
            arguments, stdin=subprocess.DEVNULL, start_new_session=True, env=env
        )
        self.pid = self.process.pid
        processes.own(self.pid)
        self.confines = "sandbox" in options
        self.askers: list[Asker] = []
        processes.until(lambda: self.listens() or self.process.poll() is not None, "the keeper")

    @contextmanager
    def identity(self) -> Iterator[None]:
        """A keeper of an ordinary user's hears nobody else, not even root."""
        mine = os.geteuid()
        os.seteuid(self.uid)
        try:
            yield
        finally:
            os.seteuid(mine)

    def listens(self) -> bool:
        with (
            suppress(OSError),
            self.identity(),
            socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as probe,
        ):
            probe.connect(str(self.socket))
            return True
        return False

    def asker(self) -> Asker:
        with self.identity():
            asker = Asker(self.socket)
        self.askers.append(asker)
        return asker

    def wait(self, timeout: float = 60) -> int:
        status = self.process.wait(timeout)
        processes.disown(self.pid)
        return status

    @property
    def first(self) -> int:
        """The keeper itself, where it is the first of a PID namespace; what was started stands for
        it then."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        texts = {}
        for pid in children:
            with suppress(FileNotFoundError, ProcessLookupError):
                texts[pid] = Path(f"/proc/{pid}/status").read_text()
        (first,) = (int(pid) for pid, text in texts.items() if re.search(r"NSpid:.*\t1\n", text))
        return first

    def kill(self) -> None:
        os.kill(self.first if self.confines else self.pid, signal.SIGKILL)
        self.wait()

    def __enter__(self) -> Keeper:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for asker in self.askers:
            asker.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        status = self.wait()
        log = self.log.read_text(errors="replace")
        if kind is not None:
            print(log)
        processes.check_log(log)
        good = (0, 128 + signal.SIGKILL, -signal.SIGKILL)
        assert kind is not None or status in good, (status, log)
        shutil.rmtree(self.folder, ignore_errors=True)


def sandboxing(folder: Path) -> list[str]:
    """The options of a keeper that confines: workspaces are below folder, and the tests' programs
    and Python are seen inside."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    options = ["--profile", "sandbox", "--state-dir", str(folder)]
    places = {ROOT, *(Path(prefix).resolve() for prefix in (sys.prefix, sys.base_prefix))}
    for path in sorted(places):  # a folder before what is in it
        options += ["--read-only", str(path)]
    return options


def fake(*orders: str) -> list[str]:
    """The command of a fork server that forks as it should, but for what it is ordered."""
    return [sys.executable, "-S", str(FAKE), *orders]

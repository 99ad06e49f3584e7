"""A gateway of the user's own, which nobody has to start, and which ends when it is idle.

It listens on a Unix socket at a fixed place of the user's, in $XDG_RUNTIME_DIR/warmcell/local (or
below /tmp where there is none; own_name says when it is another), a folder that nobody else
enters. The gateway lets in the same uid without a token. Clients that come at once take turns at a
lock: one of them starts it. One whose program has been installed anew since makes way for that, as
soon as nothing runs in it.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import select
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from warmcell.errors import LocalGatewayError

READY = b" is ready at "
LOG_END_BYTES = 2000

# by this program; they outlive it, and those that end before are reaped when the next one is
# started
_started: list[subprocess.Popen[bytes]] = []


def runtime_folder() -> Path:
    """Where the gateway's programs of this user keep their sockets."""
    given = os.environ.get("XDG_RUNTIME_DIR", "")
    if given.startswith("/") and os.access(given, os.W_OK):
        return Path(given) / "warmcell"
    return Path(f"/tmp/warmcell-{os.geteuid()}")


def state_folder() -> Path:
    given = os.environ.get("XDG_STATE_HOME", "")
    base = Path(given) if given.startswith("/") else Path.home() / ".local" / "state"
    return base / "warmcell"


def own_name() -> str:
    """`local`; where a wheel has put the programs into the environment of this Python, a name of
    that environment's own, because it is its Python that runs in the sandboxes."""
    host = Path(sys.prefix, "share", "warmcell", "kernel", "host", "warmcell-kernel")
    if "WARMCELL_PROGRAM" in os.environ or not host.exists():
        return "local"
    return f"local-{hashlib.sha256(os.fsencode(sys.prefix)).hexdigest()[:6]}"


def find_program() -> str:
    """The program `warmcell`: $WARMCELL_PROGRAM, beside this Python, or on PATH."""
    given = os.environ.get("WARMCELL_PROGRAM")
    if given:
        return given
    beside = str(Path(sys.executable).parent)
    found = shutil.which("warmcell", path=beside) or shutil.which("warmcell")
    if not found:
        raise LocalGatewayError(
            "the program warmcell is neither beside this Python nor on PATH; "
            "WARMCELL_PROGRAM=/path/to/warmcell names it"
        )
    return found


def check_python() -> None:
    """What a wheel has put here runs the Python of this environment. One that it cannot be is told
    now, and not by the first sandbox."""
    prefix = Path(sys.prefix)
    program = prefix / "share" / "warmcell" / "kernel" / "python" / "warmcell-python"
    words = [str(program), "--python", str(prefix / "bin" / "python"), "--check"]
    with suppress(OSError):  # the gateway says what is missing
        said = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=False).stdout.strip()
        if said and said != "ok":
            raise LocalGatewayError(said)


def _is_replaced(pid: int) -> bool:
    """Is the program that this process runs no longer at its place?"""
    try:
        return str(Path(f"/proc/{pid}/exe").readlink()).endswith(" (deleted)")
    except OSError:
        return False


def _makes_way(pid: int) -> bool:
    """Does it take the signal for that? One of a version that did not would die of it."""
    try:
        rows = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return False
    caught = [row.split()[1] for row in rows if row.startswith("SigCgt:")]
    return bool(caught) and bool(int(caught[0], 16) >> (signal.SIGUSR1 - 1) & 1)


def _own_folder(path: Path) -> Path:
    """A folder that this user alone enters."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    about = path.lstat()
    if not stat.S_ISDIR(about.st_mode) or about.st_uid != os.geteuid():
        raise LocalGatewayError(f"{path} does not belong to this user")
    if about.st_mode & 0o077:
        path.chmod(0o700)
    return path


@dataclass
class LocalGateway:
    """idle_exit: seconds without a connection and without a running sandbox after which it ends;
    idle_pause: seconds after which a sandbox that nobody uses is paused, its variables saved. They,
    program and options count for the one who starts it. start_timeout: seconds that it may take."""

    idle_exit: int = 300
    idle_pause: int = 3600
    program: str | None = None
    options: Sequence[str] = ()
    start_timeout: float = 60.0
    folder: Path = field(default_factory=lambda: runtime_folder() / own_name())
    state: Path = field(default_factory=lambda: state_folder() / own_name())

    @property
    def socket_path(self) -> Path:
        return self.folder / "gateway.sock"

    @property
    def url(self) -> str:
        return f"unix:{self.socket_path}"

    async def ensure(self) -> None:
        """Until it listens; LocalGatewayError: it does not, and why."""
        await asyncio.to_thread(self.ensure_now)

    def ensure_now(self) -> None:
        pid = self._serving()
        if pid is not None and not _is_replaced(pid):
            return
        _own_folder(self.folder.parent)
        _own_folder(self.folder)
        end = time.monotonic() + self.start_timeout
        with _locked(self.folder / "start.lock", end):
            if self._is_gone(end):
                with _locked(self.folder / "lock", end):
                    pass  # one that is ending has let go of its folder
                self._start(end)

    def _serving(self) -> int | None:
        """The process that listens, 0 where its number cannot be seen from here; None: none."""
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(self.socket_path))
            except OSError:
                return None
            who = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        return int(struct.unpack("3i", who)[0])

    def _is_gone(self, end: float) -> bool:
        """None listens; one whose program was replaced ends for that, unless something runs in
        it, or it does not know how to."""
        pid = self._serving()
        if pid is not None and _is_replaced(pid) and _makes_way(pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGUSR1)
            while self._serving() == pid and time.monotonic() < end and not self._runs():
                time.sleep(0.01)  # its end is told nowhere else than by its socket
        return self._serving() is None

    def _runs(self) -> bool:
        """Is there a sandbox or a kernel that runs? False of one that is ending."""
        transport = httpx.HTTPTransport(uds=str(self.socket_path))
        with httpx.Client(transport=transport, base_url="http://local", timeout=10) as client:
            try:
                running = client.get("/v1/sandboxes?state=running").json()["sandboxes"]
                return bool(running or client.get("/api/kernels").json())
            except (httpx.HTTPError, ValueError, LookupError, TypeError):
                return False

    def _command(self) -> list[str]:
        return [
            *[self.program or find_program(), "serve", "--socket", str(self.socket_path)],
            *["--runtime-dir", str(self.folder), "--state-dir", str(self.state)],
            *["--idle-exit", str(self.idle_exit)],
            *["--cull-idle-timeout", str(self.idle_pause), "--cull-interval", "60"],
            *["--base-url", "", "--pool-min", "1", *self.options],
        ]

    def _start(self, end: float) -> None:
        if "--python" not in self.options and own_name() != "local":
            check_python()
        _started[:] = [process for process in _started if process.poll() is None]
        self.state.mkdir(mode=0o700, parents=True, exist_ok=True)
        log_path = self.folder / "gateway.log"
        inside = {"WARMCELL_SOCKET", "WARMCELL_TOKEN", "WARMCELL_URL"}
        with log_path.open("wb") as log:
            try:
                process = subprocess.Popen(
                    self._command(),
                    env={name: value for name, value in os.environ.items() if name not in inside},
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    start_new_session=True,
                )
            except OSError as error:
                raise LocalGatewayError(f"the gateway cannot be started: {error}") from error
        assert process.stdout is not None
        with process.stdout:
            if _says_ready(process.stdout.fileno(), end):
                _started.append(process)
                return
        process.kill()
        process.wait()
        said = log_path.read_bytes()[-LOG_END_BYTES:].decode(errors="replace").strip()
        raise LocalGatewayError(f"the gateway did not start: {said or 'it took too long'}")


def _says_ready(fd: int, end: float) -> bool:
    said = b""
    while READY not in said:
        left = end - time.monotonic()
        if left <= 0 or not select.select([fd], [], [], left)[0]:
            return False
        data = os.read(fd, 4096)
        if not data:
            return False
        said += data
    return True


@contextmanager
def _locked(path: Path, end: float) -> Iterator[None]:
    """Waits for a lock that others hold for short."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        pause = 0.002
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    raise LocalGatewayError(f"{path} is held by another program") from None
            time.sleep(pause)  # flock() waits without an end, or not at all
            pause = min(0.05, 2 * pause)
        yield
    finally:
        os.close(fd)

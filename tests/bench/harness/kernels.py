"""The kernels that are compared, each started from a connection file as a Jupyter client would."""

from __future__ import annotations

import importlib.metadata
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness import processes
from harness.direct import DirectClient
from harness.home import Home, write_connection
from harness.processes import BenchError

OURS = "warmcell"


@dataclass(frozen=True)
class Contender:
    """One kernel: what the table calls it, and the command that starts it."""

    name: str
    argv: tuple[str, ...]  # "{connection_file}" stands for the path


def build_dir() -> Path:
    """The release build: WARMCELL_BUILD, or build/release of this checkout."""
    root = Path(__file__).resolve().parents[3]
    return Path(os.environ.get("WARMCELL_BUILD", root / "build" / "release")).resolve()


def program(*path: str) -> str:
    """A program of ours in the build; a BenchError when it has not been built."""
    found = build_dir().joinpath(*path)
    if not found.exists():
        raise BenchError(f"{found} is missing: build it first, or set WARMCELL_BUILD")
    return str(found)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def ours() -> Contender:
    """Our kernel, of the build that the bench was asked to measure."""
    host = program("kernel", "host", "warmcell-kernel")
    return Contender(OURS, (host, "--python", sys.executable, "-f", "{connection_file}"))


def ipykernel() -> Contender:
    """The peer, as its own kernelspec starts it."""
    version = _version("ipykernel")
    if version is None:
        raise BenchError("ipykernel is not installed in this Python: run ./dev setup")
    argv = (sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}")
    return Contender(f"ipykernel {version}", argv)


def xeus_python() -> Contender | None:
    """The other peer, where somebody installed it."""
    version = _version("xeus-python")
    if version is None:
        return None
    argv = (sys.executable, "-m", "xpython_launcher", "-f", "{connection_file}")
    return Contender(f"xeus-python {version}", argv)


class Kernel:
    """A running kernel with a client connected to it."""

    def __init__(self, contender: Contender, home: Home, **env: str) -> None:
        self.home = home
        file = home.path / f"kernel-{time.monotonic_ns()}.json"
        connection = write_connection(file)
        argv = [str(file) if word == "{connection_file}" else word for word in contender.argv]
        self.client = DirectClient(connection)
        self.started = time.perf_counter()
        self.process = processes.start(argv, home.env(**env), home.log, home.work)

    def check_alive(self) -> None:
        status = self.process.poll()
        if status is not None:
            raise BenchError(f"the kernel ended with status {status}:\n{self.home.log_tail()}")

    def interrupt(self) -> None:
        """SIGINT to the process group, as a client does for interrupt_mode "signal"."""
        os.killpg(self.process.pid, signal.SIGINT)

    def stop(self) -> None:
        """Ends the kernel as a client does: asks first, then kills what is left."""
        tree = processes.tree_of(self.process.pid)
        if self.process.poll() is None:
            self.client.send("shutdown_request", {"restart": False}, channel="control")
            _wait(lambda: self.process.poll() is not None, 3)
        processes.kill(tree[1:])
        processes.end(self.process)
        self.client.close()


def _wait(happened: Callable[[], bool], limit_s: float) -> None:
    deadline = time.monotonic() + limit_s
    while not happened() and time.monotonic() < deadline:
        time.sleep(0.01)

"""Shared ground of the tests from outside: a home of their own, the installed kernelspec, gateways,
and the rule that after each test no process of it is left."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import processes
from support.direct import Kernel
from support.gateway import Gateway
from support.ports import ReservedPorts
from support.programs import KERNEL_NAME, PEER, Programs, programs

PLACE = pytest.StashKey[str]()


def pytest_configure(config: pytest.Config) -> None:
    """All that tests make in the folder for temporary files is below one of the run's own, whose
    path is short: sockets are in it, and their addresses hold 107 bytes."""
    place = Path(tempfile.mkdtemp(prefix="w"))
    place.chmod(0o711)  # for those who are other users
    config.stash[PLACE] = tempfile.tempdir = str(place)
    processes.become_subreaper()
    ReservedPorts.instance()
    # a run in the background of a shell ignores SIGINT, and so would every program it starts
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Nothing is left of the run: no file that somebody goes on writing, and nothing mounted."""
    place = config.stash.get(PLACE, None)
    if place is None:
        return  # somebody else failed before it was made: what there is belongs to others
    tempfile.tempdir = None

    def is_gone() -> bool:
        shutil.rmtree(place, ignore_errors=True)
        return not Path(place).exists()

    processes.until(is_gone, f"{place} is removed")


@pytest.fixture(scope="session", name="programs")
def programs_fixture() -> Programs:
    found = programs()
    if not PEER:
        found.check()
    return found


@pytest.fixture(scope="session", autouse=True)
def home() -> Iterator[Path]:
    """Nothing that a test starts reads or writes the files of the user who runs it."""
    place = Path(tempfile.mkdtemp(prefix="wch-"))
    own = {
        "HOME": place,
        "IPYTHONDIR": place / "ipython",
        "JUPYTER_CONFIG_DIR": place / "jupyter" / "config",
        "JUPYTER_DATA_DIR": place / "jupyter" / "data",
        "JUPYTER_RUNTIME_DIR": place / "jupyter" / "runtime",
        "JUPYTER_PATH": place / "prefix" / "share" / "jupyter",
        "MPLCONFIGDIR": place / "mpl",
        "XDG_CACHE_HOME": place / "cache",
        "XDG_CONFIG_HOME": place / "config",
        "XDG_DATA_HOME": place / "data",
        "XDG_RUNTIME_DIR": place / "run",
        "XDG_STATE_HOME": place / "state",
    }
    for folder in own.values():
        folder.mkdir(parents=True, exist_ok=True)
    before = dict(os.environ)
    os.environ.update({name: str(folder) for name, folder in own.items()})
    os.environ["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"
    os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    yield place
    os.environ.clear()
    os.environ.update(before)
    shutil.rmtree(place, ignore_errors=True)


@pytest.fixture(scope="session")
def kernelspec(home: Path, programs: Programs) -> str:
    """The name of our kernelspec, installed where Jupyter's clients of this run look."""
    if not PEER:
        subprocess.run(
            [programs.gateway, "kernelspec", "install", "--prefix", home / "prefix"],
            check=True,
            capture_output=True,
            text=True,
        )
    return KERNEL_NAME


@pytest.fixture(scope="module")
def shared_kernel(kernelspec: str) -> Iterator[Kernel]:
    """One kernel for the tests of a file; for what leaves no trace in it."""
    with Kernel(kernelspec) as kernel:
        yield kernel


@pytest.fixture
def kernel(kernelspec: str) -> Iterator[Kernel]:
    """A kernel for one test."""
    with Kernel(kernelspec) as kernel:
        yield kernel


@pytest.fixture(scope="module")
def gateway(kernelspec: str) -> Iterator[Gateway]:
    """One gateway on TCP for the tests of a file."""
    with Gateway() as gateway:
        yield gateway
    shutil.rmtree(gateway.home, ignore_errors=True)


@pytest.fixture(scope="module")
def unix_gateway(kernelspec: str) -> Iterator[Gateway]:
    """One gateway on a Unix socket for the tests of a file."""
    gateway = Gateway()
    gateway.unix = str(gateway.home / "socket")
    with gateway:
        yield gateway
    shutil.rmtree(gateway.home, ignore_errors=True)


@pytest.fixture(autouse=True)
def no_leftovers(home: Path) -> Iterator[None]:
    """After each test no process is left that is not below a fixture which still runs."""
    yield
    left = processes.reap_and_find_leftovers()
    assert not left, f"left running: {left}"

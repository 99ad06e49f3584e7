"""warmcell.local(): a gateway of the user's own, found or started, which ends when it is idle."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
import warmcell
from support import processes
from support.programs import PYTHON, programs
from warmcell.local import find_program, runtime_folder

OPTIONS = ["--python", PYTHON, "--no-warm", "--pool-min", "0", "--pool-max", "0"]


def children() -> list[psutil.Process]:
    """Ours alone: what a gateway is just starting has its words until it runs its own program."""
    return psutil.Process().children()


def serving(folder: Path) -> list[int]:
    """The gateways at this place."""
    at = str(folder / "gateway.sock")
    return [p.pid for p in children() if at in processes.words_of(p.pid)]


def keepers(place: Path) -> list[int]:
    return [p.pid for p in children() if str(place) in " ".join(processes.words_of(p.pid))]


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A user who never had one, with the program where $WARMCELL_PROGRAM says."""
    place = Path(tempfile.mkdtemp(prefix="wcl-"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(place))
    monkeypatch.setenv("XDG_STATE_HOME", str(place / "state"))
    monkeypatch.setenv("WARMCELL_PROGRAM", str(programs().gateway))
    yield place
    left = serving(place / "warmcell" / "local")
    for pid in left:
        os.kill(pid, signal.SIGTERM)
        processes.disown(pid)
    assert not processes.wait_gone([*left, *keepers(place)]), (
        place / "warmcell" / "local" / "gateway.log"
    ).read_text()
    shutil.rmtree(place, ignore_errors=True)


def gateway(idle_exit: int = 300) -> warmcell.LocalGateway:
    return warmcell.LocalGateway(idle_exit=idle_exit, options=OPTIONS)


def test_the_first_path(own: Path) -> None:
    with warmcell.local(gateway()) as w:
        folder = own / "warmcell" / "local"
        (pid,) = serving(folder)
        processes.own(pid)
        with w.sandboxes.create() as sandbox:
            assert sandbox.run("1+1").text == "2"
        for entered in (folder.parent, folder):
            assert stat.S_IMODE(entered.stat().st_mode) == 0o700
        with warmcell.local(gateway()) as another:
            assert another.version()["version"]
        assert serving(folder) == [pid]
        os.kill(pid, signal.SIGTERM)
        assert not processes.wait_gone([pid])
        with w.sandboxes.create() as sandbox:  # the same client: it is started again
            (pid,) = serving(folder)
            processes.own(pid)
            assert sandbox.run("'again'").text == "'again'"


def test_it_ends_when_nobody_uses_it(own: Path) -> None:
    """And if it does so before anybody came, the client starts another one."""
    folder = own / "warmcell" / "local"
    with warmcell.local(gateway(idle_exit=1)) as w:
        with w.sandboxes.create() as sandbox:
            assert sandbox.run("1+1").text == "2"
    processes.until(lambda: not serving(folder), "it ended")
    assert "nobody uses this gateway" in (folder / "gateway.log").read_text()


def test_clients_that_come_at_once_share_one(own: Path) -> None:
    def come(_: int) -> str:
        one = gateway()
        one.ensure_now()
        with warmcell.Client(one.url) as client:
            return str(client.version()["version"])

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(come, range(8)))) == 1
    (pid,) = serving(own / "warmcell" / "local")
    processes.own(pid)


def test_a_program_that_ends_leaves_it(own: Path) -> None:
    """It does not end with who started it."""
    code = "import warmcell, sys\nwarmcell.LocalGateway(options=sys.argv[1:]).ensure_now()\n"
    path = ":".join(one for one in sys.path if one)
    subprocess.run(
        [sys.executable, "-c", code, *OPTIONS], check=True, env=os.environ | {"PYTHONPATH": path}
    )
    (pid,) = serving(own / "warmcell" / "local")
    processes.own(pid)
    with warmcell.local(gateway()) as w:
        assert w.version()["version"]


def test_why_it_does_not_start(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(warmcell.LocalGatewayError, match="no-such-option"):
        warmcell.local(warmcell.LocalGateway(options=["--no-such-option"]))
    with pytest.raises(warmcell.LocalGatewayError, match="cannot be started"):
        warmcell.local(warmcell.LocalGateway(program=str(own / "nothing")))
    monkeypatch.delenv("WARMCELL_PROGRAM")
    monkeypatch.setenv("PATH", str(own))
    monkeypatch.setattr(sys, "executable", str(own / "python"))
    with pytest.raises(warmcell.LocalGatewayError, match="WARMCELL_PROGRAM"):
        find_program()
    assert runtime_folder() == own / "warmcell"
    assert not serving(own / "warmcell" / "local")

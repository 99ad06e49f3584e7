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


@pytest.fixture
def installed(own: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The program at a place where it can be installed again."""
    program = own / "warmcell-program"
    shutil.copy(programs().gateway, program)
    monkeypatch.setenv("WARMCELL_PROGRAM", str(program))
    for name, sibling in {
        "WARMCELL_KERNEL": programs().host,
        "WARMCELL_KEEPER": programs().keeper,
        "WARMCELL_COMMAND": programs().keeper.with_name("warmcell-command"),
        "WARMCELL_PYTHON": programs().interpreter,
        "WARMCELL_PYTHONPATH": programs().interpreter.parent,
    }.items():
        monkeypatch.setenv(name, str(sibling))
    return program


def install_again(program: Path) -> None:
    new = program.with_suffix(".new")
    shutil.copy(program, new)
    new.rename(program)


def test_one_that_was_installed_anew_takes_the_place(own: Path, installed: Path) -> None:
    """Of one that only has clients without anything that runs: they come back to the new one."""
    folder = own / "warmcell" / "local"
    with warmcell.local(gateway()) as w:
        (first,) = serving(folder)
        processes.own(first)
        assert w.version()["version"]
        install_again(installed)
        with warmcell.local(gateway()) as another:
            assert not processes.wait_gone([first]), "it has left its folder, and is yet to end"
            (second,) = serving(folder)
            processes.own(second)
            with another.sandboxes.create() as sandbox:
                assert sandbox.run("1+1").text == "2"
        assert w.version()["version"]


def test_what_runs_there_keeps_one_that_was_installed_anew(own: Path, installed: Path) -> None:
    folder = own / "warmcell" / "local"
    with warmcell.local(gateway()) as w:
        (first,) = serving(folder)
        processes.own(first)
        with w.sandboxes.create() as sandbox:
            sandbox.run("x = 6")
            install_again(installed)
            with warmcell.local(gateway()) as another:
                assert another.sandboxes.get(sandbox.id).run("x * 7").text == "42"
            assert serving(folder) == [first]
    assert not processes.wait_gone([first])


OLDER = """
import socket, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen()
print("listens", flush=True)
sys.stdin.read()
"""


def test_one_that_would_die_of_the_signal_is_not_sent_it(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a gateway of an earlier version, in which something may run."""
    place = warmcell.LocalGateway()
    place.folder.mkdir(mode=0o700, parents=True)
    words = [sys.executable, "-c", OLDER, str(place.socket_path)]
    monkeypatch.setattr(sys.modules["warmcell.local"], "_is_replaced", lambda _pid: True)
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as older:
        assert older.stdout and older.stdout.readline() == b"listens\n"
        place.ensure_now()
        older.communicate()
    assert older.returncode == 0


def test_an_environment_of_another_python_is_told_at_once(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a wheel has put the programs: by its first client, and with what to do."""
    prefix = own / "env"
    for at, program in (
        ("kernel/host", programs().host),
        ("kernel/python", programs().interpreter),
    ):
        (prefix / "share" / "warmcell" / at).mkdir(parents=True)
        (prefix / "share" / "warmcell" / at / program.name).symlink_to(program)
    (prefix / "bin").mkdir()
    (prefix / "bin" / "python").symlink_to("/usr/bin/python3")
    (prefix / "pyvenv.cfg").write_text(f"home = {own}\nversion = 3.11.99\n")
    monkeypatch.delenv("WARMCELL_PROGRAM")
    monkeypatch.setattr(sys, "prefix", str(prefix))
    with pytest.raises(
        warmcell.LocalGatewayError, match=r"is Python 3\.11\.99, .*; make the environment with /"
    ):
        warmcell.local(warmcell.LocalGateway(program=str(programs().gateway)))
    assert not list((own / "warmcell").rglob("gateway.sock"))


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

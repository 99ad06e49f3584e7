"""The door says in one sentence what is wrong with a machine, and ends non-zero.

Each test runs a copy of `./dev` in a checkout of its own with a PATH that holds the usual tools,
some of them replaced: nothing is installed and no network is touched.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOLS = (
    *("cat", "cut", "date", "dirname", "env", "flock", "grep", "head", "id", "mkdir", "mkfifo"),
    *("mv", "printf", "readlink", "rm"),
    *("sed", "sh", "sha256sum", "sort", "comm", "tail", "timeout", "tr"),
)
EVERYTHING_INSTALLED = 'shift 2; for name in "$@"; do echo "installed $name"; done'
NOTHING_INSTALLED = "exit 1"


@dataclass
class Checkout:
    """A checkout that holds the door alone, and the tools that it finds."""

    root: Path

    def tool(self, name: str, script: str) -> None:
        place = self.root / "bin" / name
        place.unlink(missing_ok=True)
        place.write_text(f"#!/bin/sh\n{script}\n")
        place.chmod(0o755)

    def dev(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.root / "dev", *arguments],
            env={"PATH": str(self.root / "bin"), "HOME": str(self.root)} | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def sentence(self, *arguments: str, **environment: str) -> str:
        """What a start that must fail says last."""
        ended = self.dev(*arguments, **environment)
        assert ended.returncode not in {0, 126, 127}, ended.stderr
        last = ended.stderr.splitlines()[-1]
        assert last.startswith("dev: ")
        return last


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """One where every Debian package is installed."""
    shutil.copy(ROOT / "dev", tmp_path)
    shutil.copytree(ROOT / "requirements", tmp_path / "requirements")
    (tmp_path / "bin").mkdir()
    for name in TOOLS:
        found = shutil.which(name)
        assert found is not None, name
        (tmp_path / "bin" / name).symlink_to(found)
    checkout = Checkout(tmp_path)
    checkout.tool("dpkg-query", EVERYTHING_INSTALLED)
    checkout.tool("apt-get", "exit 99")
    checkout.tool("dpkg", "exit 99")
    return checkout


def fake_python(checkout: Checkout, version: str, shared: int) -> str:
    """The path of a Python of this version, which makes empty environments of itself."""
    checkout.tool(
        "fake-python",
        f'''case "$*" in
        *sysconfig*) echo "{version} {shared}" ;;
        -V) echo "Python {version}" ;;
        "-m venv "*) mkdir -p "$3/bin"; cp "$0" "$3/bin/python" ;;
        *"pip install"*) echo "$*" >>"$HOME/pip.txt"; [ ! -e "$HOME/pip-fails" ] || exit 1 ;;
        esac''',
    )
    (checkout.root / "bin" / "cp").symlink_to(shutil.which("cp") or "")
    return str(checkout.root / "bin" / "fake-python")


def test_help_names_every_command(checkout: Checkout) -> None:
    ended = checkout.dev("help")
    assert ended.returncode == 0
    for command in ("run", "test", "bench", "soak", "lint", "setup", "lock", "help"):
        assert f"\n  {command} " in ended.stdout


def test_unknown_command(checkout: Checkout) -> None:
    assert checkout.sentence("fly") == 'dev: there is no command "fly"'


def test_unknown_level(checkout: Checkout) -> None:
    assert (
        checkout.sentence("setup", "moon") == "dev: setup knows the levels run and test, not moon"
    )


def test_no_debian(checkout: Checkout) -> None:
    (checkout.root / "bin" / "apt-get").unlink()
    assert "apt-get is missing, this is no Debian" in checkout.sentence("run")


def test_neither_root_nor_sudo(checkout: Checkout) -> None:
    checkout.tool("dpkg-query", NOTHING_INSTALLED)
    checkout.tool("id", "echo 1000")
    sentence = checkout.sentence("run")
    assert "needs root or sudo to install Debian packages" in sentence
    assert "libzmq3-dev" in sentence


def test_sudo_that_refuses(checkout: Checkout) -> None:
    checkout.tool("dpkg-query", NOTHING_INSTALLED)
    checkout.tool("id", "echo 1000")
    checkout.tool("sudo", "exit 1")
    assert "sudo did not let this user in" in checkout.sentence("run")


def test_only_what_is_missing_is_installed(checkout: Checkout) -> None:
    checkout.tool("id", "echo 0")
    checkout.tool(
        "dpkg-query",
        'shift 2; for n in "$@"; do case $n in meson) ;; *) echo "installed $n" ;; esac; done',
    )
    checkout.tool("apt-get", 'echo "$*" >>"$HOME/apt.txt"; exit 1')
    assert "could not install the Debian packages" in checkout.sentence("run")
    calls = (checkout.root / "apt.txt").read_text().splitlines()
    assert calls[-1].split("--no-install-recommends ")[1].split() == ["meson"]


def test_no_network_for_debian_packages(checkout: Checkout) -> None:
    checkout.tool("dpkg-query", NOTHING_INSTALLED)
    checkout.tool("id", "echo 0")
    checkout.tool("apt-get", "echo \"Err: Temporary failure resolving 'deb.example'\"; exit 100")
    assert "dev: no network: apt-get could not reach" in checkout.sentence("run")


def test_no_python(checkout: Checkout) -> None:
    sentence = checkout.sentence("run", DEV_PYTHON="/nowhere/python3")
    assert sentence == "dev: /nowhere/python3 is missing; warmcell needs Python 3.11 or newer"


def test_old_python(checkout: Checkout) -> None:
    python = fake_python(checkout, "3.9", 1)
    assert "is Python 3.9; warmcell needs 3.11 or newer" in checkout.sentence(
        "run", DEV_PYTHON=python
    )


def test_python_without_shared_library(checkout: Checkout) -> None:
    python = fake_python(checkout, "3.11", 0)
    assert "has no shared libpython to embed" in checkout.sentence("run", DEV_PYTHON=python)


def test_no_network_for_python_packages(checkout: Checkout) -> None:
    ended = checkout.sentence(
        "run",
        DEV_PYTHON=str(Path(sys.executable).resolve()),
        PIP_INDEX_URL="http://127.0.0.1:9/simple",
        PIP_RETRIES="0",
        PIP_CONFIG_FILE=os.devnull,
    )
    assert "no network, or a package index that lacks what requirements/run.txt pins" in ended


def test_old_meson(checkout: Checkout) -> None:
    checkout.tool("meson", "echo 0.56.2")
    checkout.tool("ninja", "exit 0")
    sentence = checkout.sentence("run", DEV_PYTHON=fake_python(checkout, "3.11", 1))
    assert "meson 0.56.2" in sentence
    assert "is too old; warmcell needs 1.0.0 or newer" in sentence


def test_no_meson(checkout: Checkout) -> None:
    sentence = checkout.sentence("run", DEV_PYTHON=fake_python(checkout, "3.11", 1))
    assert sentence == "dev: meson is missing; warmcell needs meson 1.0.0 or newer"


def test_second_setup_does_nothing(checkout: Checkout) -> None:
    python = fake_python(checkout, "3.11", 1)
    first = checkout.dev("setup", DEV_PYTHON=python)
    assert first.returncode == 0, first.stderr
    assert "--require-hashes" in (checkout.root / "pip.txt").read_text()
    (checkout.root / "pip.txt").unlink()
    second = checkout.dev("setup", DEV_PYTHON=python)
    assert second.returncode == 0
    assert second.stderr == "- set-up is complete (run)\n"
    assert not (checkout.root / "pip.txt").exists()


def test_changed_lock_is_installed(checkout: Checkout) -> None:
    python = fake_python(checkout, "3.11", 1)
    assert checkout.dev("setup", DEV_PYTHON=python).returncode == 0
    (checkout.root / "pip.txt").unlink()
    with (checkout.root / "requirements" / "run.txt").open("a") as lock:
        lock.write("# newer\n")
    assert checkout.dev("setup", DEV_PYTHON=python).returncode == 0
    assert (checkout.root / "pip.txt").exists()


def test_interrupted_setup_begins_anew(checkout: Checkout) -> None:
    python = fake_python(checkout, "3.11", 1)
    (checkout.root / "pip-fails").touch()
    assert "pip could not install requirements/run.txt" in checkout.sentence(
        "setup", DEV_PYTHON=python
    )
    (checkout.root / ".venv" / "left-over").touch()
    (checkout.root / "pip-fails").unlink()
    assert checkout.dev("setup", DEV_PYTHON=python).returncode == 0
    assert not (checkout.root / ".venv" / "left-over").exists()


def test_concurrent_setup_waits(checkout: Checkout) -> None:
    python = fake_python(checkout, "3.11", 1)
    (checkout.root / ".setup").mkdir()
    with (checkout.root / ".setup" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        second = subprocess.Popen(
            [checkout.root / "dev", "setup"],
            env={
                "PATH": str(checkout.root / "bin"),
                "HOME": str(checkout.root),
                "DEV_PYTHON": python,
            },
            stderr=subprocess.PIPE,
            text=True,
        )
        assert second.stderr is not None
        assert "another ./dev is setting up this checkout" in second.stderr.readline()
        assert not (checkout.root / ".venv").exists()
    assert "set-up is complete" in second.communicate()[1]
    assert second.returncode == 0


def test_unwritable_checkout(checkout: Checkout) -> None:
    (checkout.root / ".setup").write_text("a file where a folder should be")
    assert "cannot write" in checkout.sentence("run")


def test_locks_pin_every_package_by_hash_and_name_no_host() -> None:
    for level in ("run", "test"):
        text = (ROOT / "requirements" / f"{level}.txt").read_text()
        assert "://" not in text
        assert not [line for line in text.splitlines() if line.startswith("-")]
        pins = [line for line in text.splitlines() if "==" in line and line[0].isalnum()]
        hashed = text.count(" \\\n    --hash=sha256:")
        assert len(pins) > 30
        assert hashed >= len(pins)

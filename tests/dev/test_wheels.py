"""`pip install .`, as who has never seen the project tries it: a wheel in a fresh environment, an
empty folder and an empty home.

The wheel takes its programs from the build tree under test; what it needs besides comes from the
environment that runs the tests, packed again, and nothing from a network.
"""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from collections.abc import Iterator
from email.message import Message
from email.parser import Parser
from pathlib import Path

import psutil
import pytest
from support import processes
from support.programs import ROOT, programs
from support.wheels import needed_by, repack

PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input"]
SDK, KERNEL = ROOT / "sdk" / "python", ROOT / "kernel" / "python"
INFO = "warmcell-0.1.0.dist-info"
PROGRAMS = {
    "warmcell-0.1.0.data/scripts/warmcell",
    "warmcell-0.1.0.data/data/share/warmcell/kernel/host/warmcell-kernel",
    "warmcell-0.1.0.data/data/share/warmcell/kernel/python/warmcell-python",
    "warmcell-0.1.0.data/data/share/warmcell/kernel/bash/warmcell-bash",
    "warmcell-0.1.0.data/data/share/warmcell/sandbox/warmcell-command",
    "warmcell-0.1.0.data/data/share/warmcell/sandbox/warmcell-keeper",
    "warmcell-0.1.0.data/data/share/warmcell/sandbox/warmcell-pasta",
    "warmcell-0.1.0.data/data/share/warmcell/sandbox/warmcell-proxy",
}
# without a pool: the gateway is ended as soon as it was used, and nothing is to be starting then
FIRST = """
import warmcell
own = warmcell.LocalGateway(options=["--pool-min", "0", "--pool-max", "0"])
with warmcell.local(own) as w, w.sandboxes.create() as sandbox:
    print(sandbox.run("import sys; print(sys.executable)\\n6 * 7").stdout, end="")
    print(sandbox.run("6 * 7").text, sandbox.commands.run("pwd").stdout, end="")
"""
NOTEBOOK = """
import nbclient, nbformat
cell = nbformat.v4.new_code_cell("import sys; print(sys.executable)")
notebook = nbformat.v4.new_notebook(cells=[cell])
nbclient.NotebookClient(notebook, kernel_name="warmcell").execute()
print(notebook.cells[0].outputs[0].text, end="")
"""


def run(*words: str | Path, cwd: Path, env: dict[str, str] | None = None) -> str:
    """What it says; a failure shows all of it."""
    ended = subprocess.run(words, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def metadata_of(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return Parser().parsestr(archive.read(name).decode())


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="wcw-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def wheel(place: Path) -> Path:
    made = place / "dist"
    options = ["--no-build-isolation", "--no-deps", "--no-index", "--wheel-dir", str(made)]
    for setting in (f"setup-args=-Dprebuilt={programs().build}", f"builddir={place / 'build'}"):
        options += ["--config-settings", setting]
    run(*PIP, "wheel", *options, ROOT, cwd=place)
    (found,) = made.iterdir()
    return found


@pytest.fixture(scope="module")
def environment(place: Path, wheel: Path) -> Path:
    """One that has warmcell and what it needs; its path is not everybody's."""
    folder = place / "my own" / "env"
    run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=place)
    for one in needed_by(metadata_of(wheel).get_all("Requires-Dist", [])):
        repack(one, wheel.parent)
    options = ["--no-index", "--find-links", str(wheel.parent), "--no-compile", "--quiet"]
    run(*PIP, "--python", folder / "bin" / "python", "install", *options, wheel, cwd=place)
    return folder


@pytest.fixture
def own(place: Path, environment: Path) -> Iterator[dict[str, str]]:
    """The shell of a new user in an empty folder; a gateway that was started there ends with it."""
    for name in ("home", "empty"):
        (place / name).mkdir(mode=0o700)
    short = tempfile.mkdtemp(prefix="r")  # sockets are in it
    yield {
        "HOME": str(place / "home"),
        "XDG_RUNTIME_DIR": short,
        "LC_ALL": "C.UTF-8",
        "PATH": f"{environment / 'bin'}:/usr/bin:/bin",
    }
    family = [
        child
        for child in psutil.Process().children()
        if short in " ".join(processes.words_of(child.pid))
    ]
    for child in family:
        if "serve" in processes.words_of(child.pid):
            child.send_signal(signal.SIGTERM)
    assert not processes.wait_gone([child.pid for child in family])
    for folder in (place / "home", place / "empty", Path(short)):
        shutil.rmtree(folder, ignore_errors=True)


def test_what_the_wheel_says_and_has(wheel: Path) -> None:
    said = metadata_of(wheel)
    assert wheel.name == "warmcell-0.1.0-cp311-cp311-linux_x86_64.whl"
    assert (said["Name"], said["License-Expression"]) == ("warmcell", "BSD-3-Clause")
    assert said["Requires-Python"] == ">=3.11"
    needs = {re.split("[^a-z-]", one)[0] for one in said.get_all("Requires-Dist", [])}
    assert needs >= {"comm", "httpx", "ipython", "matplotlib-inline", "websockets"}
    with zipfile.ZipFile(wheel) as archive:
        names = {one.filename: one.external_attr >> 16 for one in archive.infolist()}
    assert {name for name in PROGRAMS if names.get(name, 0) & 0o111 != 0o111} == set()
    modules = [
        str(file.relative_to(folder))
        for folder, package in ((SDK, "warmcell"), (KERNEL, "warmcell_kernel"))
        for file in (folder / package).rglob("*.py")
    ]
    assert len(modules) > 60
    wanted = {*modules, "_warmcell.so", "warmcell/py.typed", f"{INFO}/licenses/LICENSE"}
    assert wanted <= set(names)
    assert not [name for name in names if "__pycache__" in name]


def test_the_first_snippet(environment: Path, own: dict[str, str]) -> None:
    empty = Path(own["HOME"]).parent / "empty"
    said = run("python", "-c", FIRST, cwd=empty, env=own)
    assert said == f"{environment}/bin/python\n42 /workspace\n"
    assert list(empty.iterdir()) == []
    (socket,) = Path(own["XDG_RUNTIME_DIR"]).glob("warmcell/local*/gateway.sock")
    assert re.fullmatch(r"local-[0-9a-f]{6}", socket.parent.name)


def test_jupyter_lists_and_runs_the_kernel(environment: Path, own: dict[str, str]) -> None:
    """By Jupyter's own programs, which are no part of this environment."""
    empty = Path(own["HOME"]).parent / "empty"
    jupyter = own | {"PYTHONPATH": sysconfig.get_path("purelib")}
    words = ["python", "-m", "jupyter_client.kernelspecapp", "list", "--json"]
    found = json.loads(run(*words, cwd=empty, env=jupyter))["kernelspecs"]["warmcell"]
    assert found["resource_dir"] == f"{environment}/share/jupyter/kernels/warmcell"
    assert found["spec"]["display_name"] == "Python 3 (warmcell)"
    assert run("python", "-c", NOTEBOOK, cwd=empty, env=jupyter) == f"{environment}/bin/python\n"


def test_the_programs_and_the_package_find_each_other(
    environment: Path, own: dict[str, str]
) -> None:
    empty = Path(own["HOME"]).parent / "empty"
    script = "import _warmcell, warmcell_kernel.__main__ as kernel; print(kernel.host_program())"
    host = f"{environment}/share/warmcell/kernel/host/warmcell-kernel"
    assert run("python", "-c", script, cwd=empty, env=own) == f"{host}\n"
    listed = run("warmcell", "kernelspec", "list", "--sys-prefix", cwd=empty, env=own)
    assert "share/jupyter/kernels/warmcell" in listed


def test_the_second_wheel(place: Path) -> None:
    made = place / "compat"
    options = ["--no-build-isolation", "--no-deps", "--no-index", "--wheel-dir", str(made)]
    run(*PIP, "wheel", *options, ROOT / "sdk" / "compat", cwd=place)
    (wheel,) = made.iterdir()
    said = metadata_of(wheel)
    assert wheel.name == "warmcell_compat-0.1.0-py3-none-any.whl"
    assert said.get_all("Requires-Dist") == ["warmcell==0.1.0"]
    with zipfile.ZipFile(wheel) as archive:
        top = {name.split("/")[0] for name in archive.namelist()}
    assert top - {"warmcell_compat-0.1.0.dist-info"} <= {
        *("sandbox", "sandbox_sdk", "llm_sandbox", "cloud_sandbox"),
    }

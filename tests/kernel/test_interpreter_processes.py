"""Forks, multiprocessing, crashes, and starts that fail."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
from pathlib import Path

import pytest
from kernel.interpreters import Starter, spawn
from kernel.link_peer import Interpreter
from support.programs import PYTHON, Programs


def test_a_fork_writes_to_the_pipes(shared: Interpreter) -> None:
    code = """
import os, sys
print('parent')
pid = os.fork()
if pid == 0:
    print('child'); print('child err', file=sys.stderr); display(1)
    os._exit(0)
os.waitpid(pid, 0)
print('after')
"""
    answer = shared.run(code)
    assert answer.stdout == "parent\nchild\nafter\n"
    assert answer.stderr == "child err\n"
    assert answer.contents("display_data") == []


def test_a_child_that_runs_on_ends_with_its_cell(shared: Interpreter) -> None:
    answer = shared.run(
        "import os\npid = os.fork()\nprint('in', 'child' if pid == 0 else 'parent')"
    )
    shared.run("os.waitpid(pid, 0)")
    again = shared.run("1 + 1")
    assert again.result == "2"
    assert "in parent\n" in answer.stdout


def test_multiprocessing(shared: Interpreter) -> None:
    code = """
import multiprocessing as mp
def f(x):
    print('worker', x)
    return x * x
with mp.get_context('fork').Pool(2) as pool:
    r = pool.map(f, range(4), chunksize=1)
p = mp.get_context('fork').Process(target=print, args=('one process',))
p.start(); p.join()
r, p.exitcode
"""
    answer = shared.run(code)
    assert answer.result == "([0, 1, 4, 9], 0)", answer.reply
    assert sorted(answer.stdout.splitlines()) == [
        "one process",
        *(f"worker {i}" for i in range(4)),
    ]


def test_multiprocessing_by_spawn(shared: Interpreter) -> None:
    code = """
import multiprocessing as mp, math
with mp.get_context('spawn').Pool(1) as pool:
    r = pool.map(math.sqrt, [4.0, 9.0])
r
"""
    assert shared.run(code).result == "[2.0, 3.0]"


def test_process_pool_executor(shared: Interpreter) -> None:
    code = (
        "from concurrent.futures import ProcessPoolExecutor\nimport multiprocessing, os\n"
        "with ProcessPoolExecutor(2) as ex: r = list(ex.map(abs, [-1, -2]))\nr"
    )
    assert shared.run(code).result == "[1, 2]"


@pytest.mark.parametrize(
    ("crash", "status"),
    [
        ("import ctypes; ctypes.string_at(0)", -signal.SIGSEGV),
        ("import os; os.abort()", -signal.SIGABRT),
        ("import os; os._exit(7)", 7),
        ("import os, signal; os.kill(os.getpid(), signal.SIGBUS)", -signal.SIGBUS),
    ],
)
def test_what_was_written_before_a_crash_arrives(launch: Starter, crash: str, status: int) -> None:
    fresh = launch()
    fresh.start(f"for i in range(1000): print(i)\nprint('end', end='')\n{crash}")
    text = ""
    with pytest.raises(EOFError) as last:
        while True:
            frame = fresh.next_frame()
            if frame.parts[0] == b"stdout":
                text += frame.parts[1].decode()
    assert text == "".join(f"{i}\n" for i in range(1000)) + "end"
    assert fresh.process.wait(30) == status
    if status == -signal.SIGSEGV:
        assert "Segmentation fault" in str(last.value)


def test_it_is_the_environments_python(shared: Interpreter, programs: Programs) -> None:
    code = "import sys, subprocess\nsys.executable, sys.prefix"
    executable, prefix = eval(str(shared.run(code).result))
    assert executable == PYTHON
    assert prefix == str(Path(PYTHON).parent.parent)
    child = "subprocess.run([sys.executable, '-c', 'import IPython; print(IPython.__name__)'])"
    assert shared.run(child).stdout == "IPython\n"
    assert shared.run("!python -c 'import sys; print(sys.prefix)'").stdout.strip()


def start_failing(command: list[str], env: dict[str, str] | None = None) -> tuple[int, str]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        run = subprocess.run(
            [*command, "--link-fd", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            capture_output=True,
            text=True,
            timeout=60,
            env=env,
            check=False,
        )
    assert "Traceback" not in run.stderr
    return run.returncode, run.stderr


def test_starts_that_cannot_be(programs: Programs, tmp_path: Path) -> None:
    program = str(programs.interpreter)
    status, said = start_failing([program, "--python", "/no/such/python"])
    assert (status, said.count("\n")) == (1, 1)
    assert "/no/such/python is not an executable file" in said
    bare = tmp_path / "bare"
    subprocess.run(["/usr/bin/python3", "-m", "venv", "--without-pip", bare], check=True)
    status, said = start_failing([program, "--python", str(bare / "bin/python")])
    assert (status, said.count("\n")) == (1, 1)
    assert "has no usable IPython" in said
    run = subprocess.run([program], capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert "--link-fd N is required" in run.stderr
    for wrong in ("x", "1", "-3", "99999999999999999999", ""):
        run = subprocess.run(
            [program, "--link-fd", wrong], capture_output=True, text=True, check=False
        )
        assert run.returncode == 1
        assert run.stderr.count("\n") == 1
    run = subprocess.run([program, "--help"], capture_output=True, text=True, check=False)
    assert run.returncode == 0
    assert "--python EXE" in run.stdout


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        # the installation that our libpython is of; its environment is older than an update of it
        ("home = /usr/bin\nversion = 3.11.99\n", "ok"),
        ("home = {place}/bin\nversion = 3.11.99\n", "ok"),  # of which python is a link
        ("home = {place}\nversion = {ours}\n", "ok"),
        ("home = {place}\nversion_info = {ours}.final.0\n", "ok"),
        ("home = {place}\n", "ok"),
        ("home = {place}\nversion = 3.11.99\n", "is Python 3.11.99, and this program embeds"),
        ("version = 3.99.1\nhome = {place}\n", "is Python 3.99.1, and this program embeds"),
        ("home = {place}\nversion_info = 3.11.99.final.0\n", "is Python 3.11.99, and"),
    ],
)
def test_an_environment_of_another_python(
    programs: Programs, tmp_path: Path, lines: str, said: str
) -> None:
    """Its modules would not load: it is refused before anything runs, with what to do."""
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.symlink_to("/usr/bin/python3")
    run = subprocess.run(
        [str(programs.interpreter), "--version"], check=True, capture_output=True, text=True
    )
    ours = run.stdout.rpartition(" ")[2].strip()
    (tmp_path / "pyvenv.cfg").write_text(lines.format(place=tmp_path, ours=ours))
    command = [str(programs.interpreter), "--python", str(python)]
    check = subprocess.run([*command, "--check"], check=False, capture_output=True, text=True)
    if said == "ok":
        assert (check.returncode, check.stdout) == (0, "ok\n")
        return
    assert check.returncode == 1
    assert check.stdout.startswith(f"{python} {said}")
    assert f"Python {ours}" in check.stdout
    assert re.search("; make the environment with /.*/bin/python3.* -m venv$", check.stdout)
    status, complaint = start_failing(command)
    assert (status, complaint) == (1, f"warmcell-python: {check.stdout}")


def test_a_host_of_another_version(entry: str, programs: Programs) -> None:
    """The interpreter says so and ends."""
    interpreter = spawn(entry, programs, hello={"version": 2})
    with pytest.raises(EOFError) as said:
        interpreter.next_frame()
    assert interpreter.process.wait(30) == 1
    assert "version 2" in str(said.value)
    interpreter.close()


def test_the_module_becomes_a_host_for_this_python(programs: Programs, tmp_path: Path) -> None:
    """`python -m warmcell_kernel -f FILE` is a kernel whose interpreter is that very Python."""
    env = {**os.environ, "PYTHONPATH": str(programs.interpreter.parent)}
    file = tmp_path / "connection.json"
    said = tmp_path / "said"
    fake = tmp_path / "warmcell-kernel"
    fake.write_text(f"#!/bin/sh\nprintf '%s\\n' \"$@\" > {said}\n")
    fake.chmod(0o755)
    command = [PYTHON, "-m", "warmcell_kernel", "-f", str(file)]
    subprocess.run(command, env={**env, "WARMCELL_KERNEL": str(fake)}, check=True)
    assert said.read_text().splitlines() == ["-f", str(file), "--python", PYTHON]
    version = [PYTHON, "-m", "warmcell_kernel", "--version"]
    run = subprocess.run(version, env=env, capture_output=True, text=True, check=False)
    assert "warmcell-kernel" in run.stdout + run.stderr
    none = subprocess.run(
        [PYTHON, "-m", "warmcell_kernel"], env=env, capture_output=True, text=True, check=False
    )
    assert (none.returncode, none.stderr.count("\n")) == (2, 1)

"""`warmcell warm`: kernels that are started as JupyterLab starts them are forks of the user's fork
server, and come by without it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kernel.host_process import Host
from support import processes
from support.direct import DirectClient
from support.programs import PYTHON, Programs, programs


def warm(*options: str) -> subprocess.CompletedProcess[str]:
    command = [str(programs().gateway), "warm", "--python", PYTHON, *options]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=200)


def status() -> dict[str, Any]:
    done = warm("--status")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])


def keeper_pid() -> int:
    return parent_of(status()["fork_server"]["pid"])


@pytest.fixture
def kept(programs: Programs) -> Iterator[int]:
    done = warm("--preload", "json")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"warm: {PYTHON}, by ")
    pid = keeper_pid()
    processes.own(pid)
    yield pid
    if processes.alive(pid):
        os.kill(pid, signal.SIGTERM)
    assert processes.wait_gone([pid]) == []
    processes.disown(pid)


class Kernel(Host):
    """warmcell-kernel -f FILE, as JupyterLab runs it."""

    def __init__(self, *options: str, **env: str) -> None:
        super().__init__("--python", PYTHON, *options, interpreter=True, env=env)

    def interpreter(self) -> int:
        client = self.clients[0] if self.clients else self.client()
        return number_of(client, "import os; os.getpid()")


def number_of(client: DirectClient, code: str) -> int:
    return int(client.run(code).result["text/plain"])


def test_a_kernel_is_a_fork(kept: int) -> None:
    with Kernel(GREETING="hello") as kernel:
        pid = kernel.interpreter()
        assert parent_of(pid) == kept
        assert status()["fork_server"]["forks"] == 1
        client = kernel.clients[0]
        text = client.run("import os; os.environ['GREETING']").result["text/plain"]
        assert text == "'hello'"
        assert client.run("x = 1; print(x)").stdout == "1\n"
        client.run("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
        assert parent_of(kernel.interpreter()) == kept
        assert status()["fork_server"]["forks"] == 2


@pytest.mark.parametrize("cold", ["--cold", "WARMCELL_COLD"])
def test_a_kernel_can_be_cold(kept: int, cold: str) -> None:
    options, env = ((cold,), {}) if cold.startswith("--") else ((), {cold: "1"})
    with Kernel(*options, **env) as kernel:
        assert parent_of(kernel.interpreter()) == kernel.pid
        assert status()["processes"] == 0


def test_without_a_keeper_a_kernel_starts_as_ever() -> None:
    assert warm("--status").returncode == 1
    with Kernel() as kernel:
        assert parent_of(kernel.interpreter()) == kernel.pid
        assert "keeper" not in kernel.log.read_text()


def test_a_second_command_finds_the_first_ones_keeper(kept: int) -> None:
    done = warm()
    assert done.returncode == 0
    assert keeper_pid() == kept


def test_stopping_lets_kernels_run_on(kept: int) -> None:
    with Kernel() as kernel:
        pid = kernel.interpreter()
        assert warm("--stop").returncode == 0
        assert warm("--status").returncode == 1
        assert kernel.interpreter() == pid
        assert processes.alive(kept)
    assert processes.wait_gone([kept]) == []


def test_what_was_killed_leaves_no_keeper_behind_for_the_next(kept: int) -> None:
    with Kernel() as kernel:
        pid = kernel.interpreter()
        os.kill(kept, signal.SIGKILL)
        assert processes.wait_gone([kept]) == []
        assert kernel.interpreter() == pid
        with Kernel() as other:
            assert parent_of(other.interpreter()) == other.pid
            assert "no keeper of ours listens" in other.log.read_text()


def test_a_python_that_cannot_be_kept_warm_is_said(tmp_path: Path) -> None:
    done = warm("--python", str(tmp_path / "none"))
    assert done.returncode == 1
    assert "none" in done.stderr
    done = warm("--status", "--stop")
    assert done.returncode == 2

"""`./dev run` from outside: the notebook, its artifacts, the serving, and an end that is an end."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]
ARTIFACT = re.compile(r"^  (\S+) +(\d+) bytes  (http\S+)\n +(/\S+)$", re.MULTILINE)


@contextmanager
def dev_run(*options: str) -> Iterator[subprocess.Popen[str]]:
    """`./dev run` in a process group of its own, as a terminal starts it."""
    process = subprocess.Popen(
        [ROOT / "dev", "run", *options],
        env=os.environ | {"DEV_SKIP_PACKAGES": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with process:
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)


def read_until(process: subprocess.Popen[str], mark: str) -> str:
    """The output up to and with the line that holds the mark."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if mark in line:
            return "".join(lines)
    raise AssertionError("".join(lines) + (process.stderr.read() if process.stderr else ""))


def call(method: str, url: str, body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data, method=method)) as answer:
        return answer.read()


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    output, errors = process.communicate()
    return process.returncode, output, errors


def test_once_executes_the_notebook_and_names_the_artifacts(tmp_path: Path) -> None:
    with dev_run("--once", "--port", "0", "--state-dir", str(tmp_path / "state")) as process:
        status, output, errors = ended(process)
    assert status == 0, errors
    notebook = nbformat.read(ROOT / "build" / "run" / "first-steps.ipynb", as_version=4)
    nbformat.validate(notebook)
    assert f"executed notebook: {ROOT}/build/run/first-steps.ipynb" in output
    artifacts = ARTIFACT.findall(output)
    plots = [path for mime, _, _, path in artifacts if mime == "image/png"]
    assert len(set(plots)) >= 4
    for _, size, _, path in artifacts:
        kept = Path(path).read_bytes()
        assert len(kept) == int(size)
        assert hashlib.sha256(kept).hexdigest() == Path(path).parent.name + Path(path).name


@pytest.mark.parametrize("to_group", [True, False])
def test_serves_until_it_is_told_to_end(tmp_path: Path, to_group: bool) -> None:
    with dev_run("--port", "0", "--state-dir", str(tmp_path / "state")) as process:
        output = read_until(process, "serving at ")
        url = output.rsplit("serving at ", 1)[1].strip()
        base, query = url.split("/?")
        assert query.startswith("token=")
        # a plot is still there, a kernel can be had, and none of it is for strangers
        assert call("GET", ARTIFACT.findall(output)[-1][2])
        assert call("POST", f"{base}/api/kernels?{query}", {"name": "warmcell"})
        with pytest.raises(urllib.error.HTTPError) as refused:
            call("GET", f"{base}/api/kernels")
        assert refused.value.code in {401, 403}
        if to_group:
            os.killpg(process.pid, signal.SIGINT)  # Ctrl-C
        else:
            process.terminate()
        status, _, errors = ended(process)
    assert status == 0, errors


def test_one_run_at_a_time(tmp_path: Path) -> None:
    with dev_run("--port", "0", "--state-dir", str(tmp_path / "state")) as first:
        read_until(first, "serving at ")
        with dev_run("--once", "--port", "0") as second:
            status, _, errors = ended(second)
        first.terminate()
        first.communicate()
    assert status == 1
    assert errors.splitlines()[-1] == "dev: another ./dev run is serving from this checkout"


def test_own_token_is_used_and_not_printed(tmp_path: Path) -> None:
    options = ("--once", "--port", "0", "--token=one-of-my-own")
    with dev_run(*options, "--state-dir", str(tmp_path / "state")) as process:
        status, output, errors = ended(process)
    assert status == 0, errors
    assert ARTIFACT.findall(output)
    assert "one-of-my-own" not in output + errors


def test_taken_port(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with dev_run("--once", "--port", port, f"--state-dir={tmp_path / 'state'}") as process:
            status, _, errors = ended(process)
    assert status != 0
    assert port in errors.splitlines()[-1]
    assert "is taken" in errors.splitlines()[-1]


def test_unknown_option() -> None:
    with dev_run("--once", "--no-such-option") as process:
        status, _, errors = ended(process)
    assert status != 0
    assert "--no-such-option" in errors.splitlines()[-1]

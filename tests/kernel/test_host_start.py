"""How the host is started, and how it finds the interpreter for a Python."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import zmq
from kernel.host_process import DRIVER, Host
from support import processes
from support.direct import DirectClient, endpoint
from support.programs import programs


def environment(folder: Path, version: str, home: Path | str = "/usr/bin") -> Path:
    """A virtual environment of that version, whose Python writes down how it was called."""
    (folder / "bin").mkdir(parents=True)
    (folder / "pyvenv.cfg").write_text(f"home = {home}\nversion = {version}\n")
    python = folder / "bin" / "python"
    python.write_text(
        f'#!/bin/sh\necho "$0 $*" >{folder}/called\necho "$PYTHONPATH" >>{folder}/called\n'
        f'while [ "$1" != --link-fd ]; do shift; done\nexec {sys.executable} {DRIVER} "$@"\n'
    )
    python.chmod(0o755)
    return python


def serve(python: Path, tmp_path: Path, **env: str) -> None:
    """Runs one cell in a kernel for that Python."""
    file = tmp_path / "connection.json"
    file.write_text(json.dumps(Host.connection()))
    host_program = str(programs().host)
    arguments = [host_program, "-f", str(file), "--history", "none", "--python", str(python)]
    with subprocess.Popen(arguments, env={**os.environ, **env}) as host:
        processes.until(lambda: json.loads(file.read_text())["hb_port"] > 0, "ports")
        client = DirectClient(json.loads(file.read_text()))
        client.wait_ready()
        assert client.run("print a").stdout == "a\n"
        info = client.ask("kernel_info_request").content
        assert info["language_info"]["name"] == "fake"
        client.ask("shutdown_request", {}, channel="control")
        client.close()
        assert host.wait(30) == 0


def test_a_python_of_another_version_serves_itself(tmp_path: Path) -> None:
    python = environment(tmp_path / "venv", "3.99.1")
    serve(python, tmp_path, WARMCELL_PYTHONPATH="/the/package")
    called, path = (tmp_path / "venv" / "called").read_text().splitlines()
    assert called == f"{python} -m warmcell_kernel --link-fd 3 --pipes-fd 4"
    assert path.split(":")[0] == "/the/package"


def embedded(what: str) -> str:
    """Of the Python that is embedded: its --modversion, or --variable=prefix."""
    asked = ["pkg-config", what, "python3-embed"]
    return subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()


def test_a_python_of_another_installation_serves_itself(tmp_path: Path) -> None:
    """Also of our version: the modules of one are not made for the libpython of another."""
    version = embedded("--modversion")
    python = environment(tmp_path / "venv", version + ".99", home=tmp_path)
    serve(python, tmp_path)
    called = (tmp_path / "venv" / "called").read_text().splitlines()[0]
    assert called == f"{python} -m warmcell_kernel --link-fd 3 --pipes-fd 4"


def test_a_python_of_our_version_is_given_to_our_program(tmp_path: Path) -> None:
    ours = environment(tmp_path / "ours", "0")
    home = embedded("--variable=prefix") + "/bin"
    python = environment(tmp_path / "venv", embedded("--modversion") + ".99", home)
    serve(python, tmp_path, WARMCELL_PYTHON=str(ours))
    called = (tmp_path / "ours" / "called").read_text().splitlines()[0]
    assert called == f"{ours} --python {python} --link-fd 3 --pipes-fd 4"


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, "does not exist"),
        ("{", "not valid JSON"),
        ('{"transport":"carrier pigeon"}', "transport"),
        (
            '{"transport":"tcp","ip":"127.0.0.1","key":"k","signature_scheme":"x"}',
            "signature_scheme",
        ),
        ('{"transport":"tcp","ip":"256.1.1.1","key":"k"}', "bind"),
    ],
)
def test_connection_files_that_cannot_be_served(
    tmp_path: Path, content: str | None, text: str
) -> None:
    file = tmp_path / "connection.json"
    if content is not None:
        file.write_text(content)
    run = subprocess.run(
        [programs().host, "-f", file, "--driver", "--", "true"],
        check=False, capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert run.returncode == 1
    assert text in run.stderr and len(run.stderr.splitlines()) == 1, run.stderr


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    with Host() as host:
        again = subprocess.run(
            [programs().host, "-f", host.file, "--driver", "--", "true"],
            check=False, capture_output=True, text=True, timeout=30,
        )  # fmt: skip
        assert again.returncode == 1 and "Address already in use" in again.stderr
        assert host.client().run("print a").stdout == "a\n"


def test_help_and_version() -> None:
    for option, text in (("--help", "--uplink PATH"), ("--version", "warmcell-kernel ")):
        run = subprocess.run([programs().host, option], check=True, capture_output=True, text=True)
        assert text in run.stdout
    run = subprocess.run([programs().host, "--no"], check=False, capture_output=True, text=True)
    assert run.returncode == 2 and "--no: is not an option" in run.stderr


@pytest.mark.parametrize("transport", ["tcp", "ipc"])
def test_curve_keys_of_the_connection_file(transport: str, tmp_path: Path) -> None:
    """Every socket asks for CURVE, so a client that does not speak it hears nothing."""
    public, secret = (key.decode() for key in zmq.curve_keypair())
    ip = str(tmp_path / "k") if transport == "ipc" else "127.0.0.1"
    with Host(transport=transport, ip=ip, curve_publickey=public, curve_secretkey=secret) as host:
        client = host.client()
        assert client.run("print over curve").stdout == "over curve\n"
        plain = {name: value for name, value in host.info.items() if "curve" not in name}
        context = zmq.Context()
        for port in ("shell", "control", "stdin", "hb", "iopub"):
            asker = context.socket(zmq.SUB if port == "iopub" else zmq.DEALER)
            watch = asker.get_monitor_socket(
                zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_DISCONNECTED
            )
            asker.connect(endpoint(plain, port))
            assert watch.poll(30_000), f"{port} lets a plain client in"
            asker.disable_monitor()
            asker.close(linger=0)
        context.destroy(linger=0)
        assert client.run("print after").stdout == "after\n"

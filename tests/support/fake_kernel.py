"""A gateway whose kernels are our host with the small driver of tests/kernel: they start in
milliseconds and do what a line of a cell orders."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import psutil

from support.gateway import Gateway
from support.programs import ROOT, programs
from support.socket_client import SocketClient

NAME = "fake"
DRIVER = ROOT / "tests" / "kernel" / "fake_driver.py"


def write_spec(folder: Path, name: str = NAME, **members: object) -> None:
    """A kernelspec of that name in a folder of kernelspecs."""
    place = folder / name
    place.mkdir(parents=True, exist_ok=True)
    argv = [str(programs().host), "-f", "{connection_file}", "--history", "none", "--driver", "--",
            sys.executable, str(DRIVER)]  # fmt: skip
    spec = {"argv": argv, "display_name": "Fake", "language": "fake", "interrupt_mode": "message",
            "metadata": {"warmcell": {"uplink": True}}}  # fmt: skip
    (place / "kernel.json").write_text(json.dumps(spec | members))


def fake_gateway(*options: str, **fields: object) -> Gateway:
    """Not started yet; `home` is to be removed by whoever made it."""
    gateway = Gateway(**fields)  # type: ignore[arg-type]
    specs = gateway.home / "specs"
    write_spec(specs)
    (specs / NAME / "logo-64x64.png").write_bytes(b"\x89PNG not really")
    gateway.options = ["--kernel-dirs", str(specs), "--default-kernel-name", NAME, *options]
    return gateway


def driver_of(client: SocketClient) -> psutil.Process:
    """The process that runs a client's cells."""
    return psutil.Process(int(client.run("pid").stdout.split()[0]))

"""A home of its own for everything a benchmark starts: nothing of the user's is read or written."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sys
import tempfile
import uuid
from pathlib import Path

KEPT = ("PATH", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "ASAN_OPTIONS", "UBSAN_OPTIONS")


class Home:
    """A temporary home with the environment that leads there; removed by `close`."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="warmcell-bench-"))
        self.log = self.path / "log"
        self.work = self.path / "work"
        self.work.mkdir()

    def env(self, **more: str) -> dict[str, str]:
        """The environment for a program: the few names it needs, and paths into this home."""
        env = {name: os.environ[name] for name in KEPT if name in os.environ}
        env.update(
            HOME=str(self.path),
            TMPDIR=str(self.work),
            IPYTHONDIR=str(self.path / ".ipython"),
            JUPYTER_CONFIG_DIR=str(self.path / "config"),
            JUPYTER_DATA_DIR=str(self.path / "data"),
            JUPYTER_RUNTIME_DIR=str(self.path / "runtime"),
            XDG_CONFIG_HOME=str(self.path / ".config"),
            XDG_DATA_HOME=str(self.path / ".local" / "share"),
            XDG_STATE_HOME=str(self.path / ".local" / "state"),
            XDG_CACHE_HOME=str(self.path / ".cache"),
            XDG_RUNTIME_DIR=str(self.path / "run"),
            JUPYTER_PLATFORM_DIRS="0",
            VIRTUAL_ENV=sys.prefix,
            PYTHONDONTWRITEBYTECODE="",
        )
        (self.path / "run").mkdir(mode=0o700, exist_ok=True)
        bin_dir = str(Path(sys.executable).parent)
        env["PATH"] = bin_dir + os.pathsep + env.get("PATH", os.defpath)
        return env | more

    def add_kernelspec(self, name: str, argv: list[str], *, uplink: bool = False) -> None:
        """Installs a kernelspec that only this home knows; uplink: its program is our host."""
        folder = self.path / "data" / "kernels" / name
        folder.mkdir(parents=True)
        spec: dict[str, object] = {"argv": argv, "display_name": name, "language": "python"}
        if uplink:
            spec["metadata"] = {"warmcell": {"uplink": True}}
        (folder / "kernel.json").write_text(json.dumps(spec))

    def log_tail(self, lines: int = 20) -> str:
        """The last lines that the programs wrote, for an error message."""
        if not self.log.exists():
            return "(no output)"
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def close(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def write_connection(path: Path) -> dict[str, str | int]:
    """Writes a connection file over TCP, as a Jupyter client does, and returns what it says."""
    names = ("shell_port", "iopub_port", "stdin_port", "control_port", "hb_port")
    connection: dict[str, str | int] = {
        "transport": "tcp",
        "ip": "127.0.0.1",
        "key": uuid.uuid4().hex,
        "signature_scheme": "hmac-sha256",
        "kernel_name": "",
    }
    connection.update(zip(names, free_ports(len(names)), strict=True))
    path.write_text(json.dumps(connection))
    path.chmod(0o600)
    return connection

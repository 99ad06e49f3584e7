"""A keeper for the tests of the gateway: it speaks docs/keeper.md and starts nothing.

Run as the program (WARMCELL_KEEPER), it listens, leaves its starter, and answers. FAKE_KEEPER names
a folder: each request is written to `requests` in it, a line of JSON, its pid to `pids`, and a file
there orders what to do: `lacks` (end with 3 and its text), `refuse-KIND` (answer FAILED with
its JSON), `hang-KIND` (give no answer), `hold-KIND` (do nothing until it is gone), `oom` (say of
commands that end that the sandbox had no memory left), `beside` (run commands beside all else, and
not before what is asked next), `hold-host` (hosts begin when it is gone). Ports of a
sandbox are those of this machine's loopback; what listens there stands in the files `tcp` and
`tcp6`; `late` says of connections that they are not there yet, `reset` to hand them over when the
server has reset them.
"""

from __future__ import annotations

import json
import os
import select
import socket
import struct
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support.fake_kernel import DRIVER
from support.programs import programs

KINDS = {
    1: "OPEN",
    2: "START",
    3: "USAGE",
    4: "LIMITS",
    5: "CLOSE",
    6: "STATUS",
    7: "END",
    8: "KILL",
    9: "CAUSE",
    10: "RENAME",
    11: "CONNECT",
    12: "PORTS",
}
OK, FAILED, STARTED, ENDED = 32, 33, 34, 35


class Keeper:
    def __init__(self, folder: Path, options: dict[str, str]) -> None:
        self.folder = folder
        self.options = options
        self.held: dict[str, set[int]] = {}
        self.log = (folder / "requests").open("a", buffering=1)

    def open(self, body: dict[str, Any], asker: int) -> dict[str, Any]:
        name = body["sandbox"]
        created = name not in self.held
        self.held.setdefault(name, set()).add(asker)
        workspace = Path(self.options["--state-dir"]) / name / "workspace"
        workspace.mkdir(parents=True, exist_ok=True)
        uid = body.get("uid", 700001)
        if os.geteuid() == 0:
            os.chown(workspace, uid, uid)
        return {"uid": uid, "enforced": {"memory_bytes": "cgroup-v1"},
                "missing": ["a thing"], "created": created}  # fmt: skip

    def connect(self, body: dict[str, Any]) -> tuple[int, dict[str, Any], list[int]]:
        port, six = body["port"], body["family"] == 6
        connection = socket.socket(socket.AF_INET6 if six else socket.AF_INET)
        try:
            connection.connect(("::1" if six else "127.0.0.1", port))
        except OSError:
            connection.close()
            return FAILED, {"status": 502, "message": f"nothing listens at port {port}"}, []
        if (self.folder / "reset").exists():
            end = select.poll()
            end.register(connection, 0)  # an error alone
            end.poll()
        connection.setblocking(False)
        return OK, {"connected": not (self.folder / "late").exists()}, [connection.detach()]

    def tables(self) -> tuple[int, dict[str, Any], list[int]]:
        places = [self.folder / "tcp", self.folder / "tcp6"]
        fds = [os.open(one if one.exists() else os.devnull, os.O_RDONLY) for one in places]
        return OK, {"own": [3128]}, fds

    def answer(self, kind: str, body: dict[str, Any], asker: int) -> dict[str, Any]:
        if kind == "OPEN":
            return self.open(body, asker)
        if kind == "USAGE":
            return {"cpu_s": 1.25, "memory_bytes": 1000, "memory_peak_bytes": 2000,
                    "processes": 3, "disk_bytes": 4096, "disk_inodes": None}  # fmt: skip
        if kind == "STATUS":
            return {"fork_server": {"state": "ready", "pid": 1, "generation": 2, "forks": 7,
                                    "age_s": 1, "why": None},
                    "cold": 3, "processes": 4, "sandboxes": [],
                    "confinement": {"profile": "sandbox", "seccomp": True, "landlock": 7,
                                    "missing": ["another"]}}  # fmt: skip
        if kind == "RENAME" and body["sandbox"] in self.held:
            self.held[body["to"]] = self.held.pop(body["sandbox"])
        if kind == "CLOSE":
            self.held.pop(body["sandbox"], None)
        return {}

    def run(self, connection: socket.socket, number: int, fds: list[int]) -> None:
        """A command, to its end: nobody else is answered meanwhile. Who asked may have it killed,
        and has by going."""
        words = os.pread(fds[3], 1 << 20, 0).decode().split("\0")[:-1]
        child = subprocess.Popen(words, stdin=fds[0], stdout=fds[1], stderr=fds[2])
        for fd in fds:
            os.close(fd)
        pidfd = os.pidfd_open(child.pid)
        with suppress(OSError):
            socket.send_fds(connection, [struct.pack("<II", STARTED, number) + b"{}"], [pidfd])
        kill = None
        asker = connection.fileno()
        if asker in select.select([pidfd, asker], [], [])[0]:
            with suppress(ConnectionResetError):
                kill = connection.recv(65536)
            child.kill()
        os.close(pidfd)
        code = child.wait()
        answer = {"wait_status": code << 8 if code >= 0 else -code,
                  "oom": (self.folder / "oom").exists()}  # fmt: skip
        with suppress(OSError):
            connection.send(struct.pack("<II", ENDED, number) + json.dumps(answer).encode())
            if kill:
                connection.send(struct.pack("<I", OK) + kill[4:8] + b"{}")

    def beside(self, connection: socket.socket, number: int, fds: list[int]) -> None:
        """A command, and what follows on its connection, while others are answered."""
        with connection:
            self.run(connection, number, fds)
            while self.take(connection):
                pass

    def take(self, connection: socket.socket) -> bool:
        try:
            data, given, _, _ = socket.recv_fds(connection, 65536, 16)
        except ConnectionResetError:  # who asked has gone; what it said last is there still
            data, given, _, _ = socket.recv_fds(connection, 65536, 16)
        if not data:
            return False
        number, name = (
            struct.unpack_from("<I", data, 4)[0],
            KINDS[struct.unpack_from("<I", data)[0]],
        )
        body = json.loads(data[8:] or b"{}")
        # who sees the request in the log may take back at once what was ordered for it
        hangs = (self.folder / f"hang-{name}").exists()
        refusal = self.folder / f"refuse-{name}"
        refused = refusal.read_text() if refusal.exists() else None
        self.log.write(json.dumps({"kind": name, **body}) + "\n")
        while (self.folder / f"hold-{name}").exists():
            time.sleep(0.005)
        if name == "START" and (self.folder / "beside").exists():
            threading.Thread(target=self.beside, args=(connection.dup(), number, given)).start()
            return False
        if name == "START":
            self.run(connection, number, given)
            return True
        if hangs:
            return True
        kind = OK
        fds: list[int] = []
        if refused is not None:
            kind, answer = FAILED, json.loads(refused)
        elif name == "CONNECT":
            kind, answer, fds = self.connect(body)
        elif name == "PORTS":
            kind, answer, fds = self.tables()
        else:
            answer = self.answer(name, body, connection.fileno())
        with suppress(OSError):  # who asked was killed, or waits for no answer
            data = struct.pack("<II", kind, number) + json.dumps(answer).encode()
            socket.send_fds(connection, [data], fds)
        for fd in fds:
            os.close(fd)
        if name == "END":
            os._exit(0)
        return True


def serve(listener: socket.socket, keeper: Keeper) -> None:
    connections: list[socket.socket] = []
    while True:
        ready, _, _ = select.select([listener, *connections], [], [])
        for one in ready:
            if one is listener:
                connections.append(listener.accept()[0])
                continue
            if not keeper.take(one):
                connections.remove(one)
                one.close()


def main(arguments: list[str]) -> None:
    folder = Path(os.environ["FAKE_KEEPER"])
    ours = arguments[: arguments.index("--")] if "--" in arguments else arguments
    options = dict(zip(ours[::2], ours[1::2], strict=True))
    with (folder / "commands").open("a") as commands:
        commands.write(json.dumps(arguments) + "\n")
    lacks = folder / "lacks"
    if lacks.exists() and options.get("--profile") == "sandbox":
        print(f"warmcell-keeper: {lacks.read_text()}", file=sys.stderr)
        sys.exit(3)
    path = Path(options["--socket"])
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(str(path))
    listener.listen(64)
    if os.fork():
        os._exit(0)
    os.setsid()
    with (folder / "pids").open("a") as pids:
        pids.write(f"{os.getpid()}\n")
    serve(listener, Keeper(folder, options))


@dataclass(frozen=True)
class FakeKeeper:
    """The folder that orders what fake keepers do and shows what they were asked."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """Of a gateway: its keeper is this one, its host ours with the driver of tests/kernel. As
        no sandbox is named to that host, its journals would lie in the home of its environment,
        which is a sandbox's: a folder that others of this machine may have, too."""
        self.folder.mkdir(parents=True, exist_ok=True)
        keeper = self._program("keeper", f'exec "$PY" {Path(__file__).resolve()} "$@"')
        host = self._program(
            "host",
            f"""
            while [ -e {self.folder / "hold-host"} ]; do sleep 0.01; done
            for word; do
                shift
                case $word in
                --keeper | --sandbox | --sandbox-plan | --python) skip=1; continue ;;
                --cold) continue ;;
                esac
                [ -n "$skip" ] && skip= && continue
                set -- "$@" "$word"
            done
            export XDG_STATE_HOME={self.folder / "state"}
            exec {programs().host} "$@" --driver -- "$PY" {DRIVER}""",
        )
        return {"WARMCELL_KEEPER": str(keeper), "WARMCELL_KERNEL": str(host),
                "FAKE_KEEPER": str(self.folder), "PY": sys.executable}  # fmt: skip

    def _program(self, name: str, text: str) -> Path:
        place = self.folder / name
        place.write_text(f"#!/bin/sh\nPY={sys.executable}\n{text}\n")
        place.chmod(0o755)
        return place

    def order(self, name: str, text: str = "") -> None:
        (self.folder / name).write_text(text)

    def forget(self, name: str) -> None:
        (self.folder / name).unlink()

    def requests(self, kind: str) -> list[dict[str, Any]]:
        log = self.folder / "requests"
        lines = log.read_text().rpartition("\n")[0].splitlines() if log.exists() else []
        return [one for one in map(json.loads, lines) if one["kind"] == kind]

    def commands(self) -> list[list[str]]:
        return [json.loads(line) for line in (self.folder / "commands").read_text().splitlines()]

    def pids(self) -> list[int]:
        place = self.folder / "pids"
        return [int(line) for line in place.read_text().split()] if place.exists() else []


if __name__ == "__main__":
    main(sys.argv[1:])

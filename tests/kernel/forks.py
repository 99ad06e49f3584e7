"""A keeper for tests: it starts a fork server, asks it for forks, and reaps them.

pytest is the subreaper, so the forks are its children as they are the keeper's otherwise.
"""

from __future__ import annotations

import array
import json
import os
import resource
import socket
import struct
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from support import processes
from support.programs import PYTHON, Programs

FORK, WARM, FORKED, FORK_FAILED, STALE = 64, 80, 81, 82, 83
HEAD = struct.Struct("<II")
DATAGRAM_BYTES = 64 * 1024
PATIENCE_S = float(os.environ.get("WARMCELL_PATIENCE_S", "60"))


class ForkRefused(Exception):
    """The fork server answered FORK_FAILED."""


class Forked:
    """A forked process, with what callers use of subprocess.Popen."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            fd = os.pidfd_open(self.pid)
            try:
                end = time.monotonic() + (timeout or PATIENCE_S)
                if not processes.readable(fd, end - time.monotonic()):
                    raise subprocess.TimeoutExpired("a forked interpreter", timeout or PATIENCE_S)
            finally:
                os.close(fd)
            status = os.waitpid(self.pid, 0)[1]
            self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode


def sealed_environment(env: dict[str, str]) -> int:
    fd = os.memfd_create("environment", os.MFD_ALLOW_SEALING)
    os.write(fd, b"".join(f"{name}={value}".encode() + b"\0" for name, value in env.items()))
    return fd


class Namespaces:
    """Six namespaces of their own, held by a process that sleeps in them."""

    KINDS = ("user", "mnt", "pid", "net", "ipc", "uts")

    def __init__(self) -> None:
        command = "unshare --user --map-root-user --mount --pid --net --ipc --uts --fork"
        self._outer = subprocess.Popen(
            [*command.split(), "--kill-child", "--mount-proc", "sh", "-c", "echo; exec sleep 600"],
            stdout=subprocess.PIPE,
        )
        processes.own(self._outer.pid)
        assert self._outer.stdout is not None
        assert self._outer.stdout.readline(), "unshare failed"
        children = Path(f"/proc/{self._outer.pid}/task/{self._outer.pid}/children")
        self._folder = Path("/proc", children.read_text().split()[0], "ns")
        self.fds = [os.open(self._folder / kind, os.O_RDONLY) for kind in self.KINDS]

    def names(self) -> list[str]:
        return [str((self._folder / kind).readlink()) for kind in self.KINDS]

    def __enter__(self) -> Namespaces:
        return self

    def __exit__(self, *_: object) -> None:
        for fd in self.fds:
            os.close(fd)
        self._outer.kill()
        self._outer.communicate()
        processes.disown(self._outer.pid)


class ForkServer:
    """One fork server and the keeper's end of its socket."""

    def __init__(
        self,
        programs: Programs,
        *arguments: str,
        env: dict[str, str] | None = None,
        python: str = PYTHON,
        **options: Any,
    ) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.sock = ours
        self.sock.settimeout(PATIENCE_S)
        self.env = {**os.environ, **(env or {})}
        command = [str(programs.interpreter), "--python", python, "--fork-server", *arguments]
        number = theirs.fileno()
        with theirs:
            self.process = subprocess.Popen(
                ["/bin/bash", "-c", f'exec "$@" 3<&{number} {number}<&-', "sh", *command],
                stdin=subprocess.DEVNULL,
                pass_fds=[number],
                start_new_session=True,
                env=self.env,
                **options,
            )
        processes.own(self.process.pid)
        self._number = 0
        self._confine: tuple[dict[str, Any] | None, list[int]] = (None, [])
        kind, _, self.warm = self.receive()
        assert kind == WARM
        self.told_stale: list[str] = []

    def receive(self) -> tuple[int, int, dict[str, Any]]:
        data = self.sock.recv(DATAGRAM_BYTES)
        assert data, "the fork server has gone"
        kind, number = HEAD.unpack_from(data)
        body: dict[str, Any] = json.loads(data[HEAD.size :])
        return kind, number, body

    def ask(self, body: dict[str, Any], fds: Sequence[int]) -> None:
        self._number += 1
        data = HEAD.pack(FORK, self._number) + json.dumps(body).encode()
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds).tobytes())]
        self.sock.sendmsg([data], ancillary)

    def answer(self) -> int:
        """The pid of the fork that was asked for last."""
        while True:
            kind, number, body = self.receive()
            if kind == STALE:
                self.told_stale.append(body["message"])
                continue
            assert number == self._number
            if kind == FORK_FAILED:
                raise ForkRefused(body["message"])
            assert kind == FORKED
            return int(body["pid"])

    def confined(self, there: Namespaces) -> None:
        """Has the forks that come go there."""
        limits = [[resource.RLIMIT_NOFILE, 100, 100]]
        confine = {"uid": 0, "gid": 0, "landlock": True, "seccomp": True, "rlimits": limits}
        self._confine = (confine, there.fds)

    def fork(self, fds: Sequence[int], env: dict[str, str], cwd: str | None = None) -> Forked:
        """fds: link, stdout, stderr, pipes page; they stay the caller's."""
        environment = sealed_environment(env)
        try:
            confine, namespaces = self._confine
            body = {"confine": confine, "cwd": cwd or os.getcwd()}  # noqa: PTH109
            self.ask(body, [*fds, environment, *namespaces])
        finally:
            os.close(environment)
        pid = self.answer()
        processes.own(pid)
        return Forked(pid)

    def close(self) -> None:
        self.sock.close()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(PATIENCE_S)
        processes.disown(self.process.pid)

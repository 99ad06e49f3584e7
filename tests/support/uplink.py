"""A gateway's end of the uplink (docs/link.md, "Between a gateway and a host"), with clients on it,
and the host of a relayed kernel."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import socket
import stat
import struct
import subprocess
import tempfile
import time
from collections import deque
from pathlib import Path
from types import TracebackType
from typing import Any

from support import processes
from support.client import TIMEOUT_S, Client, Message, SilenceError
from support.programs import programs
from support.socket_client import decode_v1, encode_v1

HEAD = struct.Struct("<IBBHQ")
ATTACH, CLIENT_MESSAGE, ACK, INTERRUPT, RESTART, STOP, ADOPT_KERNEL = range(64, 71)
STATE, RESULT, KERNEL_MESSAGE, DEATH = 80, 81, 82, 83
ORDERS = range(INTERRUPT, INTERRUPT + 8)
EVERYTHING = 2**62
PIDFD_GETFD = 438  # which Python has no name for


def asked_of(host: int) -> bool:
    """Has a gateway told the host to do something (INTERRUPT to CANCEL) that it has not read? Of
    one that is stopped."""
    pidfd = os.pidfd_open(host)
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        for fd in map(int, os.listdir(f"/proc/{host}/fd")):
            ours = libc.syscall(PIDFD_GETFD, pidfd, fd, 0)
            if ours < 0:
                raise OSError(ctypes.get_errno(), f"pidfd_getfd of {host}")
            if _holds_an_order(ours):
                return True
    finally:
        os.close(pidfd)
    return False


def _holds_an_order(fd: int) -> bool:
    """Of a descriptor, which is closed."""
    if not stat.S_ISSOCK(os.fstat(fd).st_mode):
        os.close(fd)
        return False
    with socket.socket(fileno=fd) as one:
        try:
            waiting = one.recv(1 << 20, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except OSError:  # nothing is in it, or it listens
            return False
    while len(waiting) >= HEAD.size:
        length, kind, *_ = HEAD.unpack_from(waiting)
        if kind in ORDERS:
            return True
        waiting = waiting[HEAD.size + length :]
    return False


class GoneError(AssertionError):
    """The host closed the uplink."""


class UplinkClient(Client):
    """One client of a gateway: what goes to everybody or to its session arrives here."""

    def __init__(self, gateway: UplinkGateway, session: str | None) -> None:
        super().__init__(session)
        self.gateway = gateway
        self.arrived: deque[Message] = deque()

    def send_message(self, message: Message) -> None:
        self.gateway.send(CLIENT_MESSAGE, 0, self.session.encode(), encode_v1(message))

    def receive(self, timeout: float, what: str) -> Message:
        end = time.monotonic() + timeout
        while not self.arrived:
            self.gateway.step(end - time.monotonic(), what)
        return self.arrived.popleft()

    def close(self) -> None:
        self.gateway.clients.remove(self)


class UplinkGateway:
    """Attached to a host, with `stored` as the last sequence that it has, which then counts on."""

    def __init__(self, path: Path, stored: int = 0) -> None:
        processes.until(lambda: self._connects(path), f"a host that serves {path}")
        self.stored = stored
        self.log: list[Message] = []
        self.clients: list[UplinkClient] = []
        self.results: dict[int, dict[str, Any]] = {}
        self.state: dict[str, Any] | None = None
        self.death: dict[str, Any] | None = None
        self.commands = 0
        self.send(ATTACH, stored, b'{"version":1}')
        while self.state is None:
            self.step(TIMEOUT_S, "STATE")

    def _connects(self, path: Path) -> bool:
        self.socket = socket.socket(socket.AF_UNIX)
        try:
            self.socket.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            self.socket.close()
            return False
        return True

    def client(self, session: str | None = None) -> UplinkClient:
        client = UplinkClient(self, session)
        self.clients.append(client)
        return client

    def send(self, kind: int, number: int, *parts: bytes) -> None:
        lengths = struct.pack(f"<{len(parts)}I", *map(len, parts))
        body = lengths + b"".join(parts)
        self.socket.sendall(HEAD.pack(len(body), kind, 0, len(parts), number) + body)

    def _exactly(self, count: int, end: float, what: str) -> bytes:
        data = bytearray()
        while len(data) < count:
            self.socket.settimeout(max(0.001, end - time.monotonic()))
            try:
                chunk = self.socket.recv(count - len(data))
            except TimeoutError:
                raise SilenceError(f"{what} did not come") from None
            if not chunk:
                raise GoneError(f"the host went while {what} was waited for")
            data += chunk
        return bytes(data)

    def step(self, timeout: float, what: str) -> None:
        """Takes one frame."""
        end = time.monotonic() + timeout
        length, kind, _flags, count, number = HEAD.unpack(self._exactly(HEAD.size, end, what))
        body = self._exactly(length, time.monotonic() + TIMEOUT_S, what)
        parts, at = [], 4 * count
        for size in struct.unpack_from(f"<{count}I", body):
            parts.append(body[at : at + size])
            at += size
        if kind == KERNEL_MESSAGE:
            self._take(number, parts)
        elif kind == STATE:
            self.state = json.loads(parts[0])
        elif kind == RESULT:
            self.results[number] = json.loads(parts[0])
        elif kind == DEATH:
            self.death = json.loads(parts[0])
        else:
            raise AssertionError(f"a frame of kind {kind}")

    def _take(self, number: int, parts: list[bytes]) -> None:
        assert self.stored in (number - 1, EVERYTHING), "sequences have no gaps"
        self.stored = number
        identity, msg_type = parts[0].decode(), parts[1].decode()
        message = decode_v1(parts[2])
        assert message.msg_type == msg_type
        self.log.append(message)
        for client in self.clients:
            if identity in ("", client.session):
                client.arrived.append(message)

    def ack(self) -> None:
        self.send(ACK, self.stored)

    def command(self, kind: int, *parts: bytes) -> dict[str, Any]:
        """Sends INTERRUPT, RESTART, STOP or ADOPT_KERNEL and waits for its RESULT."""
        self.commands += 1
        self.send(kind, self.commands, *parts)
        while self.commands not in self.results:
            self.step(TIMEOUT_S, "RESULT")
        return self.results[self.commands]

    def await_death(self) -> dict[str, Any]:
        while self.death is None:
            self.step(TIMEOUT_S, "DEATH")
        if self.stored != EVERYTHING:
            self.ack()
        return self.death

    def close(self) -> None:
        self.socket.close()


class RelayHost:
    """`warmcell-kernel --relay` in front of the command of a kernelspec, ended by SIGTERM."""

    def __init__(self, *command: str, options: tuple[str, ...] = ()) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="wcr-"))
        self.uplink = self.home / "uplink"
        self.file = self.home / "kernel.json"
        self.log = self.home / "log"
        argv = [word.format(connection_file=self.file) for word in command]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [programs().host, "--relay", self.file, "--uplink", self.uplink, "--lease", "60",
                 *options, "--", *argv],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        processes.own(self.process.pid)
        self.gateways: list[UplinkGateway] = []
        self.killed = False

    def gateway(self, stored: int = 0) -> UplinkGateway:
        gateway = UplinkGateway(self.uplink, stored)
        self.gateways.append(gateway)
        return gateway

    def expect_killed(self) -> None:
        """The test has killed the host, which then cannot clean up."""
        self.killed = True

    def wait(self) -> int:
        status = self.process.wait(TIMEOUT_S)
        processes.disown(self.process.pid)
        return status

    def _end(self) -> None:
        """A host waits for a gateway that takes what is not stored: here is one that has all."""
        last = UplinkGateway(self.uplink, EVERYTHING)
        self.process.send_signal(signal.SIGTERM)
        last.await_death()
        last.close()

    def __enter__(self) -> RelayHost:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for gateway in self.gateways:
            gateway.close()
        if self.process.poll() is None:
            self._end()
        status = self.wait()
        log = self.log.read_text(errors="replace")
        left = sorted(p.name for p in self.home.iterdir() if p != self.log)
        shutil.rmtree(self.home)
        if kind is not None or self.killed:
            print(log)
            return
        processes.check_log(log)
        assert status >= 0, f"the host was killed by signal {-status}: {log}"
        assert left == [], "socket and connection file are removed"

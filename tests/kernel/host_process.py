"""A host with the small driver of fake_driver.py behind it, and a gateway's end of its uplink."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from kernel.fake_driver import Link, dump
from support import processes
from support.direct import DirectClient
from support.programs import programs

DRIVER = Path(__file__).with_name("fake_driver.py")
PORTS = ("shell", "iopub", "stdin", "control", "hb")

ATTACH, CLIENT_MESSAGE, ACK, LINK_INTERRUPT, RESTART, STOP, ADOPT_KERNEL = range(64, 71)
BRANCH_KERNEL = 71
CANCEL = 74
STATE, RESULT, KERNEL_MESSAGE, DEATH = range(80, 84)


def listens(path: Path) -> bool:
    """Whether a Unix socket accepts connections: its file is there before that."""
    rows = (line.split() for line in Path("/proc/net/unix").read_text().splitlines())
    return any(row[3] == "00010000" and row[7:] == [str(path)] for row in rows)


class Host:
    """warmcell-kernel, ready to be spoken to; `options` go to it, `driver` to the driver."""

    def __init__(
        self,
        *options: str,
        driver: Sequence[str] = (),
        command: Sequence[str] | None = None,
        zmq: bool = True,
        uplink: bool = False,
        interpreter: bool = False,
        history: str = "none",
        env: dict[str, str] | None = None,
        **connection: Any,
    ) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="wck-"))
        self.file = self.folder / "connection.json"
        self.socket = self.folder / "uplink"
        self.log = self.folder / "log"
        arguments: list[str] = [str(programs().host), *options, "--history", history]
        if zmq:
            self.file.write_text(json.dumps(self.connection(**connection)))
            arguments += ["-f", str(self.file)]
        if uplink:
            arguments += ["--uplink", str(self.socket)]
        if not interpreter:
            arguments += ["--driver", "--"]
            arguments += [sys.executable, str(DRIVER), *driver] if command is None else command
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                arguments, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True,
                env={**os.environ, **(env or {})},
            )  # fmt: skip
        self.pid = self.process.pid
        processes.own(self.pid)
        self.clients: list[DirectClient] = []
        self.gateways: list[Gateway] = []
        if zmq:
            processes.until(lambda: all(self.info[f"{p}_port"] for p in PORTS), "ports")
        if uplink:
            processes.until(lambda: listens(self.socket), "the uplink")

    @staticmethod
    def connection(**members: Any) -> dict[str, Any]:
        base = {"transport": "tcp", "ip": "127.0.0.1", "key": "secret"}
        ports = {f"{name}_port": 0 for name in PORTS}
        return {**base, "signature_scheme": "hmac-sha256", **ports, **members}

    @property
    def info(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.file.read_text())
        return found

    def client(self, *, ready: bool = True, **options: Any) -> DirectClient:
        client = DirectClient(self.info, **options)
        self.clients.append(client)
        if ready:
            client.wait_ready()
        return client

    def gateway(self, stored: int = 0) -> Gateway:
        gateway = Gateway(self.socket, stored)
        self.gateways.append(gateway)
        return gateway

    def wait(self, timeout: float = 60) -> int:
        status = self.process.wait(timeout)
        processes.disown(self.pid)
        return status

    def kill(self) -> None:
        self.process.kill()
        self.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for client in self.clients:
            client.close()
        for gateway in self.gateways:
            gateway.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        status = self.wait()
        log = self.log.read_text(errors="replace")
        if kind is not None:
            print(log)
        processes.check_log(log)
        assert kind is not None or status in (0, 1, 3, -signal.SIGKILL), (status, log)
        shutil.rmtree(self.folder, ignore_errors=True)


def v1_encode(
    channel: str, header: Any, content: Any, parent: Any = None, metadata: Any = None
) -> bytes:
    jsons = (header, parent or {}, metadata or {}, content)
    parts = [channel.encode(), *map(dump, jsons)]
    offsets = [8 * (len(parts) + 2)]
    for part in parts:
        offsets.append(offsets[-1] + len(part))
    return struct.pack(f"<{len(offsets) + 1}Q", len(offsets), *offsets) + b"".join(parts)


def v1_decode(frame: bytes) -> list[bytes]:
    (count,) = struct.unpack_from("<Q", frame)
    offsets = struct.unpack_from(f"<{count}Q", frame, 8)
    return [frame[a:b] for a, b in pairwise(offsets)]


class Received:
    """One KERNEL_MESSAGE."""

    def __init__(self, number: int, parts: list[bytes]) -> None:
        self.number = number
        self.identity, msg_type, frame = parts
        self.msg_type = msg_type.decode()
        channel, header, parent, metadata, content, *self.buffers = v1_decode(frame)
        self.channel = channel.decode()
        self.header = json.loads(header)
        self.parent = json.loads(parent)
        self.metadata = json.loads(metadata)
        self.raw = content

    @property
    def content(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.raw)
        return found

    def is_idle_of(self, msg_id: str) -> bool:
        return self.is_state("idle") and self.parent.get("msg_id") == msg_id

    def is_state(self, state: str) -> bool:
        return self.msg_type == "status" and self.content["execution_state"] == state


class Gateway:
    """The other end of the uplink."""

    def __init__(self, path: Path, stored: int = 0, version: int = 1) -> None:
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(str(path))
        connection.settimeout(60)
        self.link = Link(connection.detach())
        self.link.socket.settimeout(60)
        self.number = 0
        self.commands: list[int] = []
        self.last = stored
        self.link.send(ATTACH, stored, dump({"version": version}))

    def state(self) -> dict[str, Any]:
        kind, _number, parts = self.link.receive()
        assert kind == STATE
        found: dict[str, Any] = json.loads(parts[0])
        return found

    def execute(self, code: str, identity: str = "client", **content: Any) -> str:
        self.number += 1
        msg_id = f"{identity}-{self.number}"
        header = {"msg_id": msg_id, "msg_type": "execute_request", "session": identity}
        self.send(v1_encode("shell", header, {"code": code, **content}), identity)
        return msg_id

    def send(self, frame: bytes, identity: str = "client") -> None:
        self.link.send(CLIENT_MESSAGE, 0, identity.encode(), frame)

    def message(self) -> Received:
        kind, number, parts = self.link.receive()
        assert kind == KERNEL_MESSAGE, (kind, parts)
        assert number == self.last + 1, "numbers count up without gaps"
        self.last = number
        return Received(number, parts)

    def until_idle(self, msg_id: str) -> list[Received]:
        found = [self.message()]
        while not found[-1].is_idle_of(msg_id):
            found.append(self.message())
        return found

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """What is sent meanwhile goes together: the host has none of it without the rest."""
        link, connection = self.link, self.link.socket
        data = bytearray()
        link.write = data.extend
        yield
        link.write = connection.sendall
        connection.sendall(data)

    def begin(self, kind: int, *parts: bytes) -> None:
        """Sends a command."""
        self.number += 1
        self.commands.append(self.number)
        self.link.send(kind, self.number, *parts)

    def command(self, kind: int, *parts: bytes) -> tuple[dict[str, Any], list[Received]]:
        """Sends a command; its result, and the messages that came before."""
        self.begin(kind, *parts)
        return self.result()

    def result(self) -> tuple[dict[str, Any], list[Received]]:
        """Of the first command that has none yet, and the messages that came before."""
        before: list[Received] = []
        while True:
            got, number, received = self.link.receive()
            if got == RESULT:
                assert number == self.commands.pop(0)
                return json.loads(received[0]), before
            assert got == KERNEL_MESSAGE
            self.last = number
            before.append(Received(number, received))

    def ack(self) -> None:
        self.link.send(ACK, self.last)

    def death(self) -> dict[str, Any]:
        """Reads on to DEATH, acknowledges everything, and expects the end."""
        while True:
            kind, number, parts = self.link.receive()
            if kind == DEATH:
                break
            self.last = number
        with suppress(ConnectionError):  # it had everything before, and has ended
            self.link.send(ACK, self.last)
            assert self.link.socket.recv(1) == b""
        found: dict[str, Any] = json.loads(parts[0])
        return found

    def close(self) -> None:
        self.link.socket.close()

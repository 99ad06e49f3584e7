"""The gateway's server with handlers for tests (tests/gateway/net_service.c), and a client that
sends exactly the bytes it is told to."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

from support import processes
from support.programs import programs

TOKEN = "correct-horse"
LONG_S = 60.0


class Service:
    """A running server. Leaving the block ends it by SIGTERM and checks that it ended well."""

    def __init__(
        self,
        *options: str,
        token: str | None = TOKEN,
        unix: bool = False,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.options = list(options)
        self.home = Path(tempfile.mkdtemp(prefix="wcn-"))
        self.socket_path = self.home / "socket" if unix else None
        self.program = programs().build / "tests" / "gateway" / "net_service"
        self.token = token
        self.env = dict(os.environ) | dict(env or {})
        if token is not None:
            self.env["WARMCELL_TOKEN"] = token
        self.ready = ""
        self.log = self.home / "log"

    def command(self) -> list[str]:
        where = ["--socket", str(self.socket_path)] if self.socket_path else ["--port", "0"]
        return [str(self.program), *where, *self.options]

    def start(self) -> None:
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                self.command(), stdout=subprocess.PIPE, stderr=log, env=self.env, text=True
            )
        processes.own(self.process.pid)
        assert self.process.stdout
        ready, _, _ = select.select([self.process.stdout], [], [], LONG_S)
        self.ready = self.process.stdout.readline().strip() if ready else ""
        if not self.ready.startswith("warmcell is ready at "):
            self.process.kill()
            raise AssertionError(f"not ready: {self.ready!r} {self.log.read_text()}")

    def fail_to_start(self) -> subprocess.CompletedProcess[str]:
        """What a start that must be refused says."""
        return subprocess.run(
            self.command(),
            env=self.env,
            capture_output=True,
            text=True,
            check=False,
            timeout=LONG_S,
        )

    @property
    def url(self) -> str:
        return self.ready.removeprefix("warmcell is ready at ").partition("?")[0]

    @property
    def port(self) -> int:
        return int(self.url.rstrip("/").split("/")[2].rpartition(":")[2])

    def stop(self, number: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        status = self.process.wait(LONG_S)
        processes.disown(self.process.pid)
        assert self.process.stdout
        self.process.stdout.close()
        return status

    @contextmanager
    def held(self) -> Iterator[None]:
        """The server does nothing meanwhile: what is sent is there at once when it goes on."""
        self.process.send_signal(signal.SIGSTOP)
        stopped = psutil.Process(self.process.pid)
        processes.until(lambda: stopped.status() == psutil.STATUS_STOPPED, "it is stopped")
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def __enter__(self) -> Service:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        status = self.stop()
        log = self.log.read_text()
        shutil.rmtree(self.home, ignore_errors=True)
        if kind is None:
            assert status == 0, log
        processes.check_log(log)

    def connect(self, context: ssl.SSLContext | None = None) -> Wire:
        if self.socket_path:
            plain = socket.socket(socket.AF_UNIX)
            plain.settimeout(LONG_S)
            plain.connect(str(self.socket_path))
        else:
            plain = socket.create_connection(("127.0.0.1", self.port), LONG_S)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if context:
            return Wire(context.wrap_socket(plain, server_hostname="localhost"))
        return Wire(plain)

    def ask(
        self,
        target: str,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        *,
        token: str | None = TOKEN,
        host: str = "localhost",
    ) -> Reply:
        """One request on a connection of its own."""
        with self.connect() as wire:
            wire.request(target, method, headers, body, token=token, host=host)
            return wire.reply(head=method == "HEAD")


@dataclass
class Reply:
    status: int
    reason: str
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        found = [value for key, value in self.headers if key == name.lower()]
        assert len(found) < 2, f"{name} more than once: {found}"
        return found[0] if found else None

    def json(self) -> Any:
        assert self.header("content-type") in {"application/json", "application/problem+json"}
        return json.loads(self.body)


class Ended(Exception):
    """The server closed the connection where a reply was expected."""


class Wire:
    """A connection on which a test writes bytes and reads replies."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.received = bytearray()

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def request(
        self,
        target: str,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        *,
        token: str | None = TOKEN,
        host: str = "localhost",
    ) -> None:
        lines = [f"{method} {target} HTTP/1.1", f"Host: {host}"]
        if token is not None:
            lines.append(f"Authorization: token {token}")
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        self.send("\r\n".join([*lines, "", ""]).encode("latin-1") + body)

    def more(self) -> None:
        data = self.socket.recv(1 << 20)
        if not data:
            raise Ended(bytes(self.received))
        self.received += data

    def take(self, count: int) -> bytes:
        while len(self.received) < count:
            self.more()
        data = bytes(self.received[:count])
        del self.received[:count]
        return data

    def reply(self, head: bool = False) -> Reply:
        while b"\r\n\r\n" not in self.received:
            self.more()
        end = self.received.index(b"\r\n\r\n")
        text = self.take(end + 4)[:end]
        first, *lines = text.decode("latin-1").split("\r\n")
        version, status, reason = first.split(" ", 2)
        assert version == "HTTP/1.1"
        pairs = [line.split(": ", 1) for line in lines]
        headers = [(name.lower(), value) for name, value in pairs]
        length = dict(headers).get("content-length", "0")
        body = b"" if head or status == "304" else self.take(int(length))
        return Reply(int(status), reason, headers, body)

    def at_end(self) -> bool:
        """Waits for the server to close; True: it sent nothing before."""
        try:
            self.more()
        except (Ended, ConnectionResetError):
            return True
        return False

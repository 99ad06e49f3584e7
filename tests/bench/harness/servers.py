"""The servers that are compared: our gateway and jupyter_server, each on a port of its own."""

from __future__ import annotations

import http.client
import importlib.metadata
import json
import secrets
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from harness import processes
from harness.home import Home, free_ports
from harness.kernels import OURS, program
from harness.processes import BenchError
from harness.websocket import KernelSocket


@dataclass(frozen=True)
class ServerKind:
    """One server: what the table calls it, its command, and its own kernel's name."""

    name: str
    argv: Callable[[int, str], list[str]]
    kernel_name: str


def _ours(port: int, token: str) -> list[str]:
    gateway = program("gateway", "warmcell")
    return [gateway, "--ip=127.0.0.1", f"--port={port}", f"--token={token}"]


def _jupyter_server(port: int, token: str) -> list[str]:
    return [
        sys.executable, "-m", "jupyter_server", "--no-browser", "--allow-root",
        "--ServerApp.ip=127.0.0.1", f"--ServerApp.port={port}", "--ServerApp.port_retries=0",
        f"--IdentityProvider.token={token}", "--ZMQChannelsWebsocketConnection.limit_rate=False",
    ]  # fmt: skip


def ours() -> ServerKind:
    """Our gateway, of the build that the bench was asked to measure."""
    program("gateway", "warmcell")
    return ServerKind(OURS, _ours, "warmcell")


def jupyter_server() -> ServerKind:
    """The peer. Its limit on messages per second, which drops what is above, is off."""
    try:
        version = importlib.metadata.version("jupyter_server")
    except importlib.metadata.PackageNotFoundError:
        raise BenchError("jupyter_server is not installed: run ./dev setup") from None
    return ServerKind(f"jupyter_server {version}", _jupyter_server, "python3")


class Server:
    """A running server."""

    def __init__(self, kind: ServerKind, home: Home, **env: str) -> None:
        self.kind = kind
        self.home = home
        self.token = secrets.token_hex(16)
        (self.port,) = free_ports(1)
        self._env = home.env(**env)
        self.start_again()

    def start_again(self) -> None:
        """Starts it with the same port, token and home, and waits until it answers."""
        argv = self.kind.argv(self.port, self.token)
        self.process = processes.start(argv, self._env, self.home.log, self.home.work)
        self._wait_until_up()

    def _wait_until_up(self) -> None:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            try:
                self.call("GET", "/api", 200)
                return
            except (OSError, http.client.HTTPException):
                time.sleep(0.02)
        raise BenchError(f"{self.kind.name} did not come up:\n{self.home.log_tail()}")

    def call(self, method: str, path: str, expect: int, body: object = None) -> Any:
        """One request of the REST interface; its answer, when the status is as expected."""
        text = self._request(method, path, expect, body)
        return json.loads(text) if text else None

    def text(self, path: str) -> str:
        """What a GET brings, as it is."""
        return self._request("GET", path, 200, None).decode()

    def connect(self) -> http.client.HTTPConnection:
        """A connection to it."""
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def _request(self, method: str, path: str, expect: int, body: object) -> bytes:
        connection = self.connect()
        try:
            headers = {"Authorization": f"token {self.token}", "Content-Type": "application/json"}
            data = None if body is None else json.dumps(body)
            connection.request(method, path, data, headers)
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        if answer.status != expect:
            raise BenchError(f"{self.kind.name}: {method} {path}: {answer.status} {text[:300]!r}")
        return text

    def start_kernel(self, name: str) -> str:
        """Starts a kernel and returns its id."""
        return str(self.call("POST", "/api/kernels", 201, {"name": name})["id"])

    def end_kernel(self, kernel_id: str) -> None:
        self.call("DELETE", f"/api/kernels/{kernel_id}", 204)

    def open(
        self, kernel_id: str, *, quick: bool = True, session: str | None = None
    ) -> KernelSocket:
        """A WebSocket to a kernel's channels."""
        path = f"/api/kernels/{kernel_id}/channels"
        return KernelSocket("127.0.0.1", self.port, path, self.token, quick=quick, session=session)

    def stop(self) -> None:
        """Ends the server and every process that it started."""
        tree = processes.tree_of(self.process.pid)
        processes.end(self.process)
        processes.kill(tree[1:])


@contextmanager
def running(kind: ServerKind) -> Iterator[Server]:
    """A server in a home of its own, for a block; an error in it ends with what was logged."""
    home = Home()
    try:
        server = Server(kind, home)
        try:
            yield server
        except BenchError as error:
            raise BenchError(f"{kind.name}: {error}\n{home.log_tail()}") from None
        finally:
            server.stop()
    finally:
        home.close()

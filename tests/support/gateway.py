"""A gateway as a process, and its HTTP side as a client sees it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import tempfile
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote

from support import ports, processes
from support.programs import KERNEL_NAME, PEER, PYTHON, programs
from support.socket_client import SocketClient


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


@dataclass
class Gateway:
    """One `warmcell serve`; with `unix` it listens on that path instead of TCP. `home` holds its
    directories: a second gateway with the same ones is the first one come back."""

    options: list[str] = field(default_factory=list)
    prefix: list[str] = field(default_factory=list)  # a command that becomes the gateway
    env: dict[str, str] = field(default_factory=dict)
    unix: str | None = None
    lease_s: int = 60
    cafile: str | None = None
    warm: bool = False
    home: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="wc-")))
    token: str = field(default_factory=lambda: uuid.uuid4().hex)
    port: int = 0
    reserved: socket.socket | None = None
    process: subprocess.Popen[bytes] | None = None

    @property
    def state(self) -> Path:
        return self.home / "state"

    @property
    def runtime(self) -> Path:
        return self.home / "run"

    @property
    def log(self) -> Path:
        return self.home / "log"

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def _command(self, port_file: Path) -> list[str]:
        if PEER:
            return [PYTHON, "-m", "jupyter_server", "--ServerApp.allow_root=True",
                    f"--ServerApp.port={self.port}", "--ServerApp.port_retries=0",
                    "--ServerApp.open_browser=False", f"--IdentityProvider.token={self.token}",
                    f"--ServerApp.disable_check_xsrf={not self.token}",
                    "--ServerApp.iopub_msg_rate_limit=0", "--ServerApp.iopub_data_rate_limit=0",
                    f"--ServerApp.root_dir={self.home}",
                    "--MappingKernelManager.cull_interval=1", *self.options]  # fmt: skip
        where = ["--socket", self.unix] if self.unix else ["--port", str(self.port)]
        return [*self.prefix, str(programs().gateway), "serve", *where,
                "--port-file", str(port_file), "--token", self.token,
                "--state-dir", str(self.state), "--python", PYTHON,
                "--runtime-dir", str(self.runtime), "--lease", str(self.lease_s),
                "--warm" if self.warm else "--no-warm", *self.options]  # fmt: skip

    @property
    def port_file(self) -> Path:
        return self.home / "port"

    def start(self) -> Gateway:
        self.launch()
        processes.until(self._listens, f"listening; log {self.log}")
        return self

    def launch(self) -> None:
        """Begins to start it: it may end by itself before anybody looks."""
        port_file = self.port_file
        if not self.unix and not self.port:
            self._reserve()
        port_file.unlink(missing_ok=True)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self._command(port_file),
                env={k: v for k, v in os.environ.items() if k != "PYTEST_CURRENT_TEST"} | self.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        processes.own(self.process.pid)

    def _reserve(self) -> None:
        """The port, bound for as long as this object lives, also while no gateway listens on it: it
        is nobody else's then. Linux lets a second socket bind it that listens (SO_REUSEADDR)."""
        self.reserved = ports.reserve("127.0.0.1")
        self.port = ports.number(self.reserved)

    def _listens(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"the gateway ended: {self.log.read_text(errors='replace')}")
        if not PEER:
            return self.port_file.exists()
        try:
            socket.create_connection(("127.0.0.1", self.port)).close()
        except ConnectionRefusedError:
            return False
        return True

    def stop(self, timeout: float = 60.0) -> int:
        """Ends it as an operator does, its kernels first, and returns its exit status."""
        if self.process is None:
            return 0
        if self.process.poll() is None:
            try:
                if not PEER:
                    for sandbox in self.get("/v1/sandboxes").json()["sandboxes"]:
                        self.request("DELETE", f"/v1/sandboxes/{sandbox['id']}")
                for kernel in self.get("/api/kernels").json():
                    self.request("DELETE", f"/api/kernels/{kernel['id']}")
            finally:
                self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(timeout)
        processes.disown(self.process.pid)
        self.process = None
        return status

    def kill(self) -> None:
        """kill -9. Its kernels go on."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        processes.disown(self.process.pid)
        self.process = None

    # HTTP

    @property
    def authority(self) -> str:
        return "localhost" if self.unix else f"127.0.0.1:{self.port}"

    @property
    def secure(self) -> bool:
        return self.cafile is not None

    @property
    def url(self) -> str:
        return f"http{'s' * self.secure}://{self.authority}"

    @property
    def authorization(self) -> dict[str, str]:
        return {"Authorization": f"token {self.token}"} if self.token else {}

    def connection(self, timeout: float = 60.0) -> http.client.HTTPConnection:
        if self.unix:
            return _UnixConnection(self.unix, timeout)
        if self.secure:
            context = ssl.create_default_context(cafile=self.cafile)
            return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=timeout,
                                               context=context)  # fmt: skip
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: dict[str, str] | None = None,
        *,
        auth: bool = True,
        timeout: float = 60.0,
    ) -> Answer:
        """One request; a body that is not bytes goes as JSON."""
        head = self.authorization if auth else {}
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            head["Content-Type"] = "application/json"
        connection = self.connection(timeout)
        try:
            connection.request(method, path, body, head | (headers or {}))
            response = connection.getresponse()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()},
                          response.read())  # fmt: skip
        finally:
            connection.close()

    def get(self, path: str, **options: Any) -> Answer:
        return self.request("GET", path, **options)

    def kernel_model(self, kernel: str) -> dict[str, Any]:
        answer = self.get(f"/api/kernels/{kernel}")
        assert answer.status == 200, answer
        model: dict[str, Any] = answer.json()
        return model

    def start_kernel(self, name: str = KERNEL_NAME, **fields: Any) -> str:
        """Starts a kernel and returns its id."""
        answer = self.request("POST", "/api/kernels", {"name": name, **fields})
        assert answer.status == 201, answer
        return str(answer.json()["id"])

    def host_of(self, kernel: str) -> int:
        """The pid of a kernel's host."""
        saved = self.runtime / "kernels" / kernel / "kernel.json"
        return int(json.loads(saved.read_text())["pid"])

    def plan_of(self, kernel: str) -> dict[str, Any]:
        """What the host of a sandbox's kernel was told: it is started when nobody waits for more
        urgent things, which may be after the answer that its kernel is there."""
        processes.until(lambda: self.host_of(kernel) > 0, f"the host of {kernel} is started")
        plan = self.runtime / "kernels" / kernel / "sandbox.json"
        found: dict[str, Any] = json.loads(plan.read_text())
        return found

    def delete_kernel(self, kernel: str) -> None:
        assert self.request("DELETE", f"/api/kernels/{kernel}").status == 204

    def channels_url(self, kernel: str, session: str) -> str:
        return (f"ws{'s' * self.secure}://{self.authority}/api/kernels/{kernel}/channels"
                f"?session_id={quote(session)}")  # fmt: skip

    def client(
        self,
        kernel: str,
        session: str | None = None,
        *,
        framing: str = "v1",
        ready: bool = True,
        **options: Any,
    ) -> SocketClient:
        session = session or uuid.uuid4().hex
        client = SocketClient(
            self.channels_url(kernel, session),
            session,
            framing=framing,
            headers=self.authorization,
            unix=self.unix,
            cafile=self.cafile,
            **options,
        )
        if ready:
            client.wait_ready()
        return client

    def __enter__(self) -> Gateway:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

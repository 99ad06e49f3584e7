"""A sandbox whose files are asked for: the API from outside, cells inside, the folder itself."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
import pytest

from support import ordinary, processes
from support.gateway import Answer, Gateway
from support.keeper import lacking
from support.socket_client import SocketClient

ORDINARY = 64125
MODES = ("root", "user")
SETTINGS = ["--pool-max", "0", "--preload", "json"]


class WrappedGateway(Gateway):
    """One whose command line is begun by another program."""

    wrapped: Callable[..., list[str]]

    def _command(self, port_file: Path) -> list[str]:
        return self.wrapped(*super()._command(port_file))


def make_wrapped(wrapped: Callable[..., list[str]], *options: str) -> Gateway:
    gateway = WrappedGateway(options=[*SETTINGS, *options], warm=True)
    gateway.wrapped = wrapped
    return gateway


def make_lacking(what: str) -> Gateway:
    """On file systems that lack something."""
    return make_wrapped(partial(lacking.run, what))


def make_gateway(mode: str, *options: str) -> Gateway:
    """As root, or as an ordinary user; who runs the tests as one is that user."""
    if mode == "root" and os.geteuid() != 0:
        pytest.skip("root's part: the tests are run by an ordinary user")
    if mode == "root" or os.geteuid() != 0:
        return Gateway(options=[*SETTINGS, *options], warm=True)
    gateway = make_wrapped(partial(ordinary.command, ORDINARY), *options)
    os.chown(gateway.home, ORDINARY, ORDINARY)
    gateway.home.chmod(0o711)
    homes = ("CACHE_HOME", "CONFIG_HOME", "DATA_HOME", "RUNTIME_DIR", "STATE_HOME")
    gateway.env |= {"HOME": str(gateway.home), "IPYTHONDIR": str(gateway.home / "ipython")}
    gateway.env |= {f"XDG_{name}": str(gateway.home) for name in homes}
    return gateway


def keeper_pids(gateway: Gateway) -> list[int]:
    """The keepers of this gateway and their proxies, by the folders that each was told."""
    home = str(gateway.home)
    found = []
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or [""]
        ours = Path(words[0]).name in ("warmcell-keeper", "warmcell-proxy", "warmcell-pasta")
        if ours and any(word.startswith(home) for word in words):
            found.append(process.pid)
    return found


def sandbox_keepers(gateway: Gateway) -> list[int]:
    """Those of the sandboxes. The first process of each sandbox is a fork of its keeper; pids say
    nothing of who was first: they begin anew at times."""
    found = {}
    for pid in keeper_pids(gateway):
        with suppress(psutil.NoSuchProcess):
            words, parent = psutil.Process(pid).cmdline(), psutil.Process(pid).ppid()
            if words and words[0].endswith("warmcell-keeper") and "/sandbox-" in words[2]:
                found[pid] = parent
    return [pid for pid, parent in found.items() if parent not in found]


def end(gateway: Gateway) -> None:
    assert gateway.stop() == 0, gateway.log.read_text()[-3000:]
    assert not processes.wait_gone(keeper_pids(gateway))
    log = gateway.log.read_text()
    processes.check_log(log)
    shutil.rmtree(gateway.home, ignore_errors=True)


@dataclass
class Box:
    gateway: Gateway
    id: str
    uid: int | str
    kernel: str
    _client: SocketClient | None = field(default=None, repr=False)

    @classmethod
    def make(cls, gateway: Gateway, **body: Any) -> Box:
        answer = gateway.request("POST", "/v1/sandboxes", body)
        if answer.status == 501:
            pytest.skip(answer.json()["detail"])
        assert answer.status == 201, answer
        for pid in keeper_pids(gateway):
            processes.own(pid)
        model = answer.json()
        return cls(gateway, model["id"], model["uid"], model["contexts"][0]["id"])

    @property
    def url(self) -> str:
        return f"/v1/sandboxes/{self.id}/files"

    @property
    def folder(self) -> Path:
        """The workspace on the host."""
        return self.gateway.state / "sandboxes" / self.id / "workspace"

    @property
    def owner(self) -> int:
        """The uid of what this sandbox writes."""
        if self.uid != "shared":
            return int(self.uid)
        return ORDINARY if os.geteuid() == 0 else os.geteuid()

    def fresh(self) -> str:
        """The name of a new folder, made by a cell."""
        name = f"f{uuid.uuid4().hex[:8]}"
        self.cell(f"import os; os.mkdir({name!r})")
        return name

    def ask(
        self, method: str, path: str | bytes, body: bytes | None = None, **headers: str
    ) -> Answer:
        """A text is a path and a query, of which the path will be quoted; bytes are a path alone.
        Headers by names with _ for -."""
        name, mark, query = path.partition("?") if isinstance(path, str) else (path, "", "")
        target = f"{self.url}/{quote(name)}{mark}{query}"
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        return self.gateway.request(method, target, body, named)

    def get(self, path: str | bytes, **headers: str) -> Answer:
        return self.ask("GET", path, None, **headers)

    def put(self, path: str | bytes, body: bytes = b"", **headers: str) -> Answer:
        return self.ask("PUT", path, body, **headers)

    def names(self, path: str | bytes) -> list[str]:
        answer = self.get(path)
        assert answer.status == 200, answer
        return [entry["name"] for entry in answer.json()["files"]]

    def cell(self, code: str) -> str:
        if self._client is None:
            self._client = self.gateway.client(self.kernel)
        run = self._client.run(code)
        assert run.content["status"] == "ok", run.content
        return run.stdout

    def begin(self, path: str, length: int | None, **headers: str) -> http.client.HTTPConnection:
        """A PUT whose body the caller sends; length None: in chunks."""
        connection = self.gateway.connection()
        connection.putrequest("PUT", f"{self.url}/{path}")
        for name, value in {**self.gateway.authorization, **headers}.items():
            connection.putheader(name.replace("_", "-"), value)
        if length is None:
            connection.putheader("Transfer-Encoding", "chunked")
        else:
            connection.putheader("Content-Length", str(length))
        connection.endheaders()
        return connection

    def remove(self) -> None:
        if self._client:
            self._client.close()
        answer = self.gateway.request("DELETE", f"/v1/sandboxes/{self.id}")
        assert answer.status in (204, 404), answer


def finish(connection: http.client.HTTPConnection) -> Answer:
    """The answer to a request that was begun."""
    response = connection.getresponse()
    answer = Answer(
        response.status, {k.lower(): v for k, v in response.getheaders()}, response.read()
    )
    connection.close()
    return answer


def problem(answer: Answer) -> tuple[int, str]:
    """Status and detail of an answer that must be a problem."""
    assert answer.headers["content-type"] == "application/problem+json", answer
    said = json.loads(answer.body)
    assert said["status"] == answer.status
    return answer.status, str(said["detail"])

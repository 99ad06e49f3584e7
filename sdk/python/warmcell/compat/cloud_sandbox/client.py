"""The two ways to a sandbox: Sandbox, which has one, and SandboxClient, which says each request."""

from __future__ import annotations

import base64
import contextlib
import uuid
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any

from warmcell._core.http import segment
from warmcell.compat.cloud_sandbox._wire import Wire
from warmcell.compat.cloud_sandbox.exceptions import NotFoundError, SandboxError
from warmcell.compat.cloud_sandbox.models import ExecResult, FileInfo, SandboxInfo, Session

__all__ = ["Sandbox", "SandboxClient"]

BASE_URL = "http://localhost:8080"
WORKSPACE = "/workspace"
RUN_S = 300  # what a run may take, unless it is said
GRACE_S = 30.0  # beyond which its answer is late: the gateway ends what is late by itself
HOUR_NS = 3600 * 10**9


class SandboxClient:
    """The API of cloud_sandbox, request by request.

    base_url: `http://HOST:PORT`, `https://…` or `unix:/PATH`. token: a JWT of get_token, or any
    other token of the gateway. timeout: seconds to wait for an answer. Any thread may use it.
    """

    def __init__(
        self, base_url: str = BASE_URL, token: str | None = None, timeout: float = 300
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self.token = token
        self.timeout = timeout
        self._wire = Wire(self.base_url)

    def close(self) -> None:
        """Closes its connections; the next request makes new ones."""
        self._wire.close()

    def __enter__(self) -> SandboxClient:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        self.close()

    def _ask(
        self,
        method: str,
        path: str,
        data: Mapping[str, Any] | None = None,
        params: Mapping[str, str] | None = None,
        *,
        patience_s: float | None = None,
        key: str | None = None,
    ) -> dict[str, Any]:
        response = self._wire.send(
            method,
            path,
            token=self.token,
            data=data,
            params=params,
            patience_s=self.timeout if patience_s is None else patience_s,
            key=key,
        )
        found: dict[str, Any] = response.json()
        return found

    def _pages(self, path: str, member: str, params: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        asked = dict(params)
        while True:
            page = self._ask("GET", path, params=asked)
            yield from page[member]
            if not page.get("next"):
                return
            asked["after"] = page["next"]

    # --- who is calling

    def get_token(self, user_id: str, role: str = "user") -> dict[str, str]:
        """A JWT for a user: `access_token`, `refresh_token`, `token_type`, `expires_in`."""
        data = {"user_id": user_id, "role": role}
        return dict(self._ask("POST", "/api/v1/auth/token", data))

    def set_token(self, token: str) -> None:
        """What is shown from now on."""
        self.token = token

    # --- sessions

    def create_session(
        self,
        image: str | None = None,
        cpu_count: int | None = None,
        memory_mb: int | None = None,
        ttl_hours: float | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Session:
        """A new session. image: `python` with any tag, or the name of a template; metadata: labels
        of its sandbox."""
        ttl = None if ttl_hours is None else int(ttl_hours * HOUR_NS)
        asked = {"image": image, "cpu_count": cpu_count, "memory_mb": memory_mb, "ttl": ttl,
                 "metadata": dict(metadata) if metadata else None}  # fmt: skip
        data = {name: value for name, value in asked.items() if value is not None}
        key = uuid.uuid4().hex
        return Session.from_dict(self._ask("POST", "/api/v1/sessions", data, key=key))

    def get_session(self, session_id: str) -> Session:
        """One session."""
        return Session.from_dict(self._ask("GET", f"/api/v1/sessions/{segment(session_id)}"))

    def list_sessions(self) -> list[Session]:
        """The caller's sessions, the newest first."""
        return [Session.from_dict(one) for one in self._pages("/api/v1/sessions", "sessions", {})]

    def delete_session(self, session_id: str) -> bool:
        """Ends a session and its sandbox."""
        answer = self._ask("DELETE", f"/api/v1/sessions/{segment(session_id)}")
        return bool(answer.get("success", False))

    def pause_session(self, session_id: str) -> Session:
        """Saves its variables and files, and ends its processes."""
        return self._order(session_id, "pause")

    def resume_session(self, session_id: str) -> Session:
        """Makes it go on, with its variables."""
        return self._order(session_id, "resume")

    def touch_session(self, session_id: str) -> Session:
        """Lets it live for its time again, from now on."""
        return self._order(session_id, "touch")

    def bind_session(self, session_id: str, sandbox_id: str) -> Session:
        """Acquires its own sandbox."""
        return self._order(session_id, "bind", {"sandbox_id": sandbox_id})

    def _order(self, session_id: str, verb: str, data: Mapping[str, Any] | None = None) -> Session:
        path = f"/api/v1/sessions/{segment(session_id)}/{verb}"
        return Session.from_dict(self._ask("POST", path, data))

    # --- sandboxes

    def acquire_sandbox(self, session_id: str | None = None) -> SandboxInfo:
        """The sandbox of a session: of the newest one that nobody has acquired, unless it is
        said."""
        data = {"session_id": session_id} if session_id else None
        return SandboxInfo.from_dict(self._ask("POST", "/api/v1/sandbox/acquire", data))

    def release_sandbox(self, sandbox_id: str) -> bool:
        """Gives it back. That of a session stays as it is, and may be acquired again."""
        answer = self._ask("POST", "/api/v1/sandbox/release", {"sandbox_id": sandbox_id})
        return bool(answer.get("success", False))

    def get_sandbox_stats(self) -> dict[str, int]:
        """How many there are: total, available, in_use, idle, active, creating, max."""
        return self._ask("GET", "/api/v1/sandbox/stats")

    # --- running

    def execute(
        self,
        sandbox_id: str,
        code: str | None = None,
        language: str = "python",
        command: Sequence[str] | None = None,
        work_dir: str | None = None,
        env: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> ExecResult:
        """Runs code, or a program, and waits for its end. timeout: seconds after which it is ended
        (300)."""
        data: dict[str, Any] = {"sandbox_id": sandbox_id}
        if code is not None:
            data.update(code=code, language=language)
        if command:
            data["command"] = list(command)
        if work_dir:
            data["work_dir"] = work_dir
        if env:
            data["env"] = dict(env)
        if timeout:
            data["timeout"] = timeout
        patience_s = (timeout or RUN_S) + GRACE_S
        return ExecResult.from_dict(
            self._ask("POST", "/api/v1/execute", data, patience_s=patience_s)
        )

    # --- files

    def list_files(self, sandbox_id: str, path: str = WORKSPACE) -> list[FileInfo]:
        """What is in a folder."""
        params = {"sandbox_id": sandbox_id, "path": path}
        return [FileInfo.from_dict(one) for one in self._pages("/api/v1/files", "files", params)]

    def read_file(self, sandbox_id: str, path: str) -> str:
        """The text of a file (UTF-8)."""
        return self.read_bytes(sandbox_id, path).decode()

    def read_bytes(self, sandbox_id: str, path: str) -> bytes:
        """The bytes of a file."""
        if path != WORKSPACE and not path.startswith(f"{WORKSPACE}/") and path.startswith("/"):
            raise SandboxError(f"path: must be in {WORKSPACE}", 400)
        inside = path[len(WORKSPACE) :] if path.startswith("/") else path
        parts = [segment(one) for one in inside.split("/") if one]
        if not parts:
            raise SandboxError(f"path: {path} is a folder", 400)
        where = f"/v1/sandboxes/{segment(sandbox_id)}/files/{'/'.join(parts)}"
        response = self._wire.send("GET", where, token=self.token, patience_s=self.timeout)
        if "Content-Disposition" not in response.headers:
            raise SandboxError(f"path: {path} is a folder", 400)
        return response.content

    def write_file(self, sandbox_id: str, path: str, content: str | bytes) -> bool:
        """Writes a file, whole or not at all; folders on the way are made."""
        data = {"sandbox_id": sandbox_id, "path": path, "content": _content(content)}
        return bool(self._ask("PUT", "/api/v1/files", data).get("success", False))

    def delete_file(self, sandbox_id: str, path: str, recursive: bool = False) -> bool:
        """Removes a file, or with recursive a folder."""
        params = {"sandbox_id": sandbox_id, "path": path}
        if recursive:
            params["recursive"] = "1"
        return bool(self._ask("DELETE", "/api/v1/files", params=params).get("success", False))


def _content(content: str | bytes) -> str | dict[str, str]:
    if isinstance(content, str):
        return content
    return {"base64": base64.b64encode(content).decode()}


class Sandbox:
    """A sandbox of one's own. As a context manager it leaves nothing behind, unless it was paused.

    token: what is shown; without it a JWT is asked for, for user_id. auto_release: whether the end
    of a `with` ends it.
    """

    def __init__(
        self,
        base_url: str = BASE_URL,
        token: str | None = None,
        user_id: str | None = None,
        auto_release: bool = True,
    ) -> None:
        self.client = SandboxClient(base_url, token)
        self.auto_release = auto_release
        self._session: Session | None = None
        self._sandbox: SandboxInfo | None = None
        if not token and user_id:
            self.client.set_token(self.client.get_token(user_id)["access_token"])

    @classmethod
    def create(
        cls,
        base_url: str = BASE_URL,
        user_id: str = "default-user",
        image: str | None = None,
        cpu_count: int | None = None,
        memory_mb: int | None = None,
        **kwargs: Any,
    ) -> Sandbox:
        """A new session and its sandbox. kwargs: those of Sandbox."""
        made = cls(base_url=base_url, user_id=user_id, **kwargs)
        made._session = made.client.create_session(image, cpu_count, memory_mb)
        try:
            made._sandbox = made.client.acquire_sandbox(made._session.id)
        except BaseException:
            made.destroy()
            raise
        return made

    @classmethod
    def resume(cls, session_id: str, base_url: str = BASE_URL, **kwargs: Any) -> Sandbox:
        """A session that was paused, with its variables and files. kwargs: those of Sandbox."""
        made = cls(base_url=base_url, **kwargs)
        made._session = made.client.resume_session(session_id)
        made._sandbox = made.client.acquire_sandbox(session_id)
        return made

    @property
    def session_id(self) -> str | None:
        """Of the session; None: it was destroyed."""
        return self._session.id if self._session else None

    @property
    def sandbox_id(self) -> str | None:
        """Of the sandbox; None: it was paused, or destroyed."""
        return self._sandbox.sandbox_id if self._sandbox else None

    def _acquired(self) -> str:
        if not self._sandbox:
            raise SandboxError("there is no sandbox: it was paused, destroyed, or never acquired")
        return self._sandbox.sandbox_id

    def run_code(self, code: str, language: str = "python", timeout: float = RUN_S) -> ExecResult:
        """Runs code; Python's variables stay for the next run. timeout: in seconds."""
        return self.client.execute(self._acquired(), code, language, timeout=timeout)

    def run_command(self, command: str | Sequence[str], timeout: float = RUN_S) -> ExecResult:
        """Runs a line of bash, or a program and its words. timeout: in seconds."""
        words = ["bash", "-c", command] if isinstance(command, str) else list(command)
        return self.client.execute(self._acquired(), command=words, timeout=timeout)

    def write_file(self, path: str, content: str | bytes) -> bool:
        """Writes a file; folders on the way are made."""
        return self.client.write_file(self._acquired(), path, content)

    def read_file(self, path: str) -> str:
        """The text of a file (UTF-8)."""
        return self.client.read_file(self._acquired(), path)

    def read_bytes(self, path: str) -> bytes:
        """The bytes of a file."""
        return self.client.read_bytes(self._acquired(), path)

    def list_files(self, path: str = WORKSPACE) -> list[FileInfo]:
        """What is in a folder."""
        return self.client.list_files(self._acquired(), path)

    def delete_file(self, path: str, recursive: bool = False) -> bool:
        """Removes a file, or with recursive a folder."""
        return self.client.delete_file(self._acquired(), path, recursive)

    def pause(self) -> str:
        """Saves variables and files and ends the processes; the session's id, to resume it by."""
        if not self._session:
            raise SandboxError("there is no session: it was destroyed, or never made")
        self._session = self.client.pause_session(self._session.id)
        self._sandbox = None
        self.client.close()
        return self._session.id

    def destroy(self) -> None:
        """Ends the sandbox and its session. What is gone already is gone."""
        session, self._session, self._sandbox = self._session, None, None
        if session:
            with contextlib.suppress(NotFoundError):
                self.client.delete_session(session.id)
        self.client.close()

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        if not (self.auto_release and self._sandbox):
            return
        try:
            self.destroy()
        except SandboxError:
            if exc_type is None:  # else what happened in the block counts
                raise

"""Programs that run in a sandbox."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Union

from warmcell._core.stream import Feed
from warmcell._core.transport import Transport
from warmcell.aio.following import Following
from warmcell.errors import CommandFailedError
from warmcell.events import End, Event, Stderr, Stdout

Words = Union[str, Sequence[str]]  # a line for /bin/sh, or a program and its words


def _bytes_or_text(data: str | bytes) -> Any:
    return {"base64": base64.b64encode(data).decode()} if isinstance(data, bytes) else data


class AsyncCommand(Following):
    """One run of a program. Iterate over it for its events, or wait() for its end; stdout and
    stderr are what came so far, from the event on that it was attached behind."""

    def __init__(self, transport: Transport, feed: Feed) -> None:
        super().__init__(transport, feed)
        self._stdout: list[bytes] = []
        self._stderr: list[bytes] = []
        self._end: Mapping[str, Any] | None = None

    def _absorb(self, event: Event) -> None:
        if isinstance(event, Stderr):
            self._stderr.append(event.data)
        elif isinstance(event, Stdout):
            self._stdout.append(event.data)
        elif isinstance(event, End):
            self._end = event.record

    @property
    def stdout_bytes(self) -> bytes:
        return b"".join(self._stdout)

    @property
    def stderr_bytes(self) -> bytes:
        return b"".join(self._stderr)

    @property
    def stdout(self) -> str:
        """As text; what is no UTF-8 is U+FFFD."""
        return self.stdout_bytes.decode("utf-8", "replace")

    @property
    def stderr(self) -> str:
        return self.stderr_bytes.decode("utf-8", "replace")

    @property
    def record(self) -> Mapping[str, Any]:
        """How it ended, or nothing yet (docs/gateway.md, "Commands")."""
        return self._end or {}

    @property
    def ended(self) -> bool:
        return self._end is not None

    @property
    def status(self) -> str:
        """running, exited, killed, timeout, output_limit, oom or lost."""
        return str(self.record.get("status", "running"))

    @property
    def exit_code(self) -> int | None:
        code = self.record.get("exit_code")
        return None if code is None else int(code)

    @property
    def ok(self) -> bool:
        return self.exit_code == 0

    async def wait(
        self,
        *,
        timeout: float | None = None,
        check: bool = False,
        on_stdout: Callable[[str], object] | None = None,
        on_stderr: Callable[[str], object] | None = None,
    ) -> AsyncCommand:
        """Waits for its end, for timeout seconds at most: WaitTimeoutError, and it goes on. check:
        CommandFailedError unless it exited with 0."""

        def tell(event: Event) -> object:
            if isinstance(event, Stderr):
                return on_stderr(event.text) if on_stderr else None
            if isinstance(event, Stdout):
                return on_stdout(event.text) if on_stdout else None
            return None

        await self._follow(timeout, tell)
        if check:
            self.check()
        return self

    def check(self) -> AsyncCommand:
        """CommandFailedError if it has ended otherwise than with 0."""
        if self.ended and not self.ok:
            how = self.record.get("reason") or f"{self.status} with {self.exit_code}"
            raise CommandFailedError(f"the command failed: {how}", self)
        return self

    async def send_stdin(self, data: str | bytes, *, eof: bool = False) -> None:
        """Bytes for it to read; with eof nothing follows them."""
        await self._act("stdin", body={"stdin": _bytes_or_text(data), "eof": eof})

    async def close_stdin(self) -> None:
        await self._act("stdin", body={"stdin": "", "eof": True})

    async def send_signal(self, signal: str) -> None:
        """To its process group: "SIGTERM" …"""
        await self._act("signal", body={"signal": signal})

    async def kill(self) -> None:
        await self.send_signal("SIGKILL")

    async def _act(self, op: str, **members: Any) -> None:
        await self._transport.stream.act(op, sandbox=self.sandbox_id, command=self.id, **members)

    async def delete(self) -> None:
        """Kills all of it, and forgets it."""
        await self._transport.http.delete(f"/v1/sandboxes/{self.sandbox_id}/commands/{self.id}")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} {self.status}>"


class AsyncCommands:
    """Those of a sandbox."""

    def __init__(self, transport: Transport, sandbox: str) -> None:
        self._transport = transport
        self._sandbox = sandbox

    async def run(
        self,
        command: Words,
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        stdin: str | bytes | None = None,
        deadline: float | None = None,
        timeout: float | None = None,
        check: bool = False,
        key: str | None = None,
        on_stdout: Callable[[str], object] | None = None,
        on_stderr: Callable[[str], object] | None = None,
    ) -> AsyncCommand:
        """Runs it and waits for its end. A str is a line for /bin/sh. deadline: seconds after which
        it is killed; timeout: how long to wait (WaitTimeoutError, and it goes on)."""
        started = await self.start(
            command, cwd=cwd, env=env, stdin=stdin, deadline=deadline, key=key
        )
        return await started.wait(
            timeout=timeout, check=check, on_stdout=on_stdout, on_stderr=on_stderr
        )

    async def start(
        self,
        command: Words,
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        stdin: str | bytes | None = None,
        stdin_open: bool = False,
        deadline: float | None = None,
        key: str | None = None,
    ) -> AsyncCommand:
        """Starts it, and returns when it is on record. stdin_open: more may be sent later."""
        words = {"shell": command} if isinstance(command, str) else {"argv": list(command)}
        body: dict[str, Any] = {**words}
        if cwd is not None:
            body["cwd"] = cwd
        if env:
            body["env"] = dict(env)
        if stdin is not None:
            body["stdin"] = _bytes_or_text(stdin)
        if stdin_open:
            body["stdin_open"] = True
        if deadline is not None:
            body["deadline_ms"] = round(deadline * 1000)
        stream = self._transport.stream
        return await self._begin(Feed(stream, "command", self._sandbox, body=body, key=key))

    async def attach(self, command: str, *, after: int = 0) -> AsyncCommand:
        """Follows one that runs or has ended, behind event number after."""
        stream = self._transport.stream
        return await self._begin(
            Feed(stream, "command", self._sandbox, target=command, after=after)
        )

    async def _begin(self, feed: Feed) -> AsyncCommand:
        await self._transport.stream.feed(feed)
        await feed.begun()
        return AsyncCommand(self._transport, feed)

    async def list(self) -> AsyncIterator[Mapping[str, Any]]:
        """What is known of each, the newest first."""
        path = f"/v1/sandboxes/{self._sandbox}/commands"
        async for one in self._transport.http.pages(path, "commands"):
            yield one

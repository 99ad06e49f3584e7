"""What every sandbox can do: start, stop, run code and programs, tell its numbers."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Generator, Mapping
from dataclasses import fields, replace
from types import TracebackType
from typing import Any, Generic, TypeVar

from warmcell.compat.sandbox import _artifacts
from warmcell.compat.sandbox._session import Making, Ran, Session
from warmcell.compat.sandbox.exceptions import (
    SandboxExecutionError,
    SandboxNotStartedError,
    SandboxTimeoutError,
    SandboxUnsupportedError,
    translated,
)
from warmcell.compat.sandbox.sdk.command import Command
from warmcell.compat.sandbox.sdk.config import IsolationLevel, SandboxConfig
from warmcell.compat.sandbox.sdk.execution import Execution
from warmcell.compat.sandbox.sdk.metrics import Metrics

__all__ = ["BaseSandbox", "Starting"]

Self = TypeVar("Self", bound="BaseSandbox")
SERVER = "http://127.0.0.1:5555"
NO_TEMPLATE = {"local-python", "microsandbox/python", "microsandbox/node"}
MEMBERS = {one.name for one in fields(SandboxConfig)}


class Starting(Generic[Self]):
    """A sandbox that is not there yet: `async with` starts it and ends it, `await` starts it."""

    def __init__(self, sandbox: Self) -> None:
        self._sandbox = sandbox

    async def _start(self) -> Self:
        await self._sandbox.start()
        return self._sandbox

    def __await__(self) -> Generator[Any, None, Self]:
        return self._start().__await__()

    async def __aenter__(self) -> Self:
        return await self._sandbox.__aenter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._sandbox.__aexit__(kind, error, trace)


class BaseSandbox:
    """A sandbox of a gateway: one elsewhere (remote: server_url, or $MSB_SERVER_URL, with api_key,
    or $MSB_API_KEY), else the user's own, which is found or started. config, or any member of a
    SandboxConfig by its name, says how it is to be."""

    language = "python"

    def __init__(
        self,
        remote: bool = False,
        server_url: str | None = None,
        namespace: str = "default",
        name: str | None = None,
        api_key: str | None = None,
        *,
        config: SandboxConfig | None = None,
        **options: Any,
    ) -> None:
        unknown = options.keys() - MEMBERS
        if unknown:
            raise TypeError(f"{type(self).__name__} has no option {min(unknown)!r}")
        given = {"server_url": server_url, "name": name, "api_key": api_key, **options}
        if namespace != "default":
            given["namespace"] = namespace
        own = config or SandboxConfig()
        members = {word: value for word, value in given.items() if value is not None}
        own = replace(own, **members, remote=remote or own.remote)
        self.config = replace(own, name=own.name or f"sandbox-{uuid.uuid4().hex[:8]}")
        if self.config.remote:
            url = own.server_url or os.environ.get("MSB_SERVER_URL") or SERVER
            key = own.api_key or os.environ.get("MSB_API_KEY")
            self.config = replace(self.config, server_url=url, api_key=key)
        self._is_started = False
        self._own_session: Session | None = None
        self._command = Command(self)
        self._metrics = Metrics(self)

    @classmethod
    def create(cls: type[Self], **options: Any) -> Starting[Self]:
        """Takes what the class takes, and starts the sandbox: with `async with`, which ends it, or
        `await`."""
        return Starting(cls(**options))

    # what it is

    @property
    def name(self) -> str:
        """Its name; `sandbox-` and eight digits if none was given."""
        return str(self.config.name)

    @property
    def remote(self) -> bool:
        """Whether it is at a gateway elsewhere."""
        return self.config.remote

    @property
    def server_url(self) -> str | None:
        """Where that is."""
        return self.config.server_url

    @property
    def namespace(self) -> str:
        """In which its name is told apart."""
        return self.config.namespace

    @property
    def is_started(self) -> bool:
        """Whether start() was called, and stop() was not."""
        return self._is_started

    @property
    def command(self) -> Command:
        """Programs in it."""
        return self._command

    @property
    def metrics(self) -> Metrics:
        """What it uses."""
        return self._metrics

    @property
    def _session(self) -> Session:
        if self._own_session is None:
            config = self.config
            self._own_session = Session(
                f"{config.namespace}.{config.name}",
                url=config.server_url if config.remote else None,
                token=config.api_key if config.remote else None,
            )
        return self._own_session

    async def get_default_image(self) -> str:
        """What it is made from where nothing else is said."""
        return "microsandbox/node" if self.language == "javascript" else "microsandbox/python"

    # its life

    async def start(
        self,
        image: str | None = None,
        memory: int | None = None,
        cpus: float | None = None,
        timeout: float | None = None,
    ) -> None:
        """Makes it, or finds the one of this name; what is given goes over the configuration, whose
        defaults are memory=512 (MB), cpus=1.0 and timeout=180.0 (seconds that one run may take). A
        sandbox that is there already stays as it was made."""
        if self._is_started:
            return
        given = {"image": image, "memory": memory, "cpus": cpus, "timeout": timeout}
        members = {word: value for word, value in given.items() if value is not None}
        self.config = replace(self.config, **members)  # type: ignore[arg-type]
        self._check()
        self._prepare(self._session)
        with translated():
            await self._session.sandbox()
        self._is_started = True

    def _check(self) -> None:
        if self.config.mounts:
            raise SandboxUnsupportedError(
                "mounts: a sandbox sees nothing of the host; write files with sandbox.command or "
                "from code"
            )
        if self.config.isolation_level == IsolationLevel.WORKTREE:
            raise SandboxUnsupportedError("isolation_level: there are no work trees of git's")

    def _prepare(self, session: Session) -> None:
        config, before = self.config, session.making
        session.cwd = config.working_directory or session.cwd
        session.making = Making(
            limits={
                "memory_bytes": (config.memory_limit_mb or config.memory) << 20,
                "cpus": config.cpus,
            },
            env=dict(config.env),
            labels={**before.labels, "sandbox.name": self.name, "sandbox.in": self.namespace},
            template=None if config.image in NO_TEMPLATE else config.image,
            language=self.language,
        )

    async def stop(self) -> None:
        """Ends it, with all that is in it."""
        if self._is_started:
            self._is_started = False
            with translated():
                await self._session.delete()

    async def __aenter__(self: Self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    def _started_session(self) -> Session:
        if not self._is_started:
            raise SandboxNotStartedError("Sandbox is not started. Call start() first")
        return self._session

    # what runs in it

    async def run(
        self,
        code: str,
        validate: bool = True,  # noqa: ARG002 - the interpreter is the judge in any case
        *,
        check: bool = True,
        timeout: float | None = None,
        on_stdout: Callable[[str], object] | None = None,
        on_stderr: Callable[[str], object] | None = None,
    ) -> Execution:
        """Runs code, whose variables stay for the next run.

        Code that fails raises SandboxExecutionError, whose `execution` has what came until then;
        with check=False its Execution is returned, with `exception`. What takes longer than timeout
        (seconds; else the sandbox's) is ended and raises SandboxTimeoutError: variables stay, but
        where the code could not be interrupted. SandboxConnectionError: the gateway is not there.
        on_stdout and on_stderr are told of what is written as it comes."""
        patience = self.config.timeout if timeout is None else timeout
        with translated():
            ran = await self._started_session().run(
                code, timeout=patience or None, on_stdout=on_stdout, on_stderr=on_stderr
            )
        execution = self._execution(ran)
        if ran.execution.ok:
            return execution
        error = _error(ran, execution, patience)
        execution.exception = error
        if check or isinstance(error, SandboxTimeoutError):
            raise error
        return execution

    def _execution(self, ran: Ran) -> Execution:
        done = ran.execution
        identity, after = done.id, done.after
        session = self._session

        def find() -> list[str]:
            async def look() -> list[str]:
                sandbox = await session.sandbox()
                found = await (await sandbox.attach(identity, after=after)).artifacts()
                return [str(item.path) for item in _artifacts.items_of(found)]

            return session.call(look())

        return Execution(
            done.stdout,
            done.stderr,
            done.text,
            status="success" if done.ok else "error",
            language=self.language,
            combined=ran.combined,
            execution_id=identity,
            execution_time=float(done.record.get("run_ms") or 0) / 1000,
            find_artifacts=find,
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"


def _error(
    ran: Ran, execution: Execution, timeout: float
) -> SandboxExecutionError | SandboxTimeoutError:
    done, failure = ran.execution, ran.execution.error
    record: Mapping[str, Any] = done.record
    if done.status == "timeout":
        return SandboxTimeoutError(f"it took longer than {timeout:g} s", timeout, execution)
    reason = str(record.get("reason") or done.status)
    return SandboxExecutionError(
        str(failure) if failure else reason,
        failure.name if failure else done.status,
        "\n".join(failure.traceback) if failure else reason,
        execution,
    )

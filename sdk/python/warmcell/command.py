"""Programs that run in a sandbox, for plain calls; see warmcell.aio.command."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from warmcell._core.facade import Facade, standing_for, words_of
from warmcell.aio.command import AsyncCommand, AsyncCommands, Words
from warmcell.following import Following


@words_of(AsyncCommand)
class Command(Following[AsyncCommand]):
    @property
    def stdout_bytes(self) -> bytes:
        return self._inner.stdout_bytes

    @property
    def stderr_bytes(self) -> bytes:
        return self._inner.stderr_bytes

    @property
    def stdout(self) -> str:
        return self._inner.stdout

    @property
    def stderr(self) -> str:
        return self._inner.stderr

    @property
    def record(self) -> Mapping[str, Any]:
        return self._inner.record

    @property
    def ended(self) -> bool:
        return self._inner.ended

    @property
    def status(self) -> str:
        return self._inner.status

    @property
    def exit_code(self) -> int | None:
        return self._inner.exit_code

    @property
    def ok(self) -> bool:
        return self._inner.ok

    def wait(
        self,
        *,
        timeout: float | None = None,
        check: bool = False,
        on_stdout: Callable[[str], object] | None = None,
        on_stderr: Callable[[str], object] | None = None,
    ) -> Command:
        turn = self._portal.turn()
        with standing_for(self):
            turn.wait(
                self._inner.wait(
                    timeout=timeout,
                    check=check,
                    on_stdout=turn.here(on_stdout),
                    on_stderr=turn.here(on_stderr),
                )
            )
        return self

    def check(self) -> Command:
        with standing_for(self):
            self._inner.check()
        return self

    def send_stdin(self, data: str | bytes, *, eof: bool = False) -> None:
        self._portal.call(self._inner.send_stdin(data, eof=eof))

    def close_stdin(self) -> None:
        self._portal.call(self._inner.close_stdin())

    def send_signal(self, signal: str) -> None:
        self._portal.call(self._inner.send_signal(signal))

    def kill(self) -> None:
        self._portal.call(self._inner.kill())

    def delete(self) -> None:
        self._portal.call(self._inner.delete())


@words_of(AsyncCommands)
class Commands(Facade[AsyncCommands]):
    def run(
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
    ) -> Command:
        started = self.start(command, cwd=cwd, env=env, stdin=stdin, deadline=deadline, key=key)
        return started.wait(timeout=timeout, check=check, on_stdout=on_stdout, on_stderr=on_stderr)

    def start(
        self,
        command: Words,
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        stdin: str | bytes | None = None,
        stdin_open: bool = False,
        deadline: float | None = None,
        key: str | None = None,
    ) -> Command:
        started = self._inner.start(
            command,
            cwd=cwd,
            env=env,
            stdin=stdin,
            stdin_open=stdin_open,
            deadline=deadline,
            key=key,
        )
        return Command(self._portal, self._portal.call(started))

    def attach(self, command: str, *, after: int = 0) -> Command:
        return Command(self._portal, self._portal.call(self._inner.attach(command, after=after)))

    def list(self) -> Iterator[Mapping[str, Any]]:
        return self._portal.iterate(self._inner.list())

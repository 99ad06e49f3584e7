"""A session: a sandbox of its own, and programs that run in it, each by itself."""

from __future__ import annotations

import logging
import posixpath
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

import warmcell
from warmcell.compat import _gateway
from warmcell.compat.llm_sandbox import _copying, _libraries, _outcome, _programs
from warmcell.compat.llm_sandbox._failures import translated
from warmcell.compat.llm_sandbox._limits import Settings, read_runtime_configs
from warmcell.compat.llm_sandbox._making import make_sandbox
from warmcell.compat.llm_sandbox._scan import find_violations
from warmcell.compat.llm_sandbox.const import SandboxBackend, SupportedLanguage
from warmcell.compat.llm_sandbox.core.config import SessionConfig
from warmcell.compat.llm_sandbox.data import ConsoleOutput, StreamCallback
from warmcell.compat.llm_sandbox.exceptions import (
    CommandEmptyError,
    ExtraArgumentsError,
    LanguageNotSupportedError,
    NotOpenSessionError,
    SandboxTimeoutError,
    SecurityError,
    SecurityPolicyViolation,
)
from warmcell.compat.llm_sandbox.language_handlers.factory import LanguageHandlerFactory
from warmcell.compat.llm_sandbox.security import SecurityPattern, SecurityPolicy

if TYPE_CHECKING:
    from warmcell.compat.llm_sandbox.pool.base import ContainerPoolManager, PooledContainer

__all__ = ["BaseSession"]

Self = TypeVar("Self", bound="BaseSession")


class BaseSession:
    """Runs programs in a sandbox of a gateway: the user's own, or that of $WARMCELL_URL, or that of
    `client`, a warmcell.Client. Use it in a `with` block, or call open() and close().

    Times and limits are the gateway's: what passes them is ended there, with all that it started.
    Any thread may use a session.
    """

    backend = SandboxBackend.DOCKER

    def __init__(
        self,
        client: warmcell.Client | None = None,
        image: str | None = None,
        dockerfile: str | None = None,
        lang: str | SupportedLanguage = SupportedLanguage.PYTHON,
        keep_template: bool = False,
        commit_container: bool = False,
        verbose: bool = False,
        stream: bool = False,
        runtime_configs: Mapping[str, Any] | None = None,
        workdir: str = _copying.WORKDIR,
        security_policy: SecurityPolicy | None = None,
        default_timeout: float | None = None,
        execution_timeout: float | None = None,
        session_timeout: float | None = None,
        container_id: str | None = None,
        skip_environment_setup: bool = False,
        encoding_errors: str = "replace",
        libraries: Sequence[str] | None = None,
        enforce_security_policy: bool = False,
        pool: ContainerPoolManager | None = None,
        **others: Any,
    ) -> None:
        del keep_template, stream, skip_environment_setup  # a sandbox is never otherwise
        if others:
            raise ExtraArgumentsError(f"unknown arguments: {', '.join(sorted(others))}")
        if dockerfile or commit_container:
            raise ExtraArgumentsError(
                "dockerfile and commit_container: no images are built here; "
                "a template of the gateway keeps files, packages and settings, and image names it"
            )
        if client is not None and not isinstance(client, warmcell.Client):
            raise ExtraArgumentsError("client: must be a warmcell.Client")
        try:
            language = SupportedLanguage(lang)
        except ValueError as error:
            raise LanguageNotSupportedError(str(lang)) from error
        self.sandbox_settings: Settings = read_runtime_configs(runtime_configs or {})
        self.config = SessionConfig(
            lang=language,
            image=image,
            container_id=container_id,
            verbose=verbose,
            workdir=self.sandbox_settings.workdir or workdir,
            default_timeout=default_timeout,
            execution_timeout=execution_timeout or self.sandbox_settings.timeout,
            session_timeout=session_timeout,
            security_policy=security_policy,
            runtime_configs=dict(runtime_configs or {}),
        )
        self.client = client
        self.container: warmcell.Sandbox | None = None
        self.encoding_errors = encoding_errors
        self.enforce_security_policy = enforce_security_policy
        self.libraries = list(libraries or ())
        self.logger = logging.getLogger("llm_sandbox")
        self.language_handler = LanguageHandlerFactory.create_handler(language.value, self.logger)
        self._pool = pool
        self._pooled: PooledContainer | None = None
        self._program: str | None = None
        self._ends: float | None = None

    # Life

    @property
    def is_open(self) -> bool:
        """Whether there is a sandbox."""
        return self.container is not None

    def open(self) -> None:
        """Makes the sandbox; one that is open stays as it is."""
        if self.container is not None:
            return
        if self._pool is not None:
            self._pooled = self._pool.acquire()
            self.container = self._pooled.container
        else:
            with translated():
                self.container = self.make_sandbox()
        if self.config.session_timeout is not None:
            self._ends = time.monotonic() + self.config.session_timeout
        self._say("opened sandbox %s", self.container.id)
        try:
            self._prepare(self.container)
            self.environment_setup()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Ends the sandbox, with all that is in it; one that was there before stays."""
        container, self.container = self.container, None
        if container is not None:
            self._say("closing sandbox %s", container.id)
        pooled, self._pooled = self._pooled, None
        self._program = self._ends = None
        if pooled is not None and self._pool is not None:
            self._pool.release(pooled)
        elif container is not None and not self.config.is_using_existing_container():
            with translated():
                container.delete()

    def __enter__(self: Self) -> Self:
        self.open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def environment_setup(self) -> None:
        """Installs the libraries that the session was made with; all else is there already."""
        self.install(self.libraries)

    def make_sandbox(self) -> warmcell.Sandbox:
        """One as the session is set up; who asks for it deletes it."""
        return make_sandbox(self.client or _gateway.client(), self.config, self.sandbox_settings)

    def _prepare(self, container: warmcell.Sandbox) -> None:
        """Has the folder that runs begin in."""
        with translated():
            if self._workdir.startswith(f"{_copying.WORKSPACE}/"):
                container.files.make_folder(self._workdir)
            elif self._workdir != _copying.WORKSPACE:
                container.commands.run(["mkdir", "-p", self._workdir], check=True)

    @property
    def _workdir(self) -> str:
        return _copying.inside(self.config.workdir)

    def _sandbox(self) -> warmcell.Sandbox:
        """NotOpenSessionError; SandboxTimeoutError: the session's time is over."""
        if self.container is None:
            raise NotOpenSessionError if self._pool is None else self._pool.not_open()
        if self._ends is not None and time.monotonic() >= self._ends:
            raise SandboxTimeoutError(
                f"The session was over after {self.config.session_timeout:g} seconds",
                self.config.session_timeout,
            )
        return self.container

    def _deadline(self, asked: float | None) -> float | None:
        """Seconds of a run: those asked for, but no more than are left of the session."""
        left = None if self._ends is None else max(0.001, self._ends - time.monotonic())
        return min((one for one in (asked, left) if one is not None), default=None)

    def _say(self, words: str, *about: object) -> None:
        """In the log `llm_sandbox`, for those who want to hear of it."""
        self.logger.log(logging.INFO if self.config.verbose else logging.DEBUG, words, *about)

    # Security

    def is_safe(self, code: str) -> tuple[bool, list[SecurityPattern]]:
        """Whether the session's policy has nothing against code, and what was found, each once. It
        is a hint: what holds code in is the sandbox. Without a policy everything is safe."""
        policy = self.config.security_policy
        if policy is None:
            return True, []
        found = find_violations(code, policy, self.language_handler)
        return not any(policy.refuses(one.severity) for one in found), found

    def _enforce(self, code: str, asked: bool | None) -> None:
        policy = self.config.security_policy
        if policy is not None and (self.enforce_security_policy if asked is None else asked):
            safe, found = self.is_safe(code)
            if not safe:
                bad = [one for one in found if policy.refuses(one.severity)]
                raise SecurityPolicyViolation(bad, policy.severity_threshold)

    # Running

    def run(
        self,
        code: str,
        libraries: list[str] | None = None,
        timeout: float | None = None,
        on_stdout: StreamCallback | None = None,
        on_stderr: StreamCallback | None = None,
        enforce_security_policy: bool | None = None,
    ) -> ConsoleOutput:
        """Runs code as a program of its own: it shares files with other runs, and no variables.
        timeout: seconds, instead of the session's. SandboxTimeoutError: it was ended, `output` is
        what it wrote; SecurityPolicyViolation: the policy is enforced, and refuses it."""
        sandbox = self._begin(code, libraries, enforce_security_policy)
        asked = timeout or self.config.get_execution_timeout()
        handler = self.language_handler
        name = f"main_{uuid.uuid4().hex[:12]}.{handler.file_extension}"
        file = posixpath.join(self._workdir, name)
        binary = f"{file}.bin"
        with translated():
            self._program = self._program or _programs.find(sandbox, handler.config)
            lines = handler.get_execution_commands(file, self._program, binary)
            _copying.write(sandbox, file, code)
            try:
                return _programs.run_lines(
                    sandbox,
                    lines,
                    cwd=self._workdir,
                    deadline=self._deadline(asked),
                    encoding_errors=self.encoding_errors,
                    on_stdout=on_stdout,
                    on_stderr=on_stderr,
                )
            finally:
                _copying.remove(sandbox, file)
                if any("{binary}" in line for line in handler.config.execution_commands):
                    _copying.remove(sandbox, binary)

    def safe_run(
        self,
        code: str,
        libraries: list[str] | None = None,
        timeout: float | None = None,
        on_stdout: StreamCallback | None = None,
        on_stderr: StreamCallback | None = None,
    ) -> ConsoleOutput:
        """run(), with the policy enforced."""
        return self.run(
            code, libraries, timeout, on_stdout, on_stderr, enforce_security_policy=True
        )

    def _begin(
        self, code: str, libraries: Sequence[str] | None, enforce: bool | None
    ) -> warmcell.Sandbox:
        """What comes before every run."""
        sandbox = self._sandbox()
        self._say("running %d characters of %s", len(code), self.config.lang)
        self._enforce(code, enforce)
        self.install(libraries)
        return sandbox

    def install(self, libraries: Sequence[str] | None = None) -> None:
        """Installs libraries: of Python wheels of the gateway's index, where it has one; what is
        there already is not installed again. SecurityError: the policy restricts one."""
        wanted = list(libraries or ())
        sandbox = self._sandbox()
        _libraries.refuse_restricted(wanted, self.config.security_policy)
        with translated():
            _libraries.install(
                sandbox, self.language_handler, wanted, self._workdir, self._deadline(None)
            )

    # Commands

    def execute_command(
        self,
        command: str,
        workdir: str | None = None,
        on_stdout: StreamCallback | None = None,
        on_stderr: StreamCallback | None = None,
    ) -> ConsoleOutput:
        """Runs a line of /bin/sh; its time is default_timeout. exit_code is its own, also where its
        output is followed."""
        sandbox = self._sandbox()
        if not command or not command.strip():
            raise CommandEmptyError
        deadline = self._deadline(self.config.default_timeout)
        with translated():
            ran = sandbox.commands.run(
                command,
                cwd=self._workdir if workdir is None else _copying.inside(workdir, self._workdir),
                deadline=deadline,
                on_stdout=on_stdout,
                on_stderr=on_stderr,
            )
        return _outcome.of_command(ran, deadline, self.encoding_errors)

    def execute_commands(
        self,
        commands: Sequence[str | tuple[str, str | None]],
        workdir: str | None = None,
        on_stdout: StreamCallback | None = None,
        on_stderr: StreamCallback | None = None,
    ) -> ConsoleOutput:
        """Runs commands, each a line or (line, workdir), up to the first that fails; returns what
        the last one told."""
        told = ConsoleOutput()
        for one in commands:
            line, place = (one, workdir) if isinstance(one, str) else one
            told = self.execute_command(line, place or workdir, on_stdout, on_stderr)
            if not told.success():
                break
        return told

    # Files

    def copy_to_runtime(self, src: str, dest: str) -> None:
        """A local file, or a folder with the files below it, into the sandbox; with a "/" at the
        end of dest, under its own name there. FileNotFoundError; SecurityError: a path with
        ".."."""
        sandbox = self._sandbox()
        _copying.refuse_outward(src)
        place = _copying.inside(dest, self._workdir)
        if dest.endswith("/") and Path(src).is_file():
            place = posixpath.join(place, Path(src).name)
        with translated(SecurityError):
            _copying.copy_in(sandbox, Path(src), place)

    def copy_from_runtime(self, src: str, dest: str) -> None:
        """A file of the sandbox, also an empty one, or what is below a folder of it, to here; links
        are left out. FileNotFoundError; SecurityError: a path with ".."."""
        sandbox = self._sandbox()
        _copying.refuse_outward(dest)
        with translated(SecurityError):
            _copying.copy_out(sandbox, _copying.inside(src, self._workdir), Path(dest))

    def get_archive(self, path: str) -> tuple[bytes, dict[str, Any]]:
        """A file, or a folder with all below it, as the bytes of a tar, and its name, size, mode
        and time. FileNotFoundError: there is none."""
        sandbox = self._sandbox()
        with translated(SecurityError):
            return _copying.archive(sandbox, _copying.inside(path, self._workdir))

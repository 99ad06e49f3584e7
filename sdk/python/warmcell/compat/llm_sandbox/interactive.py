"""Sessions whose runs share one interpreter: what one defines, the next one has."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from warmcell.compat.llm_sandbox import _outcome
from warmcell.compat.llm_sandbox._failures import translated
from warmcell.compat.llm_sandbox._making import refuse_kubernetes
from warmcell.compat.llm_sandbox.const import SandboxBackend, StrEnum, SupportedLanguage
from warmcell.compat.llm_sandbox.core.session_base import BaseSession
from warmcell.compat.llm_sandbox.data import ConsoleOutput, StreamCallback
from warmcell.compat.llm_sandbox.exceptions import LanguageNotSupportedError, SandboxTimeoutError

__all__ = [
    "CellOutput",
    "InteractiveSandboxSession",
    "InteractiveSettings",
    "KernelType",
]

FROM_SETTINGS: Any = ...


class KernelType(StrEnum):
    """What runs the code."""

    IPYTHON = "ipython"


@dataclass
class InteractiveSettings:
    """max_memory: of the whole sandbox, held by the gateway; None: its usual limit. history_size:
    so many results are kept in `history`. timeout: seconds of one run, None: no limit.
    poll_interval: of no use, since results are sent as soon as they are there. ValueError: a number
    makes no sense."""

    kernel_type: KernelType = KernelType.IPYTHON
    max_memory: str | None = "1GB"
    history_size: int = 1000
    timeout: float | None = 300
    poll_interval: float = 0.1

    def __post_init__(self) -> None:
        self.kernel_type = KernelType(self.kernel_type)
        if self.history_size < 0:
            raise ValueError("history_size: must not be negative")
        if self.timeout is not None and not self.timeout > 0:
            raise ValueError("timeout: must be more than 0 seconds, or None")
        if not self.poll_interval > 0:
            raise ValueError("poll_interval: must be more than 0 seconds")


@dataclass(frozen=True)
class CellOutput(ConsoleOutput):
    """value: the text of the last expression's value, None where it has none; displays: the MIME
    bundles of what was shown, pictures as base64, in their order."""

    value: str | None = None
    displays: list[Mapping[str, Any]] = field(default_factory=list)


class InteractiveSandboxSession(BaseSession):
    """Runs cells of Python in a kernel that stays: variables, functions and imports persist, and
    magics, `!` and top-level await work. A run that is ended by its timeout leaves them as they
    are, unless it could not be interrupted: `state_retained` of the error says which."""

    def __init__(
        self,
        *,
        backend: str | SandboxBackend = SandboxBackend.DOCKER,
        lang: str | SupportedLanguage = SupportedLanguage.PYTHON,
        interactive_settings: InteractiveSettings | None = None,
        kernel_type: str | KernelType = FROM_SETTINGS,
        max_memory: str | None = FROM_SETTINGS,
        history_size: int = FROM_SETTINGS,
        timeout: float | None = FROM_SETTINGS,
        runtime_configs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """What is given by itself goes over interactive_settings."""
        refuse_kubernetes(backend)
        if str(lang).lower() != SupportedLanguage.PYTHON.value:
            raise LanguageNotSupportedError(str(lang))
        own: dict[str, Any] = {
            "kernel_type": kernel_type,
            "max_memory": max_memory,
            "history_size": history_size,
            "timeout": timeout,
        }
        settings = interactive_settings or InteractiveSettings()
        members = {name: getattr(settings, name) for name in vars(settings)}
        members.update({name: value for name, value in own.items() if value is not FROM_SETTINGS})
        self.settings = InteractiveSettings(**members)
        configs = dict(runtime_configs or {})
        if self.settings.max_memory is not None:
            configs.setdefault("mem_limit", self.settings.max_memory)
        super().__init__(lang=lang, runtime_configs=configs, **kwargs)
        self._history: deque[tuple[str, CellOutput]] = deque(maxlen=self.settings.history_size)

    @property
    def history(self) -> list[tuple[str, CellOutput]]:
        """The last history_size runs, each with its code, the oldest first; also those that were
        ended by their timeout."""
        return list(self._history)

    def run(
        self,
        code: str,
        libraries: list[str] | None = None,
        timeout: float | None = None,
        on_stdout: StreamCallback | None = None,
        on_stderr: StreamCallback | None = None,
        enforce_security_policy: bool | None = None,
    ) -> CellOutput:
        """Runs a cell. exit_code: 1 if it raised, and then stderr has the traceback.
        SandboxTimeoutError: it was ended, `output` is what it wrote, and the next run goes on."""
        sandbox = self._begin(code, libraries, enforce_security_policy)
        deadline = self._deadline(timeout or self.config.execution_timeout or self.settings.timeout)
        with translated():
            ran = sandbox.run(
                code,
                deadline=deadline,
                cwd=self._cell_folder,
                on_stdout=on_stdout,
                on_stderr=on_stderr,
            )
        told, ended = None, None
        try:
            told = _outcome.of_execution(ran, deadline)
        except SandboxTimeoutError as error:
            told, ended = error.output or ConsoleOutput(1), error
        value = None if ran.result is None else ran.result.text
        displays = [one.data for one in ran.displays if one is not ran.result]
        cell = CellOutput(told.exit_code, told.stderr, told.stdout, value, displays)
        self._history.append((code, cell))
        if ended is not None:
            ended.output = cell
            ended.state_retained = bool(ran.record.get("state_retained"))
            raise ended
        return cell

    @property
    def _cell_folder(self) -> str | None:
        """None: where the kernel is, so that %cd lasts."""
        folder = self._workdir
        return None if folder == "/workspace" else folder

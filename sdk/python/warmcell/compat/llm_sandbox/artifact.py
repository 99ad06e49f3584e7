"""Sessions that capture plots."""

from __future__ import annotations

import base64
import hashlib
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import warmcell
from warmcell.compat.llm_sandbox import _outcome
from warmcell.compat.llm_sandbox._failures import translated
from warmcell.compat.llm_sandbox._making import refuse_kubernetes
from warmcell.compat.llm_sandbox.const import SandboxBackend
from warmcell.compat.llm_sandbox.core.session_base import BaseSession
from warmcell.compat.llm_sandbox.data import (
    ConsoleOutput,
    ExecutionResult,
    FileType,
    PlotOutput,
    StreamCallback,
)
from warmcell.compat.llm_sandbox.exceptions import (
    LanguageNotSupportPlotError,
    MissingDependencyError,
    SandboxTimeoutError,
)

__all__ = ["ArtifactSandboxSession"]

# the best first: of a display that is several of them, one is taken
_FORMATS = {
    "image/png": FileType.PNG,
    "image/svg+xml": FileType.SVG,
    "image/jpeg": FileType.JPEG,
    "application/pdf": FileType.PDF,
    "text/html": FileType.HTML,
}
# HTML is a plot where one of these says so: tables are HTML, too
_INTERACTIVE = ("application/vnd.plotly", "application/vnd.bokeh", "application/vnd.vega")


class ArtifactSandboxSession(BaseSession):
    """Runs code of Python or R, each run in a context of its own, and captures what it plots:
    what is shown, what is left open at the end, and pictures that are saved by a run that shows
    none. Plots add up over the runs of a session until they are cleared."""

    def __init__(
        self,
        *args: Any,
        backend: str | SandboxBackend = SandboxBackend.DOCKER,
        enable_plotting: bool = True,
        **kwargs: Any,
    ) -> None:
        """enable_plotting: without it, runs are those of SandboxSession.
        LanguageNotSupportPlotError: of this language plots cannot be captured."""
        refuse_kubernetes(backend)
        super().__init__(*args, **kwargs)
        self.enable_plotting = enable_plotting
        if enable_plotting and not self.language_handler.is_support_plot_detection:
            raise LanguageNotSupportPlotError(self.language_handler.name)
        self._plots: list[PlotOutput] = []
        self._lock = threading.Lock()

    @property
    def plots(self) -> list[PlotOutput]:
        """Those that were captured so far: the number of a plot is its place, from 1."""
        with self._lock:
            return list(self._plots)

    def clear_plots(self) -> None:
        """Forgets them; the next one is the first."""
        with self._lock:
            self._plots.clear()

    def run(  # type: ignore[override]  # the original has clear_plots before the callbacks
        self,
        code: str,
        libraries: list[str] | None = None,
        timeout: float | None = None,
        clear_plots: bool = False,
        on_stdout: StreamCallback | None = None,
        on_stderr: StreamCallback | None = None,
        enforce_security_policy: bool | None = None,
    ) -> ExecutionResult:
        """Runs code: it shares files with other runs, and no variables. plots: all of the session;
        clear_plots: of this run alone. SandboxTimeoutError: as BaseSession.run, and its plots are
        captured nevertheless."""
        if clear_plots:
            self.clear_plots()
        if not self.enable_plotting:
            told = super().run(
                code, libraries, timeout, on_stdout, on_stderr, enforce_security_policy
            )
            return self._with_plots(told)
        sandbox = self._begin(code, libraries, enforce_security_policy)
        deadline = self._deadline(timeout or self.config.get_execution_timeout())
        with translated():
            context = self._context(sandbox)
            try:
                ran = context.run(
                    code,
                    deadline=deadline,
                    cwd=self._workdir,
                    on_stdout=on_stdout,
                    on_stderr=on_stderr,
                )
                found = list(_plots_of(ran))
            finally:
                context.delete()
        with self._lock:
            self._plots += found
        try:
            return self._with_plots(_outcome.of_execution(ran, deadline))
        except SandboxTimeoutError as error:
            error.output = self._with_plots(error.output or ConsoleOutput(1))
            raise

    def _with_plots(self, told: ConsoleOutput) -> ExecutionResult:
        return ExecutionResult(told.exit_code, told.stderr, told.stdout, self.plots)

    def _context(self, sandbox: warmcell.Sandbox) -> warmcell.Context:
        """An interpreter that nobody has used. MissingDependencyError: the gateway has no kernel of
        the language, or what it runs on is not installed."""
        language = self.language_handler.name
        try:
            return sandbox.contexts.create(language=language)
        except (warmcell.InvalidRequestError, warmcell.UnprocessableError) as error:
            raise MissingDependencyError(
                f"{language}: this gateway runs no kernel of it: {error.detail}"
            ) from error


def _plots_of(ran: warmcell.Execution) -> Iterator[PlotOutput]:
    """What a run showed, in its order, or its value if that is all; of one that showed nothing, the
    pictures that it saved."""
    plots = [one for one in ran.displays if _format_of(one.data) is not None]
    shown = [one for one in plots if one is not ran.result] or plots
    found = ran.artifacts()
    if not shown:
        for artifact in found:
            kind = _FORMATS.get(artifact.mime_type)
            if kind is not None and artifact.info.kind == "file" and artifact.info.sha256:
                yield _plot(kind, artifact.read(), artifact)
        return
    known = {one.info.sha256: one for one in found if one.info.sha256}
    for display in shown:
        mime_type = str(_format_of(display.data))
        content = display.content(mime_type)
        artifact_of = known.get(hashlib.sha256(content).hexdigest())
        yield _plot(_FORMATS[mime_type], content, artifact_of)


def _plot(kind: FileType, content: bytes, artifact: warmcell.Artifact | None) -> PlotOutput:
    info = artifact.info if artifact is not None else None
    return PlotOutput(
        kind,
        base64.b64encode(content).decode("ascii"),
        info.width if info else None,
        info.height if info else None,
    )


def _format_of(data: Mapping[str, Any]) -> str | None:
    """The type of a display's data that is taken as the plot; None: it is none."""
    for mime_type in _FORMATS:
        if mime_type in data and (
            mime_type != "text/html" or any(one.startswith(_INTERACTIVE) for one in data)
        ):
            return mime_type
    return None

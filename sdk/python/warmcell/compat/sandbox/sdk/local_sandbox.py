"""A sandbox of the user's own gateway, whose session can be come back to."""

from __future__ import annotations

from dataclasses import replace
from types import TracebackType
from typing import Any

from warmcell.compat.sandbox._session import Session
from warmcell.compat.sandbox.core.code_validator import CodeValidator
from warmcell.compat.sandbox.core.execution_context import PersistentExecutionContext
from warmcell.compat.sandbox.exceptions import translated
from warmcell.compat.sandbox.sdk.base_sandbox import BaseSandbox
from warmcell.compat.sandbox.sdk.config import SandboxConfig

__all__ = ["LocalSandbox"]


class LocalSandbox(BaseSandbox):
    """A sandbox on this machine. It is a session of its own, unless a PersistentExecutionContext is
    assigned to `_execution_context` before start(), which goes on with that one's.

    stop() pauses the session, with its variables. Leaving its block does the same if somebody can
    come back to it (session_id was read, or given, or save_session() called), else it ends; and so
    does the end of the process."""

    def __init__(self, config: SandboxConfig | None = None, **options: Any) -> None:
        options["remote"] = False
        super().__init__(config=replace(config or SandboxConfig(), remote=False), **options)
        self._execution_context = PersistentExecutionContext()

    @property
    def _session(self) -> Session:
        return self._execution_context._session

    async def get_default_image(self) -> str:
        """What it is made from where nothing else is said."""
        return "local-python"

    async def stop(self) -> None:
        """Pauses the session, with its variables; start() goes on with it."""
        if self._is_started:
            self._is_started = False
            with translated():
                await self._session.pause()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._is_started:
            self._is_started = False
            with translated():
                await self._execution_context._life.leave()

    # the session

    @property
    def session_id(self) -> str:
        """Its id, with which any process of this user comes back to it."""
        return self._execution_context.session_id

    def save_session(self) -> None:
        """Saves the variables now; the session goes on. SandboxError: it is busy."""
        self._execution_context.save_persistent_state()

    def cleanup_session(self) -> None:
        """Ends the session, with its variables, files and artifacts; the next run begins it anew,
        empty."""
        self._execution_context.cleanup()

    def get_performance_stats(self) -> dict[str, Any]:
        """Numbers of the session (PersistentExecutionContext.get_execution_stats)."""
        return self._execution_context.get_execution_stats()

    def get_execution_history(self, limit: int = 50) -> list[dict[str, Any]]:
        """The last runs, the newest first."""
        return self._execution_context.get_execution_history(limit=limit)

    def get_execution_info(self) -> dict[str, Any]:
        """The Python that code runs in."""
        return self._execution_context.get_execution_info()

    def clear_cache(self) -> None:
        """Forgets what the interpreter has compiled; variables stay."""
        self._execution_context.clear_cache()

    # artifacts

    @property
    def artifacts_dir(self) -> str:
        """A folder of this machine's with all artifacts: what is not there yet is fetched when this
        is read."""
        return self._execution_context.artifacts_dir

    def list_artifacts(self, format_type: str = "list", recursive: bool = True) -> Any:
        """list: paths below artifacts_dir; json, csv: a text; detailed: a dict. ValueError: none of
        these."""
        return self._execution_context.list_artifacts(format_type, recursive)

    def categorize_artifacts(self) -> dict[str, list[dict[str, Any]]]:
        """By their kinds."""
        return self._execution_context.categorize_artifacts()

    def get_artifact_report(self) -> dict[str, Any]:
        """How many, how large, of which kinds, the newest and the largest."""
        return self._execution_context.get_artifact_report()

    def get_artifact_summary(self) -> str:
        """The same for a person to read."""
        return self._execution_context.get_artifact_summary()

    def get_manim_artifacts(self) -> list[dict[str, Any]]:
        """What manim left: files in `media/` and in folders that it names."""
        return self.categorize_artifacts()["manim"]

    def cleanup_artifacts(self) -> None:
        """Forgets all artifacts, here and in the gateway; files of the workspace stay."""
        self._execution_context.cleanup_artifacts()

    def cleanup_artifacts_by_type(self, artifact_type: str) -> int:
        """Forgets those of a kind; how many they were."""
        return self._execution_context.cleanup_artifacts_by_type(artifact_type)

    # code

    def validate_code(self, code: str) -> dict[str, Any]:
        """Whether it is Python, without running it (CodeValidator)."""
        return self._execution_context.validate_code(code)

    def get_code_template(self, template_type: str) -> str:
        """Code to begin with."""
        return CodeValidator().get_code_template(template_type)

    def get_available_templates(self) -> list[str]:
        """The names of what get_code_template gives."""
        return CodeValidator().get_available_templates()

    def start_interactive_repl(self) -> None:
        """Reads code from the terminal and runs it in the session, until `exit` or its end."""
        from warmcell.compat.sandbox.core.interactive_repl import EnhancedREPL

        EnhancedREPL(self._execution_context).start_interactive_session()

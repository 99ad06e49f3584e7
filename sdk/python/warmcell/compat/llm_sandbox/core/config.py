"""How a session is set up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from warmcell.compat.llm_sandbox.const import SupportedLanguage
from warmcell.compat.llm_sandbox.security import SecurityPolicy

__all__ = ["SessionConfig"]


@dataclass
class SessionConfig:
    """Times are in seconds, None is no limit. execution_timeout: of one run; session_timeout: of
    the session, from its opening on; default_timeout: of commands, and of runs where there is no
    execution_timeout. image: the name of a template of the gateway. container_id: id or name of a
    sandbox that is there, which the session leaves behind as it ends. workdir: of runs and
    commands. ValueError: what contradicts itself."""

    lang: SupportedLanguage = SupportedLanguage.PYTHON
    image: str | None = None
    dockerfile: str | None = None
    container_id: str | None = None
    verbose: bool = False
    workdir: str = "/sandbox"
    default_timeout: float | None = 60.0
    execution_timeout: float | None = None
    session_timeout: float | None = None
    security_policy: SecurityPolicy | None = None
    runtime_configs: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.lang = SupportedLanguage(self.lang)
        if self.image is not None and self.dockerfile is not None:
            raise ValueError("image and dockerfile: only one of them can be given")
        if self.container_id is not None and (self.image or self.dockerfile):
            raise ValueError("container_id: a sandbox that is there has its image already")
        for name in ("default_timeout", "execution_timeout", "session_timeout"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name}: must be more than 0 seconds, or None")

    def get_execution_timeout(self) -> float | None:
        """Seconds of one run."""
        return self.execution_timeout or self.default_timeout

    def is_using_existing_container(self) -> bool:
        """Whether container_id names a sandbox that is there."""
        return self.container_id is not None

"""Sessions under the name of Micromamba, in sandboxes of warmcell."""

from __future__ import annotations

from typing import Any

from warmcell.compat.llm_sandbox.const import SandboxBackend
from warmcell.compat.llm_sandbox.core.session_base import BaseSession
from warmcell.compat.llm_sandbox.exceptions import ExtraArgumentsError

__all__ = ["MicromambaSession"]


class MicromambaSession(BaseSession):
    """Programs in a sandbox of warmcell; the name is that of Micromamba, which is not needed."""

    backend = SandboxBackend.MICROMAMBA

    def __init__(self, *args: Any, environment: str = "base", **kwargs: Any) -> None:
        """environment: there is one, that of the gateway; ExtraArgumentsError: another."""
        if environment != "base":
            raise ExtraArgumentsError(
                f"environment: there is none called {environment!r}, only 'base'"
            )
        super().__init__(*args, **kwargs)

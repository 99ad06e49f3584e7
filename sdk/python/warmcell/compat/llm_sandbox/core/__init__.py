"""What all sessions have in common."""

from warmcell.compat.llm_sandbox.core.config import SessionConfig
from warmcell.compat.llm_sandbox.core.session_base import BaseSession

__all__ = ["BaseSession", "SessionConfig"]

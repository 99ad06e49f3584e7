"""Sessions under the name of Docker, in sandboxes of warmcell."""

from __future__ import annotations

from warmcell.compat.llm_sandbox.const import SandboxBackend
from warmcell.compat.llm_sandbox.core.session_base import BaseSession

__all__ = ["SandboxDockerSession"]


class SandboxDockerSession(BaseSession):
    """Programs in a sandbox of warmcell; the name is that of Docker, which is not needed."""

    backend = SandboxBackend.DOCKER

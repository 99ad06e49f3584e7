"""Sessions: made by their backend, and those that capture plots."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from warmcell.compat.llm_sandbox._making import refuse_kubernetes
from warmcell.compat.llm_sandbox.artifact import ArtifactSandboxSession
from warmcell.compat.llm_sandbox.const import SandboxBackend
from warmcell.compat.llm_sandbox.core.session_base import BaseSession
from warmcell.compat.llm_sandbox.docker import SandboxDockerSession
from warmcell.compat.llm_sandbox.interactive import InteractiveSandboxSession
from warmcell.compat.llm_sandbox.micromamba import MicromambaSession
from warmcell.compat.llm_sandbox.podman import SandboxPodmanSession
from warmcell.compat.llm_sandbox.pool.base import ContainerPoolManager

__all__ = [
    "ArtifactSandboxSession",
    "BaseSession",
    "InteractiveSandboxSession",
    "SandboxSession",
    "create_session",
]

_KINDS: dict[SandboxBackend, Callable[..., BaseSession]] = {
    SandboxBackend.DOCKER: SandboxDockerSession,
    SandboxBackend.PODMAN: SandboxPodmanSession,
    SandboxBackend.MICROMAMBA: MicromambaSession,
}


def create_session(
    backend: str | SandboxBackend = SandboxBackend.DOCKER,
    pool: ContainerPoolManager | None = None,
    *args: Any,
    **kwargs: Any,
) -> BaseSession:
    """A session of programs; `SandboxSession` is another name of this. All backends but KUBERNETES
    are sandboxes of warmcell. args and kwargs: those of BaseSession. UnsupportedBackendError."""
    return _KINDS[refuse_kubernetes(backend)](*args, pool=pool, **kwargs)


SandboxSession = create_session

"""Pools, by backend and language."""

from __future__ import annotations

from typing import Any

import warmcell
from warmcell.compat.llm_sandbox._failures import translated
from warmcell.compat.llm_sandbox._making import refuse_kubernetes
from warmcell.compat.llm_sandbox.const import SandboxBackend, SupportedLanguage
from warmcell.compat.llm_sandbox.core.session_base import BaseSession
from warmcell.compat.llm_sandbox.pool.base import ContainerPoolManager
from warmcell.compat.llm_sandbox.pool.config import PoolConfig

__all__ = ["create_pool_manager"]


def create_pool_manager(
    backend: str | SandboxBackend = SandboxBackend.DOCKER,
    config: PoolConfig | None = None,
    client: warmcell.Client | None = None,
    lang: str | SupportedLanguage = SupportedLanguage.PYTHON,
    **kwargs: Any,
) -> ContainerPoolManager:
    """A pool whose sandboxes are made as those of a session with these arguments are. Give it to
    sessions: `SandboxSession(pool=…)`."""
    refuse_kubernetes(backend)
    pattern = BaseSession(client=client, lang=lang, **kwargs)

    def make() -> warmcell.Sandbox:
        with translated():
            return pattern.make_sandbox()

    return ContainerPoolManager(make, config or PoolConfig())

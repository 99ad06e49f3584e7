"""Sessions in pods: there is no provisioner of them, and nothing here pretends that there is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from warmcell.compat.llm_sandbox._making import refuse_kubernetes
from warmcell.compat.llm_sandbox.const import SandboxBackend
from warmcell.compat.llm_sandbox.core.session_base import BaseSession

__all__ = ["SandboxKubernetesSession"]


class SandboxKubernetesSession(BaseSession):
    """Cannot be made: UnsupportedBackendError says what to do instead."""

    backend = SandboxBackend.KUBERNETES

    def __init__(
        self,
        *args: Any,
        kube_namespace: str = "default",
        env_vars: Mapping[str, str] | None = None,
        pod_manifest: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        del args, kwargs, kube_namespace, env_vars, pod_manifest
        refuse_kubernetes(self.backend)

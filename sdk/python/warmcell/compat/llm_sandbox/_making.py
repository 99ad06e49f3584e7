"""A sandbox for a session, of a backend that there is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import warmcell
from warmcell.compat.llm_sandbox._limits import Settings
from warmcell.compat.llm_sandbox.const import DefaultImage, SandboxBackend
from warmcell.compat.llm_sandbox.exceptions import ImageNotFoundError, UnsupportedBackendError

if TYPE_CHECKING:
    from warmcell.compat.llm_sandbox.core.config import SessionConfig

__all__ = ["make_sandbox", "refuse_kubernetes"]

NO_KUBERNETES = (
    "this gateway starts its sandboxes on its own machine; leave backend out, "
    "or give the URL of a gateway in the cluster by WARMCELL_URL"
)
ABANDONED_S = 60.0
_IMAGES = {value for name, value in vars(DefaultImage).items() if name.isupper()}


def make_sandbox(
    client: warmcell.Client, config: SessionConfig, settings: Settings
) -> warmcell.Sandbox:
    """That of container_id, or a new one. ImageNotFoundError: image is no template; all other
    refusals are the client's."""
    if config.container_id is not None:
        return client.sandboxes.get(config.container_id)
    limits = dict(settings.limits)
    if config.session_timeout is not None:
        # the deadlines of runs come first; this is for a session that nobody closes
        limits["life_s"] = config.session_timeout + ABANDONED_S
    template = None if config.image in _IMAGES else config.image
    try:
        return client.sandboxes.create(
            template=template,
            limits=limits or None,
            env=settings.env or None,
            labels=settings.labels or None,
            network=settings.network,
        )
    except (warmcell.NotFoundError, warmcell.InvalidRequestError) as error:
        if template is None or "template" not in error.detail:
            raise
        raise ImageNotFoundError(template, error.detail) from error


def refuse_kubernetes(backend: str | SandboxBackend) -> SandboxBackend:
    """The backend that is meant. UnsupportedBackendError: it is Kubernetes, or none at all."""
    try:
        found = SandboxBackend(backend)
    except ValueError as error:
        raise UnsupportedBackendError(str(backend)) from error
    if found is SandboxBackend.KUBERNETES:
        raise UnsupportedBackendError(found.value, NO_KUBERNETES)
    return found

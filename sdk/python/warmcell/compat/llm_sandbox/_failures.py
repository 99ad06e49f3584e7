"""The gateway's refusals, as the errors of this package."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import warmcell
from warmcell.compat.llm_sandbox import exceptions

__all__ = ["translated"]

# the first that fits
_WORDS: tuple[tuple[type[warmcell.WarmcellError], type[exceptions.SandboxError]], ...] = (
    (warmcell.QuotaError, exceptions.ResourceError),
    (warmcell.StorageFullError, exceptions.ResourceError),
    (warmcell.TooLargeError, exceptions.ResourceError),
    (warmcell.RateLimitError, exceptions.ResourceError),
    (warmcell.InvalidRequestError, exceptions.ValidationError),
    (warmcell.WarmcellError, exceptions.ContainerError),
)


@contextmanager
def translated(
    forbidden: type[exceptions.SandboxError] = exceptions.ResourceError,
) -> Iterator[None]:
    """What the client raises inside is raised in this package's words, with the same sentence; the
    client's error is its cause. forbidden: what 403 means, which is one of the gateway's bounds
    but for files."""
    try:
        yield
    except warmcell.WarmcellError as error:
        kind = next(ours for theirs, ours in _WORDS if isinstance(error, theirs))
        if kind is exceptions.ContainerError and isinstance(error, warmcell.ForbiddenError):
            kind = forbidden
        raise kind(str(error)) from error

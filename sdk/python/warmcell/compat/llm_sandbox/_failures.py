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
    (warmcell.ForbiddenError, exceptions.SecurityError),
    (warmcell.WarmcellError, exceptions.ContainerError),
)


@contextmanager
def translated() -> Iterator[None]:
    """What the client raises inside is raised in this package's words, with the same sentence; the
    client's error is its cause."""
    try:
        yield
    except warmcell.WarmcellError as error:
        kind = next(ours for theirs, ours in _WORDS if isinstance(error, theirs))
        raise kind(str(error)) from error

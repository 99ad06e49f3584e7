"""The original's sandbox of a work tree of git's, which is not there."""

from __future__ import annotations

from typing import Any

from warmcell.compat.sandbox.exceptions import SandboxUnsupportedError
from warmcell.compat.sandbox.sdk.base_sandbox import BaseSandbox

__all__ = ["WorktreeSandbox"]


class WorktreeSandbox(BaseSandbox):
    """Refuses to be made: SandboxUnsupportedError."""

    def __init__(self, **options: Any) -> None:  # noqa: ARG002 - whatever it is given
        raise SandboxUnsupportedError(
            "WorktreeSandbox: there are no work trees of git's; a sandbox has its own workspace"
        )

"""JavaScript, here or elsewhere."""

from __future__ import annotations

from typing import Any

from warmcell.compat.sandbox.sdk.base_sandbox import BaseSandbox

__all__ = ["NodeSandbox"]


class NodeSandbox(BaseSandbox):
    """Runs JavaScript on Node, whose variables stay between runs. Without a server_url it is in the
    user's own gateway."""

    language = "javascript"

    def __init__(self, remote: bool = False, server_url: str | None = None, **options: Any) -> None:
        super().__init__(remote or server_url is not None, server_url, **options)

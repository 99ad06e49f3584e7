"""A sandbox of a gateway elsewhere."""

from __future__ import annotations

from typing import Any

from warmcell.compat.sandbox.sdk.base_sandbox import BaseSandbox

__all__ = ["RemoteSandbox"]


class RemoteSandbox(BaseSandbox):
    """At server_url, with api_key: a token of that gateway's. Sandboxes of one namespace and name
    are the same; stop() ends it. Connections are shared by all sandboxes of a gateway."""

    def __init__(
        self,
        server_url: str | None = None,
        namespace: str = "default",
        name: str | None = None,
        api_key: str | None = None,
        **options: Any,
    ) -> None:
        options["remote"] = True
        super().__init__(
            server_url=server_url, namespace=namespace, name=name, api_key=api_key, **options
        )

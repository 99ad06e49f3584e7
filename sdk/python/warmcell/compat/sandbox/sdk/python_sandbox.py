"""Python, here or elsewhere."""

from __future__ import annotations

from typing import Any

from warmcell.compat.sandbox.sdk.base_sandbox import BaseSandbox, Starting
from warmcell.compat.sandbox.sdk.local_sandbox import LocalSandbox
from warmcell.compat.sandbox.sdk.remote_sandbox import RemoteSandbox

__all__ = ["PythonSandbox"]


class PythonSandbox(BaseSandbox):
    """create_local() and create_remote() say where; create() and the class itself take remote=True
    or a server_url for a gateway elsewhere."""

    def __init__(self, remote: bool = False, server_url: str | None = None, **options: Any) -> None:
        super().__init__(remote or server_url is not None, server_url, **options)

    @classmethod
    def create_local(cls, name: str | None = None, **options: Any) -> Starting[LocalSandbox]:
        """One of the user's own gateway (LocalSandbox); for `async with` or `await`."""
        return LocalSandbox.create(name=name, **options)

    @classmethod
    def create_remote(
        cls,
        server_url: str | None = None,
        api_key: str | None = None,
        name: str | None = None,
        **options: Any,
    ) -> Starting[RemoteSandbox]:
        """One of a gateway elsewhere (RemoteSandbox); for `async with` or `await`."""
        return RemoteSandbox.create(server_url=server_url, api_key=api_key, name=name, **options)

"""What sandboxes are made from (docs/gateway.md, "Templates")."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from warmcell._core.http import new_key, segment
from warmcell._core.transport import Transport
from warmcell.models import Template, read


def _named(asked: Mapping[str, Any]) -> dict[str, Any]:
    return {word: value for word, value in asked.items() if value is not None}


class AsyncTemplates:
    """One's own, and those that are shared. A sandbox that was made from one stays as it is,
    whatever becomes of the template."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def create(
        self,
        name: str,
        *,
        description: str | None = None,
        shared: bool | None = None,
        language: str | None = None,
        preload: Sequence[str] | None = None,
        network: str | Mapping[str, Sequence[str]] | None = None,
        env: Mapping[str, str] | None = None,
        limits: Mapping[str, float] | None = None,
        files: Mapping[str, Any] | None = None,
        packages: Sequence[str] | None = None,
        pool: Mapping[str, int] | None = None,
        key: str | None = None,
    ) -> Template:
        """Makes one. files: text, or {"text" or "base64", "mode"}, by path; pool: {"min", "max"},
        how many sandboxes stand ready. Sharing and a pool that is never empty are for
        administrators."""
        asked = {
            "name": name,
            "description": description,
            "shared": shared,
            "language": language,
            "preload": preload,
            "network": network,
            "env": env,
            "limits": limits,
            "files": files,
            "packages": packages,
            "pool": pool,
        }
        found = await self._transport.http.json(
            "POST", "/v1/templates", data=_named(asked), key=key or new_key()
        )
        return read(Template, found)

    async def get(self, id_or_name: str) -> Template:
        found = await self._transport.http.json("GET", f"/v1/templates/{segment(id_or_name)}")
        return read(Template, found)

    async def list(self, *, name_prefix: str | None = None) -> AsyncIterator[Template]:
        params = _named({"name_prefix": name_prefix})
        async for one in self._transport.http.pages("/v1/templates", "templates", params):
            yield read(Template, one)

    async def change(
        self,
        id_or_name: str,
        *,
        name: str | None = None,
        description: str | None = None,
        shared: bool | None = None,
        language: str | None = None,
        preload: Sequence[str] | None = None,
        network: str | Mapping[str, Sequence[str]] | None = None,
        env: Mapping[str, str] | None = None,
        limits: Mapping[str, float] | None = None,
        files: Mapping[str, Any] | None = None,
        packages: Sequence[str] | None = None,
        pool: Mapping[str, int] | None = None,
    ) -> Template:
        """Changes what is named, each member as a whole; the others stay."""
        asked = {
            "name": name,
            "description": description,
            "shared": shared,
            "language": language,
            "preload": preload,
            "network": network,
            "env": env,
            "limits": limits,
            "files": files,
            "packages": packages,
            "pool": pool,
        }
        path = f"/v1/templates/{segment(id_or_name)}"
        return read(Template, await self._transport.http.json("PATCH", path, data=_named(asked)))

    async def delete(self, id_or_name: str) -> None:
        """One that is gone is gone."""
        await self._transport.http.delete(f"/v1/templates/{segment(id_or_name)}")

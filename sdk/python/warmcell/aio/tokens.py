"""Tokens: who else may call, and as whom."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from warmcell._core.http import new_key, segment
from warmcell._core.transport import Transport
from warmcell.models import Token, read


class AsyncTokens:
    """Those of the caller's principal; for an administrator all."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def create(
        self,
        name: str = "",
        *,
        principal: str | None = None,
        role: str | None = None,
        scopes: Sequence[str] | None = None,
        quotas: Mapping[str, int] | None = None,
        expires_in: float | None = None,
        key: str | None = None,
    ) -> Token:
        """Mints one; its `token` is the secret, which is told this once. It has no more rights, and
        no longer a life, than the one that it is minted with. role: user or admin; scopes: read,
        write, tokens, metrics; quotas: of what is made with it and with what is minted with it
        (sandboxes, kernels, memory_bytes, disk_bytes, requests a second), besides those of its
        principal; expires_in: seconds."""
        asked = {
            "name": name or None,
            "principal": principal,
            "role": role,
            "scopes": scopes,
            "quotas": quotas,
            "expires_in_s": None if expires_in is None else round(expires_in),
        }
        body = {word: value for word, value in asked.items() if value is not None}
        found = await self._transport.http.json(
            "POST", "/v1/tokens", data=body, key=key or new_key()
        )
        return _token(found)

    async def list(self) -> AsyncIterator[Token]:
        """Those that are good, without their secrets."""
        async for one in self._transport.http.pages("/v1/tokens", "tokens"):
            yield _token(one)

    async def revoke(self, token: str) -> None:
        """By its id: it lets nobody in any more, nor does any that was minted with it. One that is
        gone is gone."""
        await self._transport.http.delete(f"/v1/tokens/{segment(token)}")


def _token(data: Mapping[str, Any]) -> Token:
    return read(Token, data, scopes=tuple(data.get("scopes", ())))

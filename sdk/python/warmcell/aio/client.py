"""The client of a gateway."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any

from warmcell._core.address import Address
from warmcell._core.http import Patience
from warmcell._core.transport import Transport
from warmcell.aio.artifacts import AsyncArtifacts
from warmcell.aio.sandbox import AsyncSandboxes
from warmcell.aio.templates import AsyncTemplates
from warmcell.aio.tokens import AsyncTokens
from warmcell.local import LocalGateway
from warmcell.models import LanguageInfo, ServerInfo, read


class AsyncClient:
    """Speaks to one gateway: runs, commands and input on one WebSocket, everything else on pooled
    connections. To be used on one event loop, and closed there (`async with`).

    url: `http://HOST:PORT`, `https://…` or `unix:/PATH`, with `?token=` or without (default:
    $WARMCELL_URL, and $WARMCELL_TOKEN). ca: a file of PEM certificates to trust instead of the
    system's. tries: how often a request is sent that may be sent twice. connect_timeout: seconds
    for a connection. reconnect: seconds in which a connection that broke is made again, before what
    follows events fails. silence_timeout: seconds that a reply over HTTP may be silent; without it,
    for ever.
    """

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        ca: str | None = None,
        tries: int = 5,
        connect_timeout: float = 10.0,
        reconnect: float = 60.0,
        silence_timeout: float | None = None,
        _revive: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        url = url or os.environ.get("WARMCELL_URL")
        if not url:
            raise ValueError(
                "no url is given, nor WARMCELL_URL; warmcell.local() starts a gateway of your own"
            )
        token = token or os.environ.get("WARMCELL_TOKEN")
        patience = Patience(tries, connect_timeout, silence_timeout)
        address = Address.parse(url, token, ca)
        self._transport = Transport(address, patience, reconnect, _revive)
        self.sandboxes = AsyncSandboxes(self._transport)
        self.artifacts = AsyncArtifacts(self._transport)
        self.templates = AsyncTemplates(self._transport)
        self.tokens = AsyncTokens(self._transport)

    @classmethod
    async def local(cls, gateway: LocalGateway | None = None) -> AsyncClient:
        """Of a gateway of one's own, which is found or started (LocalGateway)."""
        own = gateway or LocalGateway()
        await own.ensure()
        return cls(own.url, _revive=own.ensure)

    @property
    def url(self) -> str:
        return str(self._transport.address)

    async def version(self) -> Mapping[str, Any]:
        """The gateway's: `{"version": …}`."""
        found = await self._transport.http.json("GET", "/api")
        return dict(found)

    async def server(self) -> ServerInfo:
        """How the gateway is."""
        http = self._transport.http
        status = await http.json("GET", "/api/status")
        return read(ServerInfo, {**status, **await http.json("GET", "/api")})

    async def metrics(self) -> str:
        """What Prometheus reads; for administrators."""
        response = await self._transport.http.send("GET", "/metrics")
        return response.text

    async def usage(self) -> Mapping[str, Any]:
        """The caller's quotas, and how much of them is used."""
        found = await self._transport.http.json("GET", "/v1/usage")
        return dict(found)

    async def languages(self) -> tuple[LanguageInfo, ...]:
        """What code may be written in, and what of it is installed where the gateway runs."""
        found = await self._transport.http.json("GET", "/v1/languages")
        return tuple(read(LanguageInfo, one) for one in found["languages"])

    async def close(self) -> None:
        """Sandboxes and what runs in them go on."""
        await self._transport.close()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.url}>"

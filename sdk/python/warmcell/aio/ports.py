"""Servers that listen inside a sandbox (docs/ports.md)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from urllib.parse import quote

import httpx

from warmcell._core.transport import Transport
from warmcell.errors import WaitTimeoutError
from warmcell.models import Endpoint, Port, PortLink, read

LOOK_AGAIN_S = 0.05


class AsyncPorts:
    def __init__(self, transport: Transport, sandbox: str) -> None:
        self._transport = transport
        self._path = f"/v1/sandboxes/{sandbox}/ports"

    async def list(self) -> AsyncIterator[Port]:
        """What listens now, by port."""
        answer = await self._transport.http.json("GET", self._path)
        for one in answer["ports"]:
            yield read(Port, one)

    async def open(self, port: int, path: str = "/") -> PortLink:
        """For a browser: its `link` lets one in, once, within a minute. None where the gateway has
        no domain for pages."""
        asked = {"port": port, "path": path}
        return read(PortLink, await self._transport.http.json("POST", self._path, data=asked))

    def endpoint(self, port: int, path: str = "/") -> Endpoint:
        """For a program: where the server is reached through the gateway, and what has to be sent
        along. Nothing is asked for, and nothing need listen there yet."""
        address = self._transport.address
        inside = quote(path.lstrip("/"), safe="/:@!$&'()*+,;=-._~%?")
        url = f"{address.base}{self._path}/{port}/{inside}"
        return Endpoint(url, dict(address.headers), address.socket)

    async def request(
        self,
        port: int,
        path: str = "/",
        *,
        method: str = "GET",
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> httpx.Response:
        """Asks the server inside, with the query of path or params; the answer is returned whatever
        it says. It is asked once: a broken connection is ConnectionLostError. 502: nothing listens
        there."""
        inside = quote(path.lstrip("/"), safe="/:@!$&'()*+,;=-._~%?")
        return await self._transport.http.relayed(
            method, f"{self._path}/{port}/{inside}", params=params, body=body, headers=headers
        )

    async def wait(self, port: int, *, timeout: float | None = 60.0) -> Port:
        """Until something listens there."""
        loop = asyncio.get_running_loop()
        end = None if timeout is None else loop.time() + timeout
        while True:
            async for one in self.list():
                if one.port == port:
                    return one
            if end is not None and loop.time() >= end:
                raise WaitTimeoutError(f"nothing listens at port {port} after {timeout:g} s", self)
            await asyncio.sleep(LOOK_AGAIN_S)

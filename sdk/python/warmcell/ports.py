"""Servers that listen inside a sandbox, for plain calls; see warmcell.aio.ports."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import httpx

from warmcell._core.facade import Facade, standing_for, words_of
from warmcell.aio.ports import AsyncPorts
from warmcell.models import Endpoint, Port, PortLink


@words_of(AsyncPorts)
class Ports(Facade[AsyncPorts]):
    def list(self) -> Iterator[Port]:
        return self._portal.iterate(self._inner.list())

    def open(self, port: int, path: str = "/") -> PortLink:
        return self._portal.call(self._inner.open(port, path))

    def endpoint(self, port: int, path: str = "/") -> Endpoint:
        return self._inner.endpoint(port, path)

    def request(
        self,
        port: int,
        path: str = "/",
        *,
        method: str = "GET",
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> httpx.Response:
        asked = self._inner.request(
            port, path, method=method, params=params, headers=headers, body=body
        )
        return self._portal.call(asked)

    def wait(self, port: int, *, timeout: float | None = 60.0) -> Port:
        with standing_for(self):
            return self._portal.call(self._inner.wait(port, timeout=timeout))

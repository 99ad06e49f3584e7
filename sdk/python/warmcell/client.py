"""The client of a gateway, for plain calls; see warmcell.aio.client."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any

from warmcell._core.portal import Portal
from warmcell.aio.client import AsyncClient
from warmcell.artifacts import Artifacts
from warmcell.local import LocalGateway
from warmcell.models import LanguageInfo, ServerInfo
from warmcell.sandbox import Sandboxes
from warmcell.templates import Templates
from warmcell.tokens import Tokens


class Client:
    """As AsyncClient, for plain calls: it has an event loop of its own on a thread, which all of
    its calls go through; any number of threads may use it. To be closed (`with`)."""

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
        self._inner = AsyncClient(
            url,
            token,
            ca=ca,
            tries=tries,
            connect_timeout=connect_timeout,
            reconnect=reconnect,
            silence_timeout=silence_timeout,
            _revive=_revive,
        )
        self._portal = Portal()
        self.sandboxes = Sandboxes(self._portal, self._inner.sandboxes)
        self.artifacts = Artifacts(self._portal, self._inner.artifacts)
        self.templates = Templates(self._portal, self._inner.templates)
        self.tokens = Tokens(self._portal, self._inner.tokens)

    @classmethod
    def local(cls, gateway: LocalGateway | None = None) -> Client:
        """Of a gateway of one's own, which is found or started (LocalGateway)."""
        own = gateway or LocalGateway()
        own.ensure_now()
        return cls(own.url, _revive=own.ensure)

    @property
    def url(self) -> str:
        return self._inner.url

    def version(self) -> Mapping[str, Any]:
        """The gateway's: `{"version": …}`."""
        return self._portal.call(self._inner.version())

    def server(self) -> ServerInfo:
        """How the gateway is."""
        return self._portal.call(self._inner.server())

    def metrics(self) -> str:
        """What Prometheus reads; for administrators."""
        return self._portal.call(self._inner.metrics())

    def usage(self) -> Mapping[str, Any]:
        """The caller's quotas, and how much of them is used."""
        return self._portal.call(self._inner.usage())

    def languages(self) -> tuple[LanguageInfo, ...]:
        """What code may be written in, and what of it is installed where the gateway runs."""
        return self._portal.call(self._inner.languages())

    def close(self) -> None:
        """Sandboxes and what runs in them go on."""
        if self._portal.open:
            self._portal.call(self._inner.close())
            self._portal.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.url}>"


def local(gateway: LocalGateway | None = None) -> Client:
    """A client of a gateway of one's own: found, or started, with nothing to configure. It ends
    when nobody has used it for a while."""
    return Client.local(gateway)

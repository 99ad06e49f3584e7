"""The gateway of a surface whose document names none, and one client for each gateway.

It is $WARMCELL_URL (with $WARMCELL_TOKEN) where that is set, and a gateway of the user's own
otherwise, which is found or started. Clients are shared: plain ones by the process, those for
asyncio by an event loop, which closes them at its end.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
import weakref
from collections.abc import AsyncGenerator
from weakref import WeakKeyDictionary

from warmcell.aio.client import AsyncClient
from warmcell.client import Client
from warmcell.local import LocalGateway

_lock = threading.Lock()
_clients: dict[tuple[str, str | None], Client] = {}
_async_clients: WeakKeyDictionary[
    asyncio.AbstractEventLoop, dict[tuple[str, str | None], _Kept]
] = WeakKeyDictionary()


def client(url: str | None = None, token: str | None = None) -> Client:
    """The one of this process for a gateway (default: as above). Any thread may use it."""
    with _lock:
        place, own = _place(url, token)
        found = _clients.get(place)
        if found is None:
            found = Client.local(own) if own else Client(*place)
            _clients[place] = found
        return found


async def async_client(url: str | None = None, token: str | None = None) -> AsyncClient:
    """The one of the running event loop for a gateway."""
    place, own = _place(url, token)
    kept = _async_clients.setdefault(asyncio.get_running_loop(), {})
    if place not in kept:
        # none may come in between: what is awaited, is awaited behind the entry
        made = AsyncClient(own.url, _revive=own.ensure) if own else AsyncClient(*place)
        kept[place] = _Kept(made)
    await kept[place].begin(own)
    return kept[place].client


class _Kept:
    """A client, and the generator whose end, with its loop's, closes it."""

    def __init__(self, client: AsyncClient) -> None:
        self.client = client
        self._life: AsyncGenerator[None, None] | None = None

    async def begin(self, own: LocalGateway | None) -> None:
        if own:
            await own.ensure()
        if self._life is None:
            self._life = _until_the_end(weakref.ref(self))
            await self._life.__anext__()


async def _until_the_end(kept: weakref.ref[_Kept]) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        found = kept()
        if found is not None:
            await found.client.close()


def _place(
    url: str | None, token: str | None
) -> tuple[tuple[str, str | None], LocalGateway | None]:
    url = url or os.environ.get("WARMCELL_URL")
    if url:
        return (url, token or os.environ.get("WARMCELL_TOKEN")), None
    own = LocalGateway()
    return (own.url, None), own


def _close() -> None:
    with _lock:
        for found in _clients.values():
            found.close()
        _clients.clear()


atexit.register(_close)
# a child has none of its parent's threads, and its connections are its parent's
os.register_at_fork(after_in_child=_clients.clear)

"""Both ways to one gateway, as everything of a client has them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from warmcell._core.address import Address
from warmcell._core.http import Http, Patience
from warmcell._core.stream import Stream


class Transport:
    def __init__(
        self,
        address: Address,
        patience: Patience,
        reconnect_s: float,
        revive: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.address = address
        self.http = Http(address, patience, revive)
        self._patience = patience
        self._reconnect_s = reconnect_s
        self._revive = revive
        self._stream: Stream | None = None

    @property
    def stream(self) -> Stream:
        """Made when first used, which is on the loop that it belongs to."""
        if self._stream is None:
            self._stream = Stream(
                self.address,
                patience_s=self._reconnect_s,
                connect_s=self._patience.connect_s,
                revive=self._revive,
            )
        return self._stream

    async def close(self) -> None:
        if self._stream is not None:
            await self._stream.close()
        await self.http.close()

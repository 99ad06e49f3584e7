"""A proxy at 127.0.0.1 that cuts connections where a test wants it: what a client makes of a
network that breaks."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from types import TracebackType

UNANSWERED = -1  # cut where the first answer behind the WebSocket's greeting would pass


class CuttingProxy:
    """plan: for each connection in turn how many bytes of the server's pass before it is cut, or
    UNANSWERED; connections beyond the plan are left alone. cuts: how many were cut so far. at:
    where it listens, a port that is reserved; 0: any."""

    def __init__(self, port: int, plan: Iterable[int], at: int = 0) -> None:
        self.target = port
        self.plan = deque(plan)
        self.cuts = 0
        self.port = at
        self.connections = 0
        self._armed = asyncio.Event()  # the next answer on any connection cuts it
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def cut_at_next_answer(self) -> None:
        """Lets what the client says next pass, and cuts where the answer to it would."""

        async def arm() -> None:
            self._armed.set()

        asyncio.run_coroutine_threadsafe(arm(), self._loop).result()

    async def _serve(self) -> None:
        self._server = await asyncio.start_server(self._connection, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        limit = self.plan.popleft() if self.plan else None
        there, back = await asyncio.open_connection("127.0.0.1", self.target)
        asked = asyncio.Event()
        if limit == UNANSWERED:
            self._armed.set()
        up = asyncio.ensure_future(self._up(reader, back, asked))
        try:
            with suppress(ConnectionError):
                await self._down(there, writer, limit, asked)
        finally:
            up.cancel()
            writer.transport.abort()
            back.transport.abort()

    async def _up(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: asyncio.Event
    ) -> None:
        """asked: something went up behind the request that opens the WebSocket, to be
        unanswered."""
        begun = False
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
                if begun and self._armed.is_set():
                    asked.set()
                begun = True
        with suppress(OSError, RuntimeError):
            writer.write_eof()

    async def _down(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        limit: int | None,
        asked: asyncio.Event,
    ) -> None:
        passed = 0
        while data := await reader.read(65536):
            over = limit is not None and limit >= 0 and passed + len(data) > limit
            if over and limit is not None:
                data = data[: limit - passed]
            if over or asked.is_set():
                if over:
                    writer.write(data)
                    await writer.drain()
                self._armed.clear()
                self.cuts += 1
                return
            writer.write(data)
            await writer.drain()
            passed += len(data)

    def __enter__(self) -> CuttingProxy:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._serve(), self._loop).result()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        async def end() -> None:
            self._server.close()
            tasks = [one for one in asyncio.all_tasks() if one is not asyncio.current_task()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

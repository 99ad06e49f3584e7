"""The one WebSocket of a client, on which all its runs, commands and input travel (docs/stream.md).

Connections come and go below it; two kinds of call stand above them:

- A Feed is the events of one execution or command, in order and without gaps. When a connection
  breaks it goes on behind the last event that it has: by the id, or, where the gateway had not told
  that yet, by asking once more with the same idempotency key.
- An act is one question with one answer. Only acts that may happen twice are asked again.

Who does not take the events of a feed holds nobody up: beyond HIGH_BYTES the feed is left, and
taken up again once they were taken. Everything here runs on one loop.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from typing import Any

from websockets.asyncio.client import ClientConnection, connect, unix_connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.protocol import Event as LineEvent

from warmcell._core.address import Address
from warmcell._core.http import new_key
from warmcell.errors import (
    ConnectionLostError,
    ProblemError,
    TransportError,
    UnreachableError,
    WarmcellError,
    problem_error,
)

HIGH_BYTES = 4 << 20  # of events of one feed that nobody has taken
PAUSE_S = 0.05  # before the second try to connect; doubled for each further one
LONGEST_PAUSE_S = 2.0

encode = json.JSONEncoder(separators=(",", ":")).encode

Event = dict[str, Any]  # as the gateway words it


@dataclass
class Act:
    frame: Mapping[str, Any]
    safe: bool  # may be asked again where its answer was lost
    answer: asyncio.Future[Event]


class Feed:
    """kind: "execution" or "command". Either target names the one to follow, or body is what to
    run. Closed by its end, an error or close()."""

    def __init__(
        self,
        stream: Stream,
        kind: str,
        sandbox: str,
        *,
        body: Mapping[str, Any] | None = None,
        key: str | None = None,
        target: str | None = None,
        after: int = 0,
        encoding: str | None = None,
    ) -> None:
        self.kind = kind
        self.sandbox = sandbox
        self.target = target
        self.after = after  # the last number that has come
        self.key = (key or new_key()) if body is not None else None
        self.id: str | None = None  # of the call that feeds it; None: none does
        self._stream = stream
        self._body = body
        self._encoding = encoding
        self._events: deque[tuple[Event, int]] = deque()
        self._bytes = 0
        self._left = False  # beyond HIGH_BYTES: no call feeds it until they are taken
        self._over = False
        self._error: WarmcellError | None = None
        self._change = asyncio.Event()

    def frame(self) -> dict[str, Any]:
        """What to ask so that it goes on."""
        frame: dict[str, Any] = {"sandbox": self.sandbox}
        if self.target is None:
            frame["op"] = "run" if self.kind == "execution" else "command"
            frame["body"] = self._body
            frame["key"] = self.key
        else:
            frame["op"] = "subscribe"
            frame[self.kind] = self.target
            if self._encoding:
                frame["encoding"] = self._encoding
        if self.after:
            frame["after"] = self.after
        return frame

    def fed_by(self, call: str) -> None:
        self.id = call
        self._left = False

    def left(self, call: str) -> None:
        """That call gives nothing more."""
        if self.id == call:
            self.id = None
            self._change.set()

    def take_frame(self, frame: Event, size: int) -> None:
        """One frame of the call that feeds it; size in bytes."""
        if self._over:
            return
        problem = frame.get("problem")
        if problem is not None:
            self.fail(problem_error(int(problem.get("status", 500)), problem))
            return
        self.target = frame.get(self.kind, self.target)
        events = frame.get("events", ())
        for event in events:
            self._take_event(event, size // len(events))
        if frame.get("done"):
            self._over = True
        self._change.set()
        if self._bytes > HIGH_BYTES and not (self._over or self._left):
            self._left = True
            self._stream.leave(self)

    def _take_event(self, event: Event, size: int) -> None:
        number = int(event.get("number", 0))
        if number and number <= self.after:
            return  # it was on its way when the call was left
        self.after = max(self.after, number)
        self._events.append((event, size))
        self._bytes += size

    def fail(self, error: WarmcellError) -> None:
        """Events that came are given first."""
        self._over = True
        self._error = error
        self._change.set()

    @property
    def over(self) -> bool:
        """No more will come than is there."""
        return self._over

    async def begun(self) -> None:
        """Until the gateway has named it."""
        while self.target is None and not self._over:
            await self._wait()
        if self.target is None and self._error:
            raise self._error

    async def _wait(self) -> None:
        self._change.clear()
        await self._change.wait()

    async def ready(self) -> None:
        """Until events are there, or it is over. Nothing is taken, so to be cancelled loses
        nothing."""
        while not (self._events or self._over):
            await self._return()
            await self._wait()
        if self._error and not self._events:
            raise self._error

    def take(self) -> list[Event]:
        """All events that are there."""
        found = [event for event, _ in self._events]
        self._events.clear()
        self._bytes = 0
        return found

    async def _return(self) -> None:
        """To the events behind those that were taken, if there were too many."""
        if self._left and self.id is None and not self._over:
            await self._stream.feed(self)

    def close(self) -> None:
        """Nothing more is wanted; what it follows goes on."""
        if not self._over:
            self._over = True
            self._stream.leave(self)
        self._change.set()


class Line(ClientConnection):
    """Hands each message on as it is read. recv() would give the same by way of a task that is
    woken for it, which costs a turn of the loop for each; it still tells when the line ends."""

    taker: Callable[[str], None] | None = None  # None: recv() gives the message
    _parts: list[bytes] | None = None  # of a message that is not whole

    def process_event(self, event: LineEvent) -> None:
        taker = self.taker
        if taker is None or not isinstance(event, Frame) or event.opcode >= Opcode.CLOSE:
            super().process_event(event)
        elif event.fin and self._parts is None:
            taker(str(event.data, "utf-8"))
        else:
            self._parts = self._parts or []
            self._parts.append(bytes(event.data))
            if event.fin:
                whole, self._parts = b"".join(self._parts), None
                taker(str(whole, "utf-8"))


class Stream:
    """patience_s: how long a connection that broke is tried to be made again. revive: makes a
    gateway that is gone come again."""

    def __init__(
        self,
        address: Address,
        *,
        patience_s: float = 60.0,
        connect_s: float = 10.0,
        revive: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._address = address
        self._patience_s = patience_s
        self._connect_s = connect_s
        self._revive = revive
        self._numbers = count(1)
        self._calls: dict[str, Feed | Act] = {}
        self._socket: ClientConnection | None = None
        self._reader: asyncio.Task[None] | None = None
        self._returning: set[asyncio.Task[None]] = set()
        self._connecting = asyncio.Lock()
        self._closed = False
        self._tasks: set[asyncio.Task[None]] = set()  # so that they are not forgotten
        self.limits: Mapping[str, int] = {}
        self.principal: str | None = None

    # what is asked

    async def feed(self, feed: Feed) -> None:
        """Begins a feed, or goes on with one that was left."""
        await self._send(feed)

    def leave(self, feed: Feed) -> None:
        """Its call is told to give nothing more. What was on the way is still taken."""
        if feed.id is not None:
            task = asyncio.ensure_future(self._unsubscribe(feed, feed.id))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def act(self, op: str, *, safe: bool = False, **members: Any) -> Event:
        """Asks, and returns the answer. safe: it may happen twice."""
        loop = asyncio.get_running_loop()
        act = Act({"op": op, **members}, safe, loop.create_future())
        await self._send(act)
        return await act.answer

    async def close(self) -> None:
        self._closed = True
        for returning in self._returning:
            returning.cancel()
        self._fail_all(TransportError("the client was closed"))
        if self._socket:
            await self._socket.close()
        if self._reader:
            await self._reader

    # how it gets there

    async def _unsubscribe(self, feed: Feed, call: str) -> None:
        if self._socket is not None:
            with suppress(WarmcellError):  # it was over, or the connection is
                await self.act("unsubscribe", of=call)
        self._calls.pop(call, None)
        feed.left(call)

    async def _send(self, call: Feed | Act) -> None:
        if self._closed:
            raise TransportError("the client was closed")
        socket = await self._connected()
        number = str(next(self._numbers))
        self._calls[number] = call  # before anything is awaited: whoever reads this socket knows it
        frame = call.frame() if isinstance(call, Feed) else call.frame
        if isinstance(call, Feed):
            call.fed_by(number)
        text = encode({"id": number, **frame})
        with suppress(ConnectionClosed):  # the reader sees it too, and takes care of the call
            await socket.send(text)

    async def _connected(self) -> ClientConnection:
        async with self._connecting:
            if self._socket is None:
                self._socket = await self._connect_patiently()
                self._reader = asyncio.ensure_future(self._read(self._socket))
            return self._socket

    async def _connect_patiently(self) -> ClientConnection:
        loop = asyncio.get_running_loop()
        end = loop.time() + self._patience_s
        pause = PAUSE_S
        while True:
            try:
                return await self._connect()
            except UnreachableError:
                if loop.time() + pause > end or self._closed:
                    raise
            if self._revive:
                await self._revive()
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)

    async def _connect(self) -> ClientConnection:
        address = self._address
        options: dict[str, Any] = {
            "additional_headers": address.headers,
            "compression": None,
            "create_connection": Line,
            "max_size": None,
            "open_timeout": self._connect_s,
            "proxy": None,
        }
        try:
            if address.socket:
                socket = await unix_connect(address.socket, address.websocket, **options)
            else:
                socket = await connect(address.websocket, ssl=address.tls(), **options)
            hello = json.loads(await socket.recv())
            if isinstance(socket, Line):
                socket.taker = self._take_text
        except InvalidStatus as error:
            raise _refused(error) from error
        except (OSError, InvalidHandshake, ConnectionClosed, asyncio.TimeoutError) as error:
            raise UnreachableError(f"no gateway answers at {address}: {error!r}") from error
        self.limits = hello["limits"]
        self.principal = hello["principal"]
        return socket

    async def _read(self, socket: ClientConnection) -> None:
        with suppress(ConnectionClosed):
            while True:  # no generator of the library's: a loop that ends would close it under us
                self._take_text(str(await socket.recv()))
        self._socket = None  # and nothing is awaited until what was on it is taken care of
        if not self._closed:
            self._lost()
        await socket.close()

    def _take_text(self, text: str) -> None:
        self._take(json.loads(text), len(text))

    def _take(self, frame: Event, size: int) -> None:
        number = frame.get("id")
        call = self._calls.get(number) if number else None
        if call is None or number is None:
            return
        if frame.get("done"):
            del self._calls[number]
        if isinstance(call, Feed):
            if frame.get("done") and call.id == number:
                call.id = None
            call.take_frame(frame, size)
        elif not call.answer.done():
            problem = frame.get("problem")
            if problem is None:
                call.answer.set_result(frame)
            else:
                call.answer.set_exception(problem_error(int(problem.get("status", 500)), problem))

    # how it comes back

    def _lost(self) -> None:
        """The connection broke: what may be asked again is, on the next one."""
        again: list[Feed | Act] = []
        for call in self._calls.values():
            if isinstance(call, Feed):
                call.id = None
                if not call.over:
                    again.append(call)
            elif call.safe:
                again.append(call)
            elif not call.answer.done():
                op = call.frame["op"]
                call.answer.set_exception(
                    ConnectionLostError(f"the connection broke: whether {op} happened is not known")
                )
        self._calls.clear()
        if again:
            returning = asyncio.ensure_future(self._return(again))
            self._returning.add(returning)  # the next break may come before it has ended
            returning.add_done_callback(self._returning.discard)

    async def _return(self, calls: list[Feed | Act]) -> None:
        try:
            for call in calls:
                if not (isinstance(call, Feed) and call.over):
                    await self._send(call)
        except (TransportError, ProblemError) as error:
            for call in calls:
                _fail(call, error)
        except asyncio.CancelledError:
            for call in calls:
                _fail(call, TransportError("the client was closed"))
            raise

    def _fail_all(self, error: WarmcellError) -> None:
        for call in self._calls.values():
            _fail(call, error)
        self._calls.clear()


def _fail(call: Feed | Act, error: WarmcellError) -> None:
    if isinstance(call, Feed):
        if not call.over:
            call.fail(error)
    elif not call.answer.done():
        call.answer.set_exception(error)


def _refused(error: InvalidStatus) -> WarmcellError:
    """What the gateway answered instead of opening it."""
    response = error.response
    try:
        problem = json.loads(response.body or b"{}")
    except ValueError:
        problem = {}
    if response.status_code == 503:
        return UnreachableError(str(problem.get("detail") or "the gateway is not ready"))
    return problem_error(response.status_code, problem if isinstance(problem, dict) else {})

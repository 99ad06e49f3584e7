"""A client of /v1/stream: sends frames and sorts what comes by the ids of its calls."""

from __future__ import annotations

import json
import socket as sockets
import struct
from collections import defaultdict
from contextlib import suppress
from itertools import count
from typing import Any

import websocket

from support.gateway import Gateway
from support.socket_client import ClosedError

Frame = dict[str, Any]


class StreamClient:
    """rcvbuf bounds what the operating system takes in for a client that does not read."""

    def __init__(self, gateway: Gateway, *, rcvbuf: int = 0, **options: Any) -> None:
        sockopt = [(sockets.SOL_SOCKET, sockets.SO_RCVBUF, rcvbuf)] if rcvbuf else []
        self.ws = websocket.create_connection(
            f"ws://{gateway.authority}/v1/stream",
            timeout=60,
            header=gateway.authorization,
            suppress_origin=True,
            skip_utf8_validation=True,  # json does it
            sockopt=sockopt,
            **options,
        )
        self.numbers = count(1)
        self.frames: dict[str | None, list[Frame]] = defaultdict(list)
        self.hello = self.take()

    def take(self) -> Frame:
        """The next frame, whose ever it is."""
        code, data = self.ws.recv_data()
        if code == websocket.ABNF.OPCODE_CLOSE:
            raise ClosedError(struct.unpack(">H", data[:2])[0], data[2:].decode())
        assert code == websocket.ABNF.OPCODE_TEXT
        frame: Frame = json.loads(data)
        return frame

    def send(self, op: str, **members: Any) -> str:
        """Sends a frame with an id of its own, unless members has one."""
        frame: Frame = {"id": str(next(self.numbers)), "op": op} | members
        self.ws.send(json.dumps(frame))
        return str(frame["id"])

    def flood(self, frame: str, count: int) -> None:
        """Sends the same frame many times, and reads nothing."""
        data = websocket.ABNF.create_frame(frame, websocket.ABNF.OPCODE_TEXT).format()
        assert self.ws.sock is not None
        self.ws.sock.sendall(data * count)

    def next(self, call: str | None) -> Frame:
        """The next frame of that call."""
        while not self.frames[call]:
            frame = self.take()
            self.frames[frame["id"]].append(frame)
        return self.frames[call].pop(0)

    def rest(self, call: str) -> list[Frame]:
        """The frames of a call to its last."""
        found = [self.next(call)]
        while not found[-1].get("done"):
            found.append(self.next(call))
        return found

    def events(self, call: str) -> list[Frame]:
        """All events of a call to its end."""
        frames = self.rest(call)
        assert "problem" not in frames[-1], frames[-1]
        return [event for frame in frames for event in frame["events"]]

    def until(self, call: str, **members: Any) -> Frame:
        """The first event of a call with these members, of frames that are not looked at again."""
        while True:
            frame = self.next(call)
            assert "problem" not in frame, frame
            for event in frame["events"]:
                if event.items() >= members.items():
                    return dict(event)
            assert not frame.get("done"), f"no event with {members}"

    def ask(self, op: str, **members: Any) -> Frame:
        """A call with one frame as its answer."""
        (frame,) = self.rest(self.send(op, **members))
        return frame

    def problem(self, op: str, **members: Any) -> tuple[int, str]:
        frame = self.ask(op, **members)
        assert frame["problem"]["type"] == "about:blank" and frame["problem"]["title"]
        return frame["problem"]["status"], frame["problem"]["detail"]

    def closed(self) -> int | None:
        """Reads until the server closes; the code, or None: it had no more patience for that."""
        try:
            while True:
                self.take()
        except ClosedError as closed:
            return closed.code
        except (websocket.WebSocketConnectionClosedException, ConnectionError):
            return None

    def abandon(self) -> None:
        """Ends the connection without a word."""
        self.ws.shutdown()  # type: ignore[no-untyped-call]

    def close(self) -> None:
        with suppress(OSError):
            self.ws.close(timeout=1)

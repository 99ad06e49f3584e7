"""A client over a gateway's WebSocket, in either framing."""

from __future__ import annotations

import json
import socket as sockets
import ssl
import struct
from contextlib import suppress
from itertools import pairwise
from typing import Any

import websocket

from support.client import Client, Message, SilenceError
from support.direct import dumps

V1 = "v1.kernel.websocket.jupyter.org"


class ClosedError(AssertionError):
    """The server closed the WebSocket."""

    def __init__(self, code: int | None, reason: str) -> None:
        super().__init__(f"closed with {code}: {reason}")
        self.code = code
        self.reason = reason


def encode_v1(message: Message) -> bytes:
    parts = [message.channel.encode(), dumps(message.header), dumps(message.parent_header),
             dumps(message.metadata), dumps(message.content), *message.buffers]  # fmt: skip
    count = len(parts) + 1
    at = 8 * (1 + count)
    offsets = [at]
    for part in parts:
        at += len(part)
        offsets.append(at)
    return struct.pack(f"<{count + 1}Q", count, *offsets) + b"".join(parts)


def decode_v1(data: bytes) -> Message:
    (count,) = struct.unpack_from("<Q", data)
    offsets = struct.unpack_from(f"<{count}Q", data, 8)
    assert offsets[0] == 8 * (1 + count), "the first part follows the offsets"
    assert offsets[-1] == len(data), "the last offset is the length"
    parts = [data[a:b] for a, b in pairwise(offsets)]
    header, parent, metadata, content = (json.loads(part) for part in parts[1:5])
    return Message(parts[0].decode(), header, parent, metadata, content, parts[5:])


def _members(message: Message) -> dict[str, Any]:
    return {
        "channel": message.channel,
        "header": message.header,
        "parent_header": message.parent_header,
        "metadata": message.metadata,
        "content": message.content,
    }


def encode_json(message: Message) -> str | bytes:
    text = dumps(_members(message) | {"buffers": []})
    if not message.buffers:
        return text.decode("utf-8", "surrogatepass")
    parts = [dumps(_members(message)), *message.buffers]
    at = 4 * (1 + len(parts))
    offsets = []
    for part in parts:
        offsets.append(at)
        at += len(part)
    return struct.pack(f">{len(parts) + 1}I", len(parts), *offsets) + b"".join(parts)


def decode_json(data: str | bytes) -> Message:
    buffers: list[bytes] = []
    if isinstance(data, bytes):
        (count,) = struct.unpack_from(">I", data)
        offsets = [*struct.unpack_from(f">{count}I", data, 4), len(data)]
        parts = [data[a:b] for a, b in pairwise(offsets)]
        members, buffers = json.loads(parts[0]), parts[1:]
    else:
        members = json.loads(data)
    assert members["msg_id"] == members["header"]["msg_id"], "msg_id stands at the top too"
    assert members["msg_type"] == members["header"]["msg_type"], "msg_type stands at the top too"
    return Message(members["channel"], members["header"], members["parent_header"],
                   members["metadata"], members["content"], buffers)  # fmt: skip


class SocketClient(Client):
    """framing: "v1" offers the subprotocol, "json" offers none. rcvbuf bounds what the operating
    system takes in for a client that does not read."""

    def __init__(
        self,
        url: str,
        session: str | None = None,
        *,
        framing: str = "v1",
        headers: dict[str, str] | None = None,
        unix: str | None = None,
        rcvbuf: int = 0,
        timeout: float = 60.0,
        cafile: str | None = None,
    ) -> None:
        super().__init__(session)
        self.framing = framing
        options: dict[str, Any] = {"skip_utf8_validation": True, "enable_multithread": False}
        if unix is not None:
            options["socket"] = sockets.socket(sockets.AF_UNIX)
            options["socket"].connect(unix)
        if rcvbuf:
            options["sockopt"] = [(sockets.SOL_SOCKET, sockets.SO_RCVBUF, rcvbuf)]
        if cafile is not None:
            options["sslopt"] = {"ca_certs": cafile, "cert_reqs": ssl.CERT_REQUIRED}
        self.ws = websocket.create_connection(
            url,
            timeout=timeout,
            header=headers or {},
            subprotocols=[V1] if framing == "v1" else None,
            suppress_origin=True,
            **options,
        )
        expected = V1 if framing == "v1" else None
        assert self.ws.getsubprotocol() == expected, self.ws.getsubprotocol()

    def send_message(self, message: Message) -> None:
        if self.framing == "v1":
            self.send_data(encode_v1(message))
        else:
            self.send_data(encode_json(message))

    def send_data(self, data: str | bytes) -> None:
        """One WebSocket message of any bytes."""
        if isinstance(data, str):
            self.ws.send(data.encode("utf-8", "surrogatepass"), websocket.ABNF.OPCODE_TEXT)
        else:
            self.ws.send(data, websocket.ABNF.OPCODE_BINARY)

    def receive_data(self, timeout: float) -> str | bytes:
        self.ws.settimeout(max(0.001, timeout))
        code, data = self.ws.recv_data()
        if code == websocket.ABNF.OPCODE_CLOSE:
            number = struct.unpack(">H", data[:2])[0] if len(data) >= 2 else None
            raise ClosedError(number, data[2:].decode("utf-8", "replace"))
        if code == websocket.ABNF.OPCODE_TEXT:
            return str(data.decode("utf-8", "surrogatepass"))
        return bytes(data)

    def receive(self, timeout: float, what: str) -> Message:
        try:
            data = self.receive_data(timeout)
        except websocket.WebSocketTimeoutException:
            pending = [str(m) for m in self.pending[-20:]]
            raise SilenceError(f"no {what} within the time; pending: {pending}") from None
        except (websocket.WebSocketConnectionClosedException, ConnectionError) as e:
            raise ClosedError(None, str(e)) from e
        if self.framing == "v1":
            assert isinstance(data, bytes), "v1 messages are binary"
            return decode_v1(data)
        return decode_json(data)

    def abandon(self) -> None:
        """Ends the connection without a close frame, as a network that breaks does."""
        self.ws.shutdown()  # type: ignore[no-untyped-call]

    def close(self) -> None:
        with suppress(OSError):
            self.ws.close(timeout=1)

"""Clients whose network goes away without a word, in the middle of what they are sent: their
connections end, of whatever kind, and what waits for them is let go. One that only does not read
stays."""

from __future__ import annotations

import ctypes
import re
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any

import pytest
from gateway.test_port_requests import path
from gateway.test_port_sites import UPGRADE, switch
from gateway.test_sandboxes import context_of, create
from support import processes
from support.gateway import Gateway
from support.inside import Request, serving
from support.stream_client import StreamClient

GATEWAY = ("--client-lost", "2", "--ws-ping-interval", "1")
SO_ATTACH_FILTER, SO_DETACH_FILTER = 26, 27
DISPLAY = 10_000_000
HEADS = {
    "events": b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n",
    "tunnel": b"HTTP/1.1 101 Now\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n",
}


@pytest.fixture(scope="module")
def sandbox(gateway: Gateway) -> dict[str, Any]:
    return create(gateway)


@contextmanager
def unplugged(client: socket.socket) -> Iterator[None]:
    """Nothing that is sent to it arrives meanwhile, and so its system acknowledges nothing."""
    drop_all = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))  # BPF_RET, 0 bytes
    program = struct.pack("HP", 1, ctypes.addressof(drop_all))
    client.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)
    yield
    client.setsockopt(socket.SOL_SOCKET, SO_DETACH_FILTER, struct.pack("i", 0))


def connections(gateway: Gateway) -> int:
    """All that the gateway has open, without the one that asks."""
    answer = gateway.get("/metrics")
    assert answer.status == 200
    (line,) = re.findall(r"^warmcell_connections (\d+)$", answer.body.decode(), re.MULTILINE)
    return int(line) - 1


def test_websockets(gateway: Gateway, sandbox: dict[str, Any]) -> None:
    kernel = context_of(sandbox)
    with ExitStack() as stack:
        quick = stack.enter_context(closing(gateway.client(kernel)))
        slow = stack.enter_context(closing(gateway.client(kernel, rcvbuf=65536)))
        lost = stack.enter_context(closing(gateway.client(kernel)))
        stream = stack.enter_context(closing(StreamClient(gateway)))
        msg_id = quick.execute(f"display {DISPLAY}")
        quick.collect(msg_id)
        for client in (lost.ws.sock, stream.ws.sock):
            assert client
            stack.enter_context(unplugged(client))
        processes.until(lambda: connections(gateway) == 2, "quick and slow are left")
        assert gateway.kernel_model(kernel)["connections"] == 2
        (shown,) = slow.collect(msg_id, reply=False).of("display_data")
        assert shown.content["data"]["text/plain"] == "x" * DISPLAY
        assert slow.run("print more").stdout == "more\n"


def test_events_and_tunnels(gateway: Gateway, sandbox: dict[str, Any]) -> None:
    gone, ended = threading.Event(), threading.Semaphore(0)

    def answer(request: Request) -> None:
        request.reply(HEADS["tunnel" if request.header("upgrade") else "events"])
        assert gone.wait(30)
        request.reply(b"to nobody")
        while request.connection.recv(65536):
            pass
        ended.release()

    with serving(answer) as inside, ExitStack() as stack:
        lets_in = {"Host": gateway.authority, **gateway.authorization}
        for more in ({}, UPGRADE):
            client, _ = switch(gateway, path(sandbox, inside), lets_in | more)
            stack.enter_context(client)
            stack.enter_context(unplugged(client))
        gone.set()
        for _ in HEADS:
            assert ended.acquire(timeout=30)
        processes.until(lambda: connections(gateway) == 0, "they are let go")

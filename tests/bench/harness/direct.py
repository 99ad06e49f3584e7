"""A raw ZeroMQ client of one kernel: the baseline that a gateway is measured against."""

from __future__ import annotations

import hashlib
import hmac
import time
import uuid
from collections.abc import Callable
from typing import Any

import zmq

from harness.message import Execution, Message, collect, execute_content, request
from harness.processes import BenchError

DELIMITER = b"<IDS|MSG>"


class DirectClient:
    """Shell, control and iopub of the kernel that a connection file describes."""

    def __init__(self, connection: dict[str, Any], timeout_s: float = 60) -> None:
        self.session = uuid.uuid4().hex
        self.timeout_s = timeout_s
        self._mac = hmac.new(str(connection["key"]).encode(), digestmod=hashlib.sha256)
        self._context = zmq.Context()
        self._base = f"{connection['transport']}://{connection['ip']}:"
        self.shell = self._socket(zmq.DEALER, connection["shell_port"])
        self.control = self._socket(zmq.DEALER, connection["control_port"])
        self.iopub = self._socket(zmq.SUB, connection["iopub_port"])
        self._poller = zmq.Poller()
        for each in (self.shell, self.control, self.iopub):
            self._poller.register(each, zmq.POLLIN)
        self._channels = ((self.iopub, "iopub"), (self.shell, "shell"), (self.control, "control"))

    def _socket(self, kind: int, port: int) -> zmq.Socket[bytes]:
        each = self._context.socket(kind)
        each.linger = 0
        each.rcvhwm = 0
        each.identity = self.session.encode()
        each.reconnect_ivl = 1  # ms: a new kernel is found as soon as it listens
        if kind == zmq.SUB:
            each.subscribe(b"")
        each.connect(f"{self._base}{port}")
        return each

    def send(self, msg_type: str, content: dict[str, Any], channel: str = "shell") -> bytes:
        """Sends a request and returns its message id."""
        msg_id, frames = request(self.session, msg_type, content)
        mac = self._mac.copy()
        for frame in frames:
            mac.update(frame)
        to = self.shell if channel == "shell" else self.control
        to.send_multipart([DELIMITER, mac.hexdigest().encode(), *frames])
        return msg_id

    def receive(self) -> Message:
        """The next message of any channel; a BenchError when none comes in time."""
        deadline = time.monotonic() + self.timeout_s
        while True:
            for each, channel in self._channels:
                try:
                    frames = each.recv_multipart(zmq.NOBLOCK)
                except zmq.Again:
                    continue
                at = frames.index(DELIMITER) + 2
                return Message(channel, frames[at], frames[at + 1], frames[at + 3])
            if not self._poller.poll(int(max(0, deadline - time.monotonic()) * 1000)):
                raise BenchError(f"the kernel sent nothing for {self.timeout_s:.0f} s")

    def execute(
        self, code: str, on_message: Callable[[Message], None] | None = None, **more: Any
    ) -> Execution:
        """Runs code and returns when both its reply and idle are in."""
        msg_id = self.send("execute_request", execute_content(code, **more))
        return collect(self.receive, msg_id, on_message)

    def settle(self) -> None:
        """Returns once the kernel answers and its iopub is known to reach us."""
        deadline = time.monotonic() + self.timeout_s
        while time.monotonic() < deadline:
            msg_id = self.send("kernel_info_request", {})
            replied = idle = False
            until = time.monotonic() + 1
            while not (replied and idle) and self._poller.poll(
                int(max(0, until - time.monotonic()) * 1000)
            ):
                message = self.receive()
                replied = replied or message.is_reply(msg_id)
                idle = idle or message.is_idle(msg_id)
            if replied and idle:
                return
        raise BenchError("the kernel does not answer kernel_info_request with reply and idle")

    def close(self) -> None:
        self._context.destroy(linger=0)

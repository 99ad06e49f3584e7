"""A ZeroMQ kernel that does nothing but publish prebuilt, signed messages as fast as it can.

`execute_request` with a number as its code publishes that many display_data messages. It stands
behind a gateway that is measured, so it has to be faster than the gateway.

usage: flood_kernel.py CONNECTION_FILE
"""

from __future__ import annotations

import hashlib
import hmac
import json
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path

import zmq

from harness.flood import CONTENT, METADATA

DELIMITER = b"<IDS|MSG>"
SESSION = uuid.uuid4().hex
INFO = {
    "status": "ok",
    "protocol_version": "5.3",
    "implementation": "flood",
    "implementation_version": "1",
    "language_info": {"name": "none", "version": "1", "mimetype": "text/plain",
                      "file_extension": ".txt"},
    "banner": "",
    "help_links": [],
}  # fmt: skip


class FloodKernel:
    """The sockets of one kernel and the loop that serves them."""

    def __init__(self, connection: dict[str, str]) -> None:
        self.key = connection["key"].encode()
        context = zmq.Context()
        base = f"tcp://{connection['ip']}:"

        def bound(kind: int, name: str) -> zmq.Socket[bytes]:
            each = context.socket(kind)
            each.sndhwm = 0
            each.bind(base + str(connection[name]))
            return each

        self.iopub = bound(zmq.PUB, "iopub_port")
        self.shell = bound(zmq.ROUTER, "shell_port")
        self.control = bound(zmq.ROUTER, "control_port")
        self.stdin = bound(zmq.ROUTER, "stdin_port")
        self.heartbeat = bound(zmq.REP, "hb_port")

    def build(self, msg_type: str, parent: bytes, content: bytes) -> list[bytes]:
        """The frames of one signed message, from the delimiter on."""
        header = (
            f'{{"msg_id":"{uuid.uuid4().hex}","session":"{SESSION}","username":"flood",'
            f'"date":"2026-01-01T00:00:00.000000Z","msg_type":"{msg_type}","version":"5.3"}}'
        ).encode()
        parts = [header, parent, METADATA, content]
        mac = hmac.new(self.key, b"".join(parts), hashlib.sha256).hexdigest().encode()
        return [DELIMITER, mac, *parts]

    def publish(self, msg_type: str, parent: bytes, content: object) -> None:
        text = json.dumps(content).encode()
        self.iopub.send_multipart([msg_type.encode(), *self.build(msg_type, parent, text)])

    def answer(self, socket: zmq.Socket[bytes]) -> bool:
        """Serves one request; False when it was the last."""
        frames = socket.recv_multipart()
        at = frames.index(DELIMITER)
        parent, content = frames[at + 2], json.loads(frames[at + 5])
        msg_type = json.loads(parent)["msg_type"]
        self.publish("status", parent, {"execution_state": "busy"})
        reply: Mapping[str, object] = {"status": "ok"}
        if msg_type == "kernel_info_request":
            reply = INFO
        elif msg_type == "execute_request":
            # built before the first is sent: what is measured is the way through the gateway
            count = int(content["code"])
            flood = [self.build("display_data", parent, CONTENT % i) for i in range(count)]
            self.publish("stream", parent, {"name": "stdout", "text": "now"})
            for each in flood:
                self.iopub.send_multipart([b"display_data", *each])
            reply = {"status": "ok", "execution_count": 1, "payload": [], "user_expressions": {}}
        reply_type = msg_type.replace("_request", "_reply")
        text = json.dumps(reply).encode()
        socket.send_multipart([*frames[:at], *self.build(reply_type, parent, text)])
        self.publish("status", parent, {"execution_state": "idle"})
        return bool(msg_type != "shutdown_request")

    def serve(self) -> None:
        """Answers until a shutdown_request."""
        poller = zmq.Poller()
        for each in (self.shell, self.control, self.heartbeat):
            poller.register(each, zmq.POLLIN)
        while True:
            for socket, _ in poller.poll():
                if socket is self.heartbeat:
                    socket.send(socket.recv())
                elif not self.answer(socket):
                    return


if __name__ == "__main__":
    FloodKernel(json.loads(Path(sys.argv[1]).read_text())).serve()

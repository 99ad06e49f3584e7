"""A small kernel that speaks ZeroMQ by itself, for what real ones do rarely: wrong signatures,
replies to nobody, death as it starts. Each line of a cell is one order, such as ``print hello``."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import zmq
from jupyter_client.session import Session


class Kernel:
    def __init__(self, info: dict[str, Any]) -> None:
        self.context = zmq.Context()
        self.session = Session(key=info["key"].encode(), username="fake")
        self.shell = self.bind(zmq.ROUTER, info, "shell_port")
        self.control = self.bind(zmq.ROUTER, info, "control_port")
        self.stdin = self.bind(zmq.ROUTER, info, "stdin_port")
        self.iopub = self.bind(zmq.PUB, info, "iopub_port")
        self.heard: list[str] = []
        self.request: dict[str, Any] = {}

    def bind(self, kind: int, info: dict[str, Any], port: str) -> zmq.Socket[bytes]:
        socket = self.context.socket(kind)
        socket.sndhwm = 0
        socket.bind(f"tcp://{info['ip']}:{info[port]}")
        return socket

    def publish(self, msg_type: str, content: dict[str, Any]) -> None:
        self.session.send(self.iopub, msg_type, content, parent=self.request, ident=b"topic")

    def stream(self, text: str) -> None:
        self.publish("stream", {"name": "stdout", "text": text + "\n"})

    # orders

    def do_print(self, text: str) -> None:
        self.stream(text)

    def do_heard(self, _text: str) -> None:
        self.stream(json.dumps(self.heard))

    def do_lines(self, count: str) -> None:
        for n in range(int(count)):
            self.stream(f"line {n}")

    def do_touch(self, path: str) -> None:
        Path(path).touch()

    def do_await(self, fifo: str) -> None:
        """Until somebody writes into the FIFO."""
        Path(fifo).read_text()

    def do_forge(self, text: str) -> None:
        """The same stream as print, but signed with another key."""
        other = Session(key=b"another key", username="fake")
        content = {"name": "stdout", "text": text}
        other.send(self.iopub, "stream", content, parent=self.request, ident=b"topic")

    def do_garbage(self, _text: str) -> None:
        self.iopub.send_multipart([b"topic", b"\xff\x00", b"nothing"])
        self.iopub.send(b"")
        self.session.send(self.shell, "execute_reply", {}, ident=self.request["who"])

    def do_stderr(self, text: str) -> None:
        os.write(2, text.encode() + b"\n")

    def do_crash(self, number: str) -> None:
        os.kill(os.getpid(), int(number))

    def do_exit(self, status: str) -> None:
        os._exit(int(status))

    def do_leave(self, _text: str) -> None:
        """Ends with status 0 after this request has been answered."""
        self.leaving = True

    leaving = False

    # requests

    def answer(self, socket: zmq.Socket[bytes], parts: list[bytes]) -> None:
        who, rest = self.session.feed_identities(parts)
        message = self.session.deserialize(rest)
        name = message["header"]["msg_type"]
        self.request = {**message, "who": who}
        self.heard.append(name)
        self.publish("status", {"execution_state": "busy"})
        content: dict[str, Any] = {"status": "ok"}
        if name == "execute_request":
            for line in message["content"]["code"].splitlines():
                order, _, rest_of_line = line.partition(" ")
                getattr(self, "do_" + order)(rest_of_line)
        if name == "interrupt_request":
            Path(os.environ["FAKE_INTERRUPTED"]).touch()
        if name.endswith("_request"):
            reply = name.removesuffix("_request") + "_reply"
            self.session.send(socket, reply, content, parent=message, ident=who)
        self.publish("status", {"execution_state": "idle"})
        self.leaving |= name == "shutdown_request"

    def serve(self) -> None:
        poller = zmq.Poller()
        for socket in (self.shell, self.control):
            poller.register(socket, zmq.POLLIN)
        while not self.leaving:
            for socket, _events in poller.poll():
                self.answer(socket, socket.recv_multipart())
        self.context.destroy(linger=2000)


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    file = Path(sys.argv[1])
    if "--die" in sys.argv:
        sys.exit("this kernel cannot start: no module named spam")
    if "--die-once" in sys.argv:
        mark = file.with_name("died")
        if not mark.exists():
            mark.write_text(file.read_text())
            sys.exit("Address already in use")
    kernel = Kernel(json.loads(file.read_text()))
    kernel.serve()


if __name__ == "__main__":
    main()

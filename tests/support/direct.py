"""A client over ZeroMQ, and the kernel process that jupyter_client starts for it."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import signal
from collections.abc import Sequence
from types import TracebackType
from typing import Any

import zmq
from jupyter_client.manager import KernelManager

from support import processes
from support.client import TIMEOUT_S, Client, Message, SilenceError
from support.programs import PEER

DELIMITER = b"<IDS|MSG>"
CHANNELS = {"shell": zmq.DEALER, "control": zmq.DEALER, "stdin": zmq.DEALER, "iopub": zmq.SUB}


def endpoint(info: dict[str, Any], channel: str) -> str:
    port = info[f"{channel}_port"]
    if info["transport"] == "ipc":
        return f"ipc://{info['ip']}-{port}"
    return f"tcp://{info['ip']}:{port}"


def dumps(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(
        "utf-8", "surrogatepass"
    )


def sign(key: bytes, frames: Sequence[bytes]) -> bytes:
    if not key:
        return b""
    digest = hmac.new(key, digestmod=hashlib.sha256)
    for frame in frames:
        digest.update(frame)
    return digest.hexdigest().encode()


class DirectClient(Client):
    """rcvhwm and rcvbuf bound what iopub takes in before the kernel feels that nobody reads."""

    def __init__(
        self,
        info: dict[str, Any],
        session: str | None = None,
        *,
        rcvhwm: int = 0,
        rcvbuf: int = 0,
        subscribe: bool = True,
    ) -> None:
        super().__init__(session)
        self.info = info
        key = info["key"]
        self.key = key if isinstance(key, bytes) else key.encode()
        self.context = zmq.Context()
        self.poller = zmq.Poller()
        self.sockets: dict[str, zmq.Socket[bytes]] = {}
        for channel, kind in CHANNELS.items():
            socket = self.context.socket(kind)
            socket.linger = 0
            if "curve_publickey" in info:
                socket.curve_serverkey = info["curve_publickey"].encode()
                socket.curve_publickey, socket.curve_secretkey = zmq.curve_keypair()
            if channel == "iopub":
                socket.rcvhwm = rcvhwm
                if rcvbuf:
                    socket.setsockopt(zmq.RCVBUF, rcvbuf)
                if subscribe:
                    socket.subscribe(b"")
            else:
                socket.identity = self.session.encode()
            socket.connect(endpoint(info, channel))
            self.sockets[channel] = socket
            self.poller.register(socket, zmq.POLLIN)

    def send_frames(
        self, channel: str, frames: Sequence[bytes], buffers: Sequence[bytes] = ()
    ) -> None:
        """Signs four frames of any bytes and sends them."""
        self.sockets[channel].send_multipart([DELIMITER, sign(self.key, frames), *frames, *buffers])

    def send_message(self, message: Message) -> None:
        frames = [dumps(message.header), dumps(message.parent_header), dumps(message.metadata),
                  dumps(message.content)]  # fmt: skip
        self.send_frames(message.channel, frames, message.buffers)

    def receive(self, timeout: float, what: str) -> Message:
        ready = dict(self.poller.poll(max(0, int(timeout * 1000))))
        for channel in ("iopub", "stdin", "shell", "control"):
            if self.sockets[channel] in ready:
                return self._decode(channel, self.sockets[channel].recv_multipart())
        pending = [str(m) for m in self.pending[-20:]]
        raise SilenceError(f"no {what} within the time; pending: {pending}")

    def _decode(self, channel: str, parts: list[bytes]) -> Message:
        at = parts.index(DELIMITER)
        frames = parts[at + 2 : at + 6]
        assert hmac.compare_digest(parts[at + 1], sign(self.key, frames)), "wrong signature"
        header, parent, metadata, content = (json.loads(frame) for frame in frames)
        return Message(channel, header, parent, metadata, content, parts[at + 6 :])

    def wait_ready(self, timeout: float = TIMEOUT_S) -> None:
        """Our kernels greet every subscriber; what follows the greeting is complete."""
        if PEER:
            super().wait_ready(timeout)
            return
        self.take(lambda m: m.msg_type == "iopub_welcome", "iopub_welcome", timeout)
        self.drain()

    def heartbeat(self, payload: bytes = b"ping", timeout: float = TIMEOUT_S) -> bytes:
        with self.context.socket(zmq.REQ) as socket:
            socket.linger = 0
            socket.connect(endpoint(self.info, "hb"))
            socket.send(payload)
            if not socket.poll(int(timeout * 1000)):
                raise SilenceError("no heartbeat")
            return socket.recv()

    def close(self) -> None:
        self.context.destroy(linger=0)


class Kernel:
    """A kernel started from its kernelspec, as any Jupyter client does it."""

    def __init__(self, name: str, **start: Any) -> None:
        self.manager = KernelManager(kernel_name=name)
        # ipykernel captures no descriptors when it believes that its own tests run it
        env = {k: v for k, v in os.environ.items() if k != "PYTEST_CURRENT_TEST"}
        start.setdefault("env", env)
        self.manager.start_kernel(**start)
        provisioner: Any = self.manager.provisioner
        self.pid: int = provisioner.pid
        processes.own(self.pid)
        self.clients: list[DirectClient] = []

    @property
    def info(self) -> dict[str, Any]:
        return dict(self.manager.get_connection_info())

    def client(
        self, session: str | None = None, *, ready: bool = True, **options: Any
    ) -> DirectClient:
        client = DirectClient(self.info, session, **options)
        self.clients.append(client)
        if ready:
            client.wait_ready()
        return client

    def interrupt(self) -> None:
        """SIGINT to the group, as a kernelspec with interrupt_mode "signal" asks for."""
        self.manager.signal_kernel(signal.SIGINT)

    def restart(self) -> None:
        processes.disown(self.pid)
        self.manager.restart_kernel()
        provisioner: Any = self.manager.provisioner
        self.pid = provisioner.pid
        processes.own(self.pid)

    def stop(self, now: bool = False) -> None:
        for client in self.clients:
            client.close()
        self.clients.clear()
        self.manager.shutdown_kernel(now=now)
        processes.disown(self.pid)

    def __enter__(self) -> Kernel:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop(now=kind is not None)

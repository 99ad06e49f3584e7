"""A small interpreter that speaks the link: what a driver for another language needs, and no more.

Each line of a cell is one order, such as ``print hello`` or ``crash 11``; the tests of the host
use it.
"""

from __future__ import annotations

import array
import fcntl
import json
import mmap
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HELLO, REQUEST, INPUT, SHUTDOWN, ADOPT, SAVE, RESTORE = 1, 2, 3, 4, 5, 7, 8
READY, STREAM, PUBLISH, REPLY, DONE, INPUT_REQUEST, HISTORY, EXIT = range(16, 24)
SAVED = 25
ABORT_QUEUE, PIPES_FIRST = 1, 2


class Link:
    """Frames over the socket: see docs/link.md."""

    def __init__(self, fd: int) -> None:
        self.socket = socket.socket(fileno=fd)
        self.write: Callable[[bytes], object] = self.socket.sendall
        self.lock = threading.Lock()
        self.fds: list[int] = []

    def exactly(self, count: int) -> bytes:
        data = bytearray()
        while len(data) < count:
            chunk, fds, _flags, _address = socket.recv_fds(self.socket, count - len(data), 4)
            self.fds += fds
            if not chunk:
                raise EOFError
            data += chunk
        return bytes(data)

    def receive(self) -> tuple[int, int, list[bytes]]:
        length, kind, _flags, count, number = struct.unpack("<IBBHQ", self.exactly(16))
        body = self.exactly(length)
        parts, at = [], 4 * count
        for size in struct.unpack_from(f"<{count}I", body):
            parts.append(body[at : at + size])
            at += size
        return kind, number, parts

    def send(self, kind: int, number: int, *parts: bytes, flags: int = 0) -> None:
        sizes = struct.pack(f"<{len(parts)}I", *map(len, parts))
        length = len(sizes) + sum(map(len, parts))
        head = struct.pack("<IBBHQ", length, kind, flags, len(parts), number)
        with self.lock:
            self.write(b"".join([head, sizes, *parts]))


def dump(value: object) -> bytes:
    return json.dumps(value).encode()


class Pipes:
    """How many bytes were ever written to descriptors 1 and 2, as docs/link.md tells to find it."""

    def __init__(self, fd: int) -> None:
        self.page = mmap.mmap(fd, 32, mmap.MAP_SHARED, mmap.PROT_READ)

    def written(self) -> tuple[int, int]:
        while True:
            turn, *totals = struct.unpack("<QQQ", self.page[:24])
            for n, fd in enumerate((1, 2)):
                waiting = array.array("i", [0])
                fcntl.ioctl(fd, termios.FIONREAD, waiting)
                totals[n] += waiting[0]
            if turn % 2 == 0 and self.page[:8] == struct.pack("<Q", turn):
                return totals[0], totals[1]


def send_block(peer: socket.socket, value: object) -> None:
    data = dump(value)
    peer.sendall(struct.pack("<Q", len(data)) + data)


def receive_block(peer: socket.socket) -> Any:
    return json.loads(receive_exactly(peer, struct.unpack("<Q", receive_exactly(peer, 8))[0]))


def receive_exactly(peer: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        got = peer.recv(size - len(data))
        if not got:
            raise ConnectionResetError("the other end has gone")
        data += got
    return data


class Failed(Exception):
    """The order ``fail``."""


def hold_interrupts() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})


def on_interrupt(*_: object) -> None:
    hold_interrupts()
    raise KeyboardInterrupt


@contextmanager
def interruptible() -> Iterator[None]:
    """An interrupt hits here alone, also one that came before: what a cell did by then, and what
    was read of the link, is whole, whenever it came."""
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        yield
    finally:
        hold_interrupts()


def drop_interrupts() -> None:
    """Those that were held for a cell are not for the next one."""
    while signal.sigtimedwait({signal.SIGINT}, 0):
        pass


def await_request(link: Link) -> None:
    """An interrupt while nothing runs hits nothing."""
    while not select.select([link.socket], [], [], 0)[0]:
        try:
            with interruptible():
                select.select([link.socket], [], [])
        except KeyboardInterrupt:
            if select.select([link.socket], [], [], 0)[0]:
                os.kill(os.getpid(), signal.SIGINT)  # it may be for what has just come


class Driver:
    def __init__(self, link: Link, pipes: Pipes) -> None:
        self.link = link
        self.pipes = pipes
        self.count = 0
        self.number = 0
        self.silent = False
        self.metadata = b"{}"
        self.env = dict(os.environ)
        self.variables: dict[str, str] = {}
        self.wrong = self.sign = ""

    # orders

    def do_print(self, text: str) -> None:
        self.link.send(STREAM, self.number, b"stdout", text.encode() + b"\n")

    def do_lines(self, text: str) -> None:
        count = int(text)
        for first in range(0, count, 1000):
            rows = "".join(f"line {n}\n" for n in range(first, min(first + 1000, count)))
            self.link.send(STREAM, self.number, b"stdout", rows.encode())

    def do_flood(self, _text: str) -> None:
        while True:
            self.link.send(STREAM, self.number, b"stdout", b"flood\n" * 100)

    def do_metadata(self, text: str) -> None:
        self.metadata = text.encode()

    def do_raw(self, text: str) -> None:
        self.link.send(STREAM, self.number, b"stdout", bytes.fromhex(text))

    def do_write(self, text: str) -> None:
        os.write(1, bytes.fromhex(text))

    def do_shell(self, text: str) -> None:
        subprocess.run(["/bin/sh", "-c", text], check=True)

    def do_child(self, text: str) -> None:
        subprocess.run(["echo", text], check=True)

    def do_display(self, size: str) -> None:
        content = b'{"data":{"text/plain":"' + b"x" * int(size) + b'"},"metadata":{}}'
        self.link.send(PUBLISH, self.number, b"display_data", b"{}", content)

    def do_publish(self, text: str) -> None:
        kind, content = text.split(" ", 1)
        self.link.send(PUBLISH, self.number, kind.encode(), b"{}", content.encode())

    def do_count(self, _text: str) -> None:
        self.do_print(str(self.count))

    def do_buffers(self, size: str) -> None:
        content = b'{"comm_id":"c","data":{}}'
        self.link.send(PUBLISH, self.number, b"comm_msg", b"{}", content, b"b" * int(size), b"")

    def do_forge(self, kind: str) -> None:
        self.link.send(PUBLISH, self.number, kind.encode(), b"{}", b'{"execution_state":"dead"}')

    def do_done(self, _text: str) -> None:
        self.link.send(DONE, self.number)

    def do_input(self, prompt: str) -> None:
        content = dump({"prompt": prompt, "password": False})
        self.link.send(INPUT_REQUEST, self.number, content)
        while True:
            with interruptible():
                select.select([self.link.socket], [], [])
            kind, _number, parts = self.link.receive()
            if kind == INPUT:
                self.do_print("got " + parts[0].decode())
                return

    def do_wait(self, _text: str) -> None:
        while True:
            with interruptible():
                time.sleep(60)

    def do_deaf(self, _text: str) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    def do_stubborn(self, _text: str) -> None:
        while True:
            try:
                self.do_wait("")
            except KeyboardInterrupt:
                self.do_print("no")

    def do_blamed(self, _text: str) -> None:
        """Whether the latest interrupt was for this very request."""
        try:
            self.do_wait("")
        except KeyboardInterrupt:
            self.do_print(str(self.pipes.page[24:32] == struct.pack("<Q", self.number)))

    def do_yielding(self, text: str) -> None:
        try:
            self.do_wait("")
        except KeyboardInterrupt:
            self.do_print(text)

    def do_fail(self, text: str) -> None:
        raise Failed(text)

    def do_crash(self, text: str) -> None:
        os.kill(os.getpid(), int(text))

    def do_exit(self, text: str) -> None:
        os._exit(int(text))

    def do_break(self, text: str) -> None:
        self.link.socket.sendall(bytes.fromhex(text))

    def do_history(self, text: str) -> None:
        line, source = text.split(" ", 1)
        self.link.send(HISTORY, self.number, line.encode(), source.encode(), source.encode())

    def do_env(self, name: str) -> None:
        self.do_print(f"{name}={self.env.get(name, '')}")

    def do_fds(self, _text: str) -> None:
        self.do_print(" ".join(sorted(os.listdir("/proc/self/fd"), key=int)))

    def do_pid(self, _text: str) -> None:
        self.do_print(f"{os.getpid()} {os.getpgrp()} {os.getsid(0)}")

    def do_daemon(self, _text: str) -> None:
        child = subprocess.Popen(["sleep", "1000"], start_new_session=True)
        self.do_print(str(child.pid))

    def do_fill(self, megabytes: str) -> None:
        self.ballast = b"x" * (int(megabytes) << 20)

    def do_ask_exit(self, keep: str) -> None:
        self.link.send(EXIT, 0, dump({"keepkernel": keep == "keep"}))

    # requests

    def run(self, code: str) -> None:
        for line in code.split("\n"):
            name, _, rest = line.partition(" ")
            order: Callable[[str], None] | None = getattr(self, "do_" + name, None)
            if order:
                order(rest)

    def execute(self, number: int, content: dict[str, Any]) -> None:
        code = content.get("code")
        if not isinstance(code, str):
            wrong = {"status": "error", "ename": "BadMessage", "evalue": "code: must be a string"}
            self.link.send(REPLY, number, b"{}", dump(wrong | {"traceback": []}))
            return
        self.number = number
        if not content.get("silent"):
            self.count += 1
            shown = dump({"code": code, "execution_count": self.count})
            self.link.send(PUBLISH, number, b"execute_input", b"{}", shown)
        reply: dict[str, Any] = {"status": "ok", "execution_count": self.count}
        reply |= {"payload": [], "user_expressions": {}}
        flags = 0
        try:
            self.run(code)
        except (Failed, KeyboardInterrupt) as error:
            name = type(error).__name__
            error_content = {"ename": name, "evalue": str(error), "traceback": [name]}
            self.link.send(PUBLISH, number, b"error", b"{}", dump(error_content))
            reply = {"status": "error", "execution_count": self.count, **error_content}
            flags = ABORT_QUEUE if content.get("stop_on_error", True) else 0
        written = struct.pack("<QQ", *self.pipes.written())
        drop_interrupts()
        self.link.send(
            REPLY, number, self.metadata, dump(reply), written, flags=flags | PIPES_FIRST
        )

    # snapshots

    def do_set(self, text: str) -> None:
        name, value = text.split(" ", 1)
        self.variables[name] = value

    def do_get(self, name: str) -> None:
        self.do_print(self.variables.get(name, "nothing"))

    def do_snapshot(self, mode: str) -> None:
        """How the next save is wrong: a method of this class, by its name."""
        self.wrong, _, self.sign = mode.partition(" ")

    def wrong_word(self, peer: socket.socket, _head: dict[str, Any]) -> None:
        send_block(peer, {"version": 7})

    def wrong_text(self, peer: socket.socket, _head: dict[str, Any]) -> None:
        peer.sendall(struct.pack("<Q", 4) + b"what")

    def wrong_length(self, peer: socket.socket, _head: dict[str, Any]) -> None:
        peer.sendall(struct.pack("<Q", 1 << 60))

    def wrong_size(self, peer: socket.socket, head: dict[str, Any]) -> None:
        send_block(peer, head | {"buffers": [{"bytes": 1 << 50, "same": None}]})

    def wrong_sum(self, peer: socket.socket, head: dict[str, Any]) -> None:
        buffers = [{"bytes": 1 << 62, "same": None}] * 4
        send_block(peer, head | {"buffers": buffers})

    def wrong_sign(self, peer: socket.socket, head: dict[str, Any]) -> None:
        send_block(peer, head | {"buffers": [{"bytes": -1, "same": None}]})

    def wrong_names(self, peer: socket.socket, head: dict[str, Any]) -> None:
        send_block(peer, head | {"variables": [{"name": ["x"], "type": "int"}]})

    def wrong_file(self, peer: socket.socket, head: dict[str, Any]) -> None:
        send_block(peer, head | {"buffers": [{"bytes": 5, "same": "../../../../etc/passwd"}]})

    def wrong_end(self, peer: socket.socket, head: dict[str, Any]) -> None:
        send_block(peer, head | {"pickle_bytes": 100})
        peer.sendall(b"too little")

    def send_many(self, peer: socket.socket, head: dict[str, Any], names: list[str]) -> None:
        variables = [{"name": name, "type": "t" * 5} for name in names]
        not_saved = [{"name": name, "reason": "r" * 5} for name in names]
        send_block(peer, head | {"variables": variables, "not_saved": not_saved})
        peer.sendall(dump(self.variables) + b"buffer")

    def wrong_many_names(self, peer: socket.socket, head: dict[str, Any]) -> None:
        self.send_many(peer, head, [f"v{i}" for i in range(10005)])

    def wrong_many_text(self, peer: socket.socket, head: dict[str, Any]) -> None:
        self.send_many(peer, head, ["n" * (32768 - 5)] * 21)

    def wrong_wait(self, peer: socket.socket, _head: dict[str, Any]) -> None:
        """Until the other end has gone; a file says that it waits."""
        Path(self.sign).touch()
        receive_exactly(peer, 1)

    def wrong_nothing(self, peer: socket.socket, _head: dict[str, Any]) -> None:
        """Says that it is done, and keeps the connection."""
        self.kept = peer.dup()

    def save(self, peer: socket.socket) -> None:
        receive_block(peer)
        pickle = dump(self.variables)
        head: dict[str, Any] = {
            "version": 1, "python": None, "cwd": None, "not_saved": [{"name": "n", "reason": "r"}],
            "variables": [{"name": name, "type": "str"} for name in self.variables],
            "pickle_bytes": len(pickle), "buffers": [{"bytes": 6, "same": None}],
        }  # fmt: skip
        wrong, self.wrong = self.wrong, ""
        if wrong:
            getattr(self, f"wrong_{wrong}")(peer, head)
            return
        send_block(peer, head)
        peer.sendall(pickle + b"buffer")

    def restore(self, peer: socket.socket) -> None:
        head = receive_block(peer)
        pickle = receive_exactly(peer, head["pickle_bytes"])
        assert receive_exactly(peer, 7) == b"buffer\1"
        self.variables = json.loads(pickle)
        if "gate" in self.variables and not Path(self.variables["gate"]).exists():
            Path(self.variables["sign"]).touch()
            receive_exactly(peer, 1)
        if "die" in self.variables:
            os.kill(os.getpid(), signal.SIGKILL)
        answer = {"restored": list(self.variables), "not_restored": head["not_saved"]}
        send_block(peer, answer)

    def transfer(self, kind: int, number: int) -> None:
        result: dict[str, Any] = {"ok": True}
        with socket.socket(fileno=self.link.fds.pop()) as peer:
            try:
                (self.save if kind == SAVE else self.restore)(peer)
            except OSError as error:
                result = {"ok": False, "message": str(error)}
        self.link.send(SAVED, number, dump(result))

    def take(self, kind: int, number: int, parts: list[bytes]) -> None:
        if kind == SHUTDOWN:
            raise SystemExit(0)
        if kind in (SAVE, RESTORE):
            self.transfer(kind, number)
        if kind == ADOPT:
            self.env |= {k: v for k, v in json.loads(parts[0])["env"].items() if v is not None}
        if kind != REQUEST:
            return
        name = parts[0].decode()
        if name == "execute_request":
            self.execute(number, json.loads(parts[3]))
        elif name.endswith("_request"):
            self.link.send(REPLY, number, b"{}", dump({"status": "ok", "asked": name}))
        else:
            self.link.send(DONE, number)


def main() -> None:
    arguments = sys.argv[1:]
    if "--die" in arguments:
        sys.exit("this driver cannot start")
    hold_interrupts()
    link = Link(int(arguments[arguments.index("--link-fd") + 1]))
    pipes = Pipes(int(arguments[arguments.index("--pipes-fd") + 1]))
    driver = Driver(link, pipes)
    signal.signal(signal.SIGINT, on_interrupt)
    kind, _number, _parts = link.receive()
    if kind != HELLO:
        sys.exit("the first frame was not HELLO")
    if "--slow" in arguments:
        sys.stdin.read()
        gate = Path(arguments[arguments.index("--slow") + 1])
        while not gate.exists():
            time.sleep(0.01)
    info = {"implementation": "fake", "language_info": {"name": "fake", "version": "1"}}
    ready: dict[str, Any] = {"version": 1, "kernel_info": info, "snapshots": True}
    if "--dumps" in arguments:
        signal.signal(signal.SIGRTMIN, lambda *_: os.write(2, b"the stacks\n"))
        ready |= {"stack_dump_signal": int(signal.SIGRTMIN), "interrupt_error": "KeyboardInterrupt"}
    link.send(READY, 0, dump(ready))
    while True:
        try:
            await_request(link)
            driver.take(*link.receive())
        except EOFError:
            os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()

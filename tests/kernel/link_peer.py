"""The host's end of the link, for tests of an interpreter: it starts one, sends requests and
gathers what comes back, with the order rules of docs/link.md."""

from __future__ import annotations

import fcntl
import json
import mmap
import os
import select
import signal
import socket
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from kernel.forks import Forked, ForkServer
from support import processes

HEAD = struct.Struct("<IBBHQ")
PAGE = struct.Struct("<QQQ")
NUMBER = struct.Struct("<Q")  # behind it: the request that an interrupt is for
SHARED_BYTES = 4096 + 16 * 68 * 1024  # the page, and the outbox behind it
HELLO, REQUEST, INPUT, SHUTDOWN, ADOPT = 1, 2, 3, 4, 5
READY, STREAM, PUBLISH, REPLY, DONE, INPUT_REQUEST, HISTORY, EXIT = 16, 17, 18, 19, 20, 21, 22, 23
ABORT_QUEUE, PIPES_FIRST = 1, 2
PATIENCE_S = float(os.environ.get("WARMCELL_PATIENCE_S", "60"))


@dataclass
class Frame:
    kind: int
    flags: int
    number: int
    parts: list[bytes]


@dataclass
class Answer:
    """All that one request brought about."""

    frames: list[Frame] = field(default_factory=list)
    stdout: str = ""
    stderr: str = ""
    published: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    buffers: list[list[bytes]] = field(default_factory=list)
    order: list[str] = field(default_factory=list)
    reply: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    abort: bool = False
    history: list[tuple[str, str, str]] = field(default_factory=list)

    def contents(self, msg_type: str) -> list[dict[str, Any]]:
        return [content for kind, content in self.published if kind == msg_type]

    @property
    def result(self) -> str | None:
        results = self.contents("execute_result")
        return str(results[-1]["data"]["text/plain"]) if results else None

    @property
    def error(self) -> dict[str, Any]:
        return self.contents("error")[-1]


def reject_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def strict_json(raw: bytes) -> Any:
    return json.loads(raw.decode("utf-8"), parse_constant=reject_constant)


class Interpreter:
    """One interpreter process and the link to it."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        env: dict[str, str] | None = None,
        history: dict[str, Any] | None = None,
        cwd: str | None = None,
        hello: dict[str, Any] | None = None,
        forks: ForkServer | None = None,
        whole_env: dict[str, str] | None = None,
    ) -> None:
        """forks: who makes the process by a fork, instead of the command.

        env: beside our own environment; whole_env: instead of it.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        out_read, out_write = os.pipe()
        err_read, err_write = os.pipe()
        page = os.memfd_create("pipes")
        os.ftruncate(page, SHARED_BYTES)
        self._page = mmap.mmap(page, PAGE.size + NUMBER.size)
        self._turn = 0
        self._totals = {out_read: 0, err_read: 0}
        environment = whole_env or {**os.environ, **(env or {})}
        self.process: subprocess.Popen[bytes] | Forked
        if forks is not None:
            descriptors = [theirs.fileno(), out_write, err_write, page]
            self.process = forks.fork(descriptors, environment)
        else:
            numbers = ["--link-fd", str(theirs.fileno()), "--pipes-fd", str(page)]
            self.process = subprocess.Popen(
                [*command, *numbers],
                stdin=subprocess.DEVNULL,
                stdout=out_write,
                stderr=err_write,
                pass_fds=[theirs.fileno(), page],
                start_new_session=True,
                env=environment,
            )
        processes.own(self.process.pid)
        for fd in (out_write, err_write, page):
            os.close(fd)
        theirs.close()
        self.sock = ours
        self.pipes = {out_read: "stdout", err_read: "stderr"}
        for fd in self.pipes:
            os.set_blocking(fd, False)
        self._in = bytearray()
        self._pipe_texts: list[tuple[str, str]] = []
        self.number = 0
        whole = {
            "version": 1,
            "session": "test-session",
            "history": history or {"file": None, "session": 1},
            "connection_file": None,
            "parent_pid": os.getpid(),
            "cwd": cwd,
            **(hello or {}),
        }
        self.send(HELLO, 0, json.dumps(whole).encode())

    def wait_ready(self) -> dict[str, Any]:
        frame = self.next_frame()
        assert frame.kind == READY, frame
        info: dict[str, Any] = strict_json(frame.parts[0])
        return info

    # --- frames

    def send(self, kind: int, number: int, *parts: bytes) -> None:
        lengths = b"".join(struct.pack("<I", len(p)) for p in parts)
        body = lengths + b"".join(parts)
        head = HEAD.pack(len(body), kind, 0, len(parts), number)
        self.sock.settimeout(PATIENCE_S)
        self.sock.sendall(head + body)

    def _cut_frame(self) -> Frame | None:
        if len(self._in) < HEAD.size:
            return None
        length, kind, flags, parts, number = HEAD.unpack_from(self._in)
        if len(self._in) < HEAD.size + length:
            return None
        assert kind in range(READY, EXIT + 1), f"torn frame: kind {kind}"
        lengths = struct.unpack_from(f"<{parts}I", self._in, HEAD.size)
        at = HEAD.size + 4 * parts
        assert sum(lengths) + 4 * parts == length
        body = []
        for n in lengths:
            body.append(bytes(self._in[at : at + n]))
            at += n
        del self._in[: HEAD.size + length]
        return Frame(kind, flags, number, body)

    def _read_counted(self, fd: int) -> bytes:
        """One read of a pipe, told to the interpreter as docs/link.md says."""
        self._tell_page()
        try:
            data = os.read(fd, 1 << 20)
            self._totals[fd] += len(data)
            return data
        finally:
            self._tell_page()

    def _tell_page(self) -> None:
        self._turn += 1
        self._page[: PAGE.size] = PAGE.pack(self._turn, *self._totals.values())

    def _drain_pipes(self) -> None:
        for fd, name in list(self.pipes.items()):
            try:
                while data := self._read_counted(fd):
                    self._pipe_texts.append((name, data.decode("utf-8", "replace")))
                del self.pipes[fd]
                os.close(fd)
            except BlockingIOError:
                pass

    def next_frame(self, on_pipe: Callable[[str, str], None] | None = None) -> Frame:
        """The next frame; text from the pipes goes to on_pipe in its right place."""
        end = time.monotonic() + PATIENCE_S
        while True:
            frame = self._cut_frame()
            if frame is not None:
                if frame.flags & PIPES_FIRST:
                    self._drain_pipes()
                    assert len(frame.parts[-1]) == 16  # after which bytes
                    frame.parts.pop()
                self._give_pipe_texts(on_pipe)
                return frame
            left = end - time.monotonic()
            assert left > 0, "the interpreter says nothing"
            watched: list[Any] = [self.sock, *self.pipes]
            readable, _, _ = select.select(watched, [], [], left)
            if self.sock in readable:
                data = self.sock.recv(1 << 20, socket.MSG_DONTWAIT)
                if not data:
                    self._drain_pipes()
                    raise EOFError("".join(text for _, text in self._pipe_texts))
                self._in += data
            elif readable:
                self._drain_pipes()
                self._give_pipe_texts(on_pipe)

    def _give_pipe_texts(self, on_pipe: Callable[[str, str], None] | None) -> None:
        if on_pipe is not None:
            for name, text in self._pipe_texts:
                on_pipe(name, text)
            self._pipe_texts.clear()

    def next_line(self) -> tuple[int, str]:
        """Of the frames that come, all STREAM: their number, and their text to an end of line."""
        frame, text = self.next_frame(), ""
        number = frame.number
        while True:
            assert (frame.kind, frame.number) == (STREAM, number), frame
            text += frame.parts[1].decode()
            if text.endswith("\n"):
                return number, text
            frame = self.next_frame()

    # --- requests

    def request(
        self,
        msg_type: str,
        content: dict[str, Any],
        metadata: dict[str, Any] | None = None,
        buffers: Sequence[bytes] = (),
    ) -> int:
        self.number += 1
        header = {"msg_id": f"msg-{self.number}", "msg_type": msg_type, "session": "client"}
        parts = [
            msg_type.encode(),
            *(json.dumps(p).encode() for p in (header, metadata or {}, content)),
        ]
        self.send(REQUEST, self.number, *parts, *buffers)
        return self.number

    def collect(
        self,
        number: int,
        on_frame: Callable[[Frame, Answer], None] | None = None,
        on_input: Callable[[dict[str, Any]], str] | None = None,
        until: Callable[[Answer], bool] | None = None,
    ) -> Answer:
        """Frames up to the REPLY or DONE of the request (or until() is true)."""
        answer = Answer()

        def on_pipe(name: str, text: str) -> None:
            start = f"{name}-pipe:"
            if answer.order and answer.order[-1].startswith(start):
                answer.order[-1] += text
            else:
                answer.order.append(start + text)
            self._add_text(answer, name, text)

        while True:
            frame = self.next_frame(on_pipe)
            answer.frames.append(frame)
            if frame.kind == STREAM:
                name, text = frame.parts[0].decode(), frame.parts[1].decode("utf-8")
                # where a text is cut between frames is a question of time
                if answer.order and answer.order[-1].startswith(f"{name}:"):
                    answer.order[-1] += text
                else:
                    answer.order.append(f"{name}:{text}")
                self._add_text(answer, name, text)
            elif frame.kind == PUBLISH:
                content = strict_json(frame.parts[2])
                answer.published.append((frame.parts[0].decode(), content))
                answer.buffers.append(frame.parts[3:])
                answer.order.append(frame.parts[0].decode())
            elif frame.kind == HISTORY:
                line, source, raw = (p.decode() for p in frame.parts)
                answer.history.append((line, source, raw))
            elif frame.kind == INPUT_REQUEST:
                assert on_input is not None, "an unexpected input request"
                value = on_input(strict_json(frame.parts[0]))
                self.send(INPUT, frame.number, value.encode())
            if on_frame is not None:
                on_frame(frame, answer)
            if frame.number == number and frame.kind in (REPLY, DONE):
                if frame.kind == REPLY:
                    answer.metadata = strict_json(frame.parts[0])
                    answer.reply = strict_json(frame.parts[1])
                    answer.abort = bool(frame.flags & ABORT_QUEUE)
                    answer.order.append("reply")
                self._late_pipes(on_pipe)
                return answer
            if until is not None and until(answer):
                return answer

    def _late_pipes(self, on_pipe: Callable[[str, str], None]) -> None:
        self._drain_pipes()
        self._give_pipe_texts(on_pipe)

    @staticmethod
    def _add_text(answer: Answer, name: str, text: str) -> None:
        if name == "stdout":
            answer.stdout += text
        else:
            answer.stderr += text

    def start(self, code: str, **options: Any) -> int:
        metadata = options.pop("metadata", None)
        content = {"code": code, "silent": False, "allow_stdin": False, **options}
        return self.request("execute_request", content, metadata)

    def run(
        self,
        code: str,
        on_frame: Callable[[Frame, Answer], None] | None = None,
        on_input: Callable[[dict[str, Any]], str] | None = None,
        **options: Any,
    ) -> Answer:
        return self.collect(self.start(code, **options), on_frame, on_input)

    def ask(self, msg_type: str, **content: Any) -> dict[str, Any]:
        return self.collect(self.request(msg_type, content)).reply

    def interrupt(self, number: int | None = None) -> None:
        """As the host does for a request; without a number for the latest."""
        asked = self.number if number is None else number
        self._page[PAGE.size :] = NUMBER.pack(asked)
        os.killpg(self.process.pid, signal.SIGINT)

    def interrupt_when(self, text: str) -> Callable[[Frame, Answer], None]:
        """An on_frame that interrupts once, as soon as stdout ends with text."""
        done = False

        def on_frame(frame: Frame, answer: Answer) -> None:
            nonlocal done
            if not done and answer.stdout.rstrip().endswith(text):
                done = True
                self.interrupt()

        return on_frame

    def waiting_bytes(self) -> int:
        """How much the interpreter has written to the link and nobody has read."""
        raw = fcntl.ioctl(self.sock.fileno(), termios.FIONREAD, b"\0\0\0\0")
        return int(struct.unpack("i", raw)[0])

    def close(self) -> None:
        self.sock.close()
        for fd in self.pipes:
            os.close(fd)
        self.pipes.clear()
        self.process.wait(PATIENCE_S)
        processes.disown(self.process.pid)

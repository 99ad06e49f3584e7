"""One client of one kernel, whatever carries the messages: ZeroMQ, or a WebSocket in a framing.

A client keeps every message that nobody asked for yet, so the order in which a test looks at
channels does not matter. `DirectClient` and `SocketClient` implement the three methods at the end.
"""

from __future__ import annotations

import json
import re
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

TIMEOUT_S = 60.0
ANSI = re.compile(r"\x1b\[[0-9;]*m")

Content = dict[str, Any]


class SilenceError(AssertionError):
    """What was waited for did not come."""


@dataclass(slots=True)
class Message:
    channel: str
    header: Content
    parent_header: Content
    metadata: Content
    content: Content
    buffers: list[bytes] = field(default_factory=list)

    @property
    def msg_type(self) -> str:
        return str(self.header["msg_type"])

    @property
    def parent_id(self) -> str | None:
        return self.parent_header.get("msg_id")

    @property
    def state(self) -> str | None:
        return self.content.get("execution_state") if self.msg_type == "status" else None

    def __str__(self) -> str:
        return f"{self.channel}:{self.msg_type}:{json.dumps(self.content)[:120]}"


@dataclass(slots=True)
class Run:
    """One request and what came of it; `iopub` holds all in order, `busy` and `idle` too."""

    msg_id: str
    iopub: list[Message] = field(default_factory=list)
    reply: Message | None = None
    prompts: list[Message] = field(default_factory=list)

    def of(self, *types: str) -> list[Message]:
        return [m for m in self.iopub if m.msg_type in types]

    @property
    def content(self) -> Content:
        assert self.reply is not None
        return self.reply.content

    @property
    def status(self) -> str:
        return str(self.content["status"])

    @property
    def outputs(self) -> list[Message]:
        return [m for m in self.iopub if m.msg_type not in ("status", "execute_input")]

    def stream(self, name: str = "stdout") -> str:
        return "".join(m.content["text"] for m in self.of("stream") if m.content["name"] == name)

    @property
    def stdout(self) -> str:
        return self.stream("stdout")

    @property
    def stderr(self) -> str:
        return self.stream("stderr")

    @property
    def result(self) -> Content:
        (only,) = self.of("execute_result")
        data: Content = only.content["data"]
        return data

    @property
    def traceback(self) -> str:
        return ANSI.sub("", "\n".join(self.content["traceback"]))


def joined(messages: list[Message]) -> list[Message]:
    """Without the stream messages that go on where the one before ends: when a text leaves the
    kernel is a question of time."""
    found: list[Message] = []
    for message in messages:
        before = found[-1] if found else None
        goes_on = before is not None and before.msg_type == message.msg_type == "stream"
        if not (goes_on and before and before.content["name"] == message.content["name"]):
            found.append(message)
    return found


class Client(ABC):
    def __init__(self, session: str | None = None) -> None:
        self.session = session or uuid.uuid4().hex
        self.pending: list[Message] = []

    def header(self, msg_type: str) -> Content:
        return {
            "msg_id": uuid.uuid4().hex,
            "msg_type": msg_type,
            "session": self.session,
            "username": "tester",
            "date": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
            "version": "5.4",
        }

    def send(
        self,
        msg_type: str,
        content: Content | None = None,
        *,
        channel: str = "shell",
        metadata: Content | None = None,
        parent: Content | None = None,
        buffers: Sequence[bytes] = (),
    ) -> str:
        """Sends a request and returns its msg_id."""
        header = self.header(msg_type)
        self.send_message(
            Message(channel, header, parent or {}, metadata or {}, content or {}, list(buffers))
        )
        return str(header["msg_id"])

    def take(
        self, wanted: Callable[[Message], bool], what: str = "message", timeout: float = TIMEOUT_S
    ) -> Message:
        """The first message that is wanted; the others stay for later."""
        for i, message in enumerate(self.pending):
            if wanted(message):
                return self.pending.pop(i)
        end = time.monotonic() + timeout
        while True:
            message = self.receive(end - time.monotonic(), what)
            if wanted(message):
                return message
            self.pending.append(message)

    def answer(self, msg_id: str) -> Message:
        """The reply to a request, whatever is published meanwhile."""
        return self.take(lambda m: m.parent_id == msg_id and m.channel in ("shell", "control"))

    def execute(self, code: str, *, channel: str = "shell", **fields: Any) -> str:
        content = {"code": code, "silent": False, "allow_stdin": False, **fields}
        return self.send("execute_request", content, channel=channel)

    def collect(
        self,
        msg_id: str,
        *,
        answers: Sequence[str] = (),
        timeout: float = TIMEOUT_S,
        on_message: Callable[[Message], None] | None = None,
        reply: bool = True,
    ) -> Run:
        """Everything that the request caused, until its reply and its `idle` are both in.

        answers are given to its input requests in turn; on_message sees each message as it comes.
        """
        run = Run(msg_id)
        answer = iter(answers)
        idle = False
        while not (idle and (run.reply is not None or not reply)):
            message = self.take(lambda m: m.parent_id == msg_id, f"end of {msg_id}", timeout)
            if on_message is not None:
                on_message(message)
            if message.channel == "iopub":
                run.iopub.append(message)
                idle = idle or message.state == "idle"
            elif message.channel == "stdin":
                run.prompts.append(message)
                self.send("input_reply", {"value": next(answer)}, channel="stdin",
                          parent=message.header)  # fmt: skip
            else:
                run.reply = message
        return run

    def run(
        self,
        code: str,
        *,
        answers: Sequence[str] = (),
        timeout: float = TIMEOUT_S,
        channel: str = "shell",
        **fields: Any,
    ) -> Run:
        """Executes code and waits for its end."""
        if answers:
            fields.setdefault("allow_stdin", True)
        return self.collect(
            self.execute(code, channel=channel, **fields), answers=answers, timeout=timeout
        )

    def ask(self, msg_type: str, content: Content | None = None, channel: str = "shell") -> Run:
        """Sends any request and waits for its end."""
        return self.collect(self.send(msg_type, content, channel=channel))

    def await_output(self, msg_id: str, text: str, timeout: float = TIMEOUT_S) -> None:
        """Waits until a stream of the request holds text; takes those stream messages away."""
        got = ""
        while text not in got:
            message = self.take(
                lambda m: m.msg_type == "stream" and m.parent_id == msg_id, repr(text), timeout
            )
            got += message.content["text"]

    def line(self, msg_id: str) -> str:
        """The first line that the request prints, without its end; takes its messages away. What
        print() writes is the text and then the end of the line: a flush may come between them."""
        got = ""
        while not got.endswith("\n"):
            got += self.take(
                lambda m: m.msg_type == "stream" and m.parent_id == msg_id, "a line"
            ).content["text"]
        return got[:-1]

    def wait_ready(self, timeout: float = TIMEOUT_S) -> None:
        """Until a request's messages arrive on both shell and iopub. A subscription takes time to
        arrive and not every kernel greets its subscribers, so this asks again as clients do."""
        end = time.monotonic() + timeout
        patience = 0.1
        while True:
            msg_id = self.send("kernel_info_request")
            try:
                self.take(
                    lambda m: m.parent_id == msg_id and m.state == "idle",  # noqa: B023
                    "idle of kernel_info",
                    min(patience, end - time.monotonic()),
                )
                break
            except SilenceError:
                patience *= 2
                if time.monotonic() > end:
                    raise
        self.drain()

    def drain(self) -> None:
        """Forgets all that came before now: runs a marker through the kernel and drops it too."""
        marker = self.send("kernel_info_request")
        self.collect(marker)
        self.pending.clear()

    @abstractmethod
    def send_message(self, message: Message) -> None: ...

    @abstractmethod
    def receive(self, timeout: float, what: str) -> Message:
        """The next message of any channel; raises SilenceError."""

    @abstractmethod
    def close(self) -> None: ...

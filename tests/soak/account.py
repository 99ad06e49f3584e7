"""Exact accounting of one kernel's output, across connections that come and go.

A message may reach a client again after a gateway was killed between sending it and noting that it
had: messages count once by their id. What counts must then be complete and in order.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from harness.message import Message, execute_content
from harness.processes import BenchError
from harness.websocket import KernelSocket

Connect = Callable[[], KernelSocket]


class Lost(BenchError):
    """Output that is missing, doubled or out of order, or an end that does not come."""


class Account:
    """Everything that reached one session: messages once each, in the order they first came."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self.doubles = 0
        self.published: list[Message] = []
        self.replies: list[Message] = []

    def add(self, message: Message) -> None:
        msg_id = json.loads(message.header)["msg_id"]
        if msg_id in self.seen:
            self.doubles += 1
            return
        self.seen.add(msg_id)
        (self.published if message.channel == "iopub" else self.replies).append(message)

    def of(self, request: bytes) -> Cell:
        """What belongs to one request."""
        cell = Cell()
        for message in self.published:
            if request in message.parent:
                cell.add(message)
        for message in self.replies:
            if request in message.parent:
                cell.reply = message.json()
        return cell

    def has_ended(self, request: bytes) -> bool:
        """Whether both the reply and idle of a request are in."""
        return any(request in m.parent for m in self.replies) and any(
            m.is_idle(request) for m in reversed(self.published)
        )


class Cell:
    """What one request brought."""

    def __init__(self) -> None:
        self.text = ""
        self.errors: list[str] = []
        self.states: list[str] = []
        self.reply: dict[str, object] = {}

    def add(self, message: Message) -> None:
        msg_type, content = message.msg_type, message.json()
        if msg_type == "stream" and content["name"] == "stdout":
            self.text += content["text"]
        elif msg_type == "error":
            self.errors.append(content["ename"])
        elif msg_type == "status":
            self.states.append(content["execution_state"])

    def check_prefix(self, expected: str, at_least: int) -> None:
        """Fails unless the text is the beginning of `expected`, and `at_least` characters of it."""
        if not expected.startswith(self.text):
            at = next(
                (i for i, (a, b) in enumerate(zip(self.text, expected, strict=False)) if a != b),
                len(expected),
            )
            raise Lost(f"the output differs from what was written at character {at}: "
                       f"{self.text[max(0, at - 20) : at + 40]!r}")  # fmt: skip
        if len(self.text) < at_least:
            raise Lost(
                f"{at_least} characters were written, {len(self.text)} arrived; "
                f"the reply is {self.reply}, the states are {self.states}"
            )

    def check_whole(self, expected: str) -> None:
        """Fails unless the text is exactly `expected`, between busy and idle, with a good reply."""
        self.check_prefix(expected, len(expected))
        if self.reply.get("status") != "ok" or self.errors:
            raise Lost(f"the cell ended with {self.reply} and the errors {self.errors}")
        if self.states != ["busy", "idle"]:
            raise Lost(f"the cell's states are {self.states}")


def run_cell(client: KernelSocket, code: str, account: Account | None = None) -> Cell:
    """Runs a cell that nothing disturbs, and returns its account; others' messages count too."""
    account = account or Account()
    request = client.send("execute_request", execute_content(code))
    while not account.has_ended(request):
        account.add(client.receive())
    return account.of(request)

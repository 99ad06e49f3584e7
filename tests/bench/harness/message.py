"""The least of the Jupyter messaging protocol that a fast client needs.

Both raw clients build requests here and hand out `Message`s, so that what a client costs is small
and the same for every contender. JSON is parsed only where a caller asks for it.
"""

from __future__ import annotations

import itertools
import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

_SERIAL = itertools.count(1)
_PREFIX = uuid.uuid4().hex[:24]


@dataclass(slots=True)
class Message:
    """One message as it came, its JSON parts still bytes."""

    channel: str
    header: bytes
    parent: bytes
    content: bytes

    @property
    def msg_type(self) -> str:
        return str(json.loads(self.header)["msg_type"])

    def json(self) -> Any:
        return json.loads(self.content)

    def is_reply(self, msg_id: bytes) -> bool:
        return self.channel != "iopub" and b'_reply"' in self.header and msg_id in self.parent

    def is_idle(self, msg_id: bytes) -> bool:
        return (
            b'"status"' in self.header
            and b'"idle"' in self.content
            and msg_id in self.parent
            and self.channel == "iopub"
        )


@dataclass(slots=True)
class Execution:
    """What one execute_request brought: its reply and everything published for it, in order."""

    reply: dict[str, Any] = field(default_factory=dict)
    published: list[Message] = field(default_factory=list)

    def text(self, name: str = "stdout") -> str:
        """All text of one stream."""
        parts = []
        for message in self.published:
            if b'"stream"' in message.header:
                content = message.json()
                if content["name"] == name:
                    parts.append(content["text"])
        return "".join(parts)


def request(session: str, msg_type: str, content: dict[str, Any]) -> tuple[bytes, list[bytes]]:
    """A new message id, and the four JSON frames of a request."""
    msg_id = f"{_PREFIX}-{next(_SERIAL):07d}"
    header = (
        f'{{"msg_id":"{msg_id}","session":"{session}","username":"bench",'
        f'"date":"2026-01-01T00:00:00.000000Z","msg_type":"{msg_type}","version":"5.4"}}'
    )
    return msg_id.encode(), [header.encode(), b"{}", b"{}", json.dumps(content).encode()]


def execute_content(code: str, **more: Any) -> dict[str, Any]:
    """The content of an execute_request whose history is stored."""
    content: dict[str, Any] = {
        "code": code,
        "silent": False,
        "store_history": True,
        "user_expressions": {},
        "allow_stdin": False,
        "stop_on_error": True,
    }
    return content | more


def collect(
    receive: Callable[[], Message], msg_id: bytes, on_message: Callable[[Message], None] | None
) -> Execution:
    """Receives until both the reply and idle of one execution are in."""
    execution = Execution()
    replied = idle = False
    while not (replied and idle):
        message = receive()
        if message.is_reply(msg_id):
            execution.reply = message.json()
            replied = True
        elif message.is_idle(msg_id):
            idle = True
        elif msg_id in message.parent:
            execution.published.append(message)
            if on_message is not None:
                on_message(message)
    return execution

"""What an execution or a command tells as it goes on, one class for each kind of event."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Event:
    """number: from 1 without gaps; time: as the gateway said; raw: all of it."""

    number: int
    time: str
    raw: Mapping[str, Any] = field(repr=False, compare=False)


@dataclass(frozen=True)
class Started(Event):
    execution_count: int | None = None


@dataclass(frozen=True)
class Stdout(Event):
    """data: the bytes of a command; of an execution its text."""

    text: str = ""
    data: bytes = field(default=b"", repr=False)


@dataclass(frozen=True)
class Stderr(Stdout):
    pass


@dataclass(frozen=True)
class Display(Event):
    """data: the whole MIME bundle. In a notebook it shows as it did in the sandbox."""

    data: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    text: str | None = None
    display_id: str | None = None

    def content(self, mime_type: str) -> bytes:
        """The bytes of one of its types: what is base64 on the wire, decoded. KeyError: has
        none."""
        value = self.data[mime_type]
        if not isinstance(value, str):
            raise TypeError(f"{mime_type} is no text: use data")
        binary = mime_type.startswith(("image/", "audio/", "video/")) or (
            mime_type == "application/pdf"
        )
        if binary and mime_type != "image/svg+xml":
            return base64.b64decode(value)
        return value.encode()

    def _repr_mimebundle_(
        self, include: Any = None, exclude: Any = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        return dict(self.data), dict(self.metadata)


@dataclass(frozen=True)
class UpdateDisplay(Display):
    """Stands in the place of all displays with its display_id."""


@dataclass(frozen=True)
class Result(Display):
    """The value of the last expression."""

    execution_count: int | None = None


@dataclass(frozen=True)
class Failure(Event):
    """The exception that ended the code."""

    name: str = ""
    value: str = ""
    traceback: tuple[str, ...] = ()
    traceback_ansi: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.name}: {self.value}" if self.value else self.name


@dataclass(frozen=True)
class InputRequest(Event):
    """input() or getpass() waits for an answer."""

    prompt: str = ""
    password: bool = False


@dataclass(frozen=True)
class Clear(Event):
    """Outputs so far are to be cleared; wait: when the next one comes."""

    wait: bool = False


@dataclass(frozen=True)
class Message(Event):
    """Whatever else was published: comms."""

    msg_type: str = ""
    content: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class End(Event):
    """The last event: record is the execution's, or how the command ended."""

    record: Mapping[str, Any] = field(default_factory=dict)


def _failure(raw: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": raw.get("name", ""),
        "value": raw.get("value", ""),
        "traceback": tuple(raw.get("traceback", ())),
        "traceback_ansi": tuple(raw.get("traceback_ansi", ())),
    }


def _output(raw: Mapping[str, Any]) -> dict[str, Any]:
    text = raw.get("text")
    data = text.encode("utf-8", "surrogatepass") if text is not None else b""
    if text is None:
        data = base64.b64decode(raw.get("base64", ""))
        text = data.decode("utf-8", "replace")
    return {"text": text, "data": data}


# of each type (`type` of an execution, `kind` of a command) the class and the members it takes over
KINDS: Mapping[str, tuple[type[Event], tuple[str, ...]]] = {
    "started": (Started, ("execution_count",)),
    "stdout": (Stdout, ()),
    "stderr": (Stderr, ()),
    "display": (Display, ("data", "metadata", "text", "display_id")),
    "update_display": (UpdateDisplay, ("data", "metadata", "text", "display_id")),
    "result": (Result, ("data", "metadata", "text", "display_id", "execution_count")),
    "error": (Failure, ()),
    "input": (InputRequest, ("prompt", "password")),
    "clear": (Clear, ("wait",)),
    "message": (Message, ("msg_type", "content")),
    "end": (End, ()),
}


def event_of(raw: Mapping[str, Any]) -> Event:
    """The event that the gateway words so. A kind that is not known is an Event."""
    kind, members = KINDS.get(str(raw.get("type") or raw.get("kind")), (Event, ()))
    more: dict[str, Any] = {name: raw[name] for name in members if raw.get(name) is not None}
    if issubclass(kind, Stdout):
        more = _output(raw)
    elif kind is Failure:
        more = _failure(raw)
    elif kind is End:
        more = {"record": raw.get("execution", raw)}
    return kind(number=raw.get("number", 0), time=raw.get("time", ""), raw=raw, **more)

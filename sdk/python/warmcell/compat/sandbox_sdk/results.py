"""What a run put out: results, lines of output, an error."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from warmcell.compat.sandbox_sdk.exceptions import ExecutionError

__all__ = ["ChartType", "Execution", "Logs", "OutputMessage", "Result"]

FORMATS = (
    "text", "html", "markdown", "svg", "png", "jpeg", "pdf", "latex", "json", "javascript",
    "data", "chart",
)  # fmt: skip
MARKS = {"type", "is_main_result", "isMainResult"}


@dataclass
class ChartType:
    """A chart as data: its kind, its title, and its elements."""

    type: str
    title: str
    elements: list[Any]


@dataclass
class Logs:
    """What was written, in lines without their ends."""

    stdout: list[str] = field(default_factory=list)
    stderr: list[str] = field(default_factory=list)


@dataclass
class OutputMessage:
    """A line of output as it comes; timestamp: microseconds since 1970; error: of stderr."""

    line: str
    timestamp: int
    error: bool

    def __str__(self) -> str:
        return self.line


class Result:
    """One thing that a run showed, in each format that it has; None: it has not that one.

    The value of the last expression is the main result. `extra` has formats of other names, `raw`
    all that the server said."""

    text: str | None
    html: str | None
    markdown: str | None
    svg: str | None
    png: str | None
    jpeg: str | None
    pdf: str | None
    latex: str | None
    json: Any | None
    javascript: str | None
    data: Any | None
    chart: Any | None
    extra: dict[str, Any]
    raw: dict[str, Any]

    def __init__(self, raw_data: Mapping[str, Any], is_main_result: bool = False) -> None:
        self.is_main_result = is_main_result
        self.raw = dict(raw_data)
        for name in FORMATS:
            setattr(self, name, raw_data.get(name))
        self.extra = {
            name: value
            for name, value in raw_data.items()
            if name not in FORMATS and name not in MARKS
        }

    def formats(self) -> list[str]:
        """The names of the formats that it has."""
        return [name for name in FORMATS if getattr(self, name) is not None] + list(self.extra)

    def to_dict(self) -> dict[str, Any]:
        """Its formats as a plain dictionary; `extra` only where there is any."""
        own = {name: getattr(self, name) for name in FORMATS}
        return {**own, "extra": self.extra} if self.extra else own

    def __repr__(self) -> str:
        return f"<Result {', '.join(self.formats())}>"


class Execution:
    """A run that has ended: its results, its output, its error, and its number in the context."""

    results: list[Result]
    logs: Logs
    error: ExecutionError | None
    execution_count: int | None

    def __init__(
        self,
        results: list[Result] | None = None,
        logs: Logs | None = None,
        error: ExecutionError | None = None,
        execution_count: int | None = None,
    ) -> None:
        self.results = results or []
        self.logs = logs or Logs()
        self.error = error
        self.execution_count = execution_count

    @property
    def text(self) -> str | None:
        """The main result as text; without one, what was printed; None: neither."""
        for result in self.results:
            if result.is_main_result and result.text is not None:
                return result.text
        return "\n".join(self.logs.stdout) if self.logs.stdout else None

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain dictionaries."""
        error = self.error
        return {
            "results": [result.to_dict() for result in self.results],
            "logs": asdict(self.logs),
            "error": error
            and {"name": error.name, "value": error.value, "traceback": error.traceback},
            "execution_count": self.execution_count,
        }

    def __repr__(self) -> str:
        return f"<Execution {self.execution_count}: {self.text!r}>"

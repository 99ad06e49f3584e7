"""What a session answers with."""

from __future__ import annotations

import json
import warnings
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Any, Callable

__all__ = ["ConsoleOutput", "ExecutionResult", "FileType", "PlotOutput", "StreamCallback"]

StreamCallback = Callable[[str], object]
"""Is told pieces of one stream as they come."""


class FileType(Enum):
    """Of what format the content of a plot is."""

    PNG = "png"
    JPEG = "jpeg"
    PDF = "pdf"
    SVG = "svg"
    CSV = "csv"
    JSON = "json"
    TXT = "txt"
    HTML = "html"


@dataclass(frozen=True)
class PlotOutput:
    """One plot. width, height: in pixels, where the format says so (PNG, JPEG, SVG); dpi: not
    known."""

    format: FileType
    content_base64: str
    width: int | None = None
    height: int | None = None
    dpi: int | None = None


@dataclass(frozen=True)
class ConsoleOutput:
    """How a program, a cell or a command ended. exit_code: its own; 128 and the number of the
    signal that ended it; 1 of a cell that raised. stdout: exactly what was written there."""

    exit_code: int = 0
    stderr: str = ""
    stdout: str = ""

    def text(self) -> str:
        """stdout. Deprecated: it is `stdout`."""
        warnings.warn("text() is deprecated, it is stdout", DeprecationWarning, stacklevel=2)
        return self.stdout

    def success(self) -> bool:
        """Whether exit_code is 0."""
        return self.exit_code == 0

    def to_json(self, include_plots: bool = False) -> str:
        """All fields as JSON; plots only if they are asked for."""

        def worded(value: object) -> Any:
            return value.value if isinstance(value, Enum) else str(value)

        members = asdict(self)
        if not include_plots:
            members.pop("plots", None)
        return json.dumps(members, indent=2, default=worded)


@dataclass(frozen=True)
class ExecutionResult(ConsoleOutput):
    """plots: those of the session so far, the oldest first."""

    plots: list[PlotOutput] = field(default_factory=list)

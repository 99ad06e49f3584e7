"""What an execution has put out so far."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from warmcell.events import Display, End, Event, Failure, Result, Stderr, Stdout, UpdateDisplay


class Outputs:
    """Grows with each event. displays: of display() and results, in their order, each as it was
    updated last."""

    def __init__(self) -> None:
        self._stdout: list[str] = []
        self._stderr: list[str] = []
        self.displays: list[Display] = []
        self.result: Result | None = None
        self.error: Failure | None = None
        self.record: Mapping[str, Any] | None = None
        self.after = 0

    @property
    def stdout(self) -> str:
        return "".join(self._stdout)

    @property
    def stderr(self) -> str:
        return "".join(self._stderr)

    def absorb(self, event: Event) -> None:
        self.after = max(self.after, event.number)
        if isinstance(event, Stderr):
            self._stderr.append(event.text)
        elif isinstance(event, Stdout):
            self._stdout.append(event.text)
        elif isinstance(event, UpdateDisplay):
            self._update(event)
        elif isinstance(event, Display):
            self.displays.append(event)
            if isinstance(event, Result):
                self.result = event
        elif isinstance(event, Failure):
            self.error = event
        elif isinstance(event, End):
            self.record = event.record

    def _update(self, event: UpdateDisplay) -> None:
        for place, display in enumerate(self.displays):
            if display.display_id is not None and display.display_id == event.display_id:
                self.displays[place] = event

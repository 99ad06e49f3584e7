"""A run, as its lines come: callbacks are told at once, and all of it is gathered."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Callable

from warmcell.compat.sandbox_sdk.exceptions import (
    ExecutionError,
    SandboxError,
    TimeoutError,  # noqa: A004 - the API's own name
)
from warmcell.compat.sandbox_sdk.results import Execution, OutputMessage, Result
from warmcell.compat.sandbox_sdk.types import ExecutionMetadata, RunCodeOptions

__all__ = ["Running", "moment"]

OUTPUT_BYTES = 10 * 1024 * 1024  # that is kept, where max_output_size says nothing else


def moment(text: Any) -> datetime | None:
    """A time as the server writes it."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")) if isinstance(text, str) else None


class Running:
    """Takes the lines of one run, and is then what came of it."""

    def __init__(self, options: RunCodeOptions) -> None:
        self.execution = Execution()
        self.end: Mapping[str, Any] = {}
        self._options = options
        self._partial = {"stdout": "", "stderr": ""}
        keeps = options.capture_output is not False
        most = OUTPUT_BYTES if options.max_output_size is None else options.max_output_size
        self._room = most if keeps else 0

    def take(self, lines: Iterator[Mapping[str, Any]]) -> None:
        """Takes all of them; raises what a callback raises."""
        for line in lines:
            kind = line["type"]
            if kind in self._partial:
                self._output(kind, line["text"])
            elif kind == "result":
                self._result(line)
            elif kind == "problem":
                raise SandboxError(str(line["message"]), line.get("status"))
            elif kind == "end":
                self._end(line)

    def _output(self, stream: str, text: str) -> None:
        *whole, self._partial[stream] = (self._partial[stream] + text).split("\n")
        for line in whole:
            self._line(stream, line)

    def _line(self, stream: str, line: str) -> None:
        self._room -= len(line.encode()) + 1
        if self._room >= 0:
            getattr(self.execution.logs, stream).append(line)
        told: Callable[[OutputMessage], None] | None = getattr(self._options, f"on_{stream}")
        if told:
            told(OutputMessage(line, time.time_ns() // 1000, stream == "stderr"))

    def _result(self, line: Mapping[str, Any]) -> None:
        result = Result(line, bool(line.get("is_main_result")))
        self.execution.results.append(result)
        if self._options.on_result:
            self._options.on_result(result)

    def _end(self, line: Mapping[str, Any]) -> None:
        for stream, rest in self._partial.items():
            if rest:
                self._line(stream, rest)
        self.end = line
        self.execution.execution_count = line.get("execution_count")
        error = line.get("error")
        if error:
            self.execution.error = ExecutionError(
                error["name"], error["value"], error["traceback"], self.execution
            )

    def check(self) -> None:
        """Tells on_error of an error; without it, raises it. What a deadline ended is a
        TimeoutError in any case."""
        error = self.execution.error
        if self.end.get("status") == "timeout":
            took = self._options.timeout_ms
            raise TimeoutError(f"Execution timeout after {took}ms", self.execution)
        if error and self._options.on_error:
            self._options.on_error(error)
        elif error:
            raise error

    def metadata(self, sandbox_id: str) -> ExecutionMetadata:
        """About the run. Its exit code is 0, or 1 with an error."""
        end = self.end
        return ExecutionMetadata(
            execution_id=str(end.get("execution_id")),
            sandbox_id=sandbox_id,
            start_time=moment(end.get("start_time")),
            context_id=end.get("context_id"),
            end_time=moment(end.get("end_time")),
            duration=end.get("duration"),
            exit_code=int(self.execution.error is not None),
        )

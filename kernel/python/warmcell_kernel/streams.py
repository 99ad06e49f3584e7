"""sys.stdout and sys.stderr: text files whose write() is C (see text.c for when text leaves)."""

from __future__ import annotations

import codecs
import io
import os
import threading
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import _warmcell


class OutBytes(io.BufferedIOBase):
    """``sys.stdout.buffer``: bytes are decoded piece by piece, as UTF-8 may be cut anywhere."""

    def __init__(self, stream: OutStream) -> None:
        self.raw = self
        self._stream = stream
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode

    def write(self, data: Any) -> int:
        view = memoryview(data)
        self._stream.write(self._decode(view.tobytes()))
        return view.nbytes

    def flush(self) -> None:
        _warmcell.flush()

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._stream.fileno()

    def close(self) -> None:
        """Does nothing: a kernel's output stays open."""


class OutStream(io.TextIOBase):
    """A text stream to the front end. ``write`` is a C function in the instance."""

    encoding = "UTF-8"
    errors = "replace"
    newlines = None
    line_buffering = False
    write_through = False
    mode = "w"
    # what others ask ipykernel's streams for
    topic = None
    pub_thread: Any = None
    parent_header: ClassVar[dict[str, Any]] = {}

    write: Callable[[str], int]

    def __init__(self, name: str, descriptor: int) -> None:
        self.name = f"<{name}>"
        self._descriptor = descriptor
        self.begin()
        self.write = _warmcell.write_stdout if descriptor == 1 else _warmcell.write_stderr
        self.buffer = OutBytes(self)

    def begin(self) -> None:
        """This process is the one whose stream it is."""
        self._master_pid = os.getpid()

    def writelines(self, lines: Iterable[str]) -> None:  # type: ignore[override]
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        _warmcell.flush()

    def fileno(self) -> int:
        """The descriptor that the host reads: child processes may be given this stream."""
        return self._descriptor

    def isatty(self) -> bool:
        return False

    def writable(self) -> bool:
        return True

    def readable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return False

    def close(self) -> None:
        """Does nothing: a kernel's output stays open."""

    def reconfigure(self, **options: Any) -> None:
        """Accepts what io.TextIOWrapper.reconfigure does; encoding and buffering are fixed."""

    def set_parent(self, parent: dict[str, Any]) -> None:
        """Exists for callers of ipykernel's stream; attribution follows the context."""

    def _is_master_process(self) -> bool:
        return os.getpid() == self._master_pid

    def _is_master_thread(self) -> bool:
        return threading.current_thread() is threading.main_thread()

    def _flush(self) -> None:
        _warmcell.flush()

"""SIGINT stays with the kernel's own C handler, whichever Python function answers to it.

``signal.signal`` puts Python's C handler in the place of ours. That one would set the function off
as well, but a signal that falls between Python's look for signals and a blocking call would be seen
only when that call ends: ``asyncio.run``, which has a function of its own, would wait for ever.

And an interrupt that strikes where Python drops exceptions, as in what ``logging`` does around a
fork, comes again.
"""

from __future__ import annotations

import importlib
import sys
from signal import SIGINT
from typing import Any

import _warmcell


def keep() -> None:
    """For this process and its forks; once, in the main thread."""
    _signal: Any = importlib.import_module("_signal")
    set_function = _signal.signal

    def signal(signalnum: int, handler: Any, /) -> Any:
        before = set_function(signalnum, handler)
        if signalnum == SIGINT and callable(handler):
            _warmcell.hear_interrupts()
        return before

    signal.__doc__ = set_function.__doc__
    _signal.signal = signal
    sys.unraisablehook = _warmcell.unraisable

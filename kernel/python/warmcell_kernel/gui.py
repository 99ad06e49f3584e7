"""GUI toolkits between cells (%gui, %matplotlib qt).

They are IPython's own input hooks, given our wake-up descriptor to watch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import _warmcell
from IPython.core.error import UsageError

if TYPE_CHECKING:
    from warmcell_kernel.kernel import Kernel

# the kernel's own loop serves these
ASYNCIO = (None, "", "none", "asyncio", "inline", "ipympl", "nbagg", "notebook", "widget")


class HookContext:
    """What an input hook asks: whether to give way, and what to watch."""

    def fileno(self) -> int:
        return _warmcell.wake_fd()

    def input_is_ready(self) -> bool:
        return _warmcell.pending()


def enable(kernel: Kernel, gui: str | None) -> None:
    """Runs the toolkit's events whenever no request runs; UsageError for one that cannot be had."""
    if gui in ASYNCIO:
        kernel.eventloop = None
        return
    from IPython.terminal.pt_inputhooks import UnknownBackend, get_inputhook_name_and_func

    try:
        _, hook = get_inputhook_name_and_func(gui)
    except (UnknownBackend, ImportError) as error:
        raise UsageError(f"%gui {gui}: {error}") from error
    context = HookContext()

    def turn(_: Any) -> None:
        hook(context)

    kernel.eventloop = turn

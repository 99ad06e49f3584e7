"""fork(context): this interpreter, with all its variables, forked into another host.

The child has the parent's memory and open files, but no thread, no asyncio task and no open comm
of it. It speaks another link from then on; docs/link.md, "Branching".
"""

from __future__ import annotations

import json
import select
import sys
import threading
from typing import TYPE_CHECKING

import _warmcell

from warmcell_kernel import frames

if TYPE_CHECKING:
    from warmcell_kernel.eventloop import KernelLoop
    from warmcell_kernel.kernel import Kernel

POSSIBLE = "_warmcell_forks" in sys.builtin_module_names  # warmcell-python alone has it


class Branched(BaseException):
    """Raised in the child, out of the parent's loop, with its new link."""

    def __init__(self, link_fd: int, pipes_fd: int) -> None:
        super().__init__(link_fd, pipes_fd)
        self.link_fd, self.pipes_fd = link_fd, pipes_fd


def branch(kernel: Kernel, number: int, force: bool) -> None:
    """Answers BRANCH; in the child: Branched."""
    import _warmcell_forks as forks

    reason = None if force else what_is_in_the_way(kernel.loop)
    status = 409
    try:
        child = forks.branch(reason is None)
    except (OSError, ValueError) as error:
        reason, status, child = str(error), 503, None
    if child is not None:
        leave_loop(kernel.loop)
        raise Branched(*child)
    answer = {"ok": True} if reason is None else {"ok": False, "status": status, "message": reason}
    _warmcell.send(frames.BRANCHED, number, json.dumps(answer).encode())


def what_is_in_the_way(loop: KernelLoop) -> str | None:
    """Why the child would not be whole: what of the user's runs beside the main thread."""
    threads = [t.name for t in threading.enumerate() if t is not threading.main_thread()]
    if threads:
        return (
            f"{len(threads)} threads run ({', '.join(threads[:5])}), which a fork would not have"
            " and whose locks it would keep; end them, or force it"
        )
    if loop.busy():
        return "asyncio tasks run, which a fork would not have; end them, or force it"
    return None


def leave_loop(loop: KernelLoop) -> None:
    """What the old loop undoes when it is collected must not be undone in the parent, whose
    epoll this is."""
    loop._selector._selector = select.epoll()  # type: ignore[attr-defined]

"""The fork server: an interpreter that has everything ready and forks whenever its keeper asks.

docs/keeper.md describes the datagrams. One thread, no code of a user, nothing secret in its
environment: its forks can read the environment it was started with (/proc/PID/environ).
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from typing import Any

import _warmcell_forks as forks

from warmcell_kernel import forked, warm
from warmcell_kernel.main import refuse, serve_link, unusable_ipython
from warmcell_kernel.staleness import Watch

FORK, WARM, FORKED, FORK_FAILED, STALE = 64, 80, 81, 82, 83
LINK_FD, PIPES_FD = 3, 4  # of a child
PRELOADED_MOST = 1000  # names in a datagram
# what only a start by exec can give effect to
FIXED = (
    "LD_LIBRARY_PATH",
    "LD_PRELOAD",
    "PYTHONDEVMODE",
    "PYTHONHASHSEED",
    "PYTHONHOME",
    "PYTHONINTMAXSTRDIGITS",
    "PYTHONIOENCODING",
    "PYTHONMALLOC",
    "PYTHONNOUSERSITE",
    "PYTHONOPTIMIZE",
    "PYTHONPROFILEIMPORTTIME",
    "PYTHONSAFEPATH",
    "PYTHONTRACEMALLOC",
    "PYTHONUTF8",
    "PYTHONWARNINGS",
)


def run(preload: str | None, warm_up: str | None) -> int:
    """Serves forks until the keeper has gone; in a child: serves its link. The exit status.

    preload: names of modules, with commas; None: those of warm.PRELOAD that are installed.
    warm_up: a file with a cell, "none", or None for the usual one.
    """
    problem = unusable_ipython()
    if problem:
        return refuse(problem)
    started = time.monotonic()
    fresh_signals()
    own_environment = dict(os.environ)
    prepared = warm.prepare(preload, warm_up)
    server = Server(Watch(prepared.kernel.shell), own_environment)
    send(
        WARM,
        0,
        {
            "modules": len(sys.modules),
            "took_ms": round((time.monotonic() - started) * 1000),
            "failed": prepared.failed,
            "preloaded": preloaded(),
        },
    )
    todo = server.serve()
    if todo is None:
        return 0
    kernel = forked.become(todo, prepared)
    return serve_link(LINK_FD, PIPES_FD, kernel, lambda: forks.set_blas_threads(todo.cpus))


def preloaded() -> list[str]:
    """The names of what every fork has imported and is not Python's own, without what is below."""
    names = {name.partition(".")[0] for name in sys.modules} - sys.stdlib_module_names
    return sorted(names - {"__main__"})[:PRELOADED_MOST]


def fresh_signals() -> None:
    """As after a start by exec, whatever the keeper was started with; forks inherit it.

    SIGINT is for the forks alone, which set it themselves.
    """
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        ignored = number in (signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ)
        signal.signal(number, signal.SIG_IGN if ignored else signal.SIG_DFL)


def send(kind: int, number: int, body: dict[str, Any]) -> None:
    forks.send(kind, number, json.dumps(body).encode())


class Server:
    def __init__(self, watch: Watch, environment: dict[str, str]) -> None:
        self._watch = watch
        self._environment = environment
        self._stale: str | None = None

    def serve(self) -> forked.Plan | None:
        """None when the keeper has gone; in a child what it is to change in itself."""
        while True:
            forked.reseed()
            message = forks.receive()
            if message is None:
                return None
            kind, number, _ = message
            if kind != FORK:
                continue
            try:
                wanted = forked.parse_environment(forks.environment())
                reason = self._reason_against(wanted)
                todo = forked.plan(wanted, self._environment)
                pid = -1 if reason else forks.fork()
            except (OSError, ValueError) as error:
                reason, pid = str(error), -1
            if pid == 0:
                return todo
            if reason:
                send(FORK_FAILED, number, {"message": reason})
            else:
                send(FORKED, number, {"pid": pid})

    def _reason_against(self, wanted: dict[str, str]) -> str | None:
        """Why there can be no fork with this environment, or none at all."""
        threads = forks.threads()
        if threads != 1:
            return f"the fork server has {threads} threads; a module that it imports starts them"
        if self._stale is None:
            self._stale = self._watch.changed()
            if self._stale is not None:
                send(STALE, 0, {"message": self._stale})
        if self._stale is not None:
            return self._stale
        for name in FIXED:
            if wanted.get(name) != self._environment.get(name):
                return f"{name} takes effect only at a start, and differs from the fork server's"
        return None

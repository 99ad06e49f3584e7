"""The start of an interpreter: from the link's HELLO to READY, then its service until SHUTDOWN."""

from __future__ import annotations

import faulthandler
import functools
import os
import signal
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import _warmcell

from warmcell_kernel import __version__, frames
from warmcell_kernel.jsonable import fallback

if TYPE_CHECKING:
    from warmcell_kernel.eventloop import KernelLoop
    from warmcell_kernel.kernel import Kernel

INLINE_BACKEND = "module://matplotlib_inline.backend_inline"
# read by numerical libraries when they are loaded
THREAD_VARIABLES = (
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
# not that of interrupt.c, which is the one above
STACK_DUMP_SIGNAL = signal.SIGRTMAX - 3


def run(link_fd: int, pipes_fd: int = -1) -> int:
    """Serves the link until its end; the exit status. Without IPython: one sentence, and 1."""
    problem = unusable_ipython()
    return refuse(problem) if problem else serve_link(link_fd, pipes_fd)


def unusable_ipython() -> str | None:
    try:
        import IPython  # noqa: F401
    except ImportError as error:
        return (
            f"{sys.executable} has no usable IPython ({error}); "
            f"install it with: {sys.executable} -m pip install ipython matplotlib-inline comm"
        )
    return None


def serve_link(
    link_fd: int,
    pipes_fd: int,
    kernel: Kernel | None = None,
    when_ready: Callable[[], None] = lambda: None,
) -> int:
    """From HELLO on. kernel: one that a fork server has made; None: it is made here."""
    from warmcell_kernel.branching import Branched

    prepare_streams()
    open_link(link_fd, pipes_fd)
    try:
        hello = read_hello()
    except ValueError as error:
        return refuse(str(error))
    go_to(hello)
    prepare_process()
    if kernel is None:
        from warmcell_kernel.kernel import Kernel

        kernel = Kernel(make_loop())
    else:
        kernel.loop.reopen()
    kernel.begin(hello, kernel.loop)
    from warmcell_kernel import startup

    _warmcell.send(frames.READY, 0, ready(kernel.shell.banner))
    when_ready()
    try:
        if startup.run_user_code(kernel.shell):  # may print, which only a ready interpreter does
            kernel.rehearsal = None
        while True:
            try:
                kernel.serve()
                return 0
            except Branched as child:
                serve_branch(child.link_fd, child.pipes_fd, kernel)
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else 0


def serve_branch(link_fd: int, pipes_fd: int, kernel: Kernel) -> None:
    """In a child that was forked from a live interpreter: begins with the host of its own, in the
    folder and with everything that it has."""
    open_link(link_fd, pipes_fd)
    kernel.shell.code_cache.forget()
    kernel.begin(read_hello(), make_loop())
    _warmcell.send(frames.READY, 0, ready(kernel.shell.banner))


def refuse(sentence: str) -> int:
    """Says on descriptor 2, which the host shows, why there will be no interpreter."""
    os.write(2, f"warmcell-python: {sentence}\n".encode())
    return 1


def prepare_streams() -> None:
    """sys.stdout and sys.stderr, and where plots go, before any code of others runs."""
    from warmcell_kernel.streams import OutStream

    if isinstance(sys.stdout, OutStream) and isinstance(sys.stderr, OutStream):
        sys.stdout.begin()
        sys.stderr.begin()
        return
    sys.stdout = sys.__stdout__ = OutStream("stdout", 1)  # type: ignore[misc,assignment]
    sys.stderr = sys.__stderr__ = OutStream("stderr", 2)  # type: ignore[misc,assignment]
    if not os.environ.get("MPLBACKEND"):
        os.environ["MPLBACKEND"] = INLINE_BACKEND
    os.environ.update(thread_limits(os.environ))
    leave = os._exit

    def _exit(status: int) -> None:
        _warmcell.flush()
        leave(status)

    os._exit = _exit  # type: ignore[assignment]


def thread_limits(environment: Mapping[str, str]) -> dict[str, str]:
    """What tells numerical libraries, also of child processes, how many processors there are."""
    cpus = environment.get("WARMCELL_CPUS", "")
    if not cpus.isdigit():
        return {}
    return {name: cpus for name in THREAD_VARIABLES if name not in environment}


def open_link(link_fd: int, pipes_fd: int) -> None:
    """The link, and signals."""
    faulthandler.enable(2)
    # a copy, which stays when user code turns descriptor 2 elsewhere
    faulthandler.register(STACK_DUMP_SIGNAL, os.dup(2), all_threads=True, chain=False)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    _warmcell.open(link_fd, pipes_fd, fallback)


@functools.cache
def prepare_process() -> None:
    """Changes to modules that are made once, in this process or the one that it is forked from."""
    from warmcell_kernel import comm_import, eventloop, interrupts, parents

    parents.inherit_in_threads()
    comm_import.watch()
    interrupts.keep()
    eventloop.let_run_anywhere()


def make_loop() -> KernelLoop:
    from warmcell_kernel import eventloop

    return eventloop.install()


def read_hello() -> dict[str, Any]:
    """The host's first frame; ValueError when it is none or of another version."""
    import json

    frame = _warmcell.wait((), -1)
    assert frame is not None
    kind, _, parts = frame
    if kind != frames.HELLO or len(parts) != 1:
        raise ValueError(f"the host began with a frame of kind {kind}, not with HELLO")
    hello: dict[str, Any] = json.loads(parts[0])
    if hello.get("version") != frames.VERSION:
        raise ValueError(
            f"the host speaks version {hello.get('version')} of the link, not {frames.VERSION}"
        )
    return hello


def go_to(hello: dict[str, Any]) -> None:
    if hello.get("cwd"):
        os.chdir(hello["cwd"])


@functools.cache
def ready(banner: str) -> bytes:
    """The content of READY."""
    from warmcell_kernel.branching import POSSIBLE

    version = sys.version_info
    docs = "https://docs.python.org"
    content = {
        "version": frames.VERSION,
        "stack_dump_signal": int(STACK_DUMP_SIGNAL),
        "interrupt_error": "KeyboardInterrupt",
        "branches": POSSIBLE,
        "snapshots": True,
        "kernel_info": {
            "implementation": "warmcell",
            "implementation_version": __version__,
            "language_info": {
                "name": "python",
                "version": sys.version.split()[0],
                "mimetype": "text/x-python",
                "codemirror_mode": {"name": "ipython", "version": version[0]},
                "pygments_lexer": "ipython3",
                "nbconvert_exporter": "python",
                "file_extension": ".py",
            },
            "banner": banner,
            "help_links": [
                {"text": "Python Reference", "url": f"{docs}/{version[0]}.{version[1]}"},
                {"text": "IPython Reference", "url": "https://ipython.readthedocs.io/en/stable/"},
                {
                    "text": "NumPy Reference",
                    "url": "https://docs.scipy.org/doc/numpy/reference/",
                },
                {
                    "text": "SciPy Reference",
                    "url": "https://docs.scipy.org/doc/scipy/reference/",
                },
                {"text": "Matplotlib Reference", "url": "https://matplotlib.org/contents.html"},
                {"text": "SymPy Reference", "url": "http://docs.sympy.org/latest/index.html"},
                {
                    "text": "pandas Reference",
                    "url": "https://pandas.pydata.org/pandas-docs/stable/",
                },
            ],
        },
    }
    return _warmcell.json(content)

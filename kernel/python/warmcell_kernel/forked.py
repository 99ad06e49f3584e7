"""What a forked interpreter changes in itself, so that it is one that was just started.

Called before the link is opened: the descriptors, the session and the confinement are in place
already (settle.c). What an interpreter reads at its start, from the environment and the file
system, it read in the fork server's; here it is read again.
"""

from __future__ import annotations

import atexit
import logging
import os
import shutil
import sys
import time
from typing import Any

import _warmcell_forks as forks
from IPython.paths import get_ipython_dir

from warmcell_kernel import startup, warm
from warmcell_kernel.kernel import Kernel
from warmcell_kernel.main import INLINE_BACKEND, default_backend


def parse_environment(raw: bytes) -> dict[str, str]:
    """NAME=VALUE strings, each with a NUL behind it; others are passed over."""
    pairs = (item.partition(b"=") for item in raw.split(b"\0"))
    return {os.fsdecode(name): os.fsdecode(value) for name, sign, value in pairs if name and sign}


def become(
    raw_environment: bytes, prepared: warm.Prepared, former: dict[str, str]
) -> Kernel | None:
    """former: the environment that the fork server was started with. None: the user's
    configuration is another, and the kernel must be made from the beginning."""
    replace_environment(parse_environment(raw_environment))
    time.tzset()
    default_backend()
    shell = prepared.kernel.shell
    shell.init_environment()
    replace_python_path(former.get("PYTHONPATH", ""), os.environ.get("PYTHONPATH", ""))
    reseed()
    follow_home()
    follow_matplotlib(shell, prepared.matplotlib_file)
    if keeps_configuration(shell):
        return prepared.kernel
    forget_shell(shell)
    return None


def loaded(module: str) -> Any:
    """The module if it was imported; None."""
    return sys.modules.get(module)


def keeps_configuration(shell: Any) -> bool:
    """Whether the shell, made in the fork server's home, is right in this one."""
    folder = get_ipython_dir()
    if folder == shell.ipython_dir:
        return True
    paths = [*startup.config_paths(folder), *startup.config_paths(shell.ipython_dir)]
    if any(os.path.exists(path) for path in paths):  # noqa: PTH110
        return False
    shell.ipython_dir = folder
    shell.init_profile_dir(None)
    return True


def forget_shell(shell: Any) -> None:
    type(shell).clear_instance()
    inline = sys.modules.pop("matplotlib_inline.backend_inline", None)
    pyplot = loaded("matplotlib.pyplot")
    if inline is not None and pyplot is not None:
        inline.InlineBackend.clear_instance()
        pyplot._backend_mod = None


def replace_environment(wanted: dict[str, str]) -> None:
    for name in [name for name in os.environ if name not in wanted]:
        del os.environ[name]
    for name, value in wanted.items():
        if os.environ.get(name) != value:
            os.environ[name] = value


def replace_python_path(former: str, wanted: str) -> None:
    """PYTHONPATH stands behind the working folder, as after a start."""
    if former == wanted:
        return
    for entry in former.split(os.pathsep):
        if entry in sys.path[1:]:
            sys.path.reverse()
            sys.path.remove(entry)
            sys.path.reverse()
    sys.path[1:1] = [os.path.abspath(entry) for entry in wanted.split(os.pathsep) if entry]  # noqa: PTH100


def reseed() -> None:
    """Siblings must not draw the same numbers or share a key; random does so by itself."""
    numpy_random = loaded("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()
    process = loaded("multiprocessing.process")
    if process is not None:
        process.current_process().authkey = os.urandom(32)
    tempfile = loaded("tempfile")
    if tempfile is not None:
        tempfile.tempdir = None


def follow_home() -> None:
    """What was found by way of HOME or XDG_* is found anew."""
    parso = loaded("parso.cache")
    if parso is not None:
        parso._default_cache_path = parso._get_default_cache_path()
    jedi = loaded("jedi.settings")
    if jedi is not None:
        cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111
        jedi.cache_directory = os.path.join(cache, "jedi")  # noqa: PTH118


def follow_matplotlib(shell: Any, former_file: str | None) -> None:
    """Its folders, its configuration file and MPLBACKEND."""
    matplotlib = loaded("matplotlib")
    if matplotlib is None:
        return
    # a temporary folder for want of a writable one is the fork server's to remove
    atexit.unregister(shutil.rmtree)
    for name in ("get_configdir", "get_cachedir"):
        forget_answer(getattr(matplotlib, name))
    if matplotlib.matplotlib_fname() != former_file:
        settings = matplotlib.rc_params()
        for name in ("backend", "interactive"):
            settings.pop(name, None)
        matplotlib.rcParams.update(settings)
    backend = os.environ["MPLBACKEND"]
    if backend != INLINE_BACKEND:
        leave_inline(matplotlib, shell, backend)


def forget_answer(remembering: Any) -> None:
    """Empties the memory of a function of matplotlib that remembers its answer."""
    names = remembering.__code__.co_freevars
    cells = dict(zip(names, remembering.__closure__ or (), strict=False))
    if isinstance(getattr(cells.get("called"), "cell_contents", None), bool):
        cells["called"].cell_contents = False


def leave_inline(matplotlib: Any, shell: Any, backend: str) -> None:
    """As if nothing had been plotted yet, with another backend asked for."""
    inline = loaded("matplotlib_inline.backend_inline")
    if inline is not None:
        inline.configure_inline_support(shell, backend)
    matplotlib.interactive(False)
    pyplot = loaded("matplotlib.pyplot")
    if pyplot is not None:
        pyplot._backend_mod = None
    try:
        matplotlib.rcParams["backend"] = backend
    except ValueError:
        logging.getLogger(__name__).warning("MPLBACKEND: %s is not a backend", backend)


def cpus() -> int:
    """How many processors the interpreter may use."""
    told = os.environ.get("WARMCELL_CPUS", "")
    return int(told) if told.isdigit() and int(told) > 0 else len(os.sched_getaffinity(0))


def use_cpus() -> None:
    """Gives the numerical libraries as many threads, unless the environment says how many."""
    told = [os.environ[name] for name in warm.ONE_THREAD if os.environ.get(name, "").isdigit()]
    forks.set_blas_threads(int(told[0]) if told else cpus())

"""What a forked interpreter changes in itself, so that it is one that was just started.

Called before the link is opened: the descriptors, the session and the confinement are in place
already (settle.c). What an interpreter reads at its start, from the environment and the file
system, it read in the fork server's; here it is read again.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from dataclasses import dataclass
from typing import Any

from IPython.paths import get_ipython_dir

from warmcell_kernel import startup, warm
from warmcell_kernel.kernel import Kernel
from warmcell_kernel.main import INLINE_BACKEND
from warmcell_kernel.shell import TERMINAL_ENVIRONMENT

# settings of matplotlib that follow from the backend
OF_THE_KERNEL = ("backend", "interactive")
# where what is found depends on them
PLACES = (
    "HOME",
    "IPYTHONDIR",
    "MATPLOTLIBRC",
    "MPLCONFIGDIR",
    "TEMP",
    "TMP",
    "TMPDIR",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
)


def parse_environment(raw: bytes) -> dict[str, str]:
    """NAME=VALUE strings, each with a NUL behind it; others are passed over."""
    pairs = (item.partition(b"=") for item in raw.split(b"\0"))
    return {os.fsdecode(name): os.fsdecode(value) for name, sign, value in pairs if name and sign}


@dataclass
class Plan:
    """What a fork will have to change; found out before it, where looking costs no copied page."""

    remove: list[str]
    change: dict[str, str]
    new_home: bool  # what was found by way of HOME or XDG_* must be found anew
    python_path: tuple[str, str]  # before and after
    cpus: int
    backend: str


def plan(wanted: dict[str, str], former: dict[str, str]) -> Plan:
    """wanted: the environment asked for; former: that which the fork server was started with."""
    whole = {"MPLBACKEND": INLINE_BACKEND, **wanted, **TERMINAL_ENVIRONMENT}
    whole["MPLBACKEND"] = whole["MPLBACKEND"] or INLINE_BACKEND
    return Plan(
        remove=[name for name in os.environ if name not in whole],
        change={name: value for name, value in whole.items() if os.environ.get(name) != value},
        new_home=any(wanted.get(name) != former.get(name) for name in PLACES),
        python_path=(former.get("PYTHONPATH", ""), wanted.get("PYTHONPATH", "")),
        cpus=cpus(wanted),
        backend=whole["MPLBACKEND"],
    )


def cpus(environment: dict[str, str]) -> int:
    """How many threads numerical libraries get: as they are told, else one a processor."""
    for name in (*warm.ONE_THREAD, "WARMCELL_CPUS"):
        told = environment.get(name, "")
        if told.isdigit() and int(told) > 0:
            return int(told)
    return len(os.sched_getaffinity(0))


def become(todo: Plan, prepared: warm.Prepared) -> Kernel | None:
    """None: the user's configuration is another, and the kernel must be made from the beginning."""
    for name in todo.remove:
        del os.environ[name]
    os.environ.update(todo.change)
    time.tzset()
    sys.dont_write_bytecode = bool(os.environ.get("PYTHONDONTWRITEBYTECODE"))
    shell = prepared.kernel.shell
    if todo.python_path[0] != todo.python_path[1]:
        replace_python_path(*todo.python_path)
    if todo.new_home:
        follow_home()
    if loaded("matplotlib") is not None:
        follow_matplotlib(todo, shell, prepared.matplotlib_file)
    if not todo.new_home or keeps_configuration(shell):
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


def replace_python_path(former: str, wanted: str) -> None:
    """PYTHONPATH stands behind the working folder, as after a start."""
    for entry in former.split(os.pathsep):
        if entry in sys.path[1:]:
            sys.path.reverse()
            sys.path.remove(entry)
            sys.path.reverse()
    sys.path[1:1] = [os.path.abspath(entry) for entry in wanted.split(os.pathsep) if entry]  # noqa: PTH100


def reseed() -> None:
    """For the next fork, which must not draw what others draw, or know their keys.

    Before the fork, as it costs the fork more; the module random does it by itself.
    """
    numpy_random = loaded("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()
    process = loaded("multiprocessing.process")
    if process is not None:
        process.current_process().authkey = os.urandom(32)


def follow_home() -> None:
    """What was found by way of HOME or XDG_* is found anew."""
    tempfile = loaded("tempfile")
    if tempfile is not None:
        tempfile.tempdir = None
    parso = loaded("parso.cache")
    if parso is not None:
        parso._default_cache_path = parso._get_default_cache_path()
    jedi = loaded("jedi.settings")
    if jedi is not None:
        cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111
        jedi.cache_directory = os.path.join(cache, "jedi")  # noqa: PTH118


def follow_matplotlib(todo: Plan, shell: Any, former_file: str | None) -> None:
    """Its folders, its configuration file and MPLBACKEND."""
    matplotlib = loaded("matplotlib")
    if todo.new_home:
        for name in ("get_configdir", "get_cachedir"):
            forget_answer(getattr(matplotlib, name))
    looks = todo.new_home or os.path.exists("matplotlibrc")  # noqa: PTH110
    if looks and matplotlib.matplotlib_fname() != former_file:
        settings = dict.items(matplotlib.rc_params())  # a look at "backend" would choose one
        others = {name: value for name, value in settings if name not in OF_THE_KERNEL}
        matplotlib.rcParams.update(others)
    if todo.backend != INLINE_BACKEND:
        leave_inline(matplotlib, shell, todo.backend)


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

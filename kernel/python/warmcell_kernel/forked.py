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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from warmcell_kernel import startup, warm
from warmcell_kernel.kernel import Kernel
from warmcell_kernel.main import INLINE_BACKEND, THREAD_VARIABLES, thread_limits
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
class Home:
    """What is found by way of HOME and others of PLACES; none of it need exist."""

    folder: str
    ipython: str
    cache: Path
    matplotlib_files: list[str]  # its configuration is the first that exists, else its own


@dataclass
class Plan:
    """What a fork will have to change; found out before it, where looking costs no copied page."""

    remove: list[str]
    change: dict[str, str]
    home: Home | None  # None: as in the fork server
    python_path: tuple[str, str]  # before and after
    cpus: int
    backend: str


def plan(wanted: dict[str, str], former: dict[str, str]) -> Plan:
    """wanted: the environment asked for; former: that which the fork server was started with."""
    whole = {"MPLBACKEND": INLINE_BACKEND, **thread_limits(wanted), **wanted}
    whole.update(TERMINAL_ENVIRONMENT)
    whole["MPLBACKEND"] = whole["MPLBACKEND"] or INLINE_BACKEND
    # matplotlib itself sets MPLCONFIGDIR to a temporary folder when it finds no other
    own_folder = os.environ.get("MPLCONFIGDIR") != former.get("MPLCONFIGDIR")
    moved = own_folder or any(wanted.get(name) != former.get(name) for name in PLACES)
    return Plan(
        remove=[name for name in os.environ if name not in whole],
        change={name: value for name, value in whole.items() if os.environ.get(name) != value},
        home=home(wanted) if moved else None,
        python_path=(former.get("PYTHONPATH", ""), wanted.get("PYTHONPATH", "")),
        cpus=cpus(wanted),
        backend=whole["MPLBACKEND"],
    )


def home(environment: dict[str, str]) -> Home:
    folder = environment.get("HOME") or "/"
    config = environment.get("XDG_CONFIG_HOME") or f"{folder}/.config"
    told = environment.get("MATPLOTLIBRC")
    own = environment.get("MPLCONFIGDIR") or f"{config}/matplotlib"
    return Home(
        folder=folder,
        ipython=environment.get("IPYTHONDIR") or f"{folder}/.ipython",
        cache=Path(environment.get("XDG_CACHE_HOME") or f"{folder}/.cache"),
        matplotlib_files=[*([told] if told else []), f"{own}/matplotlibrc"],
    )


def cpus(environment: dict[str, str]) -> int:
    """How many threads numerical libraries get: as they are told, else one a processor."""
    for name in (*THREAD_VARIABLES, "WARMCELL_CPUS"):
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
    if loaded("matplotlib") is not None:
        follow_matplotlib(todo, shell, prepared.matplotlib_file)
    if todo.home is None:
        return prepared.kernel
    follow_home(todo.home)
    if has_configuration(todo.home.ipython) or has_configuration(shell.ipython_dir):
        forget_shell(shell)
        return None
    move_ipython(shell, todo.home)
    return prepared.kernel


def loaded(module: str) -> Any:
    """The module if it was imported; None."""
    return sys.modules.get(module)


def has_configuration(ipython_dir: str) -> bool:
    return any(os.path.exists(path) for path in startup.config_paths(ipython_dir))  # noqa: PTH110


def move_ipython(shell: Any, home: Home) -> None:
    """Names other folders, and makes none: hardly anybody looks for them."""
    shell.home_dir = os.path.realpath(home.folder)
    shell._trait_values["ipython_dir"] = home.ipython
    profile = f"{home.ipython}/profile_default"
    names = ("security", "log", "startup", "pid", "static")
    places = {f"{name}_dir": f"{profile}/{name}" for name in names}
    shell.profile_dir._trait_values.update(location=profile, **places)


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


def follow_home(home: Home) -> None:
    """What remembers where it found a folder is told the new one, or finds it again."""
    tempfile = loaded("tempfile")
    if tempfile is not None:
        tempfile.tempdir = None
    parso = loaded("parso.cache")
    if parso is not None:
        parso._default_cache_path = home.cache / "parso"
    jedi = loaded("jedi.settings")
    if jedi is not None:
        jedi.cache_directory = f"{home.cache}/jedi"


def follow_matplotlib(todo: Plan, shell: Any, former_file: str | None) -> None:
    """Its folders, its configuration file and MPLBACKEND."""
    matplotlib = loaded("matplotlib")
    files = ["matplotlibrc"]
    if todo.home is not None:
        # a temporary folder is the fork server's to remove
        atexit.unregister(shutil.rmtree)
        for name in ("get_configdir", "get_cachedir"):
            forget_answer(getattr(matplotlib, name))
        files += todo.home.matplotlib_files
    own = f"{matplotlib.get_data_path()}/matplotlibrc"
    moved = todo.home is not None and former_file != own
    if moved or any(os.path.exists(file) for file in files):  # noqa: PTH110
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

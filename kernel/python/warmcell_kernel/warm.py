"""What a fork server does before its first fork: imports, the shell, and what is slow once.

Afterwards everything that a user can see is as new: a fork differs from an interpreter that was
just started only in that its modules are there already.
"""

from __future__ import annotations

import functools
import gc
import importlib.util
import linecache
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import _warmcell
import _warmcell_forks as forks

from warmcell_kernel import frames, main
from warmcell_kernel.jsonable import fallback
from warmcell_kernel.kernel import Kernel
from warmcell_kernel.parents import NOBODY, set_parent

PRELOAD = ("numpy", "pandas", "matplotlib.pyplot")
# imported by what a kernel does sooner or later
OWN_MODULES = (
    "comm",
    "warmcell_kernel.comms",
    "warmcell_kernel.magics",
    "multiprocessing",
    "sqlite3",
    "subprocess",
    "tempfile",
)

CELLS = (
    "import sys\nprint('out'); print('err', file=sys.stderr)\n{'a': [1, 2.5]}",
    "x = 1\nx + 1",
    "%pwd",
    "1 / 0",
    "for i in range(:",
)
CELLS_WITH = {
    "numpy": "import numpy as np\nnp.arange(6.0).reshape(2, 3) @ np.ones((3, 2))",
    "pandas": "import pandas as pd\npd.DataFrame({'a': [1, 2], 'b': ['x', 'y']})",
    "matplotlib.pyplot": (
        "import matplotlib.pyplot as plt\nplt.plot([0, 1], label='a'); plt.title('t'); plt.legend()"
    ),
}
# Threads of OpenBLAS spin for 2 ** N cycles before they sleep, also when they have just begun in a
# fork: by default (26) for some 25 ms, while the fork's first cell wants the processor.
BLAS_PATIENCE = "20"
EXPECTED_ERRORS = ("ZeroDivisionError", "SyntaxError")


@dataclass
class Prepared:
    kernel: Kernel
    failed: dict[str, str] = field(default_factory=dict)  # module, "warm-up" or "descriptors": why
    matplotlib_file: str | None = None  # its configuration


def prepare(preload: str | None, warm_up: str | None) -> Prepared:
    """Everything up to the point where forks can be made."""
    forks.reserve_descriptors()
    for name in main.THREAD_VARIABLES:
        os.environ[name] = "1"
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", BLAS_PATIENCE)
    main.prepare_streams()
    main.prepare_process()
    with no_working_folder():
        preloaded = wanted_modules(preload)
        failed = import_all(preloaded)
        import_all(list(OWN_MODULES))  # comm and sqlite3 need not be there
    loop = main.make_loop()
    kernel = Kernel(loop)
    kernel.warmed = True
    first = [f"import {name}" for name in preloaded if name not in failed]
    kernel.rehearsal = functools.partial(rehearse_again, kernel, "\n".join(first))
    main.ready(kernel.shell.banner)
    _warmcell.rehearse(fallback)
    with as_new(kernel):
        problem = rehearse(kernel, warm_up)
    _warmcell.rehearse(None)
    if problem:
        failed["warm-up"] = problem
    loop.close()
    forks.find_blas()
    close_fonts()
    # collected is what is garbage; the rest no collection touches any more, so it stays shared
    gc.collect()
    forks.plug_holes()
    gc.freeze()
    left_open = forks.hold_descriptors()
    if left_open:
        failed["descriptors"] = f"left open by a module: {', '.join(left_open)}"
    matplotlib = sys.modules.get("matplotlib")
    return Prepared(kernel, failed, matplotlib.matplotlib_fname() if matplotlib else None)


@contextmanager
def no_working_folder() -> Iterator[None]:
    """Inside, no module comes from the folder in which the fork server happens to be."""
    sys.path.remove("")
    yield
    sys.path.insert(0, "")


def wanted_modules(preload: str | None) -> list[str]:
    if preload is not None:
        return [name.strip() for name in preload.split(",") if name.strip()]
    return [name for name in PRELOAD if importlib.util.find_spec(name.partition(".")[0])]


def import_all(names: list[str]) -> dict[str, str]:
    """Imports the modules; those that cannot be, and why."""
    failed = {}
    for name in names:
        try:
            importlib.import_module(name)
        except BaseException as error:
            failed[name] = f"{type(error).__name__}: {error}"
    return failed


def usual_cells() -> list[str]:
    return [*CELLS, *(cell for module, cell in CELLS_WITH.items() if module in sys.modules)]


def rehearse(kernel: Kernel, warm_up: str | None) -> str | None:
    """Has the kernel answer requests whose output nobody gets. What went wrong unexpectedly."""
    problem = None
    cells = usual_cells() if warm_up is None else []
    if warm_up is not None and warm_up != "none":
        try:
            cells = [Path(warm_up).read_text(encoding="utf-8")]
        except (OSError, ValueError) as error:
            problem = str(error)
    for cell in cells:
        ask(kernel, "execute_request", code=cell, silent=False)
        told = kernel.shell.last_error
        if told is not None and told["ename"] not in EXPECTED_ERRORS:
            problem = f"{told['ename']}: {told['evalue']}"
    ask(kernel, "complete_request", code="import o", cursor_pos=8)
    ask(kernel, "complete_request", code="sys.ver", cursor_pos=7)
    ask(kernel, "inspect_request", code="len", cursor_pos=3, detail_level=0)
    ask(kernel, "is_complete_request", code="for i in x:")
    for _ in kernel.chores():
        pass
    return problem


def rehearse_again(kernel: Kernel, imports: str) -> None:
    """In a fork: the pages that every first cell writes to are its own afterwards."""
    _warmcell.hush(True)
    try:
        with as_new(kernel):
            for cell in (f"{imports}\n{CELLS[0]}", CELLS[1]):
                ask(kernel, "execute_request", code=cell, silent=False)
    finally:
        _warmcell.hush(False)


def ask(kernel: Kernel, msg_type: str, **content: Any) -> None:
    header = {"msg_id": "warm-up", "msg_type": msg_type, "session": "warm-up"}
    parts = [msg_type.encode(), *(_warmcell.json(part) for part in (header, {}, content))]
    kernel.handle_frame(frames.REQUEST, 0, parts)


@contextmanager
def as_new(kernel: Kernel) -> Iterator[None]:
    """What runs inside leaves nothing that a user could find."""
    shell = kernel.shell
    names, hidden = dict(shell.user_ns), dict(shell.user_ns_hidden)
    module = shell.user_module
    random_states = generator_states()
    yield
    shell.user_ns.clear()
    shell.user_ns.update(names)
    shell.user_ns_hidden.clear()
    shell.user_ns_hidden.update(hidden)
    forget_history(shell)
    sys.modules["__main__"] = module
    for name in ("last_type", "last_value", "last_traceback", "last_exc"):
        if hasattr(sys, name):
            delattr(sys, name)
    for name in [name for name in linecache.cache if "ipykernel_" in name]:
        del linecache.cache[name]
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is not None:
        pyplot.close("all")
    set_parent(NOBODY)
    for restore, state in random_states:
        restore(state)


def generator_states() -> list[tuple[Any, Any]]:
    import random

    states: list[tuple[Any, Any]] = [(random.setstate, random.getstate())]
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        states.append((numpy_random.set_state, numpy_random.get_state()))
    return states


def forget_history(shell: Any) -> None:
    history, hook = shell.history_manager, shell.displayhook
    history.reset()
    history._i00 = history._i = history._ii = history._iii = ""
    hook._ = hook.__ = hook.___ = ""
    hook.exec_result = None
    shell.execution_count = 1
    shell.last_execution_succeeded = True
    shell.last_execution_result = None
    shell.last_error = None
    shell.failed_in_display = False
    shell._untransformed = None
    shell.payload_manager.clear_payload()
    shell.InteractiveTB.tb = None
    shell.compile._folder = None
    with suppress(AttributeError):
        shell.compile._filename_map.clear()
    shell.code_cache.forget()


def close_fonts() -> None:
    """matplotlib keeps the files of fonts open, and would close them in each fork."""
    fonts = sys.modules.get("matplotlib.font_manager")
    if fonts is not None:
        fonts._get_font.cache_clear()

"""Starting interpreters by either entry, for tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kernel.link_peer import Interpreter
from support.programs import PYTHON, Programs, programs

# an extension module with sanitizers cannot be loaded into a Python without them
SANITIZED = programs().build.name == "sanitized"
ENTRIES = ["embedded"] if SANITIZED else ["embedded", "module"]
Starter = Callable[..., Interpreter]


def command(entry: str, programs: Programs) -> list[str]:
    if entry == "embedded":
        return [str(programs.interpreter), "--python", PYTHON]
    return [PYTHON, "-m", "warmcell_kernel"]


def environment(entry: str, programs: Programs) -> dict[str, str]:
    if SANITIZED:
        return {"PYTHONMALLOC": "malloc"}
    return {"PYTHONPATH": str(programs.interpreter.parent)} if entry == "module" else {}


def start(entry: str, programs: Programs, **options: Any) -> Interpreter:
    env = {**environment(entry, programs), **options.pop("env", {})}
    interpreter = Interpreter(command(entry, programs), env=env, **options)
    interpreter.wait_ready()
    return interpreter

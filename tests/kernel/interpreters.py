"""Starting interpreters by each entry, for tests: by exec of the program, as a module of another
Python, or by a fork of one that is warm."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kernel.forks import ForkServer
from kernel.link_peer import Interpreter
from support.programs import PYTHON, Programs, programs

# an extension module with sanitizers cannot be loaded into a Python without them
SANITIZED = programs().build.name == "sanitized"
ENTRIES = ["embedded", "forked"] if SANITIZED else ["embedded", "module", "forked"]
Starter = Callable[..., Interpreter]


def command(entry: str, programs: Programs) -> list[str]:
    if entry == "embedded":
        return [str(programs.interpreter), "--python", PYTHON]
    return [PYTHON, "-m", "warmcell_kernel"]


def environment(entry: str, programs: Programs) -> dict[str, str]:
    if SANITIZED:
        return {"PYTHONMALLOC": "malloc"}
    return {"PYTHONPATH": str(programs.interpreter.parent)} if entry == "module" else {}


_fork_servers: list[ForkServer] = []


def fork_server(programs: Programs) -> ForkServer:
    """One for all tests of a run; close_fork_servers() ends it."""
    if not _fork_servers:
        _fork_servers.append(ForkServer(programs, env=environment("forked", programs)))
    return _fork_servers[0]


def close_fork_servers() -> None:
    while _fork_servers:
        _fork_servers.pop().close()


def spawn(entry: str, programs: Programs, **options: Any) -> Interpreter:
    """Starts one; it may not be ready yet."""
    env = {**environment(entry, programs), **options.pop("env", {})}
    if entry == "forked":
        return Interpreter([], env=env, forks=fork_server(programs), **options)
    return Interpreter(command(entry, programs), env=env, **options)


def start(entry: str, programs: Programs, **options: Any) -> Interpreter:
    interpreter = spawn(entry, programs, **options)
    interpreter.wait_ready()
    return interpreter

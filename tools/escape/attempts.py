"""Attempts to get out of a sandbox: what runs inside, and outside as the control.

Each takes a resource of the test's own as its argument (a file, a process, a socket) and says True
when
it got there. The same code runs outside: there it must get there. None does harm: what is called
has an argument that is refused behind the permission check, or concerns what the test made.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

Result = tuple[bool, str]
Attempt = Callable[[dict[str, Any]], Result]
ATTEMPTS: dict[str, Attempt] = {}

# `python -I -c RUN FOLDER NAME FD`, where FOLDER holds the package `escape`; the argument, a line
# of JSON, is
# read from the descriptor, so that no command line holds what is looked for in command lines
RUN = "import sys; sys.path.insert(0, sys.argv[1]); from escape.attempts import main; main()"


def attempt(function: Attempt) -> Attempt:
    ATTEMPTS[function.__name__] = function
    return function


def main() -> None:
    """Prints {"reached": bool, "why": str}."""
    import sys

    from escape import (  # noqa: F401
        attempts_bombs,
        attempts_files,
        attempts_kernel,
        attempts_network,
        attempts_output,
        attempts_processes,
    )

    name = sys.argv[2]
    with open(int(sys.argv[3]), closefd=False) as file:
        argument = json.loads(file.readline())
    try:
        reached, why = ATTEMPTS[name](argument)
    except OSError as error:
        reached, why = False, repr(error)
    print(json.dumps({"reached": reached, "why": why}), flush=True)

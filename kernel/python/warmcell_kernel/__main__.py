"""``python -m warmcell_kernel``: this environment's Python as a kernel.

With ``--link-fd N`` (as warmcell-kernel starts it) this process is the interpreter; with
``-f FILE`` (as Jupyter starts a kernel) it becomes warmcell-kernel, which starts this Python again
behind its link.
"""

from __future__ import annotations

import os
import shutil
import site
import sys
from pathlib import Path
from typing import NoReturn


def host_program() -> str | None:
    """Where warmcell-kernel is: told, beside this package (build tree, installed), where a wheel
    has put it, or in PATH."""
    told = os.environ.get("WARMCELL_KERNEL")
    if told:
        return told
    beside = Path(__file__).absolute().parents[1]  # .../kernel/python, .../share/warmcell/python
    for place in (
        beside.parent / "host" / "warmcell-kernel",
        beside.parents[2] / "libexec" / "warmcell" / "warmcell-kernel",
        *(
            Path(prefix) / "share" / "warmcell" / "kernel" / "host" / "warmcell-kernel"
            for prefix in (sys.prefix, site.getuserbase())
        ),
    ):
        if os.access(place, os.X_OK):
            return str(place)
    return shutil.which("warmcell-kernel")


def become_host(arguments: list[str]) -> NoReturn:
    program = host_program()
    if program is None:
        print(
            "warmcell_kernel: warmcell-kernel was not found; "
            "set WARMCELL_KERNEL to its path or add its folder to PATH",
            file=sys.stderr,
        )
        sys.exit(1)
    os.execv(program, [program, *arguments, "--python", sys.executable])


def main(arguments: list[str]) -> int:
    descriptors = dict(zip(arguments[::2], arguments[1::2], strict=False))
    if set(descriptors) in ({"--link-fd"}, {"--link-fd", "--pipes-fd"}) and all(
        number.isdigit() for number in descriptors.values()
    ):
        from warmcell_kernel.main import run

        sys.argv = [""]
        sys.path[0] = ""
        return run(int(descriptors["--link-fd"]), int(descriptors.get("--pipes-fd", -1)))
    if arguments:
        become_host(arguments)
    print("usage: python -m warmcell_kernel -f CONNECTION_FILE", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

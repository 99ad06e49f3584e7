"""Floods of output, in every way that a cell has to say something. Each is told how many bytes it
may put out, which is more than a run may and less than hurts a machine. Reached: all of it was out;
whether it also arrived is for the test to count.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from typing import Any

from escape.attempts import Result, attempt

PIECE = "x" * 16383 + "\n"


def pieces(a: dict[str, Any]) -> range:
    return range(a["bytes"] // len(PIECE))


@attempt
def flood_by_print(a: dict[str, Any]) -> Result:
    for _ in pieces(a):
        print(PIECE, end="")
    return True, "printed"


@attempt
def flood_by_error_stream(a: dict[str, Any]) -> Result:
    for _ in pieces(a):
        sys.stderr.write(PIECE)
    return True, "written"


@attempt
def flood_by_descriptor(a: dict[str, Any]) -> Result:
    for _ in pieces(a):
        os.write(1, PIECE.encode())
    return True, "written"


@attempt
def flood_by_child(a: dict[str, Any]) -> Result:
    code = f"import os\nfor _ in range({len(pieces(a))}): os.write(1, b'x' * {len(PIECE)})"
    subprocess.run([sys.executable, "-I", "-c", code], check=True)
    return True, "a child wrote"


@attempt
def flood_by_thread(a: dict[str, Any]) -> Result:
    thread = threading.Thread(target=flood_by_print, args=[a])
    thread.start()
    thread.join()
    return True, "a thread printed"


@attempt
def flood_by_display(a: dict[str, Any]) -> Result:
    from IPython.display import display

    for _ in pieces(a):
        display({"text/plain": PIECE}, raw=True)
    return True, "displayed"


@attempt
def flood_by_updates(a: dict[str, Any]) -> Result:
    """Of one display, so that nothing is to be seen in a notebook."""
    from IPython.display import display

    for n in pieces(a):
        display({"text/plain": PIECE}, raw=True, display_id="flood", update=n > 0)
    return True, "updated"


@attempt
def flood_by_comm(a: dict[str, Any]) -> Result:
    from comm import create_comm

    comm = create_comm(target_name="flood")
    for _ in pieces(a):
        comm.send({"text": PIECE})
    return True, "sent"


@attempt
def flood_by_comm_buffers(a: dict[str, Any]) -> Result:
    from comm import create_comm

    comm = create_comm(target_name="flood")
    for _ in pieces(a):
        comm.send({}, buffers=[PIECE.encode()])
    return True, "sent"


@attempt
def flood_by_error(a: dict[str, Any]) -> Result:
    raise RuntimeError(PIECE * len(pieces(a)))

"""history_request, across sessions and after kill -9."""

from __future__ import annotations

import os
import signal
import uuid
from typing import Any

from support import processes
from support.direct import DirectClient, Kernel


def history(client: DirectClient, kind: str, **fields: Any) -> list[Any]:
    content = {"hist_access_type": kind, "raw": True, "output": False, **fields}
    run = client.ask("history_request", content)
    assert run.status == "ok"
    rows: list[Any] = run.content["history"]
    return rows


def sources(rows: list[Any]) -> list[str]:
    return [row[2] for row in rows]


def test_tail(shared_kernel: Kernel) -> None:
    client = shared_kernel.client()
    codes = [f"tail = {i}  # é🎉" for i in range(5)]
    for code in codes:
        client.run(code)
    client.run("silent = 1", silent=True)
    client.run("unstored = 1", store_history=False)
    assert sources(history(client, "tail", n=3)) == codes[2:]
    rows = history(client, "tail", n=5)
    assert len({row[0] for row in rows}) == 1
    assert [row[1] for row in rows] == list(range(rows[0][1], rows[0][1] + 5))


def test_range(shared_kernel: Kernel) -> None:
    client = shared_kernel.client()
    first = client.run("range_1 = 1").content["execution_count"]
    client.run("range_2 = 2")
    client.run("range_3 = 3")
    rows = history(client, "range", session=0, start=first, stop=first + 2)
    assert sources(rows) == ["range_1 = 1", "range_2 = 2"]


def test_search(shared_kernel: Kernel) -> None:
    client = shared_kernel.client()
    name = f"needle_{uuid.uuid4().hex}"
    for code in (f"{name} = 1", f"{name} = 2", f"{name} = 1"):
        client.run(code)
    assert len(history(client, "search", pattern=f"{name}*")) == 3
    assert len(history(client, "search", pattern=f"{name}*", unique=True)) == 2
    assert sources(history(client, "search", pattern=f"{name}*", n=1)) == [f"{name} = 1"]
    assert history(client, "search", pattern=f"no{name}*") == []


def test_raw_and_transformed(shared_kernel: Kernel) -> None:
    client = shared_kernel.client()
    client.run("%time pass")
    assert sources(history(client, "tail", n=1)) == ["%time pass"]
    (row,) = history(client, "tail", n=1, raw=False)
    assert "run_line_magic" in row[2]


def test_output_form(shared_kernel: Kernel) -> None:
    client = shared_kernel.client()
    client.run("20 + 1")
    (row,) = history(client, "tail", n=1, output=True)
    assert row[2][0] == "20 + 1"
    assert len(row[2]) == 2


def test_across_sessions(kernelspec: str) -> None:
    name = f"across_{uuid.uuid4().hex}"
    with Kernel(kernelspec) as kernel:
        kernel.client().run(f"{name} = 1")
    with Kernel(kernelspec) as kernel:
        client = kernel.client()
        client.run(f"{name} = 2")
        rows = history(client, "search", pattern=f"{name}*")
        assert sources(rows) == [f"{name} = 1", f"{name} = 2"]
        assert rows[0][0] < rows[1][0], "sessions count up"


def test_no_row_is_lost_to_kill_9(kernelspec: str) -> None:
    """A cell whose reply was seen is in the history, whoever is killed next."""
    name = f"kept_{uuid.uuid4().hex}"
    with Kernel(kernelspec) as kernel:
        client = kernel.client()
        pid = int(client.run("import os; os.getpid()").result["text/plain"])
        for i in range(20):
            client.run(f"{name} = {i}")
        os.kill(pid, signal.SIGKILL)
        processes.kill_tree(kernel.pid)
        processes.wait_gone([pid])
    with Kernel(kernelspec) as kernel:
        rows = history(kernel.client(), "search", pattern=f"{name}*")
        assert sources(rows) == [f"{name} = {i}" for i in range(20)]


def test_a_cell_that_crashes_is_in_the_history(kernelspec: str) -> None:
    name = f"crash_{uuid.uuid4().hex}"
    with Kernel(kernelspec) as kernel:
        client = kernel.client()
        client.run(f"{name} = 1; import os; os._exit(3)")
        rows = history(client, "search", pattern=f"{name}*")
        assert sources(rows) == [f"{name} = 1; import os; os._exit(3)"]

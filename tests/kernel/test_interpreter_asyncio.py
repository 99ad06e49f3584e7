"""One asyncio loop in the main thread: in cells, between cells, and beside others."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from kernel.link_peer import REPLY, STREAM, Interpreter


@pytest.mark.parametrize(
    ("code", "result"),
    [
        ("import asyncio\nawait asyncio.sleep(0, 5)", "5"),
        ("async def f(): return 6\nawait f()", "6"),
        ("async def g():\n    yield 1\n    yield 2\n[x async for x in g()]", "[1, 2]"),
        ("asyncio.run(f())", "6"),
        ("await f()\nasyncio.run(f())", "6"),
        ("with asyncio.Runner() as r: y = r.run(f())\ny", "6"),
        ("asyncio.get_running_loop().is_running()", "True"),
        ("asyncio.get_event_loop() is asyncio.get_running_loop()", "True"),
        ("asyncio.get_event_loop().run_until_complete(f())", "6"),
        ("await asyncio.sleep(0)\nasyncio.get_event_loop().run_until_complete(f())", "6"),
        ("t = asyncio.create_task(f()); type(t).__name__", "'Task'"),
        ("await t", "6"),
        ("await asyncio.wait_for(asyncio.gather(f(), f()), 5)", "[6, 6]"),
        ("async with asyncio.timeout(5): z = await f()\nz", "6"),
        ("async with asyncio.TaskGroup() as tg: k = tg.create_task(f())\nk.result()", "6"),
        ("proc = await asyncio.create_subprocess_exec('true'); await proc.wait()", "0"),
        ("await asyncio.to_thread(lambda: 8)", "8"),
        ("_ = await asyncio.sleep(0)\nasyncio.run(asyncio.sleep(0, 9))", "9"),
        ("%autoawait", None),
    ],
)
def test_cells(shared: Interpreter, code: str, result: str | None) -> None:
    shared.run("import asyncio\nasync def f(): return 6\nt = asyncio.create_task(f())", silent=True)
    answer = shared.run(code)
    assert answer.reply["status"] == "ok", answer.reply
    assert answer.result == result


def test_errors_in_async_cells(shared: Interpreter) -> None:
    answer = shared.run("import asyncio\nawait asyncio.sleep(0)\n1/0")
    assert answer.reply["ename"] == "ZeroDivisionError"
    assert answer.reply["execution_count"] == answer.contents("execute_input")[0]["execution_count"]
    answer = shared.run("async def f(): raise ValueError('x')\nawait asyncio.create_task(f())")
    assert answer.reply["ename"] == "ValueError"
    answer = shared.run("asyncio.current_task().cancel(); await asyncio.sleep(1)")
    assert answer.reply["ename"] == "CancelledError"
    assert shared.run("1").result == "1"


def test_tasks_tick_between_cells_with_their_cells_number(fresh: Interpreter) -> None:
    first = fresh.start(
        "import asyncio\nasync def tick():\n    for i in range(3):\n"
        "        await asyncio.sleep(0.01)\n"
        "        print('tick', i)\ntask = asyncio.create_task(tick())"
    )
    texts = fresh.collect(first).stdout
    while "tick 2\n" not in texts:
        frame = fresh.next_frame()
        assert frame.kind == STREAM
        assert frame.number == first
        texts += frame.parts[1].decode()
    assert texts == "tick 0\ntick 1\ntick 2\n"
    assert fresh.run("task.done()").result == "True"


def test_tasks_tick_during_an_await(fresh: Interpreter) -> None:
    fresh.run(
        "import asyncio\nn = 0\nasync def tick():\n    global n\n    while True:\n"
        "        await asyncio.sleep(0); n += 1\ntask = asyncio.create_task(tick())"
    )
    waiting = "a = n\nwhile n <= a + 10: await asyncio.sleep(0.001)\n'ticked'"
    assert fresh.run(waiting).result == "'ticked'"
    assert fresh.run("task.cancel()").result == "True"


def test_other_threads_can_call_the_idle_loop(fresh: Interpreter, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    number = fresh.start(
        "import asyncio, os, threading\nloop = asyncio.get_running_loop()\n"
        "async def say(): print('from a thread')\n"
        f"def work():\n    open({str(gate)!r}).read()\n"
        "    asyncio.run_coroutine_threadsafe(say(), loop)\n"
        "threading.Thread(target=work).start()"
    )
    fresh.collect(number)
    gate.write_text("now")
    assert fresh.next_line() == (number, "from a thread\n")
    assert fresh.run("1").result == "1"


def test_an_idle_interpreter_uses_no_time(fresh: Interpreter) -> None:
    """With a far timer and a watched descriptor it sleeps all the same."""
    fresh.run(
        "import asyncio, os, time\nr, w = os.pipe()\nloop = asyncio.get_running_loop()\n"
        "loop.add_reader(r, lambda: print('read', os.read(r, 9)))\nloop.call_later(3600, print)\n"
        "before = time.process_time()"
    )
    fresh.run("import threading, time\nthreading.Timer(0.5, lambda: os.write(w, b'x')).start()")
    assert fresh.next_line()[1] == "read b'x'\n"
    used = float(str(fresh.run("time.process_time() - before").result))
    assert used < 0.2


def test_exceptions_of_tasks_are_reported_and_harmless(fresh: Interpreter) -> None:
    fresh.run(
        "import asyncio, gc\nasync def bad(): raise ValueError('in a task')\n"
        "t = asyncio.create_task(bad())"
    )
    fresh.run("await asyncio.sleep(0)")
    answer = fresh.run("del t; gc.collect()")
    assert "in a task" in answer.stderr
    fresh.run("asyncio.get_running_loop().call_soon(lambda: 1/0)")
    assert fresh.run("await asyncio.sleep(0); 1").result == "1"


def test_stopping_the_loop_does_not_end_the_kernel(fresh: Interpreter) -> None:
    fresh.run(
        "import asyncio; asyncio.get_running_loop().call_soon(asyncio.get_running_loop().stop)"
    )
    assert fresh.run("1").result == "1"
    answer = fresh.run(
        "asyncio.get_running_loop().call_later(0.01, asyncio.get_running_loop().stop)\n"
        "await asyncio.sleep(0.05)\n3"
    )
    assert answer.frames[-1].kind == REPLY
    assert fresh.run("1").result == "1"

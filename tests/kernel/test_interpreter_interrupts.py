"""SIGINT: ends what runs, wherever it is, and nothing else; the end of the host ends all."""

from __future__ import annotations

import os
import platform
import signal
from pathlib import Path

import pytest
from kernel.interpreters import Starter, spawn
from kernel.link_peer import INPUT, INPUT_REQUEST, SHUTDOWN, Answer, Frame, Interpreter
from support import processes
from support.programs import Programs

OPENAT = {"x86_64": "257"}.get(platform.machine(), "56")

ENDLESS = {
    "sleep": "import time; print('go'); time.sleep(600)",
    "loop": "print('go')\nwhile True: pass",
    "await": "import asyncio; print('go'); await asyncio.sleep(600)",
    "await of a task": (
        "import asyncio\nasync def f():\n    print('go')\n    await asyncio.sleep(600)\n"
        "await asyncio.create_task(f())"
    ),
    "loop after await": "import asyncio; await asyncio.sleep(0); print('go')\nwhile True: pass",
    "asyncio.run": (
        "import asyncio\nasync def f():\n    print('go'); await asyncio.sleep(600)\n"
        "asyncio.run(f())"
    ),
    "lock": "import threading; l = threading.Lock(); l.acquire(); print('go'); l.acquire()",
    "join": (
        "import threading, time; print('go')\n"
        "t = threading.Thread(target=time.sleep, args=(600,), daemon=True)\n"
        "t.start(); t.join(600); t.join(600)"
    ),
    # one whose start is interrupted is nobody's: Python keeps no hold of it
    "child": "import subprocess; c = subprocess.Popen(['sleep', '600']); print('go'); c.wait()",
    "shell": "!echo go; exec sleep 600\nraise KeyboardInterrupt",
    "cell magic": "%%bash\necho go; exec sleep 600",
}


@pytest.mark.parametrize("name", ENDLESS)
def test_interrupt(shared: Interpreter, name: str) -> None:
    answer = shared.run(ENDLESS[name], on_frame=shared.interrupt_when("go"))
    assert answer.reply["status"] == "error"
    assert answer.reply["ename"] in ("KeyboardInterrupt", "CalledProcessError"), answer.reply
    assert answer.abort
    assert shared.run("1 + 1").result == "2"


def test_one_that_comes_before_the_code_runs(shared: Interpreter) -> None:
    """It is here before the request is: what the host interrupts need not have been read."""
    count = int(shared.run("1").reply["execution_count"])
    shared.interrupt(shared.number + 2)
    shared.ask("complete_request", code="x", cursor_pos=1)  # the signal has come
    answer = shared.run("import time; time.sleep(600)")
    assert (answer.reply["status"], answer.reply["ename"]) == ("error", "KeyboardInterrupt")
    assert (answer.reply["execution_count"], answer.abort) == (count + 1, True)
    again = shared.run("1 + 1")
    assert (again.result, again.reply["execution_count"]) == ("2", count + 2)


@pytest.mark.parametrize("late", [0, 1])
def test_one_that_was_for_what_is_over(shared: Interpreter, late: int) -> None:
    shared.run("1")
    shared.interrupt(shared.number if late else 0)
    shared.ask("complete_request", code="x", cursor_pos=1)
    assert shared.run("1 + 1").result == "2"


def test_stacks_on_demand(entry: str, programs: Programs, tmp_path: Path) -> None:
    """READY names the signal; all threads are shown, nothing else happens."""
    interpreter = spawn(entry, programs)
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    system_call = Path(f"/proc/{interpreter.process.pid}/syscall")
    try:
        ready = interpreter.wait_ready()
        assert ready["interrupt_error"] == "KeyboardInterrupt"

        def on_frame(_frame: Frame, answer: Answer) -> None:
            if answer.stdout.endswith("go\n") and not answer.stderr:
                processes.until(lambda: system_call.read_text().split()[0] == OPENAT, "opens")
                os.kill(interpreter.process.pid, ready["stack_dump_signal"])
                gate.write_text("now")

        # both stand still: one that runs is read while it moves
        code = f"""import sys, threading, time
def other(): held.acquire()
held = threading.Lock()
held.acquire()
thread = threading.Thread(target=other)
thread.start()
while sys._current_frames()[thread.ident].f_code.co_name != "other": time.sleep(0.001)
print("go")
open({str(gate)!r}).read()
held.release()"""
        answer = interpreter.run(code, on_frame=on_frame)
        assert answer.reply["status"] == "ok"
        assert answer.stderr.count("most recent call first") == 2
        assert "in <module>" in answer.stderr and "line 2 in other" in answer.stderr
    finally:
        interpreter.close()


def test_an_interrupt_that_python_drops_comes_again(fresh: Interpreter) -> None:
    """As between a fork and the next line, where the handlers of modules run."""
    code = (
        "import os, signal, time\n"
        "os.register_at_fork(after_in_parent=lambda: os.kill(os.getpid(), signal.SIGINT))\n"
        "pid = os.fork()\nif pid == 0: os._exit(0)\ntime.sleep(600)"
    )
    answer = fresh.run(code)
    assert answer.reply["ename"] == "KeyboardInterrupt"
    assert "ignored" not in answer.stderr
    dropped = "class D:\n    def __del__(self): 1 / 0\nd = D()\ndel d"
    assert "ZeroDivisionError" in fresh.run(dropped).stderr


def test_interrupt_between_requests_is_harmless(shared: Interpreter) -> None:
    for i in range(100):
        shared.interrupt()
        assert shared.run(f"{i}").result == str(i)
        shared.interrupt()


def test_many_interrupts_while_cells_run(shared: Interpreter) -> None:
    """Each request gets one reply, whenever the signal comes."""
    for _ in range(100):
        number = shared.start("for i in range(300): x = i")
        shared.interrupt()
        answer = shared.collect(number)
        assert answer.reply["status"] == "ok" or answer.reply["ename"] == "KeyboardInterrupt"
    assert shared.run("1 + 1").result == "2"


def test_code_that_catches_the_interrupt_goes_on(shared: Interpreter) -> None:
    code = (
        "import time\ntry:\n    print('go'); time.sleep(600)\n"
        "except KeyboardInterrupt:\n    print('caught')\n'after'"
    )
    answer = shared.run(code, on_frame=shared.interrupt_when("go"))
    assert answer.stdout == "go\ncaught\n"
    assert answer.result == "'after'"


def test_async_code_that_catches_the_interrupt(shared: Interpreter) -> None:
    code = (
        "import asyncio\ntry:\n    print('go'); await asyncio.sleep(600)\n"
        "except KeyboardInterrupt:\n    print('caught')\nawait asyncio.sleep(0.001)\n'after'"
    )
    answer = shared.run(code, on_frame=shared.interrupt_when("go"))
    assert answer.stdout == "go\ncaught\n"
    assert answer.result == "'after'"


def test_a_handler_of_the_user(fresh: Interpreter) -> None:
    code = (
        "import signal, time\nhits = []\n"
        "old = signal.signal(signal.SIGINT, lambda *a: (hits.append(1), print('hit')))\n"
        "print('go')\nwhile not hits: time.sleep(0.01)\n"
        "signal.signal(signal.SIGINT, old)\nlen(hits)"
    )
    answer = fresh.run(code, on_frame=fresh.interrupt_when("go"))
    assert answer.result == "1"
    assert fresh.run("old is signal.default_int_handler").result == "True"
    fresh.interrupt()
    assert fresh.run("1").result == "1"
    answer = fresh.run(ENDLESS["loop"], on_frame=fresh.interrupt_when("go"))
    assert answer.reply["ename"] == "KeyboardInterrupt"


def test_a_handler_of_the_user_leaves_ours_below(shared: Interpreter) -> None:
    """The C handler is what wakes a blocking call that the signal only just missed."""
    code = """import asyncio, ctypes, signal
def below():
    now = (ctypes.c_void_p * 32)()
    ctypes.CDLL(None).sigaction(signal.SIGINT, None, now)
    return now[0]
async def inside_run(): return below()
ours = below()
old = signal.signal(signal.SIGINT, lambda *a: None)
with_one = below()
signal.signal(signal.SIGINT, signal.SIG_IGN)
ignored = below()
signal.signal(signal.SIGINT, old)
[with_one == ours, asyncio.run(inside_run()) == ours, below() == ours, ignored]"""
    assert shared.run(code).result == "[True, True, True, 1]"


def test_an_interrupt_while_a_child_is_made(fresh: Interpreter) -> None:
    code = (
        "import pexpect\ndef spawn(*given, **named): raise KeyboardInterrupt\n"
        "pexpect.spawn = spawn\n!true"
    )
    assert fresh.run(code).reply["ename"] == "KeyboardInterrupt"


def test_interrupt_while_completing(shared: Interpreter) -> None:
    shared.run(
        "class Slow:\n    def __dir__(self):\n        print('go', flush=True)\n"
        "        while True: pass\ns = Slow()"
    )
    number = shared.request("complete_request", {"code": "s.", "cursor_pos": 2})
    answer = shared.collect(number, shared.interrupt_when("go"))
    assert answer.reply["matches"] == [] or answer.reply["status"] == "ok"
    assert shared.run("1").result == "1"


def test_input(shared: Interpreter) -> None:
    asked = []

    def say(content: dict[str, object]) -> str:
        asked.append(content)
        return "ünï\nsecond" if not content["password"] else "secret"

    code = (
        "print('before', end=''); a = input('name? ')\n"
        "import getpass; b = getpass.getpass('pw')\na, b"
    )
    answer = shared.run(code, on_input=say, allow_stdin=True)
    assert asked == [
        {"prompt": "name? ", "password": False},
        {"prompt": "pw", "password": True},
    ]
    assert answer.result == "('ünï\\nsecond', 'secret')"
    assert answer.order[1] == "stdout:before"
    assert (
        shared.run("input()", allow_stdin=True, on_input=lambda _: "\x04").reply["ename"]
        == "EOFError"
    )
    assert shared.run("input('x')").reply["ename"] == "StdinNotImplementedError"
    assert shared.run("getpass.getpass()").reply["ename"] == "StdinNotImplementedError"


def test_input_can_be_interrupted(shared: Interpreter) -> None:
    number = shared.start("input('wait')", allow_stdin=True)

    while shared.next_frame().kind != INPUT_REQUEST:
        pass
    shared.interrupt()
    reply = shared.collect(number).reply
    assert reply["ename"] == "KeyboardInterrupt"
    shared.send(INPUT, number, b"too late")
    again = shared.run("input()", allow_stdin=True, on_input=lambda _: "in time")
    assert again.result == "'in time'"


def test_pdb(shared: Interpreter) -> None:
    lines = iter(["p x", "c"])
    code = "x = 41\nimport pdb; pdb.set_trace()\nx + 1"
    answer = shared.run(code, allow_stdin=True, on_input=lambda _: next(lines))
    assert "41" in answer.stdout
    assert answer.result == "42"
    shared.run("1/0")
    lines = iter(["q"])
    assert (
        shared.run("%debug", allow_stdin=True, on_input=lambda _: next(lines)).reply["status"]
        == "ok"
    )


@pytest.mark.parametrize(
    "code",
    [
        "print('go')\nwhile True: pass",
        # a C function that keeps the interpreter lock for ever
        "import ctypes; print('go', flush=True); ctypes.PyDLL(None).pause()",
        "import subprocess; print('go'); subprocess.run(['sleep', '600'])",
        "pass",
    ],
)
def test_the_end_of_the_host_ends_the_process_group(launch: Starter, code: str) -> None:
    fresh = launch()
    number = fresh.start(
        "import os, subprocess; child = subprocess.Popen(['sleep', '600']); child.pid"
    )
    child = int(str(fresh.collect(number).result))
    number = fresh.start(code)
    fresh.collect(number, until=lambda a: "go" in a.stdout)
    fresh.sock.close()
    assert fresh.process.wait(30) == -signal.SIGKILL
    assert processes.wait_gone([child]) == []


def test_shutdown_runs_exit_handlers(launch: Starter) -> None:
    fresh = launch()
    fresh.run("import atexit, os; atexit.register(lambda: print('bye'))")
    fresh.send(SHUTDOWN, 0, b'{"restart": false}')
    texts: list[str] = []
    with pytest.raises(EOFError):
        while True:
            frame = fresh.next_frame()
            texts.append(frame.parts[1].decode())
    assert "".join(texts) == "bye\n"
    assert fresh.process.wait(30) == 0


def test_shutdown_ends_a_running_cell(launch: Starter) -> None:
    fresh = launch()
    number = fresh.start("print('go')\nwhile True: pass")
    fresh.collect(number, until=lambda a: "go" in a.stdout)
    fresh.send(SHUTDOWN, 0, b'{"restart": true}')
    assert fresh.collect(number).reply["ename"] == "KeyboardInterrupt"
    assert fresh.process.wait(30) == 0

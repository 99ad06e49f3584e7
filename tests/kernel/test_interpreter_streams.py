"""stdout and stderr: contents, order, attribution, backpressure."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from kernel.link_peer import DONE, REPLY, STREAM, Answer, Frame, Interpreter


def test_a_text_file(shared: Interpreter) -> None:
    code = """
import io, os, subprocess, sys
assert isinstance(sys.stdout, io.TextIOBase)
assert sys.stdout.write('héé') == 3
sys.stdout.writelines(['a', 'b\\n'])
assert sys.stdout.fileno() == 1 and sys.stderr.fileno() == 2
assert not sys.stdout.isatty() and sys.stdout.writable() and not sys.stdout.readable()
assert sys.stdout.encoding == 'UTF-8' and sys.stdout.errors and sys.stdout.name == '<stdout>'
sys.stdout.buffer.write('€'.encode()[:2]); sys.stdout.buffer.write('€'.encode()[2:] + b'\\xff\\n')
sys.stdout.buffer.flush()
sys.stdout.reconfigure(line_buffering=True)
sys.stdout.close(); assert not sys.stdout.closed
print('x', file=sys.stderr, flush=True)
try: sys.stdout.write(b'bytes')
except TypeError as e: print(e)
print('\\ud800|', end='')
"""
    answer = shared.run(code)
    assert answer.reply["status"] == "ok", answer.reply
    assert answer.stdout == "hééab\n€\ufffd\nwrite() argument must be str, not bytes\n\ufffd|"
    assert answer.stderr == "x\n"


def test_order_of_both_streams_and_displays(shared: Interpreter) -> None:
    code = """
import sys
for i in range(3):
    print('o', i); print('e', i, file=sys.stderr); display(i)
"""
    order = shared.run(code).order[1:-1]
    texts = list(order)
    assert texts == [
        x for i in range(3) for x in (f"stdout:o {i}\n", f"stderr:e {i}\n", "display_data")
    ]


def test_many_lines(shared: Interpreter) -> None:
    answer = shared.run("for i in range(200_000): print(i)")
    assert answer.stdout == "".join(f"{i}\n" for i in range(200_000))
    sizes = [len(f.parts[1]) for f in answer.frames if f.kind == STREAM]
    assert max(sizes) <= 64 * 1024
    assert len(sizes) < 100_000  # lines are gathered; how many depends on the machine's speed


def test_one_large_write(shared: Interpreter) -> None:
    answer = shared.run("print('é€😀' * 500_000)")
    assert answer.stdout == "é€😀" * 500_000 + "\n"


def test_unfinished_lines_leave_while_the_cell_computes(shared: Interpreter) -> None:
    number = shared.start("print('dot', end='')\nwhile True: pass")
    answer = shared.collect(number, until=lambda a: a.stdout == "dot")
    shared.interrupt()
    assert shared.collect(number).reply["ename"] == "KeyboardInterrupt"
    assert answer.stdout == "dot"


@pytest.mark.parametrize(
    "other",
    [
        "subprocess.run(['echo', 'other'])",
        "subprocess.run(['echo', 'other'], stdout=sys.stdout)",
        "os.system('echo other')",
        "subprocess.Popen('echo other', shell=True).wait()",
        "os.waitpid(os.posix_spawnp('echo', ['echo', 'other'], os.environ), 0)",
        "sys.stdout.flush(); libc.puts(b'other'); libc.fflush(None)",
        "sys.stdout.flush(); os.write(1, b'other\\n')",
    ],
)
def test_output_of_others_comes_in_order(shared: Interpreter, other: str) -> None:
    shared.run("import ctypes, os, subprocess, sys; libc = ctypes.CDLL(None)")
    answer = shared.run(f"print('before')\n{other}\nprint('after')")
    assert answer.stdout == "before\nother\nafter\n"
    answer = shared.run(f"{other}\ndisplay(1)")
    assert answer.order[-3:] == ["stdout-pipe:other\n", "display_data", "reply"]


def test_threads_write_with_their_cells_number(fresh: Interpreter) -> None:
    first = fresh.start(
        "import threading, sys\nstop = threading.Event()\n"
        "def work():\n    stop.wait(); print('late')\n"
        "    print('err', file=sys.stderr); display('shown')\n"
        "t = threading.Thread(target=work); t.start()"
    )
    fresh.collect(first)
    seen: list[Frame] = []
    second = fresh.start("print('mine'); stop.set(); t.join()")
    fresh.collect(second, lambda f, _: seen.append(f))
    texts: dict[tuple[int, bytes], bytes] = {}
    for frame in seen:
        if frame.kind == STREAM:
            of = (frame.number, frame.parts[0])
            texts[of] = texts.get(of, b"") + frame.parts[1]
    assert texts == {
        (second, b"stdout"): b"mine\n", (first, b"stdout"): b"late\n", (first, b"stderr"): b"err\n",
    }  # fmt: skip
    assert [f.number for f in seen if f.parts and f.parts[0] == b"display_data"] == [first]


def test_a_thread_without_a_cell_writes_to_the_last_one(fresh: Interpreter) -> None:
    fresh.run(
        "import _thread, threading\ngo = threading.Event(); done = threading.Event()\n"
        "def work(): go.wait(); print('whose'); done.set()\n"
        "_thread.start_new_thread(work, ())"
    )
    number = fresh.start("go.set(); done.wait()")
    answer = fresh.collect(number)
    assert {f.number for f in answer.frames if f.kind == STREAM} == {number}


def test_streams_that_user_code_replaces(shared: Interpreter) -> None:
    code = "import io, sys\nold = sys.stdout\nsys.stdout = io.StringIO()\nprint('away')"
    shared.run(code)
    assert shared.run("print('away too')").stdout == ""
    assert shared.run("text = sys.stdout.getvalue(); sys.stdout = old; print(text)").stdout == (
        "away\naway too\n\n"
    )
    assert (
        shared.run("import contextlib\nwith contextlib.redirect_stdout(None): print(1)").stdout
        == ""
    )
    shared.run("del sys.stdout")
    assert shared.run("1 + 1").result == "2"
    assert shared.run("sys.stdout = old; print('back')").stdout == "back\n"


def test_closed_descriptors(fresh: Interpreter) -> None:
    answer = fresh.run("import os; os.close(1); os.close(2); print('still'); display(1)")
    assert answer.stdout == "still\n"
    assert fresh.run("1 + 1").result == "2"


def test_a_reader_that_stops_makes_the_cell_wait(fresh: Interpreter) -> None:
    """The cell waits at the high-water mark; an interrupt ends it, and nothing written is lost."""
    code = (
        "i = 0\ntry:\n    while True:\n        print(f'{i:099d}'); i += 1\nfinally:\n    last = i"
    )
    number = fresh.start(code)
    full = 0
    while True:  # until the socket is full and stays so
        import select

        waiting = fresh.waiting_bytes()
        if waiting and waiting == full:
            break
        full = waiting
        select.select([], [], [], 0.3)
    fresh.interrupt()
    answer = fresh.collect(number)
    assert answer.reply["ename"] == "KeyboardInterrupt"
    lines = answer.stdout.splitlines()
    assert lines == [f"{i:099d}" for i in range(len(lines))]
    last = int(str(fresh.run("last").result))
    assert last <= len(lines) <= last + 1
    assert len(answer.stdout) < 8_000_000


def test_a_large_display_that_is_interrupted_arrives_whole(fresh: Interpreter) -> None:
    code = (
        "from IPython.display import publish_display_data\n"
        "publish_display_data({'text/plain': 'y' * 30_000_000})"
    )
    number = fresh.start(code)
    while not fresh.waiting_bytes() > 100_000:
        pass
    fresh.interrupt()
    answer = fresh.collect(number)
    assert len(answer.contents("display_data")[0]["data"]["text/plain"]) == 30_000_000
    assert fresh.run("1").result == "1"


@pytest.mark.parametrize("kind", ["thread", "print"])
def test_frames_are_never_torn(fresh: Interpreter, kind: str) -> None:
    code = """
import threading, sys
def work(k):
    for i in range(3000):
        print('t%d' % k, i); display(i) if i % 100 == 0 else None
        if i % 500 == 0: sys.stderr.write('x' * 70000)
ts = [threading.Thread(target=work, args=(k,)) for k in range(4)]
[t.start() for t in ts]; [t.join() for t in ts]
"""
    answer = fresh.run(code)
    assert answer.reply["status"] == "ok"
    assert answer.stderr == "x" * 70000 * 24
    # each of print's writes is whole, and those of different threads may come between them
    printed = "".join(f"t{k} {i}\n" for k in range(4) for i in range(3000))
    assert Counter(answer.stdout) == Counter(printed)
    assert Counter(re.findall("t.", answer.stdout)) == {f"t{k}": 3000 for k in range(4)}
    assert len(answer.contents("display_data")) == 120


def test_text_is_flushed_before_every_answer(shared: Interpreter) -> None:
    answer = shared.run("print('a', end='')")
    assert answer.order == ["execute_input", "stdout:a", "reply"]
    seen: list[Answer] = []
    shared.run("print('b', end=''); 1/0", on_frame=lambda _, a: seen.append(a))
    assert seen[-1].order == ["execute_input", "stdout:b", "error", "reply"]
    number = shared.request("comm_msg", {"comm_id": "nobody", "data": {}})
    frames = shared.collect(number).frames
    assert frames[-1].kind == DONE
    assert REPLY not in [f.kind for f in frames]

"""Python as people use it in notebooks: await, tasks, threads, processes, magics, plots."""

from __future__ import annotations

import base64
import os
import socket
from collections.abc import Iterator

import pytest
from support.client import joined
from support.direct import DirectClient, Kernel


@pytest.fixture
def client(shared_kernel: Kernel) -> Iterator[DirectClient]:
    yield shared_kernel.client()


# code -> what it prints
PRINTS = [
    ("import asyncio\nawait asyncio.sleep(0)\nprint('awaited')", "awaited\n"),
    ("async def f(): return 7\nprint(await f())", "7\n"),
    ("import asyncio\nasync def f(): return 8\nprint(asyncio.run(f()))", "8\n"),
    ("async def g():\n    yield 1\n    yield 2\nasync for i in g(): print(i)", "1\n2\n"),
    ("async def f(n): return n\nprint(await asyncio.gather(f(1), f(2)))", "[1, 2]\n"),
    ("import asyncio\nt = asyncio.create_task(asyncio.sleep(0, 'done'))\nprint(await t)", "done\n"),
    ("import asyncio; print(asyncio.get_running_loop().is_running())\nawait asyncio.sleep(0)",
     "True\n"),
    ("%time x = 1", None),
    ("%timeit -n1 -r1 pass", None),
    ("x = %sql_like_nothing", None),
    ("!echo from the shell", "from the shell\n"),
    ("lines = !printf 'a\\nb'\nprint(list(lines))", "['a', 'b']\n"),
    ("%%bash\necho from bash", "from bash\n"),
    ("%%sh\necho one; echo two", "one\ntwo\n"),
    ("%%capture got\nprint('hidden')", ""),
    ("print(got.stdout)", "hidden\n\n"),
    ("%%python\nprint('another python')", "another python\n"),
    ("%env WC_PROBE=7\n!echo $WC_PROBE", "env: WC_PROBE=7\n7\n"),
    ("%%writefile ~/wc_probe.txt\nline", None),
    ("!cat ~/wc_probe.txt; rm ~/wc_probe.txt", "line\n"),
    ("import os; n = os.system('echo by system')", "by system\n"),
    ("import subprocess; c = subprocess.run(['echo', 'by subprocess'])", "by subprocess\n"),
    ("c = subprocess.run('echo $0 >&2', shell=True)", ""),
    ("import sys; c = subprocess.run(['echo', 'to stdout'], stdout=sys.stdout)", "to stdout\n"),
    ("import ctypes; libc = ctypes.CDLL(None); n = libc.puts(b'from C'); n = libc.fflush(None)",
     "from C\n"),
    ("n = os.write(1, b'by descriptor\\n')", "by descriptor\n"),
    ("print('no newline', end='')", "no newline"),
    ("print('\\x1b[31mred\\x1b[0m \\r\\b ☃ 🎉 \\0')", "\x1b[31mred\x1b[0m \r\b ☃ 🎉 \0\n"),
    ("n = sys.stdout.write('counted'); print(n)", "counted7\n"),
    ("o = sys.stdout; print(o.encoding.lower(), o.isatty(), o.writable())", "utf-8 False True\n"),
    ("sys.stdout.buffer.write(b'by the buffer\\n'); sys.stdout.flush()", "by the buffer\n"),
    ("import logging; logging.warning('logged')", ""),
    ("print(__name__, type(In).__name__, _ih[-1][:5])", "__main__ list print\n"),
    ("print(get_ipython().kernel is not None)", "True\n"),
    ("import faulthandler; print(bool(sys.stderr.fileno()))", "True\n"),
]  # fmt: skip


@pytest.mark.parametrize(("code", "printed"), PRINTS)
def test_prints(client: DirectClient, code: str, printed: str | None) -> None:
    run = client.run(code)
    if "sql_like_nothing" in code:
        assert run.status == "error"
        return
    assert run.status == "ok", run.traceback
    if printed is not None:
        assert run.stdout.replace("\r\n", "\n") == printed


def test_order_of_all_that_writes(client: DirectClient) -> None:
    """Python's own streams, descriptors, children and C keep the order in which the cell wrote."""
    run = client.run(
        "import ctypes, os, subprocess\nlibc = ctypes.CDLL(None)\n"
        "for i in range(20):\n"
        "    print('python', i)\n"
        "    os.write(1, b'descriptor\\n')\n"
        "    libc.puts(b'C'); libc.fflush(None)\n"
        "    subprocess.run(['echo', 'child'])\n"
        "    os.system('echo system')\n"
    )
    expected = [f"python {i}\ndescriptor\nC\nchild\nsystem\n" for i in range(20)]
    assert run.stdout == "".join(expected)


def test_stderr_apart(client: DirectClient) -> None:
    run = client.run(
        "import sys, os, subprocess\nprint('out'); print('err', file=sys.stderr)\n"
        "os.write(2, b'fd 2\\n'); subprocess.run('echo child >&2', shell=True); None"
    )
    assert run.stdout == "out\n"
    assert run.stderr == "err\nfd 2\nchild\n"


def test_output_before_a_display_comes_before_it(client: DirectClient) -> None:
    run = client.run("import os\nfor i in range(5):\n    os.write(1, b'%d' % i); display(i)")
    kinds = [m.msg_type for m in run.outputs]
    assert kinds == ["stream", "display_data"] * 5


def test_a_task_ticks_between_cells(client: DirectClient) -> None:
    client.run(
        "import asyncio, socket\n"
        "async def serve(reader, writer): writer.write(b'tick'); writer.close()\n"
        "server = await asyncio.start_server(serve, '127.0.0.1', 0)\n"
        "print(server.sockets[0].getsockname()[1])"
    )
    run = client.run("print(server.sockets[0].getsockname()[1])")

    for _ in range(3):  # no cell runs while these are answered
        with socket.create_connection(("127.0.0.1", int(run.stdout)), timeout=30) as connection:
            assert connection.recv(10) == b"tick"
    client.run("server.close()")


def test_a_task_writes_to_the_cell_that_started_it(client: DirectClient) -> None:
    first = client.run(
        "gate = asyncio.Event()\nasync def late():\n    await gate.wait(); print('from the task')\n"
        "task = asyncio.create_task(late())"
    )
    second = client.run("gate.set(); await task; print('from the cell')")
    assert second.stdout == "from the cell\n"
    assert client.line(first.msg_id) == "from the task"


def test_a_thread_writes_to_the_cell_that_started_it(client: DirectClient) -> None:
    first = client.run(
        "import threading\ngo = threading.Event()\n"
        "def late():\n    go.wait(); print('from the thread')\n"
        "thread = threading.Thread(target=late); thread.start()"
    )
    second = client.run("print('cell 1'); go.set(); thread.join(); print('cell 2')")
    assert second.stdout == "cell 1\ncell 2\n"
    assert client.line(first.msg_id) == "from the thread"


def test_threads_of_one_cell(client: DirectClient) -> None:
    run = client.run(
        "import sys, threading\ndef work(n):\n    for i in range(200):\n"
        "        sys.stdout.write(f'{n}:{i}\\n')\n"
        "ts = [threading.Thread(target=work, args=(n,)) for n in range(4)]\n"
        "[t.start() for t in ts]; [t.join() for t in ts]; None"
    )
    lines = sorted(line for line in run.stdout.split("\n") if line)
    assert lines == sorted(f"{n}:{i}" for n in range(4) for i in range(200))


def test_fork(client: DirectClient) -> None:
    run = client.run(
        "import os\npid = os.fork()\nif pid == 0:\n    print('child'); os.write(1, b'fd\\n')\n"
        "    import sys; sys.stdout.flush(); os._exit(0)\nos.waitpid(pid, 0); print('parent')"
    )
    assert sorted(run.stdout.split()) == ["child", "fd", "parent"]
    assert client.run("6 * 7").result["text/plain"] == "42"


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_multiprocessing(client: DirectClient, method: str) -> None:
    run = client.run(
        f"import multiprocessing as mp\nwith mp.get_context({method!r}).Pool(2) as p:\n"
        "    r = p.map(abs, [-1, -2, -3])\nr"
    )
    assert run.status == "ok", run.traceback
    assert run.result["text/plain"] == "[1, 2, 3]"


def test_multiprocessing_prints(client: DirectClient) -> None:
    run = client.run(
        "import multiprocessing as mp, sys\ndef work(i): sys.stdout.write(f'worker {i}\\n')\n"
        "ps = [mp.get_context('fork').Process(target=work, args=(i,)) for i in range(3)]\n"
        "[p.start() for p in ps]; [p.join() for p in ps]; None"
    )
    assert sorted(run.stdout.splitlines()) == ["worker 0", "worker 1", "worker 2"]


def test_a_plot_is_inline_without_being_asked(client: DirectClient) -> None:
    run = client.run("import matplotlib.pyplot as plt\nplt.plot([1, 3, 2]); plt.title('t')")
    (shown,) = run.of("display_data")
    png = base64.b64decode(shown.content["data"]["image/png"])
    assert png.startswith(b"\x89PNG")
    assert "Figure size" in shown.content["data"]["text/plain"]
    assert not client.run("1").of("display_data"), "a figure is closed with its cell"


def test_plot_formats(client: DirectClient) -> None:
    client.run("import matplotlib_inline\n"
               "matplotlib_inline.backend_inline.set_matplotlib_formats('svg')")  # fmt: skip
    (shown,) = client.run("plt.plot([1, 2]); plt.show()").of("display_data")
    assert "<svg" in shown.content["data"]["image/svg+xml"]
    client.run("matplotlib_inline.backend_inline.set_matplotlib_formats('png')")


def test_switching_the_backend(client: DirectClient) -> None:
    assert client.run("%matplotlib agg").status == "ok"
    assert not client.run("plt.plot([1, 2]); plt.show()").of("display_data")
    assert client.run("%matplotlib inline").status == "ok"
    assert client.run("plt.plot([1, 2]); plt.show()").of("display_data")


RESULTS = [
    ("import pandas as pd; pd.DataFrame({'a': [1, 2]})", "text/html", "<table"),
    ("from IPython.display import Markdown; Markdown('# x')", "text/markdown", "# x"),
    ("from IPython.display import Latex; Latex('$x$')", "text/latex", "$x$"),
    ("from IPython.display import JSON; JSON({'a': 1})", "application/json", None),
    ("from IPython.display import SVG; SVG('<svg xmlns=\"http://www.w3.org/2000/svg\"/>')",
     "image/svg+xml", "<svg"),
    ("from IPython.display import Javascript; Javascript('1')", "application/javascript", "1"),
    ("class Own:\n  def _repr_mimebundle_(self, **k): return {'x/y': 'own'}\nOwn()", "x/y", "own"),
]  # fmt: skip


@pytest.mark.parametrize(("code", "mime", "part"), RESULTS)
def test_rich_results(client: DirectClient, code: str, mime: str, part: str | None) -> None:
    data = client.run(code).result
    assert mime in data
    if part is not None:
        assert part in data[mime]


def test_display_ids(client: DirectClient) -> None:
    run = client.run("handle = display('one', display_id='my-id'); handle.update('two')")
    shown, updated = run.of("display_data", "update_display_data")
    assert shown.msg_type == "display_data"
    assert updated.msg_type == "update_display_data"
    for message in (shown, updated):
        assert message.content["transient"] == {"display_id": "my-id"}
    assert updated.content["data"]["text/plain"] == "'two'"
    (later,) = client.run("handle.update('three')").of("update_display_data")
    assert later.content["transient"] == {"display_id": "my-id"}


def test_clear_output(client: DirectClient) -> None:
    run = client.run(
        "from IPython.display import clear_output\n"
        "print('a'); clear_output(wait=True); print('b'); clear_output()"
    )
    kinds = [(m.msg_type, m.content.get("wait")) for m in joined(run.outputs)]
    assert kinds == [("stream", None), ("clear_output", True), ("stream", None),
                     ("clear_output", False)]  # fmt: skip


def test_carriage_returns_stay(client: DirectClient) -> None:
    run = client.run(
        "import sys\nfor i in range(3):\n    sys.stdout.write(f'\\r{i}'); sys.stdout.flush()"
    )
    assert run.stdout == "\r0\r1\r2"


def test_modules_of_ipykernel_that_others_use(client: DirectClient) -> None:
    """Third parties reach for these without asking which kernel runs."""
    run = client.run(
        "ip = get_ipython()\nimport sys\n"
        "print(bool(ip.kernel.comm_manager), callable(ip.set_parent), bool(ip.get_parent()))\n"
        "print(ip.get_parent()['header']['msg_type'], hasattr(ip.display_pub, 'register_hook'))"
    )
    assert run.stdout == "True True True\nexecute_request True\n"


def test_tracebacks_name_the_cell(client: DirectClient) -> None:
    client.run("def broken():\n    return 1 / 0")
    run = client.run("broken()")
    assert "return 1 / 0" in run.traceback
    assert "ZeroDivisionError: division by zero" in run.traceback


def test_exceptions_in_tasks_and_threads_are_seen(client: DirectClient) -> None:
    run = client.run(
        "import threading\nt = threading.Thread(target=lambda: 1 / 0); t.start(); t.join()"
    )
    assert "ZeroDivisionError" in run.stderr
    assert run.status == "ok"


def test_dunder_file_and_cwd(kernelspec: str, tmp_path: object) -> None:
    with Kernel(kernelspec, cwd=str(tmp_path)) as kernel:
        client = kernel.client()
        assert client.run("import os; print(os.getcwd())").stdout == f"{tmp_path}\n"
        client.run("open('mod_here.py', 'w').write('value = 3')")
        assert client.run("import mod_here; mod_here.value").result["text/plain"] == "3"


def test_environment_of_the_launcher(kernelspec: str) -> None:

    with Kernel(kernelspec, env=os.environ | {"WC_GIVEN": "yes"}) as kernel:
        client = kernel.client()
        assert client.run("import os; print(os.environ['WC_GIVEN'])").stdout == "yes\n"
        assert client.run("import sys; print(sys.executable)").stdout.strip().startswith("/")
        assert client.run("!echo $WC_GIVEN").stdout.split() == ["yes"]

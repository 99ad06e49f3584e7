"""The hazards of forking a warm interpreter: what a fork must not have from it, and what must work
in it as after a start. That it is an interpreter at all, the other files of this folder test."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kernel.forks import ForkRefused, ForkServer, Namespaces, sealed_environment
from kernel.interpreters import environment, spawn, start
from kernel.link_peer import SHUTDOWN, Interpreter
from support import processes
from support.programs import Programs

Forks = Callable[..., Interpreter]
Servers = Callable[..., ForkServer]


@pytest.fixture
def servers(programs: Programs) -> Iterator[Servers]:
    """Fork servers of the test's own, which end with it."""
    started: list[ForkServer] = []

    def starter(*arguments: str, **options: Any) -> ForkServer:
        env = {**environment("forked", programs), **options.pop("env", {})}
        started.append(ForkServer(programs, *arguments, env=env, **options))
        return started[-1]

    yield starter
    for server in started:
        server.close()


@pytest.fixture
def forks(programs: Programs) -> Iterator[Forks]:
    """Forks: of the server given, else of the one that all tests share."""
    made: list[Interpreter] = []

    def fork(server: ForkServer | None = None, **options: Any) -> Interpreter:
        if server is None:
            made.append(spawn("forked", programs, **options))
        else:
            made.append(Interpreter([], env=server.env, forks=server, **options))
        made[-1].wait_ready()
        return made[-1]

    yield fork
    for interpreter in made:
        interpreter.close()


def value(interpreter: Interpreter, code: str) -> Any:
    """What the last line of code gives, by way of JSON."""
    *lines, last = code.splitlines()
    answer = interpreter.run("\n".join(["import json", *lines, f"print(json.dumps({last}))"]))
    assert answer.reply["status"] == "ok", answer.reply
    return json.loads(answer.stdout)


def module(folder: Path, text: str) -> dict[str, str]:
    """The environment in which ``import wrong`` gets a module with this text."""
    (folder / "wrong.py").write_text(text)
    return {"PYTHONPATH": str(folder)}


def private_mb(pid: int) -> float:
    rows = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    sizes = {name: int(rest.split()[0]) for name, rest in (row.split(":") for row in rows)}
    return sizes["Private_Dirty"] / 1024


# --- as new


STATE = """
import sys, random
def state():
    import linecache, __main__
    shell = get_ipython()
    history = shell.history_manager
    return {
        'names': sorted(globals()),
        'hidden': sorted(shell.user_ns_hidden),
        'in': list(In), 'out': dict(Out), 'dh': [str(d) for d in _dh],
        'last': [repr(globals().get(name)) for name in ('_', '__', '___', '_i', '_ii', '_iii')],
        'count': shell.execution_count,
        'session': history.session_number,
        'caught': [name for name in dir(sys) if name.startswith('last_')],
        'main': __main__ is shell.user_module and __main__.__dict__ is globals(),
        'argv': sys.argv, 'path': sys.path, 'sigint': str(__import__('signal').getsignal(2)),
        'cells': [name for name in linecache.cache if 'ipykernel_' in name][1:],
        'folders': [shell.ipython_dir, shell.profile_dir.location, shell.home_dir],
        'streams': [type(s).__name__ for s in (sys.stdout, sys.stderr)],
        'outputs': len(history.outputs), 'payload': shell.payload_manager.read_payload(),
    }
state()
"""


def test_a_fork_is_as_an_interpreter_that_was_just_started(
    programs: Programs, tmp_path: Path
) -> None:
    seen = []
    for entry in ("embedded", "forked"):
        hello = {"cwd": str(tmp_path), "history": {"file": None, "session": 7}}
        interpreter = start(entry, programs, hello=hello)
        seen.append(value(interpreter, STATE.strip()))
        interpreter.close()
    assert seen[0]["session"] == 7
    assert seen[1] == seen[0]


def faults(pid: int) -> int:
    """How often it got a page, or one of its own in place of a shared one."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[7])


class Still:
    """Has it got no page for some time? It begins to rehearse when it was asked nothing for 20 ms;
    that it did, nothing tells: its memory is as after a first cell then."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.seen: list[int] = []

    def __call__(self) -> bool:
        self.seen.append(faults(self.pid))
        return len(self.seen) > 12 and len(set(self.seen[-8:])) == 1


def test_what_a_fork_rehearses_cannot_be_seen(programs: Programs, tmp_path: Path) -> None:
    """A fork that nobody asks anything runs cells of its own, so that it has its pages by then."""
    seen = []
    for entry in ("embedded", "forked"):
        hello = {"cwd": str(tmp_path), "history": {"file": None, "session": 7}}
        interpreter = start(entry, programs, hello=hello)
        if entry == "forked":
            processes.until(Still(interpreter.process.pid), "a rehearsal that is over")
        answer = interpreter.run("print(1)\n2")
        told = [kind for kind, _ in answer.published]
        state = value(interpreter, STATE.strip())
        state["cells"] = len(state["cells"])  # their names have a pid
        seen.append((told, answer.stdout, state))
        interpreter.close()
    assert seen[1] == seen[0]


def test_nothing_was_plotted_and_plots_go_where_they_should(forks: Forks) -> None:
    fork = forks()
    assert value(fork, "import matplotlib.pyplot as plt\nplt.get_fignums()") == []
    plotted = fork.run("plt.plot([1, 2]);")
    assert [sorted(c["data"]) for c in plotted.contents("display_data")] == [
        ["image/png", "text/plain"]
    ]
    other = forks(env={"MPLBACKEND": "agg"})
    assert other.run("import matplotlib.pyplot as plt\nplt.plot([1, 2]);").published[1:] == []
    assert value(other, "import matplotlib\nmatplotlib.get_backend()") == "agg"
    assert value(other, "plt.get_fignums()") == [1]


def test_modules_are_there_and_errors_are_fast_to_show(forks: Forks) -> None:
    fork = forks()
    wanted = ("numpy", "pandas", "matplotlib.pyplot", "stack_data", "matplotlib_inline")
    assert value(fork, f"import sys\n[name in sys.modules for name in {wanted}]") == [True] * 5
    assert fork.run("1 / 0").error["ename"] == "ZeroDivisionError"


# --- its own process


def test_it_is_a_process_of_its_own_and_the_keepers(forks: Forks) -> None:
    fork = forks()
    code = "import os, threading\n[os.getpid(), os.getsid(0), os.getpgid(0), os.getppid(), \
threading.get_native_id(), threading.main_thread().ident == threading.get_ident()]"
    pid = fork.process.pid
    assert value(fork, code) == [pid, pid, pid, os.getpid(), pid, True]
    assert umask_of(pid) == "0022"


def test_libc_knows_on_which_processor_a_fork_runs(forks: Forks) -> None:
    """What libc reads from restartable sequences is stale unless they were registered again."""
    code = """
import os, ctypes
libc = ctypes.CDLL(None)
def moved(cpu):
    os.sched_setaffinity(0, {cpu})
    return libc.sched_getcpu()
[moved(cpu) == cpu for cpu in sorted(os.sched_getaffinity(0))]"""
    assert all(value(forks(), code))


def test_no_descriptor_of_the_server_is_in_a_fork(servers: Servers, forks: Forks) -> None:
    server = servers()
    first = forks(server)
    first.run("1")
    folder = f"/proc/{first.process.pid}/fd"
    names = [str(Path(folder, number).readlink()) for number in os.listdir(folder)]
    servers_own = str(Path(f"/proc/{server.process.pid}/fd/3").readlink())
    assert servers_own.startswith("socket:")
    assert servers_own not in names
    kinds = sorted({name.partition(":")[0] for name in names})
    assert kinds == ["/dev/null", "anon_inode", "pipe", "socket"], names
    assert str(Path(folder, "0").readlink()) == "/dev/null"
    # the link, and the two of the asyncio loop
    assert sum(name.startswith("socket") for name in names) == 3
    assert sum(name == "/dev/null" for name in names) == 1


def test_what_a_module_left_open_closes_nothing_in_a_fork(
    servers: Servers, forks: Forks, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("not for forks")
    env = module(tmp_path, f"file = open({str(secret)!r})\n")
    server = servers("--preload", "wrong", env=env)
    assert str(secret) in server.warm["failed"]["descriptors"]
    fork = forks(server)
    code = f"""
import os, wrong
number = wrong.file.fileno()
there = os.readlink(f'/proc/self/fd/{{number}}')
pipe = os.pipe()
wrong.file.close()
[there, len(os.read(pipe[0], os.write(pipe[1], b'still open'))), {str(secret)!r}]"""
    assert value(fork, code)[:2] == ["/dev/null", 10]


def test_signals_are_as_after_a_start(servers: Servers, forks: Forks) -> None:
    """A server that was started with SIGINT ignored and others blocked passes neither on."""

    def ignore() -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1, signal.SIGINT})

    fork = forks(servers(preexec_fn=ignore))
    code = """
import signal
blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
[signal.getsignal(signal.SIGTERM) == signal.SIG_DFL, len(blocked)]"""
    assert value(fork, code) == [True, 0]
    cell = "import time\nprint('in')\ntime.sleep(600)"
    interrupted = fork.run(cell, on_frame=fork.interrupt_when("in"))
    assert interrupted.reply["ename"] == "KeyboardInterrupt"


def test_the_server_may_end_and_its_forks_stay(servers: Servers, forks: Forks) -> None:
    killed, ended = servers(), servers()
    survivors = [forks(killed), forks(ended)]
    killed.process.kill()
    ended.sock.close()
    assert killed.process.wait(30) == -signal.SIGKILL
    assert ended.process.wait(30) == 0
    for survivor in survivors:
        assert survivor.run("6 * 7").result == "42"
        assert survivor.run("!echo alive").stdout.strip() == "alive"


def umask_of(pid: int) -> str:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(line.split()[1] for line in lines if line.startswith("Umask:"))


def test_a_fork_is_in_the_namespaces_and_confined_before_it_runs(
    servers: Servers, forks: Forks
) -> None:
    server = servers()
    with Namespaces() as there:
        server.confined(there)
        fork = forks(server)
        code = "import os\n[os.readlink(f'/proc/self/ns/{n}') for n in KINDS]"
        seen = value(fork, code.replace("KINDS", repr(Namespaces.KINDS)))
        assert seen == there.names()
        code = """
import os, resource, socket
status = dict(line.split(':', 1) for line in open('/proc/self/status'))
flags = [status[name].strip() for name in ('NoNewPrivs', 'Seccomp', 'CapBnd', 'CapEff')]
own = os.getpid() == int(status['NSpid'].split()[-1]) and os.listdir('/proc/self/fd') != []
files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
[*flags, own, files, socket.if_nameindex(), os.getppid()]"""
        assert value(fork, code) == ["1", "2", "0" * 16, "0" * 16, True, 100, [[1, "lo"]], 0]
        pool = "import multiprocessing as m\nwith m.Pool(2) as p: r = p.map(abs, [1, -2])\nr"
        assert value(fork, pool) == [1, 2]
        assert fork.run("import matplotlib.pyplot as p; p.plot([1]);").order[-2] == "display_data"


# --- its own environment


def test_the_environment_is_the_one_given_and_no_other(servers: Servers, forks: Forks) -> None:
    server = servers(env={"OF_THE_SERVER": "1"})
    given = {name: value for name, value in server.env.items() if name != "OF_THE_SERVER"}
    fork = Interpreter([], env=None, forks=server, whole_env={**given, "GIVEN": "é", "EMPTY": ""})
    fork.wait_ready()
    code = """
import os, subprocess
names = ['OF_THE_SERVER', 'GIVEN', 'EMPTY', 'OPENBLAS_NUM_THREADS', 'MPLBACKEND', 'TERM']
[[os.environ.get(n) for n in names], subprocess.run('echo $OF_THE_SERVER$GIVEN', shell=True,
 capture_output=True, text=True).stdout]"""
    inline = "module://matplotlib_inline.backend_inline"
    flat = code.replace("\n subprocess", " subprocess").replace(",\n capture", ", capture")
    assert value(fork, flat) == [[None, "é", "", None, inline, "xterm-color"], "é\n"]
    # what the kernel shows of a fork's environment is the server's: it may hold no secret
    assert b"OF_THE_SERVER=1" in Path(f"/proc/{fork.process.pid}/environ").read_bytes()
    assert b"GIVEN" not in Path(f"/proc/{fork.process.pid}/environ").read_bytes()
    fork.close()


def test_places_follow_the_environment(forks: Forks, tmp_path: Path) -> None:
    home, path = tmp_path / "home", tmp_path / "path"
    home.mkdir()
    path.mkdir()
    (path / "of_python_path.py").write_text("here = 1\n")
    (home / "ml").mkdir()
    (home / "ml" / "matplotlibrc").write_text("lines.linewidth: 7\n")
    fork = forks(
        env={
            "HOME": str(home),
            "IPYTHONDIR": str(home / "ip"),
            "MPLCONFIGDIR": str(home / "ml"),
            "TZ": "Asia/Kathmandu",
            "PYTHONPATH": str(path),
            "TMPDIR": str(home),
        }
    )
    assert value(fork, "import os\nos.path.expanduser('~')") == str(home)
    code = "import matplotlib\n[matplotlib.get_configdir(), matplotlib.rcParams['lines.linewidth']]"
    assert value(fork, code) == [str(home / "ml"), 7.0]
    code = "[get_ipython().ipython_dir, get_ipython().profile_dir.location, get_ipython().home_dir]"
    assert value(fork, code) == [str(home / "ip"), str(home / "ip/profile_default"), str(home)]
    assert value(fork, "import time\n[time.timezone, time.localtime(0).tm_hour]") == [-20700, 5]
    assert value(fork, "import of_python_path\nof_python_path.here") == 1
    assert value(fork, "import tempfile\ntempfile.gettempdir()") == str(home)


def test_a_temporary_folder_of_the_server_stays_its_own(
    servers: Servers, forks: Forks, tmp_path: Path
) -> None:
    """matplotlib makes one where it finds no place to write, and removes it at its exit."""
    homeless = {"HOME": "/proc/none", "XDG_CACHE_HOME": "", "XDG_CONFIG_HOME": ""}
    server = servers(env={**homeless, "MPLCONFIGDIR": "/proc/none", "TMPDIR": str(tmp_path)})
    first, second = forks(server), forks(server)
    code = "import matplotlib\n[matplotlib.get_configdir(), matplotlib.get_cachedir()]"
    used = [*value(first, code), *value(second, code)]
    assert len(set(used)) == 2, used
    first.send(SHUTDOWN, 0, b'{"restart": false}')
    assert first.process.wait(30) == 0
    assert not Path(used[0]).exists()
    assert Path(used[-1]).exists()
    assert len(list(tmp_path.glob("matplotlib-*"))) == 2
    server.sock.close()
    assert server.process.wait(30) == 0
    assert list(tmp_path.glob("matplotlib-*")) == [Path(used[-1])]


def test_a_variable_that_only_a_start_can_follow_is_refused(forks: Forks) -> None:
    for name in ("PYTHONHASHSEED", "LD_PRELOAD"):
        with pytest.raises(ForkRefused, match=f"{name} takes effect only at a start"):
            forks(env={name: "0"})
    assert forks().run("1 + 1").result == "2"


def test_siblings_draw_different_numbers(forks: Forks) -> None:
    code = """
import random, uuid, secrets, multiprocessing, tempfile
import numpy as np
[random.random(), float(np.random.rand()), float(np.random.default_rng().random()), \
uuid.uuid4().hex, uuid.uuid1().hex, secrets.token_hex(8), tempfile.mktemp(), \
bytes(multiprocessing.current_process().authkey).hex()]"""
    drawn = [value(forks(), code) for _ in range(3)]
    for numbers in zip(*drawn, strict=True):
        assert len(set(numbers)) == 3, numbers


# --- threads and memory


def test_a_start_without_a_fork_gets_as_many_threads(programs: Programs) -> None:
    cold = start("embedded", programs, env={"WARMCELL_CPUS": "1"})
    assert (
        value(cold, "import numpy as np\nfloat((np.ones((9, 9)) @ np.ones((9, 9))).sum())") == 729
    )
    assert threads(cold.process.pid) == 2
    cold.close()


def threads(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/task"))


@pytest.mark.parametrize(
    ("env", "count"),
    [
        ({"WARMCELL_CPUS": "1"}, 1),
        ({"WARMCELL_CPUS": "3"}, 3),
        ({"WARMCELL_CPUS": "3", "OPENBLAS_NUM_THREADS": "2"}, 2),
    ],
)
def test_numerical_libraries_get_their_threads_after_the_fork(
    forks: Forks, env: dict[str, str], count: int
) -> None:
    fork = forks(env=env)
    code = "import numpy as np\na = np.ones((400, 400))\nfloat((a @ a).sum())"
    assert value(fork, code) == 400.0**3
    told = value(fork, "import os\nos.environ['OPENBLAS_NUM_THREADS']")
    assert told == str(count)
    assert threads(fork.process.pid) == count + 1  # and the one that watches the link


def test_a_server_with_threads_refuses(servers: Servers, forks: Forks, tmp_path: Path) -> None:
    text = "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()"
    server = servers("--preload", "wrong", env=module(tmp_path, text))
    with pytest.raises(ForkRefused, match="has 2 threads"):
        forks(server)


def test_most_of_the_memory_stays_shared(forks: Forks) -> None:
    """Without gc.freeze() a collection alone writes to some 40 MB."""
    fork = forks()
    fork.run("1 + 1")
    at_first = private_mb(fork.process.pid)
    fork.run("import gc\ngc.collect()")
    collected = private_mb(fork.process.pid)
    fork.run("import matplotlib.pyplot as plt\nplt.plot([1, 2]);")
    plotted = private_mb(fork.process.pid)
    assert at_first < 15, at_first
    assert collected - at_first < 5, (at_first, collected)
    assert plotted < 40, plotted


# --- the server


def test_a_module_that_cannot_be_imported_is_told(servers: Servers, forks: Forks) -> None:
    server = servers("--preload", "json, no_such_module", "--warm-up", "none")
    assert list(server.warm["failed"]) == ["no_such_module"]
    assert "ModuleNotFoundError" in server.warm["failed"]["no_such_module"]
    assert server.warm["modules"] > 100
    fork = forks(server)
    assert value(fork, "import sys\n'numpy' in sys.modules") is False
    assert fork.run("1 + 1").result == "2"


def test_the_servers_folder_is_not_searched(servers: Servers, tmp_path: Path) -> None:
    module(tmp_path, "here = 1\n")
    server = servers("--preload", "wrong", "--warm-up", "none", cwd=tmp_path)
    assert "No module named 'wrong'" in server.warm["failed"]["wrong"]


def test_an_own_warm_up_cell(servers: Servers, forks: Forks, tmp_path: Path) -> None:
    cell = tmp_path / "cell.py"
    cell.write_text("import colorsys\nleft_over = 1\nprint('said')\n1 / 1\n")
    server = servers("--preload", "", "--warm-up", str(cell))
    assert server.warm["failed"] == {}
    fork = forks(server)
    code = "import sys\n['colorsys' in sys.modules, 'left_over' in globals(), len(Out)]"
    assert value(fork, code) == [True, False, 0]
    cell.write_text("undefined_name")
    told = servers("--preload", "", "--warm-up", str(cell)).warm["failed"]
    assert told == {"warm-up": "NameError: name 'undefined_name' is not defined"}


def test_a_library_that_changed_on_disk(servers: Servers, forks: Forks, tmp_path: Path) -> None:
    env = module(tmp_path, "version = 1\n")
    server = servers("--preload", "wrong", env=env)
    module(tmp_path, "version = 22\n")
    with pytest.raises(ForkRefused, match=r"wrong\.py was changed"):
        forks(server)
    with pytest.raises(ForkRefused, match=r"wrong\.py was changed"):
        forks(server)
    assert len(server.told_stale) == 1


def test_a_configuration_that_changed_on_disk(
    servers: Servers, forks: Forks, tmp_path: Path
) -> None:
    (tmp_path / "profile_default").mkdir()
    server = servers(env={"IPYTHONDIR": str(tmp_path)})
    (tmp_path / "profile_default" / "ipython_config.py").write_text("c = get_config()\n")
    with pytest.raises(ForkRefused, match=r"ipython_config\.py was changed"):
        forks(server)


def test_orders_that_are_wrong_are_refused_and_do_no_harm(servers: Servers, forks: Forks) -> None:
    server = servers("--preload", "", "--warm-up", "none")
    null, env = os.open(os.devnull, os.O_RDWR), sealed_environment(server.env)
    confine = {"uid": 0, "gid": 0, "landlock": False, "seccomp": False}
    for body, count, said in (
        ({"confine": None}, 0, "5 descriptors are required"),
        ({"confine": None}, 4, "5 descriptors are required"),
        ({"confine": None}, 7, "7 descriptors came, not 5"),
        ({"confine": confine}, 5, "5 descriptors came, not 11"),
        ({"confine": {**confine, "uid": -1}}, 11, "uid: out of range"),
        ({"confine": {"uid": 0, "gid": 0}}, 11, "landlock: is required"),
        ({"confine": {**confine, "rlimits": [[1, 2]]}}, 11, "rlimits: must be"),
        ({"confine": {**confine, "rlimits": [[7, 1, 1]] * 13}}, 11, "rlimits: must be"),
        ({"confine": 5}, 5, "confine: must be"),
        ({"cwd": 5}, 5, "cwd: must be"),
        ({"umask": 512}, 5, "umask: out of range"),
    ):
        fds = [null] * count
        if count > 4:
            fds[4] = env
        server.ask(body, fds)
        with pytest.raises(ForkRefused, match=said):
            server.answer()
    os.close(null)
    os.close(env)
    assert forks(server).run("1 + 1").result == "2"


def test_a_fork_that_cannot_settle_says_why_and_ends(servers: Servers) -> None:
    server = servers("--preload", "", "--warm-up", "none")
    null = os.open(os.devnull, os.O_RDWR)
    read, write = os.pipe()
    fork = server.fork([null, null, write, null], server.env, "/no/such/folder")
    os.close(write)
    with os.fdopen(read, encoding="utf-8") as said:
        assert "cannot start: chdir: No such file or directory" in said.read()
    assert fork.wait(30) == 126
    processes.disown(fork.pid)
    os.close(null)


def test_forks_leave_nothing_in_the_server(servers: Servers, forks: Forks) -> None:
    server = servers("--preload", "", "--warm-up", "none")
    pid = server.process.pid

    def what_is_there() -> tuple[list[str], int]:
        server.ask({"cwd": 5}, [])  # it has done with what came before when it answers this
        with pytest.raises(ForkRefused):
            server.answer()
        return sorted(os.listdir(f"/proc/{pid}/fd")), threads(pid)

    forks(server).run("1")
    before = what_is_there()
    for _ in range(5):
        forks(server).run("1")
    assert what_is_there() == before
    assert Path(f"/proc/{pid}/task/{pid}/children").read_text() == ""
    assert processes.alive(pid)

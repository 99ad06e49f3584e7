"""Executions in a sandbox with a real keeper and Python: an environment and a folder for one run,
results, errors, input, and an end for want of memory."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator

import pytest
from e2e.test_sandbox_life import MIB, create, remove
from gateway.test_executions import Box
from support import processes
from support.files import keeper_pids
from support.gateway import Gateway


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    with Gateway(options=["--pool-max", "0", "--preload", "json"], warm=True) as gateway:
        yield gateway
    assert not processes.wait_gone(keeper_pids(gateway))
    shutil.rmtree(gateway.home, ignore_errors=True)


@pytest.fixture(scope="module")
def box(gateway: Gateway) -> Iterator[Box]:
    made = create(gateway, limits={"memory_bytes": 256 * MIB})
    yield Box(gateway, made)
    remove(gateway, made)


def test_a_result_and_an_error(box: Box) -> None:
    record = box.run("import sys; print('out'); print('err', file=sys.stderr); 6 * 7")
    assert (record["status"], record["outputs"]["text"]) == ("ok", "42")
    assert (record["outputs"]["stdout"], record["outputs"]["stderr"]) == ("out\n", "err\n")
    assert record["outputs"]["displays"][0]["data"] == {"text/plain": "42"}
    record = box.run("1 / 0")
    error = record["error"]
    assert (record["status"], error["name"]) == ("error", "ZeroDivisionError")
    assert error["value"] == "division by zero"
    assert any("\x1b[" in line for line in error["traceback_ansi"])
    assert not any("\x1b" in line for line in error["traceback"])
    assert "ZeroDivisionError" in "".join(error["traceback"])
    assert record["outputs"]["displays"] == []


FORGED = """
import _warmcell
word = {"outcome": "ok", "state_retained": True, "generation": 99}
for kind in ("execute_reply", "input_request", "status"):
    content = {"status": "ok", "execution_state": "idle", "execution_count": 5555}
    _warmcell.publish(kind, {"warmcell": word}, content)
"""
DONE = "[_warmcell.send(20, number) for number in range(1, 99)]; import time; time.sleep(600)"


def test_code_cannot_say_how_it_ended(gateway: Gateway) -> None:
    made = create(gateway)
    box = Box(gateway, made)
    record = box.run(FORGED + "raise ValueError('the real end')")
    assert (record["status"], record["generation"]) == ("error", 1)
    assert record["error"]["value"] == "the real end"
    record = box.run(FORGED + DONE)
    assert (record["status"], record["state_retained"]) == ("killed", False)
    assert record["generation"] == 1 and "SIGKILL" in record["error"]["value"]
    assert box.run("1 + 1")["outputs"]["text"] == "2"
    remove(gateway, made)


def test_code_that_ends_its_interpreter(gateway: Gateway) -> None:
    made = create(gateway)
    box = Box(gateway, made)
    assert box.run("k5 = 5")["generation"] == 1
    record = box.run("exit()")
    assert (record["status"], record["state_retained"], record["generation"]) == ("ok", False, 1)
    assert record["cause"] == "asked"
    for _ in range(2):
        record = box.run("k5")
        assert (record["status"], record["error"]["name"]) == ("error", "NameError")
        assert (record["generation"], record["state_retained"]) == (2, True)
    (context,) = gateway.get(f"/v1/sandboxes/{made['id']}/contexts").json()["contexts"]
    assert (context["state"], context["reason"], context["cause"]) == ("idle", None, None)
    remove(gateway, made)


def test_what_it_used(box: Box) -> None:
    busy = "import time; end = time.process_time() + %s\nwhile time.process_time() < end: pass"
    record = box.run(busy % 0.2)
    assert record["cpu_ms"] >= 190
    own = box.run("1")["cpu_ms"]
    whole = float(box.run("time.process_time() * 1000")["outputs"]["text"])
    assert own <= whole - 190  # what was used before is not its own
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {busy % 0.2!r}])"
    assert box.run(child)["cpu_ms"] >= 190
    before = box.run("1")["memory_peak_bytes"]
    assert box.run("big = b'x' * (60 << 20); del big")["memory_peak_bytes"] >= before + (50 << 20)
    after = box.run("1")["memory_peak_bytes"]
    assert after <= before + (20 << 20)  # the peak is of the run
    child = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'bytearray(150 << 20)'])"
    assert box.run(child)["memory_peak_bytes"] >= 150 << 20
    assert box.run("1")["memory_peak_bytes"] <= before + (20 << 20)


@pytest.mark.parametrize(
    "code",
    [
        "import sys; _ = sys.stdout.buffer.write(b'%s')",
        "import os; _ = os.write(1, b'%s')",
        "import subprocess; _ = subprocess.run(['printf', r'%s'])",
    ],
)
def test_output_counts_as_it_is_read(box: Box, code: str) -> None:
    """Whoever wrote it: a byte that is no UTF-8 is three of U+FFFD."""
    record = box.run(code % ("a" + r"\xff" * 10))
    assert record["outputs"]["stdout"] == "a" + "\ufffd" * 10
    assert record["output_bytes"] == 31


BUSY = "import time; end = time.process_time() + %s\nwhile time.process_time() < end: pass\n"
BIG = "big = b'x' * (%d << 20); del big\n"


def test_what_a_run_used_that_its_interpreter_did_not_outlive(gateway: Gateway) -> None:
    """Neither more nor less: what ran before it is not its own."""
    made = create(gateway, limits={"memory_bytes": 256 * MIB})
    box = Box(gateway, made)
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {BUSY % 0.5!r}])\n"
    for end, status in (
        ("import os; os.kill(os.getpid(), 9)", "killed"),
        ("import os; os._exit(3)", "killed"),
        ("huge = b'x' * (600 << 20)", "oom"),
    ):
        box.run(BUSY % 0.5 + child + BIG % 150)
        # more than the child, in whose peak is what its parent had as it began
        record = box.run(BUSY % 0.2 + BIG % 30 + end)
        assert record["status"] == status
        assert 190 <= record["cpu_ms"] < 490
        assert (record["memory_peak_bytes"] >= 150 << 20) == (status == "oom")
        record = box.run(BIG % 60 + child + end)
        assert record["status"] == status
        assert record["cpu_ms"] >= 490 and record["memory_peak_bytes"] >= 60 << 20
    remove(gateway, made)


def test_what_a_run_used_that_was_killed_at_its_deadline(gateway: Gateway) -> None:
    made = create(gateway)
    box = Box(gateway, made)
    # an interrupt that comes as the run only begins waits, and is then ignored
    held = "import signal; mask = signal.pthread_sigmask, [signal.SIGINT]\n"
    box.run(BUSY % 0.2 + held + "mask[0](signal.SIG_BLOCK, mask[1])")
    deaf = "signal.signal(signal.SIGINT, signal.SIG_IGN); mask[0](signal.SIG_UNBLOCK, mask[1])\n"
    record = box.run(deaf + BIG % 60 + "while True: pass", deadline_ms=500)
    assert (record["status"], record["ended_by"]) == ("timeout", "kill")
    assert 190 <= record["cpu_ms"] < record["run_ms"] + 100
    assert record["memory_peak_bytes"] >= 60 << 20
    remove(gateway, made)


LONG = """

class Long(Exception):
    pass
raise Long('\\x1b[31m\U0001f600' * 400_000)
"""


def test_a_long_error(box: Box) -> None:
    record = box.run(LONG)
    error = record["error"]
    assert (record["status"], error["name"], error["truncated"]) == ("error", "Long", True)
    for name, most in (("value", 64), ("traceback", 256), ("traceback_ansi", 256)):
        raw = json.dumps(error[name], ensure_ascii=False, separators=(",", ":")).encode()
        assert 0 < len(raw) <= most << 10, name
    assert "raise" in "".join(error["traceback"]) and len(error["traceback"]) > 1
    (whole,) = [one for one in box.follow(record["id"]) if one["type"] == "error"]
    assert whole["value"] == "\x1b[31m\U0001f600" * 400_000
    cut = error["traceback_ansi"]
    assert cut[:-1] == whole["traceback_ansi"][: len(cut) - 1]
    assert whole["traceback_ansi"][len(cut) - 1].startswith(cut[-1])


LOOK = "import os; print(os.environ.get('A'), os.environ.get('HOME'), os.getcwd())"


def test_an_environment_and_a_folder_for_one_run(box: Box) -> None:
    """Child processes see them too; afterwards all is as it was."""
    before = box.run(LOOK)["outputs"]["stdout"]
    assert before == "None /home/user /workspace\n"
    box.run("os.makedirs('sub/deep'); os.environ['KEPT'] = '1'")
    there = {"env": {"A": 'it\'s "so"\n', "HOME": None}, "cwd": "sub/deep"}
    inside = box.run("import subprocess\n" + LOOK + "\nprint(open('/proc/self/cwd/../x', 'w').name)"
                     "\nprint(subprocess.run('echo $A; pwd', shell=True, capture_output=True,"
                     " text=True).stdout)", **there)  # fmt: skip
    assert inside["outputs"]["stdout"] == (
        "it's \"so\"\n None /workspace/sub/deep\n/proc/self/cwd/../x\n"
        "it's \"so\"\n/workspace/sub/deep\n\n")  # fmt: skip
    assert (inside["env"], inside["cwd"]) == (["A", "HOME"], "sub/deep")
    assert box.run(LOOK)["outputs"]["stdout"] == before
    failed = box.run(LOOK + "\nos.environ['A'] = 'mine'; os.environ['KEPT'] = '2'; os.chdir('/')"
                     "\n1 / 0", **there)  # fmt: skip
    assert failed["status"] == "error"
    assert box.run(LOOK)["outputs"]["stdout"] == before
    assert box.run("os.environ['KEPT']")["outputs"]["text"] == "'2'"


WORDS = "import sys; print(sys.argv, globals().get('__file__'))"


def test_a_program_with_words(box: Box) -> None:
    """Afterwards all is as it was, exit() included."""
    before = box.run(WORDS)["outputs"]["stdout"]
    assert before.endswith(" None\n")
    inside = box.run(WORDS + "; sys.argv.append('x')\n1 / 0", argv=["dir/f.py", "a b", "-c"])
    assert inside["outputs"]["stdout"] == "['dir/f.py', 'a b', '-c'] dir/f.py\n"
    assert inside["argv"] == ["dir/f.py", "a b", "-c"]
    assert box.run(WORDS)["outputs"]["stdout"] == before
    piped = box.run(WORDS, argv=["-"])
    assert piped["outputs"]["stdout"] == "['-'] None\n"
    for code, value in ("quit()", "None"), ("exit(3)", "3"):
        ended = box.run(f"kept = 1\n{code}\nprint('never')", argv=["f.py"])
        assert (ended["error"]["name"], ended["error"]["value"]) == ("SystemExit", value)
        assert (ended["outputs"]["stdout"], ended["state_retained"]) == ("", True)
    assert box.run("kept")["outputs"]["text"] == "1"


def test_a_folder_that_is_not_there(box: Box) -> None:
    record = box.run("print('ran')", cwd="none", env={"A": "x"})
    assert (record["status"], record["error"]["name"]) == ("error", "FileNotFoundError")
    assert "none" in record["error"]["value"]
    assert record["outputs"]["stdout"] == ""
    assert box.run(LOOK)["outputs"]["stdout"] == "None /home/user /workspace\n"


def test_input_and_what_may_not_ask(box: Box) -> None:
    execution = box.detach("name = input('Name? '); name.upper()", allow_input=True)
    box.until(execution, awaits_input=True)
    assert box.ask(execution, "input", {"value": "joe"}).status == 204
    box.ended(execution)
    assert box.get(f"/{execution}?outputs=1").json()["outputs"]["text"] == "'JOE'"
    assert box.run("input()")["error"]["name"] == "StdinNotImplementedError"


def test_cancelling_what_runs_and_what_waits(box: Box) -> None:
    running = box.detach("kept = 1\nimport time\nprint('begun', flush=True)\ntime.sleep(600)")
    waiting = box.detach("kept = 2")
    processes.until(
        lambda: any(
            event["type"] == "stdout" for event in box.get(f"/{running}/events").json()["events"]
        ),
        "it has begun",
    )
    assert box.ask(waiting, "cancel").status in (200, 202)
    assert box.ask(running, "cancel").status == 202
    record = box.ended(running)
    assert (record["status"], record["state_retained"]) == ("interrupted", True)
    assert box.ended(waiting)["status"] == "cancelled"
    assert box.run("kept")["outputs"]["text"] == "1"


def test_silent_and_history(box: Box) -> None:
    count = box.run("1")["execution_count"]
    assert box.run("quiet = 2", silent=True)["outputs"]["text"] is None
    assert box.run("quiet", store_history=False)["outputs"]["text"] == "2"
    assert box.run("1")["execution_count"] == count + 1


def test_a_run_that_wants_too_much_memory(box: Box) -> None:
    record = box.run("print('before', flush=True)\nb'x' * (600 << 20)")
    assert (record["status"], record["state_retained"]) == ("oom", False)
    assert record["error"]["name"] == "OutOfMemory"
    assert record["outputs"]["stdout"] == "before\n"
    assert box.run("1 + 1")["outputs"]["text"] == "2"


def test_a_sandbox_that_was_paused(gateway: Gateway) -> None:
    """Its records can be read meanwhile, its events again when it is back."""
    box = Box(gateway, create(gateway))
    path = f"/v1/sandboxes/{box.model['id']}"
    record = box.run("kept = 5; print('before')")
    events = box.follow(record["id"])
    assert gateway.request("POST", f"{path}/pause").status == 200
    assert box.show(record["id"])["status"] == "ok"
    for answer in (box.get(f"/{record['id']}/events"), box.post("1")):
        assert answer.status == 409
        assert "is paused: resume it" in answer.json()["detail"]
    assert gateway.request("POST", f"{path}/resume").status == 200
    assert box.follow(record["id"]) == events
    assert box.run("kept")["outputs"]["text"] == "5"
    assert box.follow(record["id"]) == events
    remove(gateway, box.model)

"""execute_request: replies, results, errors, payloads, history."""

from __future__ import annotations

import pytest
from kernel.link_peer import EXIT, PUBLISH, Interpreter, strict_json


def test_result_and_reply(shared: Interpreter) -> None:
    answer = shared.run("1 + 1")
    assert answer.order == ["execute_input", "execute_result", "reply"]
    assert answer.result == "2"
    assert answer.reply["status"] == "ok"
    assert answer.reply["payload"] == []
    assert answer.reply["user_expressions"] == {}
    count = answer.reply["execution_count"]
    assert answer.contents("execute_input") == [{"code": "1 + 1", "execution_count": count}]
    assert answer.contents("execute_result")[0]["execution_count"] == count
    assert answer.metadata["status"] == "ok"
    assert answer.metadata["started"].endswith("Z")
    assert not answer.abort


def test_count_follows_store_history(fresh: Interpreter) -> None:
    assert fresh.run("1").reply["execution_count"] == 1
    assert fresh.run("2", store_history=False).reply["execution_count"] == 1
    silent = fresh.run("print(3)\n4", silent=True)
    assert silent.order == ["stdout:3\n", "reply"]
    assert silent.reply["execution_count"] == 1
    assert fresh.run("_").result == "2"
    assert fresh.run("In[1:4]").result == "['1', '_', 'In[1:4]']"


def test_names_of_results(fresh: Interpreter) -> None:
    for code in ("10", "20", "30", "40;", "None"):
        fresh.run(code)
    assert fresh.run("_, __, ___, _1, _3, Out").result == (
        "(30, 20, 10, 10, 30, {1: 10, 2: 20, 3: 30})"
    )
    assert fresh.run("Out is _oh").result == "True"
    hidden = "[name in get_ipython().user_ns_hidden for name in ('_', '_1', '_8')]"
    assert fresh.run(hidden).result == "[True, True, False]"


def test_a_name_of_the_users_own_stays(fresh: Interpreter) -> None:
    fresh.run("1")
    fresh.run("_ = mine = 'mine'")
    fresh.run("2")
    assert fresh.run("_ is mine, __, _3").result == "(True, '', 2)"
    fresh.run("del _")
    fresh.run("3")
    assert fresh.run("_").result == "3"
    fresh.run("import builtins; builtins._ = str.upper")
    fresh.run("4")
    assert fresh.run("_('upper')").result == "'UPPER'"


def test_names_of_inputs(fresh: Interpreter) -> None:
    for code in ("a = 1", "b = 2\n", "quit", "c = 3"):
        assert len(fresh.run(code).history) == (code != "quit")
    assert fresh.run("_i, _ii, _iii, _i2, In[1:4]").result == (
        "('c = 3', 'b = 2', 'a = 1', 'b = 2', ['a = 1', 'b = 2', 'c = 3'])"
    )


def test_error_is_published_and_replied(shared: Interpreter) -> None:
    answer = shared.run("def f():\n    raise ValueError('no: é')\nf()")
    assert answer.order == ["execute_input", "error", "reply"]
    for content in (answer.error, answer.reply):
        assert content["ename"] == "ValueError"
        assert content["evalue"] == "no: é"
        assert "f()" in "".join(content["traceback"])
    assert answer.reply["status"] == "error"
    assert answer.abort
    assert not shared.run("1/0", stop_on_error=False).abort
    assert not shared.run("1/0", silent=True).abort


@pytest.mark.parametrize(
    ("code", "ename"),
    [
        ("def f(", "SyntaxError"),
        ("  x = 1\n y = 2", "IndentationError"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("import sys; sys.exit(3)", "SystemExit"),
        ("def f(n): return f(n + 1)\nf(0)", "RecursionError"),
        ("raise MemoryError", "MemoryError"),
        ("x = [0] * (1 << 60)", "MemoryError"),
        ("raise ExceptionGroup('g', [ValueError(1), TypeError(2)])", "ExceptionGroup"),
        ("%nosuchmagic", "UsageError"),
        ("nosuchname", "NameError"),
    ],
)
def test_every_error_is_answered(shared: Interpreter, code: str, ename: str) -> None:
    if ename == "UsageError":
        answer = shared.run(code)
        assert "nosuchmagic" in answer.stderr
        return
    answer = shared.run(code)
    assert answer.reply["status"] == "error"
    assert answer.reply["ename"] == ename
    assert shared.run("1").result == "1"


def test_no_advice_behind_an_exit(shared: Interpreter) -> None:
    """IPython's has the path of its own file in it, and is for terminals."""
    answer = shared.run("raise SystemExit(3)")
    assert (answer.reply["evalue"], answer.stderr) == ("3", "")


def test_values_that_do_not_print(shared: Interpreter) -> None:
    shared.run("class Bad:\n    def __repr__(self): raise RuntimeError('bad repr')")
    answer = shared.run("Bad()")
    assert answer.reply["status"] == "error"
    assert answer.reply["ename"] == "RuntimeError"
    shared.run("class Worse(Exception):\n    def __str__(self): raise RuntimeError('bad str')")
    assert shared.run("raise Worse").reply["status"] == "error"
    assert shared.run("2").result == "2"


def test_large_values(shared: Interpreter) -> None:
    assert shared.run("2 ** 100").result == str(2**100)
    assert shared.run("10 ** 5000").reply["status"] == "error"  # Python's limit on digits
    answer = shared.run("def f(n):\n    if n: f(n - 1)\n    else: 1 / 0\nf(900)")
    assert answer.reply["ename"] == "ZeroDivisionError"
    text = shared.run("from IPython.display import HTML; HTML('x' * 20_000_000)")
    assert len(text.contents("execute_result")[0]["data"]["text/html"]) == 20_000_000


def test_user_expressions(shared: Interpreter) -> None:
    expressions = {"ok": "1 + 1", "bad": "nosuch"}
    reply = shared.run("x = 1", user_expressions=expressions).reply
    assert reply["user_expressions"]["ok"]["data"] == {"text/plain": "2"}
    assert reply["user_expressions"]["ok"]["status"] == "ok"
    assert reply["user_expressions"]["bad"]["ename"] == "NameError"
    failed = shared.run("1/0", user_expressions=expressions).reply
    assert failed["user_expressions"] == {}


def test_bad_requests_are_answered(shared: Interpreter) -> None:
    for content in ({}, {"code": 3}, {"code": "1", "user_expressions": 3}):
        reply = shared.collect(shared.request("execute_request", content)).reply
        assert reply["status"] == "error"
        assert "must be" in reply["evalue"]
    assert shared.collect(shared.request("nonsense_request", {})).reply == {}
    assert shared.run("1").result == "1"


def test_payloads(shared: Interpreter) -> None:
    page = shared.run("print?").reply["payload"]
    assert [p["source"] for p in page] == ["page"]
    assert "print" in page[0]["data"]["text/plain"]
    twice = shared.run("ip = get_ipython()\nfor i in range(3): ip.set_next_input(f'c{i}')").reply
    assert twice["payload"] == [{"source": "set_next_input", "text": "c2", "replace": False}]
    edit = shared.run("%edit /tmp/nofile.py").reply["payload"]
    assert edit[0]["source"] == "edit_magic"
    assert edit[0]["filename"].endswith("nofile.py")
    assert shared.run("1").reply["payload"] == []


@pytest.mark.parametrize(
    ("code", "keep"), [("exit", False), ("quit()", False), ("exit(True)", True)]
)
def test_exit(shared: Interpreter, code: str, keep: bool) -> None:
    answer = shared.run(code)
    assert [p["source"] for p in answer.reply["payload"]] == ["ask_exit"]
    assert [strict_json(f.parts[0]) for f in answer.frames if f.kind == EXIT] == [
        {"keepkernel": keep}
    ]


def test_history_frame_precedes_the_reply(shared: Interpreter) -> None:
    answer = shared.run("%time 1")
    line, source, raw = answer.history[0]
    assert line == str(answer.reply["execution_count"])
    assert source == "get_ipython().run_line_magic('time', '1')"
    assert raw == "%time 1"
    assert not shared.run("1", store_history=False).history
    assert not shared.run("1", silent=True).history


def test_cell_id_and_metadata_reach_events(shared: Interpreter) -> None:
    shared.run(
        "seen = []\nsee = lambda info: seen.append(info.cell_id)\n"
        "get_ipython().events.register('pre_run_cell', see)"
    )
    shared.collect(shared.start("2", metadata={"cellId": "abc"}))
    assert "'abc'" in str(shared.run("seen").result)


def test_displayed_values_are_valid_json(shared: Interpreter) -> None:
    code = """
import numpy as np, datetime
from IPython.display import publish_display_data
publish_display_data({'application/json': {
    'nan': float('nan'), 'inf': -float('inf'), 'np': np.float64(1.5), 'i': np.int64(3),
    'bytes': b'ab', 'day': datetime.date(2020, 1, 2), 'set': {1}, 'text': '\\ud83d x \\x00',
    1: 'one', None: 'none', False: 'no', 'big': 2**70}}, metadata={'m': float('nan')})
"""
    answer = shared.run(code)
    data = answer.contents("display_data")[0]
    assert data["data"]["application/json"] == {
        "nan": "nan",
        "inf": "-inf",
        "np": 1.5,
        "i": 3,
        "bytes": "YWI=",
        "day": "2020-01-02",
        "set": [1],
        "text": "\ufffd x \0",
        "false": "no",
        "null": "none",
        "1": "one",
        "big": 2**70,
    }
    assert data["metadata"] == {"m": "nan"}
    bad = shared.run("publish_display_data({'application/json': object()})")
    assert bad.reply["ename"] == "TypeError"


def test_display_ids_and_clear_output(shared: Interpreter) -> None:
    code = (
        "from IPython.display import display, update_display, clear_output\n"
        "h = display(1, display_id='d')\nh.update(2)\nclear_output(wait=True)"
    )
    answer = shared.run(code)
    assert answer.order[1:-1] == ["display_data", "update_display_data", "clear_output"]
    first, second = answer.contents("display_data")[0], answer.contents("update_display_data")[0]
    assert first["transient"] == second["transient"] == {"display_id": "d"}
    assert second["data"]["text/plain"] == "2"
    assert answer.contents("clear_output") == [{"wait": True}]


def test_display_hooks(shared: Interpreter) -> None:
    code = """
caught = []
def hook(msg):
    caught.append(msg['content']['data']['text/plain'])
pub = get_ipython().display_pub
pub.register_hook(hook)
display('hidden')
print(pub.unregister_hook(hook), pub.unregister_hook(hook))
display('shown')
caught
"""
    answer = shared.run(code)
    assert [c["data"]["text/plain"] for c in answer.contents("display_data")] == ["'shown'"]
    assert answer.stdout == "True False\n"
    assert answer.result == "[\"'hidden'\"]"


def test_names_that_libraries_look_for(shared: Interpreter) -> None:
    code = """
import sys
ip = get_ipython()
assert type(ip).__name__ == 'ZMQInteractiveShell'
assert 'IPKernelApp' in ip.config
k = ip.kernel
assert k.shell is ip and k.comm_manager is not None
assert k.get_parent()['header']['msg_id'] == ip.get_parent()['header']['msg_id']
assert k._parent_header['header'] == ip.parent_header['header'] == k.get_parent('shell')['header']
assert ip.display_pub.parent_header['msg_type'] == 'execute_request'
assert sys.stdout._is_master_process() and sys.stdout.pub_thread is None
assert k.shell_stream is None
token = ip.set_thread_parent(ip.get_parent()); ip.reset_thread_parent(token)
ip.set_parent(ip.get_parent())
assert __name__ == '__main__'
import __main__
assert __main__.ip is ip
assert sys.argv == ['']
assert sys.path[0] == ''
assert 'ipykernel' not in sys.modules
assert not any('warmcell' in p for p in sys.path) or 'PYTHONPATH' in __import__('os').environ
"""
    answer = shared.run(code)
    assert answer.reply["status"] == "ok", answer.reply


def test_publish_frames_carry_their_request(shared: Interpreter) -> None:
    answer = shared.run("display(1)")
    assert {f.number for f in answer.frames if f.kind == PUBLISH} == {shared.number}

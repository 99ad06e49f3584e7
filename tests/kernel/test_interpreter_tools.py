"""Magics, shell commands, plots, completion, inspection, comms, history of other sessions."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from kernel.interpreters import Starter
from kernel.link_peer import DONE, Interpreter


@pytest.mark.parametrize(
    ("code", "stdout"),
    [
        ("!echo shell; echo more", "shell\r\nmore\r\n"),
        ("x = !echo captured\nprint(x)", "['captured']\n"),
        ("%%bash\necho in bash; echo err >&2", "in bash\n"),
        ("%%capture c\nprint('hidden')", ""),
        ("print(c.stdout, end='')", "hidden\n"),
        ("%%python\nprint('another python')", "another python\n"),
        ("%pwd\nprint('ok')", "ok\n"),
        ("name = 'x'\n!echo {name} $name", "x x\r\n"),
        ("%lsmagic\nprint('ok')", "ok\n"),
        ("print('a' if False else 'b')", "b\n"),
        ("for i in range(2):\n    %timeit -n1 -r1 -q 1\nprint('done')", "done\n"),
    ],
)
def test_magics(shared: Interpreter, code: str, stdout: str) -> None:
    shared.run("%%capture c\nprint('hidden')")
    answer = shared.run(code)
    assert answer.reply["status"] == "ok", answer.reply
    assert answer.stdout == stdout


def test_writefile_run_and_autoreload(shared: Interpreter, tmp_path: Path) -> None:
    shared.run(f"%cd -q {tmp_path}")
    assert shared.run("%%writefile mod_reload.py\nvalue = 1\n").stdout == "Writing mod_reload.py\n"
    shared.run("%load_ext autoreload\n%autoreload 2\nimport mod_reload")
    assert shared.run("mod_reload.value").result == "1"
    (tmp_path / "mod_reload.py").write_text("value = 22222\n")
    assert shared.run("mod_reload.value").result == "22222"
    (tmp_path / "script.py").write_text("print('script', __name__)\nfrom_script = 3\n")
    assert shared.run("%run script.py\nfrom_script").result == "3"
    shared.run("%cd -q /")


def test_shell_output_is_live(shared: Interpreter) -> None:
    number = shared.start("!echo first; sleep 600")
    answer = shared.collect(number, until=lambda a: "first" in a.stdout)
    shared.interrupt()
    shared.collect(number)
    assert answer.stdout == "first\r\n"


def test_time_and_exit_code(shared: Interpreter) -> None:
    assert "Wall time" in shared.run("%time sum(range(10))").stdout
    shared.run("!exit 3")
    assert shared.run("_exit_code").result == "3"


def test_plots_appear_at_the_end_of_a_cell(shared: Interpreter) -> None:
    answer = shared.run("import matplotlib.pyplot as plt\nplt.plot([1, 2]); print('text')")
    assert answer.reply["status"] == "ok", answer.reply
    assert answer.order[-2:] == ["display_data", "reply"]
    png = answer.contents("display_data")[0]["data"]["image/png"]
    assert png.startswith("iVBORw0KG")
    svg = shared.run("%config InlineBackend.figure_format = 'svg'\nplt.plot([1])")
    assert "<svg" in svg.contents("display_data")[0]["data"]["image/svg+xml"]
    assert shared.run("plt.get_backend()").result in (
        "'inline'",
        "'module://matplotlib_inline.backend_inline'",
    )
    shared.run("%matplotlib agg")
    assert shared.run("plt.plot([1]);").contents("display_data") == []
    shared.run("plt.close('all')\n%matplotlib inline")
    assert len(shared.run("plt.plot([1]);").contents("display_data")) == 1


def test_complete(shared: Interpreter) -> None:
    shared.run("import os\nsome_long_name = 'x'\nd = {'a key': 1}")
    reply = shared.ask("complete_request", code="some_lo", cursor_pos=7)
    assert reply["matches"] == ["some_long_name"]
    assert (reply["cursor_start"], reply["cursor_end"]) == (0, 7)
    typed = reply["metadata"]["_jupyter_types_experimental"]
    assert typed[0]["text"] == "some_long_name"
    assert typed[0]["type"] == "instance"
    # positions are code points
    reply = shared.ask("complete_request", code="'😀é'; os.getc", cursor_pos=13)
    assert "getcwd" in [m.rpartition(".")[2] for m in reply["matches"]]
    assert reply["cursor_end"] == 13
    assert any(
        "a key" in m for m in shared.ask("complete_request", code="d['", cursor_pos=3)["matches"]
    )
    assert "%matplotlib" in shared.ask("complete_request", code="%matpl", cursor_pos=6)["matches"]
    assert shared.ask("complete_request", code="", cursor_pos=0)["status"] == "ok"
    for cursor in (-1, 99, None, "x"):
        assert shared.ask("complete_request", code="os.", cursor_pos=cursor)["status"] == "ok"
    assert shared.ask("complete_request")["status"] == "error"


def test_inspect(shared: Interpreter) -> None:
    shared.run('def documented(a, b=2):\n    """What it does."""\n    return a')
    reply = shared.ask("inspect_request", code="documented(", cursor_pos=5, detail_level=0)
    assert reply["found"] is True
    assert "What it does." in reply["data"]["text/plain"]
    assert "\x1b[" in reply["data"]["text/plain"]
    detailed = shared.ask("inspect_request", code="documented", cursor_pos=5, detail_level=1)
    assert "return" in detailed["data"]["text/plain"]
    assert "return" not in reply["data"]["text/plain"]
    missing = shared.ask("inspect_request", code="nosuch", cursor_pos=3)
    assert missing == {"status": "ok", "found": False, "data": {}, "metadata": {}}


@pytest.mark.parametrize(
    ("code", "reply"),
    [
        ("1 + 1", {"status": "complete"}),
        ("for i in x:", {"status": "incomplete", "indent": "    "}),
        ("def f(", {"status": "incomplete", "indent": ""}),
        ("1 = = 2", {"status": "invalid"}),
        ("%%bash\nls", {"status": "incomplete", "indent": ""}),
    ],
)
def test_is_complete(shared: Interpreter, code: str, reply: dict[str, str]) -> None:
    got = shared.ask("is_complete_request", code=code)
    assert got["status"] == reply["status"]
    assert ("indent" in got) == (reply["status"] == "incomplete")


def test_comms(shared: Interpreter) -> None:
    code = """
from comm import create_comm, get_comm_manager
log = []
def on_open(comm, msg):
    log.append(msg['content']['data'])
    def on_msg(m):
        comm.send({'echo': m['content']['data']}, buffers=m['buffers'])
        print('heard')
    comm.on_msg(on_msg)
get_comm_manager().register_target('target', on_open)
assert get_ipython().kernel.comm_manager is get_comm_manager()
"""
    assert shared.run(code).reply["status"] == "ok"
    number = shared.request(
        "comm_open", {"comm_id": "c1", "target_name": "target", "data": {"a": 1}}
    )
    assert shared.collect(number).frames[-1].kind == DONE
    assert shared.run("log").result == "[{'a': 1}]"
    info = shared.ask("comm_info_request", target_name="target")
    assert info["comms"] == {"c1": {"target_name": "target"}}
    assert shared.ask("comm_info_request", target_name="other")["comms"] == {}
    buffers = [b"\0\1\2", b"", b"x" * 100_000]
    number = shared.request("comm_msg", {"comm_id": "c1", "data": {"n": 5}}, buffers=buffers)
    answer = shared.collect(number)
    assert answer.contents("comm_msg") == [{"data": {"echo": {"n": 5}}, "comm_id": "c1"}]
    assert answer.buffers[0] == buffers
    assert answer.stdout == "heard\n"
    shared.collect(shared.request("comm_close", {"comm_id": "c1", "data": {}}))
    assert shared.ask("comm_info_request")["comms"] == {}
    number = shared.request("comm_open", {"comm_id": "c2", "target_name": "nobody", "data": {}})
    closed = shared.collect(number)
    assert closed.contents("comm_close")[0]["comm_id"] == "c2"
    for content in ({}, {"comm_id": "c9"}, {"comm_id": 3, "data": {}}):
        assert shared.collect(shared.request("comm_msg", content)).frames[-1].kind == DONE
    assert shared.run("1").result == "1"


def test_widgets(shared: Interpreter) -> None:
    answer = shared.run(
        "import ipywidgets as w\nslider = w.IntSlider(value=3); seen = []\n"
        "slider.observe(lambda c: (seen.append(c.new), print('moved', c.new)), 'value')\nslider"
    )
    opened = answer.contents("comm_open")
    assert {o["target_name"] for o in opened} == {"jupyter.widget"}
    view = answer.contents("execute_result")[0]["data"]["application/vnd.jupyter.widget-view+json"]
    model = view["model_id"]
    data = {"method": "update", "state": {"value": 42}, "buffer_paths": []}
    moved = shared.collect(shared.request("comm_msg", {"comm_id": model, "data": data}))
    assert moved.stdout == "moved 42\n"
    assert shared.run("seen, slider.value").result == "([42], 42)"
    assert shared.run("slider.value = 7").contents("comm_msg")[0]["data"]["state"] == {"value": 7}


def test_interact_and_output_widget(shared: Interpreter) -> None:
    code = (
        "import ipywidgets as w\nout = w.Output()\nwith out:\n    print('into the widget')\n"
        "@w.interact(x=(0, 5))\ndef f(x): print('x is', x)"
    )
    answer = shared.run(code)
    assert answer.reply["status"] == "ok", answer.reply
    states = [m["data"].get("state", {}) for m in answer.contents("comm_msg")]
    msg_id = f"msg-{answer.frames[0].number}"
    assert {"msg_id": msg_id} in states
    assert {"msg_id": ""} in states
    assert "x is 2\n" in answer.stdout
    sliders = [
        o
        for o in answer.contents("comm_open")
        if o["data"]["state"].get("_model_name") == "IntSliderModel"
    ]
    data = {"method": "update", "state": {"value": 4}, "buffer_paths": []}
    moved = shared.collect(
        shared.request("comm_msg", {"comm_id": sliders[-1]["comm_id"], "data": data})
    )
    assert "x is 4\n" in moved.stdout


def make_history(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute(
            "CREATE TABLE sessions (session integer primary key autoincrement, start timestamp,"
            " end timestamp, num_cmds integer, remark text)"
        )
        db.execute(
            "CREATE TABLE history (session integer, line integer, source text, source_raw text,"
            " PRIMARY KEY (session, line))"
        )
        db.execute(
            "CREATE TABLE output_history (session integer, line integer, output text,"
            " PRIMARY KEY (session, line))"
        )
        for session in (1, 2):
            db.execute(
                "INSERT INTO sessions VALUES (?, '2020-01-02 03:04:05.000006', NULL, 2, '')",
                (session,),
            )
        rows = [
            (1, 1, "old_one = 1", "old_one = 1"),
            (1, 2, "print('recalled')", "print('recalled')"),
        ]
        db.executemany("INSERT INTO history VALUES (?, ?, ?, ?)", rows)
    db.close()


def test_history_of_other_sessions(launch: Starter, tmp_path: Path) -> None:
    file = tmp_path / "history.sqlite"
    make_history(file)
    before = file.read_bytes()
    fresh = launch(history={"file": str(file), "session": 2})
    assert fresh.run("x = 5").reply["status"] == "ok"
    assert "x = 5" in fresh.run("%history").stdout
    assert fresh.run("%history ~1/").stdout == "old_one = 1\nprint('recalled')\n"
    assert "old_one" in fresh.run("%history -g old_*").stdout
    assert fresh.run("%recall ~1/2").reply["payload"][0]["text"] == "print('recalled')"
    assert "recalled" in fresh.run("%rerun ~1/2").stdout
    assert fresh.run("In[1], _i1").result == "('x = 5', 'x = 5')"
    assert file.read_bytes() == before


def test_history_without_a_file(shared: Interpreter) -> None:
    answer = shared.run("%history -g something")
    assert answer.reply["status"] == "ok", answer.reply
    assert shared.run("%history ~1/").reply["status"] == "ok"


def test_startup_files_and_config(launch: Starter, tmp_path: Path) -> None:
    profile = tmp_path / "profile_default"
    (profile / "startup").mkdir(parents=True)
    (profile / "startup" / "00-first.py").write_text("from_startup = 1\n")
    (profile / "ipython_kernel_config.py").write_text(
        "c.InteractiveShellApp.exec_lines = ['from_line = 2']\n"
        "c.InteractiveShell.ast_node_interactivity = 'all'\n"
    )
    fresh = launch(env={"IPYTHONDIR": str(tmp_path)})
    answer = fresh.run("from_startup\nfrom_line")
    assert [c["data"]["text/plain"] for c in answer.contents("execute_result")] == ["1", "2"]
    assert answer.reply["execution_count"] == 1


def test_adopt(launch: Starter, tmp_path: Path) -> None:
    import json

    from kernel.link_peer import ADOPT

    fresh = launch(env={"GOES": "1"})
    orders = {"env": {"COMES": "é", "GOES": None}, "cwd": str(tmp_path)}
    fresh.send(ADOPT, 0, json.dumps(orders).encode())
    code = "import os\nos.environ.get('COMES'), os.environ.get('GOES'), os.getcwd()"
    assert fresh.run(code).result == repr(("é", None, str(tmp_path)))


HOOK = """
from IPython.terminal.pt_inputhooks import register
turns = 0
def hook(context):
    global turns
    while not context.input_is_ready():
        turns += 1
        print('turn', flush=True) if turns == 1 else None
        import select
        select.select([context.fileno()], [], [], 0.001)
register('counted', hook)
"""


def test_gui_events_run_between_cells(launch: Starter) -> None:
    """A toolkit's hook runs while no request does, and gives way to one."""
    interpreter = launch()
    assert interpreter.run(HOOK).reply["status"] == "ok"
    interpreter.run("%gui counted")
    assert interpreter.next_line()[1] == "turn\n"
    assert interpreter.run("turns > 0").result == "True"
    assert interpreter.run("%gui none\nbefore = turns").reply["status"] == "ok"
    assert interpreter.run("turns == before").result == "True"
    refused = interpreter.run("%gui nothing_like_it")
    assert refused.reply["status"] == "error" or "nothing_like_it" in refused.stderr

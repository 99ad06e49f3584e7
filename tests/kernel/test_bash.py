"""The driver of Bash behind a host: what a person at a notebook sees of it."""

from __future__ import annotations

import base64
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kernel.driver_case import (
    good,
    interrupted,
    interrupted_before_the_code_runs,
    interrupted_while_input_is_awaited,
)
from kernel.host_process import Host
from kernel.link_peer import Interpreter
from support import processes
from support.client import Run
from support.direct import DirectClient
from support.programs import programs

DRIVER = programs().build / "kernel/bash/warmcell-bash"
COMMAND = [str(DRIVER), "/bin/bash"]
PNG = bytes.fromhex("89504e470d0a1a0a0000")


@pytest.fixture(scope="module")
def shared() -> Iterator[Host]:
    with Host(command=COMMAND) as host:
        yield host


@pytest.fixture(scope="module")
def client(shared: Host) -> DirectClient:
    return shared.client()


def failed(client: DirectClient, code: str, name: str = "CommandFailed") -> Run:
    run = client.run(code)
    assert (run.status, run.content.get("ename")) == ("error", name), run.content
    return run


def test_what_stays(client: DirectClient, tmp_path: Path) -> None:
    good(client.run(f"x=5; a=(1 'two three'); f() {{ echo \"f $x\"; }}; cd {tmp_path}"))
    good(client.run("alias hey='echo hey'"))
    run = good(client.run('f; echo "${a[1]}"; pwd; hey; echo "$0 $#"'))
    assert run.stdout == f"f 5\ntwo three\n{tmp_path}\nhey\nbash 0\n"
    good(client.run("cd /"))


def test_a_cell_is_read_as_bash_reads_lines(client: DirectClient) -> None:
    code = "alias one='echo 1'\none\ncat <<'END'\n$x\nEND\nfor i in a b; do\n  echo $i\ndone | tac"
    assert good(client.run(code)).stdout == "1\n$x\nb\na\n"


def test_streams_in_their_order(client: DirectClient) -> None:
    code = "echo one; sh -c 'echo two'; echo err >&2; printf 'é🎉 \\303' ; printf '\\251'"
    run = good(client.run(code))
    assert (run.stdout, run.stderr) == ("one\ntwo\né🎉 é", "err\n")


def test_the_cells_stdin_is_empty(client: DirectClient) -> None:
    assert good(client.run("cat; wc -c < /dev/stdin; echo after")).stdout == "0\nafter\n"


def test_children_have_no_descriptors_of_ours(client: DirectClient) -> None:
    assert good(client.run("ls /proc/self/fd | tr '\\n' ' '")).stdout == "0 1 2 3 "  # 3: the folder


@pytest.mark.parametrize(
    ("code", "value", "seen"),
    [
        ("echo seen; false", "exit status 1", "seen\n"),
        ("(exit 3)", "exit status 3", ""),
        ("sh -c 'kill -9 $$'", "exit status 137 (SIGKILL)", ""),
        ("set -e; g() { false; echo no; }; for i in 1 2; do g; done", "exit status 1", ""),
        ("set -u; echo seen; echo $nowhere", "exit status 1", "seen\n"),
        ("set +eu; exec no-such-program", "exit status 127", ""),
        ("echo ${nowhere:?told}", "exit status 1", ""),
    ],
)  # fmt: skip
def test_failures(client: DirectClient, code: str, value: str, seen: str) -> None:
    run = failed(client, code)
    assert (run.content["evalue"], run.stdout) == (value, seen)
    assert run.traceback == f"CommandFailed: {value}"
    (told,) = run.of("error")
    assert told.content["traceback"] == run.content["traceback"]
    status = value.split()[2]
    assert good(client.run("echo $?; set +eu")).stdout == f"{status}\n"


def test_what_is_no_bash(client: DirectClient) -> None:
    run = failed(client, "echo before\nif then", "SyntaxError")
    assert run.content["evalue"] == "line 2: syntax error near unexpected token `then'"
    assert run.stdout == "before\n"
    assert good(client.run("echo $?")).stdout == "2\n"


def test_an_error_ends_the_queue(client: DirectClient) -> None:
    first = client.execute("read go; false", allow_stdin=True)
    client.take(lambda m: m.msg_type == "input_request")
    second = client.execute("echo 1")
    client.ask("kernel_info_request")  # behind it: it is in the queue
    client.send("input_reply", {"value": ""}, channel="stdin")
    assert client.collect(first).status == "error"
    assert client.collect(second).status == "aborted"


def test_displays(client: DirectClient, tmp_path: Path) -> None:
    (tmp_path / "picture").write_bytes(PNG)
    (tmp_path / "data.json").write_text('{"a": [1]}')
    run = good(
        client.run(
            f"cd {tmp_path}; echo one; display picture; echo two\n"
            "echo '<svg/>' | display -i here; (display -m text/html -u -i here <<< '<b>')\n"
            "display data.json picture; cd /; clear_output -w"
        )
    )
    picture = {"image/png": base64.b64encode(PNG).decode()}
    shown = [(m.msg_type, m.content.get("data", m.content.get("text"))) for m in run.outputs]
    assert shown == [
        ("stream", "one\n"),
        ("display_data", picture),
        ("stream", "two\n"),
        ("display_data", {"image/svg+xml": "<svg/>\n"}),
        ("update_display_data", {"text/html": "<b>\n"}),
        ("display_data", {"application/json": {"a": [1]}}),
        ("display_data", picture),
        ("clear_output", None),
    ]
    here = [m.content["transient"] for m in run.of("display_data", "update_display_data")]
    assert here[1:3] == [{"display_id": "here"}, {"display_id": "here"}]
    assert run.outputs[-1].content == {"wait": True}


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("display /etc/hosts", "display: /etc/hosts: neither content nor name says what it is"),
        ("display /no/where.png", "display: /no/where.png: No such file or directory"),
        ("display -m none /etc/hosts", "display: none is no MIME type"),
        ("echo '{' | display -m application/json", "display: no application/json: "),
        ("display -u /etc/hosts", "display: an update needs the id of what it updates"),
        ("display -x", "display: usage: display "),
    ],
)
def test_what_cannot_be_displayed(client: DirectClient, code: str, words: str) -> None:
    assert failed(client, code).stderr.startswith(words)


def test_what_comes_between_cells_is_shown(client: DirectClient, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "go")
    first = client.execute(f"(read < {tmp_path}/go; display -m text/plain <<< late) & :")
    client.collect(first)
    with (tmp_path / "go").open("w") as go:
        go.write("\n")
    late = client.take(lambda m: m.msg_type == "display_data")
    assert (late.parent_id, late.content["data"]) == (first, {"text/plain": "late\n"})


def test_input(client: DirectClient) -> None:
    code = "read -rp 'who? ' a b; read -sp'secret? ' c; echo \"$a,$b,$c\""
    run = client.run(code, answers=["me and π", "x y"])
    assert [m.content for m in run.prompts] == [
        {"prompt": "who? ", "password": False},
        {"prompt": "secret? ", "password": True},
    ]
    assert run.stdout == "me,and π,x y\n"


def test_input_from_elsewhere_or_from_nobody(client: DirectClient) -> None:
    code = "while read -r a; do echo \"$a\"; done <<< $'1\\n2'; echo 3 | { read b; echo $b; }"
    assert good(client.run(code)).stdout == "1\n2\n3\n"
    assert failed(client, "read x").stderr == "read: this client does not answer\n"


def test_counts_and_silence(client: DirectClient) -> None:
    before = client.run("true").content["execution_count"]
    silent = client.run("echo seen", silent=True)
    assert (silent.stdout, silent.of("execute_input")) == ("seen\n", [])
    unstored = client.run("true", store_history=False)
    assert unstored.content["execution_count"] == before
    ask = {"a": "echo 2", "b": "echo why >&2; false"}
    run = client.run("(exit 0)", user_expressions=ask)
    assert run.content["execution_count"] == before + 1
    answers = run.content["user_expressions"]
    assert answers["a"] == {"status": "ok", "data": {"text/plain": "2"}, "metadata": {}}
    assert answers["b"]["evalue"] == "exit status 1: why"


def test_kernel_info(client: DirectClient) -> None:
    info = client.ask("kernel_info_request").content
    assert info["implementation"] == "warmcell-bash"
    assert info["language_info"]["name"] == "bash"
    assert info["language_info"]["version"].split(".")[0].isdigit()


@pytest.mark.parametrize(
    ("code", "matches", "start"),
    [
        ("my_rare_f", ["my_rare_function"], 0),
        ("my_rare_a", ["my_rare_alias"], 0),
        ("echo 'π'; echo $my_rare_v", ["my_rare_variable"], 16),
        ("echo \"${my_rare_v", ["my_rare_variable"], 8),
        ("if :; then compge", ["compgen"], 11),
        ("cat fil", ["file\\ one", "file_two"], 4),
        ("cat 'file o", ["file one"], 5),
        ("cd fo", ["folder/"], 3),
        ("cat folder/in", ["folder/inside"], 4),
        ("x=1 | ", [], 6),
        ("cat no_such", [], 4),
    ],
)  # fmt: skip
def test_complete(
    client: DirectClient, tmp_path: Path, code: str, matches: list[str], start: int
) -> None:
    for name in ("file one", "file_two", "folder/inside"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    good(
        client.run(
            f"cd {tmp_path}; my_rare_function() {{ :; }}; alias my_rare_alias=:; my_rare_variable=1"
        )
    )
    content = client.ask("complete_request", {"code": code, "cursor_pos": len(code)}).content
    assert (content["matches"], content["cursor_start"]) == (matches, start)
    assert content["cursor_end"] == len(code)
    good(client.run("cd /; false || echo $?"))


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("my_twice a", "echo $1$1"),
        ("ls", "ls is "),
        ("echo x", "Write arguments to the standard output"),
        ("$my_value", 'my_value="42"'),
    ],
)
def test_inspect(client: DirectClient, code: str, words: str) -> None:
    good(client.run("my_twice() { echo $1$1; }; my_value=42"))
    content = client.ask("inspect_request", {"code": code, "cursor_pos": 1}).content
    assert content["found"]
    assert words in content["data"]["text/plain"]
    nowhere = client.ask("inspect_request", {"code": "no_such_thing", "cursor_pos": 1}).content
    assert (nowhere["status"], nowhere["found"]) == ("ok", False)


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("echo 1", "complete"),
        ("for i in 1 2; do", "incomplete"),
        ("echo 'a", "incomplete"),
        ("cat <<END\nx", "incomplete"),
        ("cat <<END\nx\nEND", "complete"),
        ("ls |", "incomplete"),
        ("echo \\", "incomplete"),
        ("[[ a == @(a|b) ]]", "complete"),
        ("fi", "invalid"),
        ("if then", "invalid"),
    ],
)
def test_is_complete(client: DirectClient, code: str, status: str) -> None:
    content = client.ask("is_complete_request", {"code": code}).content
    assert content["status"] == status
    assert ("indent" in content) == (status == "incomplete")


@pytest.mark.parametrize(
    "code",
    [
        "echo begun; while :; do :; done",
        "f() { local x=7; (echo begun; while :; do :; done); }; f; echo no",
        # it says so when it can be interrupted: bash's child may lose a signal before its exec
        "sh -c 'echo begun; exec sleep 1000'; echo no",
        "for i in 1 2; do sh -c 'echo begun; exec sleep 1000' | cat; done",
    ],
)
def test_interrupts(client: DirectClient, code: str) -> None:
    run = interrupted(client, f"x=41; {code}")
    assert "no" not in run.stdout
    assert good(client.run("echo $((x + 1))")).stdout == "42\n"


def test_an_interrupt_while_input_is_awaited(client: DirectClient) -> None:
    interrupted_while_input_is_awaited(client, "read never; echo no")
    assert good(client.run("echo on")).stdout == "on\n"


def test_an_interrupt_that_comes_before_the_code_runs() -> None:
    interpreter = Interpreter(COMMAND)
    interrupted_before_the_code_runs(interpreter, "while :; do :; done")
    assert interpreter.run("echo on").stdout == "on\n"
    interpreter.close()


def test_the_environment_and_folder_of_one_run(client: DirectClient, tmp_path: Path) -> None:
    def run(code: str, **ask: Any) -> Run:
        content = {"code": code, "silent": False, "allow_stdin": False}
        return client.collect(client.send("execute_request", content, metadata={"warmcell": ask}))

    good(run("cd /usr; cd /; declare -a LIST=(1 2); export GONE=here"))
    env = {"A_ONE": "it's $HOME", "LIST": "x", "GONE": None}
    asked = run("sh -c 'echo $A_ONE $LIST ${GONE-none} $PWD'; A_ONE=2; cd /", env=env,
                cwd=str(tmp_path))  # fmt: skip
    assert good(asked).stdout == f"it's $HOME x none {tmp_path}\n"
    after = run("echo ${A_ONE-none} ${LIST[1]} $PWD $OLDPWD; sh -c 'echo $GONE'")
    assert after.stdout == "none 2 / /usr\nhere\n"
    for ask, words in (
        ({"cwd": "/nowhere/at/all"}, "cwd: bash: cd: /nowhere/at/all: No such file"),
        ({"env": {"a.b": "1"}}, "env: a.b is no name of a variable"),
        ({"env": {"UID": "1"}}, "env: bash: unset: UID: cannot unset: readonly variable"),
    ):
        refused = run("echo no", **ask)
        assert (refused.content["ename"], refused.stdout) == ("PlaceError", "")
        assert refused.content["evalue"].startswith(words)


def test_what_a_run_used(client: DirectClient) -> None:
    reply = client.run("for ((i = 0; i < 20000; i++)); do :; done").reply
    assert reply is not None
    assert reply.metadata["usage"]["cpu_s"] > 0
    assert 1 << 20 < reply.metadata["usage"]["memory_peak_bytes"] < 60 << 20
    child = f"{sys.executable} -c 'x = bytearray(90 << 20)'"
    for code, least, most in ((child, 90, 150), (":", 1, 60)):
        reply = client.run(code).reply
        assert reply is not None
        assert least << 20 < reply.metadata["usage"]["memory_peak_bytes"] < most << 20


def test_requests_that_are_not_right(client: DirectClient) -> None:
    msg_id = client.send("execute_request", {"code": 5})
    assert client.collect(msg_id).content["evalue"] == "code: must be a string"
    assert client.ask("comm_info_request").content == {"status": "ok", "comms": {}}
    client.send("comm_open", {"comm_id": "c", "target_name": "t", "data": {}})
    assert good(client.run("echo 1")).stdout == "1\n"


def test_history_and_an_end_that_was_asked_for(tmp_path: Path) -> None:
    with Host(command=COMMAND, history=str(tmp_path / "history.sqlite")) as host:
        client = host.client()
        good(client.run("kept=1"))
        good(client.run("trap 'echo bye' EXIT"))
        ask = {"hist_access_type": "tail", "n": 5, "raw": True, "output": False}
        (first, second) = client.ask("history_request", ask).content["history"]
        assert (first[1:], second[1:]) == ([1, "kept=1"], [2, "trap 'echo bye' EXIT"])
        run = good(client.run("exit 3; echo no"))
        assert (run.stdout, run.stderr) == ("bye\n", "")
        assert host.wait() == 0


@pytest.mark.parametrize(("code", "status"), [("exit 3", 3), ("exec sh -c 'exit 4'", 4)])
def test_the_status_of_the_end(code: str, status: int) -> None:
    interpreter = Interpreter(COMMAND)
    interpreter.wait_ready()
    assert interpreter.run(code).reply["status"] == "ok"
    interpreter.send(4, 0, b'{"restart": false}')  # SHUTDOWN, as the host answers EXIT
    assert interpreter.process.wait() == status
    interpreter.close()


@pytest.mark.parametrize("code", ["echo last; kill -9 $$; :", "echo last; kill -SEGV $$; :"])
def test_a_crash_and_what_was_written_before(client: DirectClient, code: str) -> None:
    run = client.run(code)
    assert run.stdout == "last\n"
    assert run.content["ename"] == "KernelDied"
    assert good(client.run("echo ${x-none}")).stdout == "none\n"


def test_nothing_is_left_when_the_host_is_killed() -> None:
    host = Host(command=COMMAND)
    client = host.client()
    msg_id = client.execute("sleep 1000 & echo .; while :; do :; done")
    client.await_output(msg_id, ".")
    names = ("warmcell-bash", "bash", "sleep")
    children = {pid for name in names for pid in processes.named_below(host.pid, name)}
    assert len(children) == 3
    os.kill(host.pid, signal.SIGKILL)
    host.wait()
    assert not processes.wait_gone(children)
    client.close()


def test_options_that_are_wrong(tmp_path: Path) -> None:
    def answer(*words: str | Path) -> tuple[int, str]:
        done = subprocess.run([DRIVER, *words], check=False, capture_output=True, text=True)
        return done.returncode, done.stderr

    assert answer() == (2, "warmcell-bash: --link-fd and --pipes-fd are required; warmcell-kernel"
                           " gives them\n")  # fmt: skip
    assert answer("--link-fd", "x")[1].startswith("warmcell-bash: --link-fd: must be the number")
    assert answer("a", "b", "--link-fd", "3", "--pipes-fd", "4")[0] == 2


def test_a_bash_that_is_none() -> None:
    with Host(command=[str(DRIVER), "/bin/true"]) as host:
        run = host.client().run("echo 1")
        assert run.status == "error"
        assert "/bin/true does not run as a kernel" in run.content["evalue"]

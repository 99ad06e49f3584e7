"""The driver of JavaScript behind a host: what a person at a notebook sees of it."""

from __future__ import annotations

import base64
import os
import signal
import subprocess
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

DRIVER = Path(__file__).parents[2] / "kernel/node/driver.js"
COMMAND = ["node", str(DRIVER)]
PNG = base64.b64encode(bytes.fromhex("89504e470d0a1a0a0000")).decode()


@pytest.fixture(scope="module")
def shared() -> Iterator[Host]:
    with Host(command=COMMAND) as host:
        yield host


@pytest.fixture(scope="module")
def client(shared: Host) -> DirectClient:
    return shared.client()


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("6 * 7", "42"),
        ("'a' + 'b'", "'ab'"),
        ("{a: 1, b: [1, 2]}", "{ a: 1, b: [ 1, 2 ] }"),
        ("await new Promise((done) => setTimeout(() => done('late'), 1))", "'late'"),
        ("10n ** 20n", "100000000000000000000n"),
        ("-0", "-0"),
        ("(await importModule('node:path')).sep", "'/'"),
        ("require('node:path').sep", "'/'"),
        ("os.EOL", "'\\n'"),
        ("new (class Point { x = 1 })", "Point { x: 1 }"),
        ("globalThis === global", "true"),
        ("6 * 7 // with a comment", "42"),
    ],
)
def test_values(client: DirectClient, code: str, text: str) -> None:
    assert good(client.run(code)).result == {"text/plain": text}


def test_names_stay_and_may_be_declared_anew(client: DirectClient) -> None:
    first = good(client.run("let x = 1; const f = () => x + 1; class A {}"))
    assert first.outputs == []
    assert good(client.run("x = 5; f()")).result["text/plain"] == "6"
    good(client.run("let x = await 7; const f = 2; class A { y = 1 }"))
    assert good(client.run("[x, new A().y]")).result["text/plain"] == "[ 7, 1 ]"
    assert good(client.run("_")).result["text/plain"] == "[ 7, 1 ]"


def test_a_promise_is_a_value(client: DirectClient) -> None:
    run = good(client.run("new Promise(() => {})"))
    assert "<pending>" in run.result["text/plain"]


def test_streams_in_their_order(client: DirectClient) -> None:
    run = good(
        client.run(
            "console.log('one'); fs.writeSync(1, 'two\\n'); console.error('to err');"
            "child_process.spawnSync('echo', ['three'], {stdio: 'inherit'});"
            "console.log('é🎉'); process.stdout.write('\\ud800!');"
            "process.stdout.write(Buffer.from([0xc3])); process.stdout.write(Buffer.from([0xa9]));"
        )
    )
    assert run.stdout == "one\ntwo\nthree\né🎉\n\ufffd!é"
    assert run.stderr == "to err\n"


def test_a_long_text_is_whole(client: DirectClient) -> None:
    run = good(client.run("process.stdout.write('ab🎉'.repeat(100000)); 1"))
    assert run.stdout == "ab🎉" * 100000


def test_what_comes_later_belongs_to_its_cell(client: DirectClient) -> None:
    first = client.execute(
        "let go; new Promise((r) => { go = r; }).then(() => console.log('mine'))"
    )
    client.collect(first)
    assert good(client.run("go(); await 1; console.log('other')")).stdout == "other\n"
    client.await_output(first, "mine")


def test_displays(client: DirectClient) -> None:
    run = good(
        client.run(
            "display.html('<b>x</b>', {id: 'here'});"
            "display.html('<i>y</i>', {id: 'here', update: true});"
            f"display.png(Buffer.from('{PNG}', 'base64')); display.json({{a: [1]}});"
            "await display({[Symbol.for('Jupyter.display')]: () => ({'text/markdown': '*m*'})});"
            f"display.clear(true); Buffer.from('{PNG}', 'base64')"
        )
    )
    shown = [(m.msg_type, m.content.get("data"), m.content.get("transient")) for m in run.outputs]
    here = {"display_id": "here"}
    assert shown[:-2] == [
        ("display_data", {"text/html": "<b>x</b>"}, here),
        ("update_display_data", {"text/html": "<i>y</i>"}, here),
        ("display_data", {"image/png": PNG}, {}),
        ("display_data", {"application/json": {"a": [1]}}, {}),
        ("display_data", {"text/markdown": "*m*"}, {}),
    ]
    assert run.outputs[-2].content == {"wait": True}
    assert run.result["image/png"] == PNG


@pytest.mark.parametrize(
    ("code", "name", "words"),
    [
        ("null.foo", "TypeError", "Cannot read properties of null"),
        ("let a = 1;\na b", "SyntaxError", "    a b\n      ^"),
        ("throw 5", "Uncaught", "Uncaught: 5"),
        ("throw Error('', {cause: RangeError('down')})", "Error", "caused by:\nRangeError: down"),
        ("await import('node:fs')", "TypeError", "importModule"),
        ("display.mime({nonsense: 'x'})", "TypeError", '"nonsense" is no MIME type'),
        ("prompt('?')", "Error", "this client does not answer prompts"),
    ],
)  # fmt: skip
def test_errors(client: DirectClient, code: str, name: str, words: str) -> None:
    run = client.run(code)
    assert (run.status, run.content["ename"]) == ("error", name)
    assert words in run.traceback
    assert str(DRIVER.parent) not in run.traceback
    (told,) = run.of("error")
    assert told.content["traceback"] == run.content["traceback"]


def test_an_error_ends_the_queue(client: DirectClient) -> None:
    first = client.execute("prompt('go? '); throw new Error('x')", allow_stdin=True)
    client.take(lambda m: m.msg_type == "input_request")
    second = client.execute("1")
    client.ask("kernel_info_request")  # behind it: it is in the queue
    client.send("input_reply", {"value": ""}, channel="stdin")
    assert client.collect(first).status == "error"
    assert client.collect(second).status == "aborted"


def test_what_nobody_waits_for_ends_nothing(client: DirectClient) -> None:
    first = client.execute(
        "setTimeout(() => { throw new Error('timed') }, 1);Promise.reject(new Error('alone')); 1"
    )
    assert client.collect(first).reply is not None
    client.run("await new Promise((r) => setTimeout(r, 20))")
    assert good(client.run("1 + 1")).result["text/plain"] == "2"


def test_counts_and_silence(client: DirectClient) -> None:
    before = client.run("1").content["execution_count"]
    silent = client.run("console.log('seen'); 2", silent=True)
    assert (silent.stdout, silent.of("execute_result", "execute_input")) == ("seen\n", [])
    unstored = client.run("3", store_history=False)
    assert unstored.content["execution_count"] == before
    run = client.run("4", user_expressions={"a": "1 + 1", "b": "nowhere"})
    assert run.content["execution_count"] == before + 1
    assert run.content["user_expressions"]["a"]["data"] == {"text/plain": "2"}
    assert run.content["user_expressions"]["b"]["ename"] == "ReferenceError"


def test_input(client: DirectClient) -> None:
    run = client.run("console.log('Hello, ' + prompt('who? '))", answers=["me π"])
    assert run.prompts[0].content == {"prompt": "who? ", "password": False}
    assert run.stdout == "Hello, me π\n"


def test_kernel_info(client: DirectClient) -> None:
    info = client.ask("kernel_info_request").content
    assert info["implementation"] == "warmcell-node"
    assert info["language_info"]["name"] == "javascript"


@pytest.mark.parametrize(
    ("code", "matches"),
    [
        ("Math.flo", ["floor"]),
        ("let q = 1; processi", []),
        ("console.lo", ["log"]),
        ("instanc", ["instanceof"]),
        ("'🎉'; Math.PI.toFix", ["toFixed"]),
        ("touched.x.", []),
    ],
)
def test_complete(client: DirectClient, code: str, matches: list[str]) -> None:
    good(client.run("var touched = {get x() { touched.seen = true; return 1 }}"))
    end = len(code)
    content = client.ask("complete_request", {"code": code, "cursor_pos": end}).content
    assert content["matches"] == matches
    assert content["cursor_end"] == end
    if matches:
        word = code[content["cursor_start"] :]
        assert matches[0].startswith(word) and word
    assert client.run("touched.seen").of("execute_result") == []


def test_complete_knows_what_cells_declared(client: DirectClient) -> None:
    good(client.run("const aRareName = {inside: 1}"))
    ask = {"code": "aRareNa", "cursor_pos": 7}
    assert client.ask("complete_request", ask).content["matches"] == ["aRareName"]
    ask = {"code": "aRareName.ins", "cursor_pos": 13}
    assert client.ask("complete_request", ask).content["matches"] == ["inside"]


def test_inspect(client: DirectClient) -> None:
    good(client.run("function twice(a, b = 2) { return a * b }"))
    ask = {"code": "twice(1", "cursor_pos": 3, "detail_level": 0}
    content = client.ask("inspect_request", ask).content
    assert content["data"]["text/plain"] == "function: function twice(a, b = 2)"
    content = client.ask("inspect_request", ask | {"detail_level": 1}).content
    assert "return a * b" in content["data"]["text/plain"]
    content = client.ask("inspect_request", ask | {"code": "nowhere"}).content
    assert (content["status"], content["found"]) == ("ok", False)


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("1", "complete"),
        ("await 1", "complete"),
        ("function f() {", "incomplete"),
        ("f(1,", "incomplete"),
        ("x = `a", "incomplete"),
        ("/* so", "incomplete"),
        ("if (1) {\n  g(", "incomplete"),
        ("a b", "invalid"),
        ("'abc", "invalid"),
        ("}", "invalid"),
    ],
)
def test_is_complete(client: DirectClient, code: str, status: str) -> None:
    assert client.ask("is_complete_request", {"code": code}).content["status"] == status


def goes_on_after_an_interrupt(client: DirectClient, code: str) -> None:
    interrupted(client, f"x = 41; {code}")
    assert good(client.run("x + 1")).result["text/plain"] == "42"


@pytest.mark.parametrize(
    "code",
    [
        "console.log('begun'); while (true);",
        # it says so when it waits: Node may lose a signal that comes as code goes over to waiting
        "await new Promise(() => setImmediate(() => console.log('begun')))",
        "console.log('begun'); Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)",
        "prompt('never')",
    ],
)
def test_interrupts(client: DirectClient, code: str) -> None:
    if code.startswith("prompt"):
        interrupted_while_input_is_awaited(client, code)
        return
    goes_on_after_an_interrupt(client, code)


def test_an_interrupt_that_comes_before_the_code_runs() -> None:
    interpreter = Interpreter(COMMAND)
    interrupted_before_the_code_runs(interpreter, "while (true);")
    assert interpreter.run("1 + 1").result == "2"
    interpreter.close()


def test_the_environment_and_folder_of_one_run(client: DirectClient, tmp_path: Path) -> None:
    def run(code: str, **ask: Any) -> Run:
        content = {"code": code, "silent": False, "allow_stdin": False}
        return client.collect(client.send("execute_request", content, metadata={"warmcell": ask}))

    before = run("process.cwd()").result
    asked = run("process.env.A_ONE + process.cwd()", env={"A_ONE": "1"}, cwd=str(tmp_path))
    assert asked.result["text/plain"] == f"'1{tmp_path}'"
    assert run("process.env.A_ONE").of("execute_result") == []
    assert run("process.cwd()").result == before
    refused = run("1", cwd="/nowhere/at/all")
    assert refused.content["evalue"].startswith("cwd: ENOENT")


def test_what_a_run_used(client: DirectClient) -> None:
    reply = client.run("for (let i = 0; i < 1e6; i++); 1").reply
    assert reply is not None
    assert reply.metadata["usage"]["cpu_s"] > 0
    before = reply.metadata["usage"]["memory_peak_bytes"]
    assert before > 1 << 20
    reply = client.run("void Buffer.alloc(80 << 20, 'x')").reply
    assert reply is not None
    assert reply.metadata["usage"]["memory_peak_bytes"] > before + (60 << 20)
    # a collection that is asked for gives the memory of the buffer back
    client.run("(await import('node:v8')).setFlagsFromString('--expose-gc');"
               "(await import('node:vm')).runInNewContext('gc')()")  # fmt: skip
    reply = client.run("1").reply
    assert reply is not None
    assert reply.metadata["usage"]["memory_peak_bytes"] < before + (40 << 20)


def test_comms_are_answered(client: DirectClient) -> None:
    assert client.ask("comm_info_request").content == {"status": "ok", "comms": {}}
    client.send("comm_open", {"comm_id": "c", "target_name": "t", "data": {}})
    assert good(client.run("1")).result["text/plain"] == "1"


def test_history_and_an_end_that_was_asked_for(tmp_path: Path) -> None:
    with Host(command=COMMAND, history=str(tmp_path / "history.sqlite")) as host:
        client = host.client()
        good(client.run("let kept = 1"))
        good(client.run("kept + 1"))
        ask = {"hist_access_type": "tail", "n": 5, "raw": True, "output": False}
        (first, second) = client.ask("history_request", ask).content["history"]
        assert (first[1:], second[1:]) == ([1, "let kept = 1"], [2, "kept + 1"])
        good(client.run("process.exit()"))
        assert host.wait() == 0


def test_a_crash_and_what_was_written_before(client: DirectClient) -> None:
    run = client.run("console.log('last words'); process.kill(process.pid, 'SIGKILL'); while (1);")
    assert run.stdout == "last words\n"
    assert run.content["ename"] == "KernelDied"
    assert good(client.run("typeof x")).result["text/plain"] == "'undefined'"


def test_nothing_is_left_when_the_host_is_killed() -> None:
    host = Host(command=COMMAND)
    client = host.client()
    msg_id = client.execute(
        "const child = child_process.spawn('sleep', ['1000']); console.log(process.pid, child.pid);"
        "console.log('.'); while (true);"
    )
    client.await_output(msg_id, ".")
    children = [pid for name in ("node", "sleep") for pid in processes.named_below(host.pid, name)]
    assert len(children) == 2
    os.kill(host.pid, signal.SIGKILL)
    host.wait()
    assert not processes.wait_gone(children)
    client.close()


def test_options_that_are_missing() -> None:
    answer = subprocess.run(["node", str(DRIVER)], check=False, capture_output=True, text=True)
    assert (answer.returncode, "--link-fd" in answer.stderr) == (2, True)

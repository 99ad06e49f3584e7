"""input() and getpass(): the kernel asks the client that sent the cell."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support import processes
from support.client import Message
from support.direct import DirectClient, Kernel
from support.programs import PEER


@pytest.fixture
def client(shared_kernel: Kernel) -> Iterator[DirectClient]:
    yield shared_kernel.client()


def prompt_of(client: DirectClient, msg_id: str) -> Message:
    return client.take(lambda m: m.msg_type == "input_request" and m.parent_id == msg_id)


def test_input(client: DirectClient) -> None:
    run = client.run("name = input('who? ')\nprint('hello', name)", answers=["Ada ☃"])
    (prompt,) = run.prompts
    assert prompt.content == {"prompt": "who? ", "password": False}
    assert run.stdout == "hello Ada ☃\n"


def test_password(client: DirectClient) -> None:
    run = client.run("import getpass; len(getpass.getpass('key: '))", answers=["secret"])
    (prompt,) = run.prompts
    assert prompt.content == {"prompt": "key: ", "password": True}
    assert run.result["text/plain"] == "6"


def test_several(client: DirectClient) -> None:
    run = client.run("[input(str(i)) for i in range(3)]", answers=["a", "", "c"])
    assert [p.content["prompt"] for p in run.prompts] == ["0", "1", "2"]
    assert run.result["text/plain"] == "['a', '', 'c']"


def test_end_of_file(client: DirectClient) -> None:
    assert client.run("input()", answers=["\x04"]).content["ename"] == "EOFError"


def test_not_allowed(client: DirectClient) -> None:
    run = client.run("input('never asked')", allow_stdin=False)
    assert run.content["ename"] == "StdinNotImplementedError"
    assert not run.prompts


def test_prompt_comes_after_the_output_before_it(client: DirectClient) -> None:
    msg_id = client.execute("print('before'); input('?')", allow_stdin=True)
    prompt = prompt_of(client, msg_id)
    client.await_output(msg_id, "before\n")
    client.send("input_reply", {"value": "x"}, channel="stdin", parent=prompt.header)
    assert client.collect(msg_id).status == "ok"


def test_interrupt_while_asking(shared_kernel: Kernel, client: DirectClient) -> None:
    msg_id = client.execute("input('?')", allow_stdin=True)
    prompt_of(client, msg_id)
    shared_kernel.interrupt()
    assert client.collect(msg_id).content["ename"] == "KeyboardInterrupt"
    assert client.run("input('again')", answers=["y"]).result["text/plain"] == "'y'"


def test_stale_answers_are_not_taken(kernelspec: str, tmp_path: Path) -> None:
    told = tmp_path / "told"
    with told.open("wb") as stderr, Kernel(kernelspec, stderr=stderr) as kernel:
        client = kernel.client()
        client.send("input_reply", {"value": "stale"}, channel="stdin")
        if not PEER:  # the next request comes by another connection, and may overtake it
            processes.until(lambda: "it answers no input_request" in told.read_text(), "dropped")
        client.run("1")
        assert client.run("input()", answers=["fresh"]).result["text/plain"] == "'fresh'"


def test_only_the_one_that_asked_is_prompted(shared_kernel: Kernel, client: DirectClient) -> None:
    other = shared_kernel.client()
    run = client.run("input()", answers=["mine"])
    assert run.result["text/plain"] == "'mine'"
    other.collect(run.msg_id, reply=False)
    other.drain()
    assert not [m for m in other.pending if m.channel == "stdin"]


def test_input_in_a_thread(client: DirectClient) -> None:
    run = client.run(
        "import threading\ngot = []\n"
        "t = threading.Thread(target=lambda: got.append(input('t? ')))\nt.start(); t.join(); got",
        answers=["from a thread"],
    )
    assert run.result["text/plain"] == "['from a thread']"

"""Input: to the one that asked, from the one that is asked, and never twice."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from kernel.host_process import Host
from support.client import Message
from support.direct import DirectClient


@pytest.fixture(scope="module")
def shared() -> Iterator[Host]:
    with Host() as host:
        yield host


@pytest.fixture
def client(shared: Host) -> DirectClient:
    return shared.client()


def prompt(client: DirectClient, msg_id: str) -> Message:
    return client.take(lambda m: m.msg_type == "input_request" and m.parent_id == msg_id)


def test_input(client: DirectClient) -> None:
    run = client.run("input who? ", answers=["me \u0000 π 🎉"])
    assert run.prompts[0].content == {"prompt": "who? ", "password": False}
    assert run.stdout == "got me \u0000 π 🎉\n"


def test_only_the_asking_client_is_asked(shared: Host, client: DirectClient) -> None:
    other = shared.client()
    client.run("input x", answers=["a"])
    other.drain()
    assert not other.sockets["stdin"].poll(0)


def test_answers_that_nobody_asked_for_are_dropped(client: DirectClient) -> None:
    # what is sent on a socket that is still connecting may come behind what goes by another
    assert client.run("input x", answers=["connected"]).stdout == "got connected\n"
    for value in ("early", "earlier"):
        client.send("input_reply", {"value": value}, channel="stdin")
    client.run("print a")
    assert client.run("input x", answers=["right"]).stdout == "got right\n"


def test_an_answer_to_an_older_question_is_dropped(shared: Host, client: DirectClient) -> None:
    first = client.execute("input one")
    old = prompt(client, first)
    client.ask("interrupt_request", channel="control")
    assert client.collect(first).content["ename"] == "KeyboardInterrupt"
    second = client.execute("input two")
    asked = prompt(client, second)
    client.send("input_reply", {"value": "late"}, channel="stdin", parent=old.header)
    client.send("input_reply", {"value": "right"}, channel="stdin", parent=asked.header)
    assert client.collect(second).stdout == "got right\n"


@pytest.mark.parametrize("parent", [{}, {"msg_id": "x"}, {"msg_type": "execute_request"}])
def test_clients_that_name_no_question(client: DirectClient, parent: dict[str, str]) -> None:
    msg_id = client.execute("input x")
    prompt(client, msg_id)
    client.send("input_reply", {"value": "v"}, channel="stdin", parent=parent)
    assert client.collect(msg_id).stdout == "got v\n"


@pytest.mark.parametrize("content", [{}, {"value": 5}, {"value": None}, {"value": ["a"]}])
def test_answers_of_the_wrong_type_are_dropped(
    client: DirectClient, content: dict[str, object]
) -> None:
    msg_id = client.execute("input x")
    prompt(client, msg_id)
    client.send("input_reply", content, channel="stdin")
    client.send("input_reply", {"value": "good"}, channel="stdin")
    assert client.collect(msg_id).stdout == "got good\n"


def test_the_interpreter_dies_while_it_asks(client: DirectClient) -> None:
    msg_id = client.execute("input x\ncrash 9")
    asked = prompt(client, msg_id)
    client.send("input_reply", {"value": "v"}, channel="stdin", parent=asked.header)
    run = client.collect(msg_id)
    assert run.stdout == "got v\n" and run.content["ename"] == "KernelDied"
    client.send("input_reply", {"value": "v"}, channel="stdin", parent=asked.header)
    assert client.run("print a").stdout == "a\n"

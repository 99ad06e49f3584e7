"""/v1/stream with kernels of the small driver: many calls on one socket, what each is told, coming
back, slow clients, and what is refused. Commands are in tests/e2e/test_stream_commands.py."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from typing import Any

import pytest
import websocket
from gateway.test_executions import Box, numbers
from gateway.test_quotas import record
from gateway.test_sandboxes import NOBODY, Place, create, end, remove, start
from gateway.test_tokens import mint
from support import processes
from support.stream_client import StreamClient


@pytest.fixture(scope="module")
def box(place: Place) -> Iterator[Box]:
    """Shared: what a test leaves running it interrupts."""
    made = create(place[0])
    yield Box(place[0], made)
    remove(place[0], made)


@pytest.fixture
def client(box: Box) -> Iterator[StreamClient]:
    with closing(StreamClient(box.gateway)) as client:
        yield client


def run(client: StreamClient, box: Box, code: str, **members: Any) -> str:
    body = {"code": code} | members.pop("body", {})
    return client.send("run", sandbox=box.model["id"], body=body, **members)


def text_of(events: list[dict[str, Any]]) -> str:
    return "".join(event["text"] for event in events if event["type"] == "stdout")


def test_hello(client: StreamClient) -> None:
    hello = client.hello
    assert (hello["type"], hello["version"], hello["principal"]) == ("hello", 1, "owner")
    assert hello["limits"] == {
        "frame_bytes": 32 << 20, "id_bytes": 64, "calls": 512, "window_bytes": 256 << 10,
    }  # fmt: skip
    assert client.ask("ping", id="p") == {"id": "p", "done": True}


def test_a_run_is_told_in_one_frame(client: StreamClient, box: Box) -> None:
    """Nothing is known of it before it is stored; by then this one has ended."""
    call = run(client, box, "print hello", body={"labels": {"a": "b"}})
    frames = client.rest(call)
    events = [event for frame in frames for event in frame["events"]]
    assert [event["type"] for event in events] == ["started", "stdout", "end"]
    assert numbers(events) == [1, 2, 3]
    execution = events[-1]["execution"]
    assert frames[0]["execution"] == execution["id"]
    assert (execution["status"], execution["labels"]) == ("ok", {"a": "b"})
    assert all("execution" not in frame for frame in frames[1:])
    assert box.follow(execution["id"]) == events  # the same that HTTP has


def test_many_sandboxes_on_one_socket(client: StreamClient, box: Box, place: Place) -> None:
    other = Box(place[0], create(place[0]))
    waiting = run(client, box, "input a")
    calls = [run(client, other, f"print {n}") for n in range(20)]
    assert [text_of(client.events(call)) for call in calls] == [f"{n}\n" for n in range(20)]
    client.until(waiting, type="input")
    (running,) = box.get("?status=running").json()["executions"]
    answer = client.ask("input", sandbox=box.model["id"], execution=running["id"],
                        body={"value": "caf\u00e9"})  # fmt: skip
    assert answer.keys() == {"id", "done"}
    assert client.until(waiting, type="stdout")["text"] == "got caf\u00e9\n"
    assert client.until(waiting, type="end")["execution"]["status"] == "ok"
    remove(place[0], other.model)


def test_one_that_waits_in_the_queue_is_named_at_once(client: StreamClient, box: Box) -> None:
    first = run(client, box, "input a")
    client.until(first, type="input")
    second = run(client, box, "print b")
    named = client.next(second)
    assert named == {"id": second, "execution": named["execution"], "events": []}
    sandbox = box.model["id"]
    status = client.ask("cancel", sandbox=sandbox, execution=named["execution"])["status"]
    assert status in ("queued", "cancelled")
    assert client.until(second, type="end")["execution"]["status"] == "cancelled"
    assert client.ask("interrupt", sandbox=sandbox)["done"]
    assert client.until(first, type="end")["execution"]["status"] in ("interrupted", "error")


def test_coming_back(client: StreamClient, box: Box) -> None:
    """By its id and a number, or by the key alone, also while it runs, exactly."""
    key = {"key": "come-back", "body": {"allow_input": True}}
    call = run(client, box, "lines 3000\ninput a\nlines 3000", **key)
    execution = client.next(call)["execution"]
    client.until(call, type="input")
    client.abandon()
    with closing(StreamClient(box.gateway)) as again:
        resumed = run(again, box, "lines 3000\ninput a\nlines 3000", **key)
        followed = again.send("subscribe", sandbox=box.model["id"], execution=execution, after=3)
        assert again.next(resumed)["execution"] == execution
        assert box.ask(execution, "input", {"value": "v"}).status == 204
        tail = again.events(followed)
        again.rest(resumed)
        whole = box.follow(execution)
        assert tail == whole[3:]
        assert (
            again.events(run(again, box, "lines 3000\ninput a\nlines 3000", after=5, **key))
            == (whole[5:])
        )
        last = len(whole)
        for after, expected in ((last - 1, whole[-1:]), (last, []), (last + 9, [])):
            late = {"execution": execution, "after": after, "sandbox": box.model["id"]}
            assert again.events(again.send("subscribe", **late)) == expected
        other = again.rest(run(again, box, "print b", **key))[-1]
        assert other["problem"]["status"] == 422
    over_http = box.post("print k", {"Idempotency-Key": "http"}).json()
    with closing(StreamClient(box.gateway)) as third:
        frame = {"id": "k", "op": "run", "sandbox": box.model["id"], "key": "http"}
        third.ws.send(json.dumps(frame)[:-1] + ',"body":{"code": "print k"}}')
        assert third.events("k")[-1]["execution"]["id"] == over_http["id"]


def test_it_is_on_record(client: StreamClient, box: Box) -> None:
    """As if it had come by HTTP; what only reads is not."""
    client.events(run(client, box, "print secret"))
    client.problem("cancel", sandbox=box.model["id"], execution=NOBODY)
    client.problem("subscribe", sandbox=box.model["id"], execution=NOBODY)
    lines = [line for line in record(box.gateway) if line["route"].startswith("/v1/s")][-3:]
    routes = [line["route"] for line in lines]
    executions = "/v1/sandboxes/{id}/executions"
    assert routes == ["/v1/stream", executions, f"{executions}/{{execution}}/cancel"]
    assert [line["status"] for line in lines] == [101, 200, 404]
    assert lines[1]["principal"] == "owner" and lines[1]["id"] == box.model["id"]
    assert "secret" not in json.dumps(lines)


def test_unsubscribe(client: StreamClient, box: Box) -> None:
    call = run(client, box, "input a\nprint b", body={"allow_input": True})
    execution = client.next(call)["execution"]
    assert client.ask("unsubscribe", of=call)["done"]
    client.frames[call].clear()  # what came before
    box.until(execution, awaits_input=True)
    assert box.ask(execution, "input", {"value": "v"}).status == 204
    assert box.ended(execution)["status"] == "ok"
    assert client.events(run(client, box, "print c", id=call))[1]["text"] == "c\n"  # it is free
    assert client.problem("unsubscribe", of=call) == (404, f'of: "{call}" follows nothing')


def test_a_client_that_does_not_read(box: Box) -> None:
    """It delays nobody, costs its window, and has everything in the end; another call of its own
    waits with it."""
    with (
        closing(StreamClient(box.gateway, rcvbuf=1 << 16)) as slow,
        closing(StreamClient(box.gateway)) as quick,
    ):
        labels = {"test": "slow"}
        calls = [run(slow, box, "lines 600000", body={"labels": labels}) for _ in range(2)]
        lines = "".join(f"line {n}\n" for n in range(600000))

        def both_ended() -> bool:
            all_of_them = box.get("?limit=1000").json()["executions"]
            return [one["status"] for one in all_of_them if one["labels"] == labels] == ["ok"] * 2

        processes.until(both_ended, "both have ended though nobody reads")
        assert text_of(quick.events(run(quick, box, "print hello"))) == "hello\n"
        for call in calls:
            events = slow.events(call)
            assert numbers(events) == list(range(1, len(events) + 1))
            assert text_of(events) == lines


def test_who_never_reads_is_sent_away(box: Box) -> None:
    """More answers than the sockets between them take in."""
    with closing(StreamClient(box.gateway, rcvbuf=4096)) as deaf:
        with suppress(ConnectionError):  # the server may have done so before all is sent
            deaf.flood('{"op": "none of ours, but as long as such a word may be"}', 80000)
        assert deaf.closed() in (1013, None)
    with closing(StreamClient(box.gateway)) as client:
        assert client.ask("ping")["done"]


def test_only_text_is_spoken(box: Box) -> None:
    with closing(StreamClient(box.gateway)) as client:
        client.ws.send_binary(b"{}")
        assert client.closed() == 1003


def test_too_many_calls(client: StreamClient, box: Box) -> None:
    first = run(client, box, "input a")
    client.until(first, type="input")
    (running,) = box.get("?status=running").json()["executions"]
    one = {"sandbox": box.model["id"], "execution": running["id"], "after": 99}
    calls = [client.send("subscribe", **one) for _ in range(512)]
    refused = client.next(calls[-1])
    assert (refused["problem"]["status"], refused["done"]) == (429, True)
    assert box.ask(running["id"], "input", {"value": "v"}).status == 204
    for call in calls[:-1]:
        assert client.events(call) == []
    assert client.ask("ping")["done"]


def test_a_socket_that_goes_while_much_is_owed(box: Box) -> None:
    for _ in range(20):
        with closing(StreamClient(box.gateway)) as client:
            calls = [run(client, box, f"print {n}", key=f"gone-{n}") for n in range(5)]
            client.send("subscribe", sandbox=box.model["id"], execution=NOBODY)
            client.send("cancel", sandbox=box.model["id"], execution=NOBODY)
            client.send("interrupt", sandbox=box.model["id"])
            assert len(calls) == 5
            client.abandon()
    with closing(StreamClient(box.gateway)) as client:
        assert client.ask("ping")["done"]


BAD: list[tuple[str, Any, int, str]] = [
    ("", None, 400, "frame: not valid JSON"),
    ("[]", None, 400, "frame: must be an object"),
    ('{"op":"ping"}', None, 400, "id: is required"),
    ('{"id":"","op":"ping"}', None, 400, "id: must be 1 to 64 bytes long"),
    ('{"id":1,"op":"ping"}', None, 400, "id: must be a string"),
    ('{"id":"a"}', "a", 400, "op: is required"),
    ('{"id":"a","op":"dance"}', "a", 400, 'op: "dance" is none'),
    ('{"id":"a","op":"run"}', "a", 400, "sandbox: is required"),
    ('{"id":"a","op":"run","sandbox":"s"}', "a", 400, "body: is required"),
    ('{"id":"a","op":"subscribe","sandbox":"s"}', "a", 400, "either execution or command"),
    ('{"id":"a","op":"subscribe","sandbox":"s","execution":"x","command":"y"}', "a", 400,
     "either execution or command"),
    ('{"id":"a","op":"subscribe","sandbox":"s","execution":"x","after":-1}', "a", 400, "after: "),
    ('{"id":"a","op":"signal","sandbox":"s","command":"c"}', "a", 400, "body: is required"),
    ('{"id":"a","op":"unsubscribe"}', "a", 400, "of: is required"),
    ('{"id":"a","op":"run","sandbox":"s","body":{}}', "a", 404, "sandbox"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "call", "status", "words"), BAD, ids=[row[0] for row in BAD])
def test_frames_that_are_refused(
    client: StreamClient, text: str, call: str | None, status: int, words: str
) -> None:
    client.ws.send(text)
    frame = client.next(call)
    assert (frame["problem"]["status"], frame["done"]) == (status, True)
    assert words in frame["problem"]["detail"]
    assert client.ask("ping")["done"]


def test_calls_that_are_refused(client: StreamClient, box: Box) -> None:
    sandbox = {"sandbox": box.model["id"]}
    for body, words in (
        ({}, "code: is required"),
        ({"code": "", "detach": True}, "detach: "),
        ({"code": "", "items": []}, "items: "),
        ({"code": "", "env": []}, "env: must be an object"),
        ({"code": "", "contexts": "a"}, "contexts: there is no such member"),
    ):
        status, text = client.problem("run", body=body, **sandbox)
        assert status == 400 and text.startswith(words)
    assert client.problem("run", body={"code": "", "context": "no"}, **sandbox)[0] == 404
    assert client.problem("run", key="", body={"code": ""}, **sandbox)[0] == 400
    assert client.problem("interrupt", context="no", **sandbox)[0] == 404
    assert client.problem("subscribe", execution=NOBODY, **sandbox)[0] == 404
    assert client.problem("subscribe", command=NOBODY, **sandbox)[0] == 404
    assert client.problem("cancel", execution=NOBODY, **sandbox)[0] == 404
    assert client.problem("input", execution=NOBODY, body={"value": ""}, **sandbox)[0] == 404
    assert client.problem("input", execution=NOBODY, body={}, **sandbox)[0] == 400
    assert client.problem("stdin", command=NOBODY, body={}, **sandbox)[0] == 404
    late = {"argv": ["true"], "deadline_s": 1}
    assert "did you mean deadline_ms" in client.problem("command", body=late, **sandbox)[1]
    path = f"/v1/sandboxes/{box.model['id']}/commands"
    command = box.gateway.request("POST", path, {"argv": ["true"]}).json()["id"]
    slips: tuple[tuple[str, dict[str, str], dict[str, Any]], ...] = (
        ("input", {"execution": NOBODY}, {"value": ""}),
        ("stdin", {"command": command}, {"eof": True}),
        ("signal", {"command": command}, {"signal": 9}),
    )
    for op, named, body in slips:
        status, text = client.problem(op, body=body | {"no": 1}, **named, **sandbox)
        assert status == 400 and text.startswith("no: there is no such member")
    assert client.problem("signal", command=NOBODY, body={"signal": 9}, **sandbox)[0] == 404
    ended = box.run("print a")["id"]
    assert client.problem("input", execution=ended, body={"value": ""}, **sandbox)[0] == 409
    assert client.ask("cancel", execution=ended, **sandbox)["status"] == "ok"
    waiting = run(client, box, "input a", id="same")
    client.until(waiting, type="input")
    client.send("ping", id="same")
    refused = client.next(None)["problem"]
    assert (refused["status"], refused["detail"]) == (409, 'id: "same" is that of an open call')
    assert client.ask("interrupt", **sandbox)["done"]
    client.rest(waiting)


def test_strangers(place: Place, box: Box) -> None:
    """Without a token there is no socket; what is foreign is not there; a token that is revoked
    ends its sockets."""
    gateway = place[0]
    with pytest.raises(websocket.WebSocketBadStatusException) as refused:
        websocket.create_connection(f"ws://{gateway.authority}/v1/stream", timeout=60)
    assert refused.value.status_code == 401
    execution = box.run("print a")["id"]
    token, ada = mint(gateway, principal="ada")
    with closing(StreamClient(ada)) as client:
        assert client.hello["principal"] == "ada"
        foreign = {"sandbox": box.model["id"]}
        for op, members in (
            ("run", {"body": {"code": ""}}),
            ("command", {"body": {"argv": ["true"]}}),
            ("subscribe", {"execution": execution}),
            ("subscribe", {"command": NOBODY}),
            ("input", {"execution": execution, "body": {"value": ""}}),
            ("cancel", {"execution": execution}),
            ("interrupt", {}),
            ("stdin", {"command": NOBODY, "body": {}}),
            ("signal", {"command": NOBODY, "body": {"signal": 9}}),
        ):
            assert client.problem(op, **foreign, **members)[0] == 404
        assert gateway.request("DELETE", f"/v1/tokens/{token['id']}").status == 204
        assert client.closed() == 1008


def test_the_gateway_ends(place: Place) -> None:
    gateway, keeper = start("--pool-max", "0")
    box = Box(gateway, create(gateway))
    client = StreamClient(gateway)
    client.until(run(client, box, "input a"), type="input")
    with ThreadPoolExecutor(1) as pool:
        closed = pool.submit(client.closed)
        end(gateway, keeper)
        assert closed.result() == 1012

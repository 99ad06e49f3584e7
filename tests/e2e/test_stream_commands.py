"""/v1/stream with a real sandbox: commands and their input, and what the interpreter's code cache
says of itself on the way to a client."""

from __future__ import annotations

import base64
import shutil
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from e2e.test_sandbox_life import create, remove
from support import processes
from support.files import keeper_pids
from support.gateway import Gateway
from support.stream_client import StreamClient

NOBODY = "00000000-0000-0000-0000-000000000000"


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    gateway = Gateway(options=["--pool-max", "0"])
    with gateway:
        yield gateway
    assert not processes.wait_gone(keeper_pids(gateway))
    shutil.rmtree(gateway.home, ignore_errors=True)


@pytest.fixture(scope="module")
def sandbox(gateway: Gateway) -> Iterator[str]:
    made = create(gateway)
    yield made["id"]
    remove(gateway, made)


@pytest.fixture
def client(gateway: Gateway) -> Iterator[StreamClient]:
    with closing(StreamClient(gateway)) as client:
        yield client


def text_of(events: list[dict[str, Any]]) -> str:
    return "".join(event.get("text", "") for event in events if event["kind"] == "stdout")


def test_a_command(client: StreamClient, gateway: Gateway, sandbox: str) -> None:
    call = client.send("command", sandbox=sandbox, key="one", body={"shell": "echo a; echo b >&2"})
    events = client.events(call)
    assert [event["number"] for event in events] == list(range(1, len(events) + 1))
    assert (events[0]["kind"], text_of(events)) == ("started", "a\n")
    assert (events[-1]["kind"], events[-1]["exit_code"]) == ("end", 0)
    again = client.rest(
        client.send("command", sandbox=sandbox, key="one", body={"shell": "echo a; echo b >&2"})
    )
    assert [event for frame in again for event in frame["events"]] == events
    command = again[0]["command"]
    path = f"/v1/sandboxes/{sandbox}/commands/{command}"
    assert gateway.get(path).json()["stdout"] == "a\n"
    late = {"sandbox": sandbox, "command": command}
    assert client.events(client.send("subscribe", after=1, **late)) == events[1:]
    assert client.events(client.send("subscribe", after=99, **late)) == []
    coded = client.events(client.send("subscribe", encoding="base64", **late))
    assert base64.b64decode(coded[1].get("base64", "")) in (b"a\n", b"b\n")
    assert client.problem("subscribe", encoding="rot13", **late)[0] == 400
    status, _ = client.problem("command", sandbox=sandbox, key="one", body={"shell": "echo c"})
    assert status == 422
    assert client.problem("command", sandbox=sandbox, body={})[0] == 400
    assert client.problem("stdin", body={"stdin": "x"}, **late)[0] == 409
    assert client.problem("stdin", body={"stdin": 5}, **late)[0] == 400
    assert client.problem("signal", body={"signal": "NONE"}, **late)[0] == 400


def test_input_and_signals(client: StreamClient, sandbox: str) -> None:
    call = client.send("command", sandbox=sandbox, body={"argv": ["cat"], "stdin_open": True})
    one = {"sandbox": sandbox, "command": client.next(call)["command"]}
    assert client.ask("stdin", body={"stdin": "hello\n"}, **one)["done"]
    assert client.until(call, kind="stdout")["text"] == "hello\n"
    assert client.ask("stdin", body={"stdin": {"base64": "AP8="}}, **one)["done"]
    assert client.until(call, kind="stdout")["base64"] == "AP8="
    assert client.ask("stdin", body={"eof": True}, **one)["done"]
    assert client.until(call, kind="end")["exit_code"] == 0
    asleep = client.send("command", sandbox=sandbox, body={"argv": ["sleep", "1000"]})
    one["command"] = client.next(asleep)["command"]
    assert client.ask("signal", body={"signal": "TERM"}, **one)["done"]
    assert client.until(asleep, kind="end")["signal"] == "SIGTERM"


def test_a_command_that_is_forgotten(client: StreamClient, gateway: Gateway, sandbox: str) -> None:
    call = client.send("command", sandbox=sandbox, body={"argv": ["sleep", "1000"]})
    command = client.next(call)["command"]
    left = client.send("command", sandbox=sandbox, body={"argv": ["sleep", "1000"]})
    client.next(left)
    assert client.ask("unsubscribe", of=left)["done"]
    path = f"/v1/sandboxes/{sandbox}/commands"
    assert gateway.request("DELETE", f"{path}/{command}").status == 204
    last = client.rest(call)[-1]
    assert last.get("problem", {}).get("status", 404) == 404
    running = [one for one in gateway.get(path).json()["commands"] if one["status"] == "running"]
    for one in running:
        gateway.request("DELETE", f"{path}/{one['id']}")
    assert len(running) == 1  # what was unsubscribed went on


def test_much_of_a_command_by_a_slow_client(gateway: Gateway, sandbox: str) -> None:
    code = "seq 1 900000"
    with (
        closing(StreamClient(gateway, rcvbuf=1 << 16)) as slow,
        closing(StreamClient(gateway)) as quick,
    ):
        call = slow.send("command", sandbox=sandbox, body={"shell": code})
        first = slow.next(call)
        one = {"sandbox": sandbox, "command": first["command"]}
        expected = "".join(f"{n}\n" for n in range(1, 900001))
        whole = quick.events(quick.send("subscribe", **one))
        assert text_of(whole) == expected
        assert first["events"] + slow.events(call) == whole


def test_a_plain_run_and_its_code_cache(
    client: StreamClient, gateway: Gateway, sandbox: str
) -> None:
    for expected in (False, True, True):
        events = client.events(client.send("run", sandbox=sandbox, body={"code": "6 * 7"}))
        assert [event["type"] for event in events] == ["started", "result", "end"]
        assert events[1]["text"] == "42"
        assert events[2]["execution"]["code_cache_hit"] is expected
    found = gateway.get(f"/v1/sandboxes/{sandbox}/metrics").json()
    assert found["code_cache"].pop("bytes") > 0
    assert found["code_cache"].pop("hit_ratio") == pytest.approx(2 / 3)
    assert found["code_cache"] == {"cached_compilations": 1, "hits": 2, "misses": 1}
    assert found["executions"]["cpu_ms"] > 0
    (context,) = gateway.get(f"/v1/sandboxes/{sandbox}/contexts").json()["contexts"]
    assert context["code_cache"]["hits"] == 2
    lines = gateway.get("/metrics").body.decode().splitlines()
    assert "warmcell_code_cache_hits_total 2" in lines
    assert gateway.request("POST", f"/api/kernels/{context['id']}/restart").status == 200
    (context,) = gateway.get(f"/v1/sandboxes/{sandbox}/contexts").json()["contexts"]
    assert context["code_cache"] is None  # another interpreter
    record = client.events(client.send("run", sandbox=sandbox, body={"code": "6 * 7"}))[-1]
    assert record["execution"]["code_cache_hit"] is False


def test_what_is_not_there(client: StreamClient) -> None:
    for op, members in (("command", {"body": {"argv": ["ls"]}}), ("interrupt", {})):
        assert client.problem(op, sandbox=NOBODY, **members)[0] == 404

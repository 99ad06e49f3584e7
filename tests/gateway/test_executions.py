"""/v1/sandboxes/{id}/executions with kernels of the small driver: run and wait, streams and their
numbers, keys, the queue, input, every way to end, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPResponse
from typing import Any

import psutil
import pytest
from gateway.test_sandboxes import NOBODY, Place, create, remove
from support import processes
from support.gateway import Answer, Gateway

LINES = {"Accept": "application/x-ndjson"}
SSE = {"Accept": "text/event-stream"}
Record = dict[str, Any]


class Box:
    """One sandbox and its executions."""

    def __init__(self, gateway: Gateway, model: Record) -> None:
        self.gateway = gateway
        self.model = model
        self.path = f"/v1/sandboxes/{model['id']}/executions"

    @property
    def context(self) -> str:
        return str(self.model["contexts"][0]["id"])

    def post(self, code: str, headers: dict[str, str] | None = None, **body: Any) -> Answer:
        return self.gateway.request("POST", self.path, {"code": code} | body, headers)

    def run(self, code: str, **body: Any) -> Record:
        """The record when its files have been looked for, too: it changes no more."""
        answer = self.gateway.request("POST", f"{self.path}?settled=1", {"code": code} | body)
        assert answer.status == 200, answer
        record: Record = answer.json()
        assert answer.headers["location"] == f"{self.path}/{record['id']}"
        return record

    def detach(self, code: str, **body: Any) -> str:
        answer = self.post(code, detach=True, **body)
        assert answer.status == 202, answer
        return str(answer.json()["id"])

    def get(self, path: str = "", **options: Any) -> Answer:
        return self.gateway.get(self.path + path, **options)

    def show(self, execution: str) -> Record:
        answer = self.get(f"/{execution}")
        assert answer.status == 200, answer
        record: Record = answer.json()
        return record

    def follow(self, execution: str, after: int = 0) -> list[Record]:
        """All events behind a number, to the end."""
        answer = self.get(f"/{execution}/events?after={after}", headers=LINES)
        assert answer.status == 200, answer
        return [json.loads(line) for line in answer.body.splitlines()]

    def ended(self, execution: str) -> Record:
        record: Record = self.follow(execution)[-1]["execution"]
        return record

    def ask(self, execution: str, what: str, body: Any = None) -> Answer:
        return self.gateway.request("POST", f"{self.path}/{execution}/{what}", body)

    def until(self, execution: str, **members: Any) -> None:
        processes.until(
            lambda: self.show(execution).items() >= members.items(), f"{execution} is {members}"
        )


@pytest.fixture
def box(place: Place) -> Iterator[Box]:
    made = create(place[0])
    yield Box(place[0], made)
    place[0].request("DELETE", f"/v1/sandboxes/{made['id']}")


def numbers(events: list[Record]) -> list[int]:
    return [event["number"] for event in events]


def detail(answer: Answer) -> str:
    assert answer.headers["content-type"] == "application/problem+json"
    return str(answer.json()["detail"])


def test_run_and_wait(box: Box) -> None:
    record = box.run("print hello\nprint you", labels={"step": "1"}, deadline_ms=60000)
    assert record["status"] == "ok"
    assert (record["context_id"], record["context"]) == (box.context, "default")
    assert record["sandbox_id"] == box.model["id"]
    assert record["created"] <= record["started"] <= record["ended"]
    assert (record["state_retained"], record["generation"], record["execution_count"]) == (
        True,
        1,
        1,
    )
    assert (record["output_bytes"], record["events"], record["queue_position"]) == (
        10,
        record["outputs"]["after"] + 1,
        None,
    )
    assert record["run_ms"] > 0 and record["queue_ms"] >= 0
    assert (record["code"], record["code_bytes"]) == ("print hello\nprint you", 21)
    assert (record["labels"], record["deadline_ms"]) == ({"step": "1"}, 60000)
    outputs: Record = {"stdout": "hello\nyou\n", "stderr": "", "text": None, "displays": []}
    assert record["outputs"] == outputs | {"truncated": False, "after": record["events"] - 1}
    shown = box.show(record["id"])
    assert shown == {key: value for key, value in record.items() if key != "outputs"}
    assert box.get(f"/{record['id']}?outputs=1").json() == record


def test_code_that_looks_like_a_record(box: Box) -> None:
    """A record without its code has everything else."""
    code, labels = 'print ,"code":"x"}', {"a": "1", "code": '","code":', "z": "\u00e9"}
    record = box.run(code, labels=labels, cwd="/")
    assert (record["code"], record["labels"]) == (code, labels)
    (listed,) = box.get().json()["executions"]
    assert listed == {k: v for k, v in record.items() if k not in ("code", "outputs")}


def test_results_and_displays(box: Box) -> None:
    bundle = '{"data":{"text/plain":"\\ud83d\\ude00 4","image/png":"QQ=="},"metadata":{"a":0.10}'
    record = box.run(
        f'publish display_data {bundle},"transient":{{"display_id":"d"}}}}\n'
        f'publish execute_result {bundle},"execution_count":1}}\n'
        'publish comm_open {"comm_id":"c"}\nprint end'
    )
    display, result = record["outputs"]["displays"]
    assert (display["type"], display["display_id"]) == ("display", "d")
    assert (result["type"], result["text"]) == ("result", "\U0001f600 4")
    assert result["data"] == {"text/plain": "\U0001f600 4", "image/png": "QQ=="}
    assert (record["outputs"]["text"], record["outputs"]["stdout"]) == ("\U0001f600 4", "end\n")
    raw = box.get(f"/{record['id']}/events?limit=3").body
    assert b'"metadata":{"a":0.10}' in raw  # as the kernel wrote it
    types = [event["type"] for event in box.follow(record["id"])]
    assert types == ["started", "display", "result", "message", "stdout", "end"]


def test_an_error_is_a_record(box: Box) -> None:
    coloured = '{"ename":"E","evalue":"v","traceback":["\\u001b[0;31mE\\u001b[0m: \\\\u001b[1m"]}'
    record = box.run(f"publish error {coloured}\nfail reason")
    assert (record["status"], record["state_retained"]) == ("error", True)
    assert record["error"] == {"name": "Failed", "value": "reason", "traceback": ["Failed"],
                               "traceback_ansi": ["Failed"]}  # fmt: skip
    (event,) = [one for one in box.follow(record["id"]) if one.get("name") == "E"]
    assert event["traceback_ansi"] == ["\x1b[0;31mE\x1b[0m: \\u001b[1m"]
    assert event["traceback"] == ["E: \\u001b[1m"]


@pytest.mark.parametrize("headers", [LINES, SSE])
def test_a_stream_and_every_way_to_come_back(box: Box, headers: dict[str, str]) -> None:
    display = 'publish display_data {"data":{"text/plain":"%d"},\r"metadata":{}}'
    answer = box.post("\n".join(display % n for n in range(9)), headers)
    assert answer.headers["content-type"] == headers["Accept"]
    text = answer.body.decode()
    if headers is SSE:
        items = [item.split("\n") for item in text.strip().split("\n\n")]
        whole = [json.loads(item[1].removeprefix("data: ")) for item in items]
        assert [item[0] for item in items] == [f"id: {event['number']}" for event in whole]
    else:
        whole = [json.loads(line) for line in text.splitlines()]
    assert numbers(whole) == list(range(1, len(whole) + 1))
    assert whole[-1]["type"] == "end"
    execution = whole[-1]["execution"]
    assert execution["status"] == "ok"
    for after in range(len(whole) + 1):
        assert box.follow(execution["id"], after) == whole[after:]
        back = box.get(f"/{execution['id']}/events", headers=SSE | {"Last-Event-ID": str(after)})
        assert back.body.count(b"id: ") == len(whole) - after
    page = box.get(f"/{execution['id']}/events?after=2&limit=3").json()
    assert page == {"events": whole[2:5], "after": 5, "ended": False}
    page = box.get(f"/{execution['id']}/events?after=5").json()
    assert page == {"events": whole[5:], "after": len(whole), "ended": True}


def test_readers_get_everything_while_it_runs(box: Box) -> None:
    execution = box.detach("lines 20000\ninput more\nlines 20000")
    box.until(execution, status="running", awaits_input=True)
    with ThreadPoolExecutor(8) as pool:
        readers = [pool.submit(box.follow, execution, after) for after in (0, 0, 0, 1, 7, 12)]
        page = box.get(f"/{execution}/events?limit=10000").json()
        assert not page["ended"] and page["events"][-1]["type"] == "input"
        assert box.ask(execution, "input", {"value": "go"}).status == 204
        got = [reader.result() for reader in readers]
    whole = got[0]
    assert numbers(whole) == list(range(1, len(whole) + 1))
    lines = "".join(f"line {n}\n" for n in range(20000))
    text = "".join(event["text"] for event in whole if event["type"] == "stdout")
    assert text == lines + "got go\n" + lines
    for after, events in zip((0, 0, 0, 1, 7, 12), got, strict=True):
        assert events == whole[after:]


def test_a_client_that_leaves_cancels_nothing(box: Box) -> None:
    """Neither one that waits nor one that reads the stream."""
    for headers in ({}, LINES):
        connection = box.gateway.connection()
        body = json.dumps({"code": "input x", "allow_input": True, "labels": {"a": str(headers)}})
        connection.request("POST", box.path, body, box.gateway.authorization | headers)
        processes.until(lambda: box.get("?status=running").json()["executions"], "it runs")
        (running,) = box.get("?status=running").json()["executions"]
        box.until(running["id"], awaits_input=True)
        connection.close()
        assert box.ask(running["id"], "input", {"value": "y"}).status == 204
        assert box.ended(running["id"])["status"] == "ok"


def test_a_head_comes_before_the_output(box: Box) -> None:
    connection = box.gateway.connection()
    connection.request(
        "POST",
        box.path,
        json.dumps({"code": "print begun\nwait"}),
        box.gateway.authorization | LINES,
    )
    response: HTTPResponse = connection.getresponse()
    first = json.loads(response.readline())
    assert (response.status, first["type"]) == (200, "started")
    assert json.loads(response.readline())["text"] == "begun\n"  # an interrupt is heard now
    execution = str(response.getheader("location")).rpartition("/")[2]
    assert box.ask(execution, "cancel").status == 202
    last = json.loads(response.read().splitlines()[-1])
    assert last["execution"]["status"] in ("interrupted", "error")
    connection.close()


def test_a_key_runs_once(box: Box) -> None:
    key = {"Idempotency-Key": "one"}
    asked = f"{box.path}?settled=1", {"code": "print a"}  # what is settled changes no more
    first, again = (box.gateway.request("POST", *asked, key) for _ in range(2))
    assert (first.status, again.status) == (200, 200)
    assert first.json() == again.json()
    assert first.json()["idempotency_key"] == "one"
    other = box.post("print b", key)
    assert other.status == 422
    assert detail(other) == (f"Idempotency-Key: execution {first.json()['id']} was asked for with "
                             "it and another body")  # fmt: skip
    assert box.run("count")["outputs"]["stdout"] == "2\n"


def test_a_key_while_it_runs(box: Box) -> None:
    key = {"Idempotency-Key": "two"}
    answers = [box.post("input x", key, detach=True) for _ in range(3)]
    assert [answer.status for answer in answers] == [202] * 3
    (execution,) = {answer.json()["id"] for answer in answers}
    box.until(execution, awaits_input=True)
    assert box.ask(execution, "input", {"value": "v"}).status == 204
    assert box.ended(execution)["status"] == "ok"


def test_the_queue(box: Box) -> None:
    running = box.detach("input x")
    box.until(running, status="running", awaits_input=True)
    waiting = [box.detach(f"print {n}") for n in range(3)]
    assert [box.show(one)["queue_position"] for one in waiting] == [1, 2, 3]
    assert [one["id"] for one in box.get("?status=queued").json()["executions"]] == waiting
    assert [one["id"] for one in box.get("?status=running").json()["executions"]] == [running]
    cancelled = box.ask(waiting[1], "cancel")
    assert cancelled.status in (200, 202)
    gone = box.ended(waiting[1])
    assert (gone["status"], gone["started"], gone["events"]) == ("cancelled", None, 1)
    assert box.show(waiting[2])["queue_position"] == 2
    assert box.ask(waiting[1], "cancel").status == 200
    box.ask(running, "input", {"value": "v"})
    assert [box.ended(one)["status"] for one in (waiting[0], waiting[2])] == ["ok", "ok"]
    listed = box.get("?limit=3").json()
    assert [one["id"] for one in listed["executions"]] == [running, *waiting[:2]]
    rest = box.get(f"?limit=3&after={listed['next']}").json()
    assert ([one["id"] for one in rest["executions"]], rest["next"]) == ([waiting[2]], None)
    assert [one["id"] for one in box.get("?status=cancelled").json()["executions"]] == [waiting[1]]
    assert box.get(f"?context={NOBODY}").json()["executions"] == []
    assert len(box.get(f"?context={box.context}").json()["executions"]) == 4


def test_what_waits_behind_a_failure(box: Box) -> None:
    """runs, unless the failing one says otherwise."""
    for stop, then in ((False, "ok"), (True, "aborted")):
        first = box.detach("input x\nfail now", stop_on_error=stop)
        behind = box.detach("print a")
        box.until(first, awaits_input=True)
        box.ask(first, "input", {"value": "v"})
        assert box.ended(first)["status"] == "error"
        assert box.ended(behind)["status"] == then


def test_input(box: Box) -> None:
    execution = box.detach("print before\ninput Name? \nprint after")
    box.until(execution, awaits_input=True)
    (asked,) = [e for e in box.get(f"/{execution}/events").json()["events"] if e["type"] == "input"]
    assert (asked["prompt"], asked["password"]) == ("Name? ", False)
    assert box.ask(execution, "input", {"value": "caf\u00e9"}).status == 204
    assert box.ended(execution)["status"] == "ok"
    assert box.get(f"/{execution}?outputs=1").json()["outputs"]["stdout"] == (
        "before\ngot caf\u00e9\nafter\n")  # fmt: skip
    late = box.ask(execution, "input", {"value": "x"})
    assert (late.status, detail(late)) == (409, f"execution {execution} has ended")
    running = box.detach("wait")
    box.until(running, status="running")
    early = box.ask(running, "input", {"value": "x"})
    assert (early.status, detail(early)) == (409, f"execution {running} does not wait for input")


def test_a_deadline(box: Box) -> None:
    box.run("print ready")
    record = box.run("print before\nwait", deadline_ms=300)
    assert (record["status"], record["error"]["name"]) == ("timeout", "DeadlineExceeded")
    assert (record["deadline_passed"], record["deadline_ms"]) == (True, 300)
    assert record["ended_by"] in ("interrupt", "kill")  # killed if the driver was not there yet
    assert record["state_retained"] == (record["ended_by"] == "interrupt")


def test_the_output_limit(box: Box) -> None:
    box.run("print ready")
    path = f"/v1/sandboxes/{box.model['id']}"
    limits = {"limits": {"output_bytes": 5000}}
    assert box.gateway.request("PATCH", path, limits).status == 200
    record = box.run("lines 4000")
    assert (record["status"], record["output_bytes"]) == ("output_limit", 5000)
    assert record["withheld_bytes"] > 0
    assert len(record["outputs"]["stdout"]) == 5000


def test_an_interpreter_that_dies(box: Box) -> None:
    record = box.run("print last\ncrash 9")
    assert (record["status"], record["state_retained"]) == ("killed", False)
    assert record["error"]["name"] == "KernelDied"
    assert record["outputs"]["stdout"] == "last\n"
    assert box.run("print back")["generation"] == 2


def context_model(box: Box) -> Record:
    path = f"/v1/sandboxes/{box.model['id']}/contexts/{box.context}"
    model: Record = box.gateway.get(path).json()
    return model


def test_code_that_asks_for_the_end_of_its_interpreter(box: Box) -> None:
    """Another one follows, which runs what waits."""
    first = box.detach("input x\nask_exit", stop_on_error=True)
    behind = [box.detach("print a"), box.detach("print b")]
    box.until(first, awaits_input=True)
    box.ask(first, "input", {"value": "v"})
    record = box.ended(first)
    assert (record["status"], record["state_retained"], record["generation"]) == ("ok", False, 1)
    assert (record["cause"], record["reason"]) == (
        "asked",
        "the code that ran asked the kernel to end",
    )
    for execution in behind:
        record = box.ended(execution)
        assert (record["status"], record["state_retained"], record["generation"]) == (
            "ok", True, 2)  # fmt: skip
        assert "cause" not in record and "reason" not in record
    model = context_model(box)
    assert (model["state"], model["reason"], model["cause"]) == ("idle", None, None)
    assert box.run("ask_exit keep")["state_retained"]
    assert box.run("print c")["generation"] == 2


def test_a_restart_that_asked_code_has_begun_itself(box: Box) -> None:
    """A restart and code that asks for the end, whichever is first."""
    path = f"/api/kernels/{box.context}/restart"
    for _ in range(5):
        assert box.run("ask_exit")["cause"] == "asked"
        assert box.gateway.request("POST", path).status == 200
        assert box.run("print a")["status"] == "ok"


def test_generations_of_several_hosts(box: Box) -> None:
    """No number comes twice, also when the host ended and with it its count."""
    assert box.run("crash 9")["generation"] == 1
    assert box.run("print a")["generation"] == 2
    driver = psutil.Process(int(box.run("pid")["outputs"]["stdout"].split()[0]))
    host = driver.parent()
    assert host
    host.kill()
    processes.until(lambda: box.post("print a").json().get("generation") == 3, "another host")
    assert box.run("crash 9")["generation"] == 3
    assert box.run("print a")["generation"] == 4


def test_a_context_that_is_restarted(box: Box) -> None:
    path = f"/api/kernels/{box.context}/restart"
    running, behind = box.detach("print a\nwait"), box.detach("print b")
    box.until(running, status="running")
    processes.until(
        lambda: box.get(f"/{running}?outputs=1").json()["outputs"]["stdout"], "it has begun"
    )
    assert box.gateway.request("POST", path).status == 200
    record = box.ended(running)
    assert (record["status"], record["state_retained"]) == ("interrupted", False)
    assert (record["cause"], record["reason"]) == (
        "restart",
        "the kernel was restarted while this ran",
    )
    record = box.ended(behind)
    assert (record["status"], record["state_retained"]) == ("aborted", False)
    assert (record["cause"], record["reason"]) == (
        "restart",
        "the kernel was restarted before this ran",
    )
    model = context_model(box)
    assert (model["reason"], model["cause"]) == (None, None)
    record = box.run("print back")
    assert (record["status"], record["generation"]) == ("ok", 2)


def test_a_context_that_is_deleted(box: Box) -> None:
    made = box.gateway.request(
        "POST", f"/v1/sandboxes/{box.model['id']}/contexts", {"name": "other"}
    ).json()
    execution = box.detach("print a\nwait", context="other")
    box.until(execution, status="running", context_id=made["id"])
    with closing(box.gateway.connection()) as connection:
        path = f"{box.path}/{execution}/events"
        connection.request("GET", path, headers=box.gateway.authorization | LINES)
        reader = connection.getresponse()
        assert json.loads(reader.readline())["type"] == "started"
        waiting = box.detach("print b", context=made["id"])
        path = f"/v1/sandboxes/{box.model['id']}/contexts/{made['id']}"
        assert box.gateway.request("DELETE", path).status == 204
        last = json.loads(reader.read().splitlines()[-1])
        assert last["type"] in ("end", "problem")
    assert box.show(execution)["status"] in ("killed", "interrupted")
    assert box.show(waiting)["status"] in ("killed", "aborted")
    assert box.get(f"/{execution}/events").status == 410
    assert box.get(f"/{execution}/output").status == 410
    assert box.get("?status=running").json()["executions"] == []


def test_nothing_is_left_of_a_sandbox(place: Place) -> None:
    gateway, _ = place
    box = Box(gateway, create(gateway))
    execution = box.run("print a")["id"]
    remove(gateway, box.model)
    assert box.get(f"/{execution}").status == 404
    assert box.get().status == 404


def test_foreign_ids(box: Box, place: Place) -> None:
    other = Box(place[0], create(place[0]))
    execution = box.run("print a")["id"]
    for path in ("", "/events"):
        assert other.get(f"/{execution}{path}").status == 404
        assert detail(other.get(f"/{NOBODY}{path}")) == f"there is no execution {NOBODY}"
    for what in ("cancel", "input"):
        assert other.ask(execution, what, {"value": ""}).status == 404
    assert other.get().json() == {"executions": [], "next": None}
    remove(place[0], other.model)


BAD: list[tuple[Any, int, str]] = [
    (b"{", 400, "body: not valid JSON"),
    ([], 400, "body: must be an object"),
    ({}, 400, "code: is required"),
    ({"code": 1}, 400, "code: must be a string"),
    ({"code": "", "deadline_ms": 0}, 400, "deadline_ms: out of range"),
    ({"code": "", "deadline_ms": "1"}, 400, "deadline_ms: must be"),
    ({"code": "", "env": []}, 400, "env: must be an object"),
    ({"code": "", "env": {"A": 1}}, 400, "env: A: must be a string"),
    ({"code": "", "env": {"A=B": ""}}, 400, 'env: "A=B" is no name'),
    ({"code": "", "cwd": ""}, 400, "cwd: must be 1 to"),
    ({"code": "", "argv": []}, 400, "argv: must be a list of 1 to"),
    ({"code": "", "argv": "x"}, 400, "argv: must be a list of 1 to"),
    ({"code": "", "argv": ["x", 1]}, 400, "argv: must be a list of strings"),
    ({"code": "", "argv": ["x\0"]}, 400, "argv: must be a list of strings without NUL"),
    ({"code": "", "argv": ["x" * 65537]}, 400, "argv: longer than"),
    ({"code": "", "labels": {"a": 1}}, 400, "labels: a: must be a string"),
    ({"code": "", "detach": 1}, 400, "detach: must be"),
    ({"code": "", "silent": "yes"}, 400, "silent: must be"),
    ({"code": "", "context": "none"}, 404, "the sandbox has no context none"),
    ({"code": "x" * (9 << 20)}, 400, "code: longer than"),
    ({"code": "x" * (17 << 20)}, 413, "body"),
]


@pytest.mark.parametrize(("body", "status", "text"), BAD, ids=[text for *_, text in BAD])
def test_what_is_refused(box: Box, body: Any, status: int, text: str) -> None:
    answer = box.gateway.request("POST", box.path, body)
    assert answer.status == status, answer.body[:300]
    assert text in detail(answer)


@pytest.mark.parametrize(
    ("query", "text"),
    [("?limit=0", "limit: out of range"), ("?limit=x", "limit: must be a number"),
     ("?after=-1", "after: must be a number"), ("?status=odd", 'status: "odd" is none')],
)  # fmt: skip
def test_queries_that_are_refused(box: Box, query: str, text: str) -> None:
    answer = box.get(query)
    assert answer.status == 400
    assert text in detail(answer)


def test_events_queries_that_are_refused(box: Box) -> None:
    execution = box.run("print a")["id"]
    for query in ("after=x", "limit=0", "limit=100000"):
        assert box.get(f"/{execution}/events?{query}").status == 400
    bad = box.get(f"/{execution}/events", headers=SSE | {"Last-Event-ID": "one"})
    assert (bad.status, detail(bad)) == (400, "Last-Event-ID: must be a number")
    beyond = box.get(f"/{execution}/events?after=99").json()
    assert beyond == {"events": [], "after": 99, "ended": True}


def test_the_whole_text(box: Box) -> None:
    """Beyond what a reply holds, as plain text, of either stream."""
    execution = box.detach("lines 400000\nlines 400000\nwrite c3a9\ninput x\nprint after")
    box.until(execution, awaits_input=True)
    with ThreadPoolExecutor(1) as pool:
        reader = pool.submit(box.get, f"/{execution}/output")
        box.ask(execution, "input", {"value": "v"})
        answer = reader.result()
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    lines = "".join(f"line {n}\n" for n in range(400000))
    assert answer.body.decode() == lines * 2 + "\u00e9got v\nafter\n"
    assert box.get(f"/{execution}/output?stream=stderr").body == b""
    assert box.get(f"/{execution}/output?stream=all").status == 400
    outputs = box.get(f"/{execution}?outputs=1").json()["outputs"]
    assert outputs["truncated"]
    rest = box.follow(execution, outputs["after"])
    texts = (event["text"] for event in rest if event["type"] == "stdout")
    assert outputs["stdout"] + "".join(texts) == lines * 2 + "\u00e9got v\nafter\n"


def batch(box: Box, items: list[Any], headers: dict[str, str] | None = None, **body: Any) -> Answer:
    return box.gateway.request("POST", box.path, {"items": items} | body, headers)


def test_a_batch_in_sequence(box: Box) -> None:
    items = [{"code": "print a"}, {"code": "fail b", "labels": {"n": "1"}}, {"code": "print c"}]
    answer = batch(box, items)
    assert answer.status == 200, answer
    whole = answer.json()
    assert not whole["ok"]
    assert [one["status"] for one in whole["items"]] == ["ok", "error", "ok"]
    assert [one["outputs"]["stdout"] for one in whole["items"]] == ["a\n", "", "c\n"]
    assert whole["items"][1]["labels"] == {"n": "1"}
    listed = box.get().json()["executions"]
    assert [one["id"] for one in listed] == [one["id"] for one in whole["items"]]
    assert listed[0]["ended"] <= listed[1]["created"]
    stopped = batch(box, items, stop_on_error=True).json()
    assert [one and one["status"] for one in stopped["items"]] == ["ok", "error", None]
    assert batch(box, [{"code": "print x"}]).json()["ok"]
    assert len(box.get().json()["executions"]) == 6


def test_a_batch_in_parallel(box: Box) -> None:
    """The item that waits for input would hold up the others in a sequence."""
    path = f"/v1/sandboxes/{box.model['id']}/contexts"
    assert box.gateway.request("POST", path, {"name": "other"}).status == 201
    items = [{"code": "input x"}, {"code": "print b", "context": "other"},
             {"code": "print c", "context": "none"}]  # fmt: skip
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(batch, box, items, parallel=True)
        processes.until(lambda: box.get("?status=ok").json()["executions"], "the second has ended")
        processes.until(lambda: box.get("?status=running").json()["executions"], "the first runs")
        (asking,) = box.get("?status=running").json()["executions"]
        box.until(asking["id"], awaits_input=True)
        box.ask(asking["id"], "input", {"value": "v"})
        first, second, third = answer.result().json()["items"]
    assert (first["outputs"]["stdout"], second["outputs"]["stdout"]) == ("got v\n", "b\n")
    assert third == {"problem": {"status": 404, "detail": "the sandbox has no context none"}}


def test_a_batch_with_a_key_runs_once(box: Box) -> None:
    key, items = {"Idempotency-Key": "all"}, [{"code": "print a"}, {"code": "print b"}]
    first = batch(box, items, key).json()
    assert batch(box, items, key).json() == first
    assert [one["idempotency_key"] for one in first["items"]] == ["all/0", "all/1"]
    assert box.run("count")["outputs"]["stdout"] == "3\n"
    other = batch(box, items[:1], key).json()["items"][0]
    assert other["problem"]["status"] == 422


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"items": []}, "items: must be a list of 1 to 100"),
        ({"items": "x"}, "items: must be a list of 1 to 100"),
        ({"items": [{"code": ""}] * 101}, "items: must be a list of 1 to 100"),
        ({"items": [{"code": ""}, 1]}, "items[1]: must be an object"),
        ({"items": [{"code": ""}, {}]}, "items[1]: code: is required"),
        ({"items": [{"code": "", "detach": True}]}, "items[0]: detach: an item is awaited"),
        ({"items": [{"code": ""}], "code": ""}, "code: not beside items"),
        ({"items": [{"code": ""}], "detach": True}, "detach: a batch is awaited"),
        ({"items": [{"code": ""}], "parallel": 1}, "parallel: must be"),
    ],
)
def test_batches_that_are_refused(box: Box, body: Any, text: str) -> None:
    """As a whole, before any of it runs."""
    answer = box.gateway.request("POST", box.path, body)
    assert answer.status == 400
    assert text in detail(answer)
    assert box.get().json()["executions"] == []


def test_a_long_error_is_cut_in_the_record_alone(box: Box) -> None:
    """Between characters, not within one; a page of such records ends before its limit."""
    text = "\x01\U0001f600\u00e9" * 150_000  # of 12, 4 and 2 bytes or so as JSON
    record = box.run("fail " + text)
    error = record["error"]
    assert record["status"] == "error" and error["truncated"]
    assert error["name"] == "Failed"
    assert text.startswith(error["value"]) and 4_000 < len(error["value"]) < 64 << 10
    (event,) = [one for one in box.follow(record["id"]) if one["type"] == "error"]
    assert event["value"] == text and "truncated" not in event
    for _ in range(2):
        assert box.run("fail short")["error"] == {
            "name": "Failed",
            "value": "short",
            "traceback": ["Failed"],
            "traceback_ansi": ["Failed"],
        }


def test_a_page_ends_by_its_bytes(box: Box) -> None:
    labels = {f'{n} ,"code":': "x" * 4000 for n in range(60)} | {"code": "y"}
    made = [box.run("print " + "c" * 100_000, labels=labels)["id"] for _ in range(20)]
    listed: list[str] = []
    sizes, after = [], "0"
    while after:
        answer = box.get(f"?limit=1000&after={after}")
        page = answer.json()
        assert len(answer.body) < 5 << 20
        assert all(one["labels"] == labels and "code" not in one for one in page["executions"])
        listed += [one["id"] for one in page["executions"]]
        sizes.append(len(page["executions"]))
        after = page["next"]
    assert listed == made and len(sizes) == 2
    assert box.show(made[0])["code"] == "print " + "c" * 100_000

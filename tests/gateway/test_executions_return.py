"""Executions of a gateway that is killed and comes back: none is lost, run twice or numbered anew;
and what a journal that is too small for them says."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from gateway.test_executions import LINES, Box, detail, numbers
from gateway.test_sandboxes import Place, create, end, start
from support import processes
from support.fake_kernel import driver_of

Begin = Callable[..., Box]


@pytest.fixture
def begin() -> Iterator[Begin]:
    places: list[Place] = []

    def begin_one(*options: str) -> Box:
        places.append(start("--pool-max", "0", *options))
        gateway = places[-1][0]
        return Box(gateway, create(gateway))

    yield begin_one
    for gateway, keeper in places:
        for pid in keeper.pids():
            processes.own(pid)
        end(gateway, keeper)


def come_back(box: Box) -> None:
    """Also to its keeper: one that is being started as its gateway is killed is nobody's."""
    box.gateway.kill()
    box.gateway.start()
    path = f"/v1/sandboxes/{box.model['id']}"
    processes.until(
        lambda: box.gateway.get(path).json()["usage"]["cpu_s"] is not None, "the keeper answers"
    )


def test_it_goes_on_where_it_was(begin: Begin) -> None:
    """What ran, waited for input, stood in the queue, or had ended; and the keys."""
    box = begin()
    key = {"Idempotency-Key": "k"}
    done = box.run("print done")
    running = box.post("lines 3000\ninput x\nprint after", key, detach=True).json()["id"]
    waiting = box.detach("print waiting")
    box.until(running, awaits_input=True)
    before = box.get(f"/{running}/events?limit=10000").json()
    come_back(box)
    assert box.show(done["id"]) == {k: v for k, v in done.items() if k != "outputs"}
    assert box.get(f"/{done['id']}?outputs=1").json() == done
    shown = box.show(running)
    assert (shown["status"], shown["awaits_input"]) == ("running", True)
    assert shown["events"] == len(before["events"])
    assert box.show(waiting)["queue_position"] == 1
    assert box.get(f"/{running}/events?limit=10000").json() == before
    again = box.post("lines 3000\ninput x\nprint after", key, detach=True)
    assert again.json()["id"] == running
    with ThreadPoolExecutor(2) as pool:
        whole = pool.submit(box.follow, running)
        rest = pool.submit(box.follow, running, before["after"])
        assert box.ask(running, "input", {"value": "v"}).status == 204
        events = whole.result()
        assert rest.result() == events[before["after"] :]
    assert events[: before["after"]] == before["events"]
    assert numbers(events) == list(range(1, len(events) + 1))
    assert events[-1]["execution"]["status"] == "ok"
    assert box.ended(waiting)["status"] == "ok"
    assert [one["id"] for one in box.get().json()["executions"]] == [done["id"], running, waiting]
    assert box.run("count")["outputs"]["stdout"] == "4\n"  # each ran once


def test_what_ends_while_no_gateway_is_there(begin: Begin) -> None:
    box = begin()
    client = box.gateway.client(box.context)
    driver = driver_of(client)
    client.close()
    crashing = box.detach("print last\nwait")
    behind = box.detach("print behind")
    box.until(crashing, status="running")
    processes.until(lambda: len(box.get(f"/{crashing}/events").json()["events"]) == 2, "printed")
    box.gateway.kill()
    driver.send_signal(signal.SIGKILL)
    processes.wait_gone([driver.pid])
    box.gateway.start()
    record = box.ended(crashing)
    assert (record["status"], record["state_retained"]) == ("killed", False)
    assert "SIGKILL" in record["error"]["value"]
    assert box.get(f"/{crashing}?outputs=1").json()["outputs"]["stdout"] == "last\n"
    assert box.ended(behind)["status"] in ("ok", "aborted")


def test_a_kernel_that_is_gone_when_it_comes_back(begin: Begin) -> None:
    box = begin()
    other = Box(box.gateway, create(box.gateway))
    lost = other.detach("input y")
    other.until(lost, awaits_input=True)
    kept = box.detach("input x")
    box.until(kept, awaits_input=True)
    saved = box.gateway.runtime / "kernels" / other.context / "kernel.json"
    host = int(json.loads(saved.read_text())["pid"])
    box.gateway.kill()
    os.kill(host, signal.SIGKILL)
    assert not processes.wait_gone([host])
    box.gateway.start()
    assert other.show(lost)["status"] == "lost"
    assert "no gateway was there" in other.show(lost)["reason"]
    assert box.show(kept)["status"] == "running"
    assert box.ask(kept, "input", {"value": "v"}).status == 204
    assert box.ended(kept)["status"] == "ok"


def test_a_journal_that_is_too_small(begin: Begin) -> None:
    """The numbers stay when segments go, also when the gateway comes back."""
    box = begin("--log-bytes", str(16 << 20))
    execution = box.detach("lines 2000000\ninput x\nprint after")
    box.until(execution, awaits_input=True)
    for _ in range(2):
        gone = box.get(f"/{execution}/events")
        assert gone.status == 410
        first = int(detail(gone).partition("ask for after=")[2].partition(",")[0])
        assert f"before number {first + 1} are not kept" in detail(gone)
        assert first > 0
        assert box.get(f"/{execution}/events", headers=LINES).status == 410
        assert box.get(f"/{execution}/events?after={first - 1}").status == 410
        page = box.get(f"/{execution}/events?after={first}&limit=10000").json()
        assert numbers(page["events"]) == list(range(first + 1, page["after"] + 1))
        here = box.show(execution)["events"]
        last = box.get(f"/{execution}/events?after={here - 1}").json()["events"]
        assert [(one["number"], one["type"]) for one in last] == [(here, "input")]
        come_back(box)
    assert box.ask(execution, "input", {"value": "v"}).status == 204
    events = box.follow(execution, first)
    assert numbers(events) == list(range(first + 1, events[-1]["number"] + 1))
    outputs = box.get(f"/{execution}?outputs=1").json()["outputs"]
    assert outputs["truncated"] and "not kept" in outputs["problem"]


def test_a_gateway_that_ends_says_so(begin: Begin) -> None:
    """To who waits, and in a stream; the execution goes on."""
    box = begin()
    execution = box.detach("input x\nprint after")
    box.until(execution, awaits_input=True)
    key = {"Idempotency-Key": "k"}
    connection = box.gateway.connection()
    path = f"{box.path}/{execution}/events?after=1"
    connection.request("GET", path, headers=box.gateway.authorization | LINES)
    reading = connection.getresponse()
    assert json.loads(reading.readline())["type"] == "input"
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(box.post, "print waiting", key)
        processes.until(lambda: len(box.get("?status=queued").json()["executions"]) == 1, "queued")
        assert box.gateway.process is not None
        box.gateway.process.send_signal(signal.SIGTERM)
        assert waiting.result().status == 503
    last = json.loads(reading.read())
    assert (last["type"], last["status"]) == ("problem", 503)
    connection.close()
    pid = box.gateway.pid
    assert box.gateway.process.wait(30) == 0
    processes.disown(pid)
    box.gateway.start()
    assert box.ask(execution, "input", {"value": "v"}).status == 204
    assert box.ended(execution)["status"] == "ok"
    assert box.post("print waiting", key).json()["outputs"]["stdout"] == "waiting\n"
    assert len(box.get().json()["executions"]) == 2


def test_old_records_go(begin: Begin) -> None:
    """The newest stay, and what has not ended."""
    box = begin("--executions-keep", "3")
    path = f"/v1/sandboxes/{box.model['id']}/contexts"
    assert box.gateway.request("POST", path, {"name": "other"}).status == 201
    running = box.detach("input x", context="other")
    made = [box.run(f"print {n}", labels={"n": str(n)})["id"] for n in range(6)]
    listed = [one["id"] for one in box.get().json()["executions"]]
    assert listed[0] == running
    assert listed[1:] == made[-4:]  # the last has been added when its turn to be dropped was over
    assert box.get(f"/{made[0]}").status == 404


def test_old_records_go_by_their_bytes(begin: Begin) -> None:
    """However few there are; what is stored of each is counted."""
    box = begin("--executions-keep", "0")
    made = [box.run(f"print {n}")["id"] for n in range(4)]
    made.append(box.run("print " + "x" * 70_000)["id"])
    database = sqlite3.connect(box.gateway.state / "warmcell.db", timeout=30)
    with closing(database), database:
        counted = database.execute("SELECT bytes, length(asked) + length(outcome) FROM executions")
        assert all(count == length for count, length in counted.fetchall())
        database.execute("UPDATE executions SET bytes = 300 << 20 WHERE id = ?", (made[1],))
    made.append(box.run("print " + "x" * 70_000)["id"])  # a long one looks at once
    assert [one["id"] for one in box.get().json()["executions"]] == made[2:]


class Sequence:
    """Operations in a random order on one context, and what must then be true."""

    def __init__(self, box: Box, seed: int) -> None:
        self.box = box
        self.random = random.Random(seed)
        self.made: list[str] = []  # ids; the place is the number that each prints
        self.kills = 0

    def ask(self, number: int) -> str:
        key = {"Idempotency-Key": f"key {number}"}
        code = f"print {number}" + "\nlines 500" * (number % 3)
        return str(self.box.post(code, key, detach=True).json()["id"])

    def do_detach(self) -> None:
        self.made.append(self.ask(len(self.made)))

    def do_again(self) -> None:
        number = self.random.randrange(len(self.made) or 1)
        if self.made:
            assert self.ask(number) == self.made[number]

    def do_read(self) -> None:
        """From a number on, while it may still run: what follows it, and all of it."""
        if self.made:
            execution = self.random.choice(self.made)
            after = self.random.randrange(4)
            rest = self.box.follow(execution, after)
            whole = self.box.follow(execution)
            assert whole[after:] == rest
            assert numbers(whole) == list(range(1, len(whole) + 1))

    def do_page(self) -> None:
        if self.made:
            execution = self.random.choice(self.made)
            page = self.box.get(f"/{execution}/events?limit=2").json()
            assert self.box.follow(execution)[: len(page["events"])] == page["events"]

    def do_list(self) -> None:
        limit = self.random.randrange(1, 9)
        found: list[str] = []
        cursor = "0"
        while cursor:
            listed = self.box.get(f"?limit={limit}&after={cursor}").json()
            found += [one["id"] for one in listed["executions"]]
            cursor = listed["next"]
        assert found == self.made

    def do_kill(self) -> None:
        if self.kills < 8:
            self.kills += 1
            come_back(self.box)

    def check(self) -> None:
        for number, execution in enumerate(self.made):
            record = self.box.ended(execution)
            assert (record["status"], record["idempotency_key"]) == ("ok", f"key {number}")
            text = self.box.get(f"/{execution}/output").body.decode()
            lines = "".join(f"line {n}\n" for n in range(500))
            assert text == f"{number}\n" + lines * (number % 3)
        count = self.box.run("count")["outputs"]["stdout"]
        assert count == f"{len(self.made) + 1}\n"  # each ran once


@pytest.mark.parametrize("seed", [1, 2])
def test_a_random_sequence_with_killed_gateways(begin: Begin, seed: int) -> None:
    sequence = Sequence(begin(), seed)
    operations = [sequence.do_detach, sequence.do_detach, sequence.do_again, sequence.do_read,
                  sequence.do_page, sequence.do_list, sequence.do_kill]  # fmt: skip
    for _ in range(150):
        sequence.random.choice(operations)()
    assert sequence.kills == 8
    sequence.check()


def test_what_its_kernel_never_got(begin: Begin) -> None:
    """What was acknowledged while the kernel still started runs when both are there; once."""
    box = begin()
    first = box.detach("print first")
    second = box.detach("print second")
    come_back(box)
    assert [box.ended(one)["status"] for one in (first, second)] == ["ok", "ok"]
    assert box.get(f"/{first}/output").body == b"first\n"
    assert box.run("count")["outputs"]["stdout"] == "3\n"

"""A sandbox ends when somebody deletes it. Its contexts die for good, its hosts and its gateway are
killed: it is dead or paused with all that was acknowledged of it, and begins again."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from e2e.test_machine_restart import end_machine
from gateway.test_pause import post, resume, show, url
from gateway.test_sandboxes import context_of, create, remove, start, workspace
from gateway.test_store import looked_through
from support import processes
from support.fake_keeper import FakeKeeper
from support.gateway import Gateway

NO_SNAPSHOT = "it has no snapshot: its workspace is as it was, its contexts begin anew"
BEGINS_ANEW = "there is no snapshot of it: it begins anew"


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    gateway, keeper = start("--pool-max", "0", "--max-kernels", "200", "--max-sandboxes", "0")
    yield gateway
    finish(gateway, keeper)


def finish(gateway: Gateway, keeper: FakeKeeper) -> None:
    assert gateway.stop() == 0, gateway.log.read_text()[-3000:]
    for pid in keeper.pids():
        processes.own(pid)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    assert not processes.wait_gone(keeper.pids())
    shutil.rmtree(gateway.home, ignore_errors=True)


def execute(gateway: Gateway, box: dict[str, Any], code: str, context: str) -> dict[str, Any]:
    answer = post(gateway, box, "executions", code=code, context=context)
    assert answer.status == 200, answer
    record: dict[str, Any] = answer.json()
    assert record["status"] == "ok", record
    return record


def output(gateway: Gateway, box: dict[str, Any], execution: dict[str, Any]) -> str:
    """Of its events, from the first to its end."""
    answer = gateway.get(url(box, f"/executions/{execution['id']}/events"))
    assert answer.status == 200, answer
    events = answer.json()["events"]
    assert [one["number"] for one in events] == list(range(1, execution["events"] + 1))
    assert events[-1]["type"] == "end"
    return "".join(one["text"] for one in events if one["type"] == "stdout")


def is_dead(gateway: Gateway, box: dict[str, Any], kernel: str) -> bool:
    contexts = {one["id"]: one for one in show(gateway, box)["contexts"]}
    return bool(contexts[kernel]["state"] == "dead")


def let_die(gateway: Gateway, box: dict[str, Any], kernel: str) -> None:
    """Its host is killed each time that it is started, until nobody starts it any more."""

    def killed() -> bool:
        pid = gateway.host_of(kernel)
        if pid > 0:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return is_dead(gateway, box, kernel)

    processes.until(killed, f"{kernel} is dead for good")


def kill_hosts(gateway: Gateway, *kernels: str) -> None:
    """While no gateway is there. In a real sandbox the keeper ends what is inside."""
    hosts = [gateway.host_of(kernel) for kernel in kernels]
    inside = [one.pid for host in hosts for one in psutil.Process(host).children(recursive=True)]
    for pid in hosts + inside:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    assert not processes.wait_gone(hosts + inside)


def stop(gateway: Gateway) -> None:
    """As an operator does: sandboxes stay."""
    assert gateway.process is not None
    gateway.process.send_signal(signal.SIGTERM)
    assert gateway.process.wait(60) == 0
    processes.disown(gateway.process.pid)
    gateway.process = None


def add_context(gateway: Gateway, box: dict[str, Any], name: str) -> str:
    answer = post(gateway, box, "contexts", name=name)
    assert answer.status == 201, answer
    return str(answer.json()["id"])


def begins_anew(gateway: Gateway, box: dict[str, Any], *names: str) -> None:
    answer = resume(gateway, box)
    assert [(one["name"], one["problem"]) for one in answer["contexts"]] == [
        (name, BEGINS_ANEW) for name in names
    ]


@pytest.mark.parametrize("end", [stop, Gateway.kill], ids=["SIGTERM", "SIGKILL"])
def test_one_whose_contexts_are_all_dead(gateway: Gateway, end: Any) -> None:
    box = create(gateway, {"name": "mine", "labels": {"a": "b"}, "env": {"A": "b"}})
    kernel = context_of(box)
    ran = execute(gateway, box, "print said", kernel)
    command = post(gateway, box, "commands", shell="echo told").json()
    (workspace(gateway, box) / "file").write_text("kept")
    let_die(gateway, box, kernel)
    assert show(gateway, box)["state"] == "failed"
    reason = str(show(gateway, box)["reason"])
    for _ in range(2):
        end(gateway)
        gateway.start()
        model = show(gateway, box)
        assert (model["state"], model["name"], model["labels"]) == ("paused", "mine", {"a": "b"})
        assert model["snapshot"] is None
        assert model["reason"] == f"its processes ended ({reason}), and {NO_SNAPSHOT}"
        assert [one["id"] for one in model["contexts"]] == [kernel]
        assert not (gateway.runtime / "kernels" / kernel).exists()
    assert gateway.get(url(box, f"/executions/{ran['id']}")).json()["status"] == "ok"
    assert gateway.get(url(box, f"/commands/{command['id']}")).json()["stdout"] == "told\n"
    begins_anew(gateway, box, "default")
    assert output(gateway, box, ran) == "said\n"
    assert (workspace(gateway, box) / "file").read_text() == "kept"
    assert gateway.plan_of(kernel)["env"]["A"] == "b"
    assert show(gateway, box)["reason"] is None
    execute(gateway, box, "print more", kernel)
    remove(gateway, box)


@pytest.mark.parametrize("dies", ["before", "after"])
def test_a_dead_context_of_one_that_lives(gateway: Gateway, dies: str) -> None:
    """Its host is killed while its gateway runs, for good, or while none does."""
    box = create(gateway)
    kernel, other = context_of(box), add_context(gateway, box, "other")
    first = execute(gateway, box, "print first", kernel)
    second = execute(gateway, box, "set y 2\nprint second", other)
    if dies == "before":
        let_die(gateway, box, kernel)
        reason = str(show(gateway, box)["contexts"][0]["reason"])
        gateway.kill()
    else:
        reason = "the kernel's host ended while no gateway was there"
        gateway.kill()
        kill_hosts(gateway, kernel)
    for _ in range(2):
        gateway.start()
        model = show(gateway, box)
        assert model["state"] in ("starting", "running")
        assert [one["id"] for one in model["contexts"]] == [kernel, other]
        assert model["contexts"][0]["state"] == "dead"
        assert model["contexts"][0]["reason"] == reason
        assert output(gateway, box, first) == "first\n"
        assert output(gateway, box, second) == "second\n"
        gateway.kill()
    gateway.start()
    assert execute(gateway, box, "get y", other)["outputs"]["stdout"] == "2\n"
    assert post(gateway, box, "executions", code="1", context=kernel).status == 409
    assert gateway.request("POST", f"/api/kernels/{kernel}/restart").status == 200
    execute(gateway, box, "print again", kernel)
    assert output(gateway, box, first) == "first\n"
    remove(gateway, box)


def test_a_dead_context_whose_folder_is_gone(gateway: Gateway) -> None:
    """A host whose lease ended takes it along."""
    box = create(gateway)
    kernel, other = context_of(box), add_context(gateway, box, "other")
    first = execute(gateway, box, "print first", kernel)
    is_written(gateway, box)
    gateway.kill()
    kill_hosts(gateway, kernel)
    shutil.rmtree(gateway.runtime / "kernels" / kernel)
    gateway.start()
    assert [one["id"] for one in show(gateway, box)["contexts"]] == [kernel, other]
    assert is_dead(gateway, box, kernel)
    assert output(gateway, box, first) == "first\n"
    assert gateway.request("POST", f"/api/kernels/{kernel}/restart").status == 200
    execute(gateway, box, "print again", kernel)


def is_written(gateway: Gateway, box: dict[str, Any]) -> None:
    """What it is now is in its keepsake."""
    answer = gateway.request("PATCH", url(box), {"labels": {"written": "yes"}})
    assert answer.status == 200, answer


@pytest.mark.parametrize("keepsake", [True, False], ids=["written", "not-written"])
def test_all_at_once_on_a_machine_that_goes_on(gateway: Gateway, keepsake: bool) -> None:
    """Also one that was made a moment before, of which the folders of its hosts alone tell."""
    box = create(gateway, {"name": "mine"})
    kernel, other = context_of(box), add_context(gateway, box, "other")
    ran = execute(gateway, box, "print said", other)
    is_written(gateway, box)
    end_machine(gateway, clear=False)
    place = gateway.state / "snapshots" / "keepsakes" / f"{box['id']}.sealed"
    if not keepsake:
        place.unlink()
    gateway.start()
    model = show(gateway, box)
    assert (model["state"], model["name"]) == ("paused", "mine")
    assert model["reason"] == f"its processes ended (no gateway was there), and {NO_SNAPSHOT}"
    assert [one["id"] for one in model["contexts"]] == [kernel, other]
    assert place.exists(), "before what else tells of it is cleared away"
    end_machine(gateway, clear=True)
    gateway.start()
    begins_anew(gateway, box, "default", "other")
    assert output(gateway, box, ran) == "said\n"


def test_what_came_after_the_last_snapshot(gateway: Gateway) -> None:
    """Contexts that were made since are there, without variables, those deleted since are not; the
    others are as the snapshot."""
    box = create(gateway)
    kernel = context_of(box)
    gone = add_context(gateway, box, "gone")
    execute(gateway, box, "set x 1", kernel)
    execute(gateway, box, "print ready", gone)
    saved = post(gateway, box, "snapshots")
    assert saved.status == 201, saved
    execute(gateway, box, "set x 2", kernel)
    fresh = add_context(gateway, box, "fresh")
    ran = execute(gateway, box, "print said", fresh)
    assert gateway.request("DELETE", url(box, f"/contexts/{gone}")).status == 204
    end_machine(gateway, clear=False)
    for _ in range(2):
        gateway.start()
        model = show(gateway, box)
        assert (model["state"], model["snapshot"]) == ("paused", saved.json()["id"])
        assert saved.json()["id"] in model["reason"]
        assert [one["id"] for one in model["contexts"]] == [kernel, fresh]
        end_machine(gateway, clear=True)
    gateway.start()
    answer = resume(gateway, box)
    assert [one["problem"] for one in answer["contexts"]] == [None, BEGINS_ANEW]
    assert execute(gateway, box, "get x", kernel)["outputs"]["stdout"] == "1\n"
    assert output(gateway, box, ran) == "said\n"


def test_what_ran_is_lost_behind_what_it_said(gateway: Gateway) -> None:
    """Events that were given before keep their numbers."""
    box = create(gateway)
    kernel, other = context_of(box), add_context(gateway, box, "other")
    ran = {}
    for context in (kernel, other):
        answer = post(gateway, box, "executions", code="print told\nwait", context=context,
                      detach=True)  # fmt: skip
        ran[context] = str(answer.json()["id"])
        await_output(gateway, box, ran[context], "told")
    before = {one: gateway.get(url(box, f"/executions/{one}/events")).json()["events"]
              for one in ran.values()}  # fmt: skip
    gateway.kill()
    kill_hosts(gateway, kernel)
    gateway.start()  # a dead context of one that lives
    assert_lost(gateway, box, ran[kernel], before)
    gateway.kill()
    kill_hosts(gateway, other)
    gateway.start()  # it is paused
    resume(gateway, box)
    for one in ran.values():
        assert_lost(gateway, box, one, before)


def await_output(gateway: Gateway, box: dict[str, Any], execution: str, text: str) -> None:
    path = url(box, f"/executions/{execution}/events")
    processes.until(lambda: text in gateway.get(path).body.decode(), f"it says {text}")


def await_state(gateway: Gateway, box: dict[str, Any], state: str) -> None:
    processes.until(lambda: show(gateway, box)["state"] == state, f"it is {state}")


def assert_lost(gateway: Gateway, box: dict[str, Any], one: str, before: dict[str, Any]) -> None:
    record = gateway.get(url(box, f"/executions/{one}")).json()
    assert (record["status"], record["events"]) == ("lost", len(before[one]) + 1)
    events = gateway.get(url(box, f"/executions/{one}/events")).json()["events"]
    assert events[:-1] == before[one]
    assert (events[-1]["number"], events[-1]["type"]) == (len(before[one]) + 1, "end")


def test_one_that_was_made_as_its_gateway_was_told_to_end(gateway: Gateway) -> None:
    """The machine ends with it."""
    box = create(gateway, {"name": "mine"})
    kernel = context_of(box)
    stop(gateway)
    kill_hosts(gateway, kernel)
    shutil.rmtree(gateway.runtime)
    gateway.start()
    assert show(gateway, box)["name"] == "mine"
    begins_anew(gateway, box, "default")


def test_a_host_that_was_yet_to_be_started_and_cannot_be(gateway: Gateway) -> None:
    box = create(gateway)
    kernel = context_of(box)
    ran = execute(gateway, box, "print said", kernel)
    gateway.kill()
    kill_hosts(gateway, kernel)
    saved = gateway.runtime / "kernels" / kernel / "kernel.json"
    saved.write_text(json.dumps(json.loads(saved.read_text()) | {"pid": 0}))
    host = Path(gateway.env["WARMCELL_KERNEL"])
    host.rename(host.with_suffix(".away"))
    gateway.start()
    host.with_suffix(".away").rename(host)
    assert show(gateway, box)["state"] == "paused"
    begins_anew(gateway, box, "default")
    assert output(gateway, box, ran) == "said\n"


def test_a_command_that_outlived_all_contexts(gateway: Gateway) -> None:
    """What is paused has no process."""
    box = create(gateway)
    command = post(
        gateway, box, "commands", shell="echo told; exec sleep 1000", background=True
    ).json()
    path = url(box, f"/commands/{command['id']}")
    processes.until(lambda: gateway.get(path).json()["stdout"] == "told\n", "it runs")
    gateway.kill()
    kill_hosts(gateway, context_of(box))
    gateway.start()
    assert show(gateway, box)["state"] == "paused"
    processes.until(lambda: gateway.get(path).json()["status"] != "running", "it has ended")
    assert gateway.get(path).json()["stdout"] == "told\n"
    begins_anew(gateway, box, "default")


def test_a_keepsake_that_cannot_be_read_costs_nothing(gateway: Gateway) -> None:
    box = create(gateway)
    kernel = context_of(box)
    ran = execute(gateway, box, "print said", kernel)
    (workspace(gateway, box) / "file").write_text("kept")
    is_written(gateway, box)
    end_machine(gateway, clear=True)
    place = gateway.state / "snapshots" / "keepsakes" / f"{box['id']}.sealed"
    whole = place.read_bytes()
    place.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    gateway.start()
    assert gateway.get(url(box)).status == 404
    looked_through(gateway)
    gateway.kill()
    place.write_bytes(whole)
    gateway.start()
    begins_anew(gateway, box, "default")
    assert gateway.get(url(box, f"/executions/{ran['id']}")).status == 200
    assert output(gateway, box, ran) == "said\n"
    assert (workspace(gateway, box) / "file").read_text() == "kept"


def test_what_is_deleted_stays_so_where_its_keepsake_could_not_be_written(gateway: Gateway) -> None:
    """As the gateway began: what its hosts left behind told of it, and would again."""
    box = create(gateway)
    is_written(gateway, box)
    end_machine(gateway, clear=False)
    keepsakes = gateway.state / "snapshots" / "keepsakes"
    shutil.rmtree(keepsakes)
    keepsakes.touch()  # where no file can be
    gateway.start()
    assert show(gateway, box)["state"] == "paused"
    gateway.kill()
    gateway.start()
    assert show(gateway, box)["state"] == "paused"
    remove(gateway, box)
    gateway.kill()
    keepsakes.unlink()
    gateway.start()
    assert gateway.get("/v1/sandboxes").json()["sandboxes"] == []


def test_the_last_context_takes_its_sandbox_along(gateway: Gateway) -> None:
    """Also where the gateway is killed as soon as it has answered: nothing of it comes back."""
    box = create(gateway)
    kernel = context_of(box)
    execute(gateway, box, "set x 1", kernel)
    assert post(gateway, box, "snapshots").status == 201
    answer = gateway.request("DELETE", url(box, f"/contexts/{kernel}"))
    gateway.kill()
    assert answer.status == 204, answer
    gateway.start()
    assert gateway.get(url(box)).status == 404
    assert not (gateway.state / "snapshots" / box["id"]).exists()


def test_more_than_fifty_that_are_dead() -> None:
    """None of them is forgotten for it."""
    gateway, keeper = start("--pool-max", "0", "--max-kernels", "200", "--max-sandboxes", "0")
    try:
        host = Path(gateway.env["WARMCELL_KERNEL"])
        whole = host.read_text()
        host.write_text("#!/bin/sh\nexit 1\n")  # never reached: dead at once
        boxes = [create(gateway) for _ in range(52)]
        for one in boxes:
            await_state(gateway, one, "failed")
        listed = {one["id"] for one in gateway.get("/v1/sandboxes?limit=100").json()["sandboxes"]}
        assert listed == {one["id"] for one in boxes}
        host.write_text(whole)
    finally:
        finish(gateway, keeper)


def test_one_that_is_dead_and_unused_is_paused() -> None:
    """And a dead context of one that is used stays, however long. Clients keep the others awake."""
    gateway, keeper = start("--pool-max", "0", "--cull-idle-timeout", "5", "--cull-interval", "1")
    try:
        box, used = create(gateway), create(gateway)
        with (
            closing(gateway.client(context_of(box), ready=False)),
            closing(gateway.client(context_of(used), ready=False)),
        ):
            ran = execute(gateway, box, "print said", context_of(box))
            dead = add_context(gateway, used, "other")
            let_die(gateway, used, dead)
            let_die(gateway, box, context_of(box))
            await_state(gateway, box, "paused")  # when the other dead one is due for longer
            assert "idle" in show(gateway, box)["reason"]
            assert show(gateway, used)["state"] == "running"
            assert is_dead(gateway, used, dead)
        resume(gateway, box)
        assert output(gateway, box, ran) == "said\n"
    finally:
        finish(gateway, keeper)

"""What a sandbox is outlives its machine as it was last acknowledged, whatever its snapshots say of
it; and one that was deleted does not come back."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from e2e.test_machine_restart import end_machine
from gateway.test_pause import change, pause, post, resume, run, show
from gateway.test_sandboxes import context_of, create, end, remove
from support import processes
from support.fake_keeper import FakeKeeper
from support.gateway import Gateway
from support.programs import programs

CHANGE = {"labels": {"a": "b"}, "env": {"A": None, "C": "d"}, "limits": {"processes": 66}}


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    gateway = Gateway(options=["--pool-max", "0"])
    keeper = FakeKeeper(gateway.home / "keeper")
    library = programs().build / "tests" / "gateway" / "hold.so"
    held = {"LD_PRELOAD": str(library), "HOLD_RENAME": str(tmp_path / "held")}
    gateway.env = keeper.environment | held
    yield gateway.start()
    end(gateway, keeper)


def keepsake(gateway: Gateway, sandbox: dict[str, Any]) -> Path:
    return gateway.state / "snapshots" / "keepsakes" / f"{sandbox['id']}.sealed"


def begin(gateway: Gateway, name: str) -> dict[str, Any]:
    made = create(gateway, {"name": name, "env": {"A": "b"}, "limits": {"processes": 55}})
    run(gateway, context_of(made), f"set x {name}")
    return made


def test_what_was_changed_outlives_the_machine(gateway: Gateway) -> None:
    boxes = {name: begin(gateway, name) for name in ("plain", "saved", "paused", "resumed")}
    assert post(gateway, boxes["saved"], "snapshots").status == 201
    for name in ("paused", "resumed"):
        pause(gateway, boxes[name])
    resume(gateway, boxes["resumed"])
    for name, box in boxes.items():
        answer = change(gateway, box, name=f"{name}-2", **CHANGE)
        assert answer.status == 200, answer
    end_machine(gateway, clear=True)
    gateway.start()
    for name, box in boxes.items():
        model = show(gateway, box)
        assert (model["state"], model["name"]) == ("paused", f"{name}-2")
        assert (model["labels"], model["limits"]["processes"]["value"]) == ({"a": "b"}, 66)
        assert (model["snapshot"] is None) == (name == "plain")
        resume(gateway, box)
        plan = gateway.plan_of(context_of(box))
        assert plan["env"]["C"] == "d" and "A" not in plan["env"]
        kept = "nothing" if name == "plain" else name
        assert run(gateway, context_of(box), "get x") == f"{kept}\n"


def test_what_was_half_removed_is_nothing(gateway: Gateway) -> None:
    """Its snapshot went, and the machine before all else of it."""
    box = begin(gateway, "box")
    assert post(gateway, box, "snapshots").status == 201
    assert change(gateway, box, name="other").status == 200
    end_machine(gateway, clear=True)
    (gateway.state / "snapshots" / box["id"] / "state.sealed").unlink()
    gateway.start()
    assert gateway.get(f"/v1/sandboxes/{box['id']}").status == 404
    assert not keepsake(gateway, box).exists()


def test_a_change_that_cannot_be_written_is_told(gateway: Gateway) -> None:
    box = begin(gateway, "box")
    place = keepsake(gateway, box).with_suffix(".sealed.new")
    assert change(gateway, box, labels={"a": "b"}).status == 200
    place.mkdir()
    answer = change(gateway, box, name="other")
    assert (answer.status, "not written down" in answer.json()["detail"]) == (503, True), answer
    place.rmdir()
    assert change(gateway, box, name="other").status == 200, "asked for again"
    end_machine(gateway, clear=True)
    gateway.start()
    assert show(gateway, box)["name"] == "other"


def test_what_was_deleted_as_it_was_written_does_not_come_back(
    gateway: Gateway, tmp_path: Path
) -> None:
    box, other = begin(gateway, "box"), begin(gateway, "other")
    for one in (box, other):
        assert change(gateway, one, labels={"a": "b"}).status == 200
    fifo = tmp_path / "held"
    os.mkfifo(fifo)
    with ThreadPoolExecutor() as pool:
        changing = pool.submit(change, gateway, box, labels={"c": "d"})
        held = os.open(fifo, os.O_WRONLY)  # waits until its new keepsake waits for its name
        try:
            fifo.unlink()
            deleting = pool.submit(gateway.request, "DELETE", f"/v1/sandboxes/{box['id']}")
            processes.until(
                lambda: gateway.get(f"/v1/sandboxes/{box['id']}").status == 404,
                "it is being deleted",
            )
            remove(gateway, other)
            assert not deleting.done(), "what is still written would be there after it"
        finally:
            os.close(held)
        assert deleting.result().status == 204
        assert changing.result().status == 409
    end_machine(gateway, clear=True)
    assert not keepsake(gateway, box).exists()
    gateway.start()
    assert gateway.get("/v1/sandboxes").json()["sandboxes"] == []

"""A pool for each template, and for each way in which sandboxes differ from their fork on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from gateway.test_files_tar import END, entry
from gateway.test_sandboxes import (
    Place,
    context_of,
    create,
    end,
    metrics,
    remove,
    start,
    workspace,
)
from gateway.test_templates import drop, make
from gateway.test_tokens import mint
from support import processes
from support.fake_keeper import FakeKeeper
from support.gateway import Gateway

READY_TARGET = ("ready", "target")


def way(host: str) -> dict[str, list[str]]:
    """A network that no other test has: so what a keeper was asked says which pool it was for."""
    return {"allow": [host]}


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    gateway, keeper = start("--pool-max", "3", "--pool-total", "4")
    for policy in ("required", "best-effort"):
        remove(gateway, create(gateway, {"policy": policy}))
    for pid in keeper.pids():
        processes.own(pid)
    yield gateway, keeper
    end(gateway, keeper)


@pytest.fixture
def gateway(place: Place) -> Iterator[Gateway]:
    yield place[0]
    for model in place[0].get("/v1/sandboxes").json()["sandboxes"]:
        remove(place[0], model)
    for model in place[0].get("/v1/templates").json()["templates"]:
        drop(place[0], model)


def number(gateway: Gateway, what: str, pool: str) -> int:
    """Of a metric of pools; -1: there is no such pool."""
    return int(metrics(gateway).get(f'warmcell_pool_{what}{{pool="{pool}"}}', -1))


def await_ready(gateway: Gateway, pool: str, count: int) -> None:
    processes.until(lambda: number(gateway, "ready", pool) == count, f"{count} ready in {pool}")


def stir(gateway: Gateway, who: Gateway, pool: str, body: Any = None) -> None:
    """Asks for sandboxes until there is a pool for them, and one stands in it."""

    def stands() -> bool:
        if number(gateway, "target", pool) < 1:
            remove(who, create(who, body))
        return number(gateway, "ready", pool) > 0

    processes.until(stands, f"one that is asked for in {pool}")


def opened(keeper: FakeKeeper, network: Any) -> list[str]:
    return [one["sandbox"] for one in keeper.requests("OPEN") if one["network"] == network]


def closed(keeper: FakeKeeper) -> set[str]:
    return {one["sandbox"] for one in keeper.requests("CLOSE")}


def test_one_that_its_template_keeps_ready(place: Place, gateway: Gateway) -> None:
    """What is fixed at the fork is the template's; the rest comes when it is handed out."""
    _, keeper = place
    template = make(gateway, name="ready", network=way("ready.org"), env={"A": "of it"},
                    files={"seed.txt": "seeded"}, limits={"processes": 40})  # fmt: skip
    path = "/v1/templates/ready"
    assert gateway.request("PUT", f"{path}/seed", entry("sown.txt") + END).status == 200
    template = gateway.request("PATCH", path, {"pool": {"min": 1, "max": 1}}).json()
    assert template["pool"] == {"min": 1, "max": 1}
    await_ready(gateway, template["id"], 1)
    (stood,) = opened(keeper, way("ready.org"))
    assert gateway.get("/v1/sandboxes").json()["sandboxes"] == []
    assert gateway.get("/v1/templates/ready").json()["sandboxes"] == 0
    made = create(gateway, {"template": "ready", "name": "mine", "labels": {"team": "blue"},
                            "env": {"B": "own"}, "limits": {"open_files": 200}})  # fmt: skip
    renamed = {one["sandbox"]: one["to"] for one in keeper.requests("RENAME")}
    assert renamed[stood] == made["id"]
    assert (made["name"], made["labels"], made["owner"]) == ("mine", {"team": "blue"}, "owner")
    assert made["template"] == {"id": template["id"], "name": "ready"}
    assert made["network"] == way("ready.org")
    assert made["limits"]["processes"]["value"] == 40
    assert made["limits"]["open_files"]["value"] == 200
    assert (workspace(gateway, made) / "seed.txt").read_text() == "seeded"
    assert (workspace(gateway, made) / "sown.txt").read_text() == "sown.txt"
    with closing(gateway.client(context_of(made))) as client:
        assert client.run("env A\nenv B").stdout.split() == ["A=of", "it", "B=own"]
    await_ready(gateway, template["id"], 1)  # another one
    assert number(gateway, "hits_total", template["id"]) == 1
    assert number(gateway, "hits_total", "sandbox") == 0
    assert gateway.get("/v1/templates/ready").json()["sandboxes"] == 1


def test_another_shape_is_not_of_it(place: Place, gateway: Gateway) -> None:
    _, keeper = place
    template = make(gateway, name="narrow", network=way("it.org"), pool={"min": 1, "max": 1})
    await_ready(gateway, template["id"], 1)
    (stood,) = set(opened(keeper, way("it.org"))) - closed(keeper)
    for other in ({"network": "none"}, {"cold": True}, {"policy": "best-effort"}):
        assert create(gateway, {"template": "narrow", **other})["template"] is not None
    create(gateway, {"network": way("it.org")})
    assert stood not in {one["sandbox"] for one in keeper.requests("RENAME")}
    assert number(gateway, "hits_total", template["id"]) == 0


def test_a_change_retires_it_at_once(place: Place, gateway: Gateway) -> None:
    _, keeper = place
    template = make(gateway, name="changing", network=way("once.org"), pool={"min": 1, "max": 2})
    name = template["id"]
    await_ready(gateway, name, 1)
    (first,) = set(opened(keeper, way("once.org"))) - closed(keeper)
    answer = gateway.request("PATCH", f"/v1/templates/{name}", {"network": {"allow": ["b.org"]}})
    assert answer.json()["pool"] == {"min": 1, "max": 2}
    made = create(gateway, {"template": "changing"})
    assert made["network"] == {"allow": ["b.org"]}
    processes.until(lambda: first in closed(keeper), "the end of what stood there")

    def is_full() -> bool:  # its demand fades meanwhile
        found = metrics(gateway)
        ready, target = (found[f'warmcell_pool_{what}{{pool="{name}"}}'] for what in READY_TARGET)
        return ready == target

    processes.until(is_full, "as many as are wanted")
    ready = set(opened(keeper, {"allow": ["b.org"]})) - {made["id"]}
    drop(gateway, template)
    assert number(gateway, "target", name) == -1
    renamed = {one["sandbox"] for one in keeper.requests("RENAME")}
    processes.until(lambda: ready - renamed <= closed(keeper), "the end of those of the change")
    assert gateway.get(f"/v1/sandboxes/{made['id']}").status == 200


def test_one_whose_end_comes_before_it_is_made(place: Place, gateway: Gateway) -> None:
    """Its keeper had not answered yet as the pool went: it is closed there all the same."""
    _, keeper = place
    keeper.order("hold-OPEN")
    template = make(gateway, name="early", network=way("early.org"), pool={"min": 1, "max": 1})
    processes.until(lambda: bool(opened(keeper, way("early.org"))), "it is asked for")
    drop(gateway, template)
    for _ in range(3):  # what ends at once, as it must not, has the time to
        gateway.delete_kernel(gateway.start_kernel())
    keeper.forget("hold-OPEN")
    (made,) = opened(keeper, way("early.org"))
    processes.until(lambda: made in closed(keeper), "its end at its keeper")
    folder = gateway.state / "sandboxes" / made
    processes.until(lambda: not folder.exists(), "the end of its folder")


def test_one_for_which_there_is_a_demand(place: Place, gateway: Gateway) -> None:
    name = make(gateway, name="asked", network="full")["id"]
    stir(gateway, gateway, name, {"template": "asked"})
    before = number(gateway, "hits_total", name)
    create(gateway, {"template": "asked"})
    assert number(gateway, "hits_total", name) == before + 1


def test_one_without_another_shape_is_of_the_usual_pool(gateway: Gateway) -> None:
    before = number(gateway, "misses_total", "sandbox") + number(gateway, "hits_total", "sandbox")
    template = make(gateway, name="usual", env={"A": "1"}, files={"a": "b"})
    for _ in range(3):
        remove(gateway, create(gateway, {"template": "usual"}))
    after = number(gateway, "misses_total", "sandbox") + number(gateway, "hits_total", "sandbox")
    assert (after, number(gateway, "target", template["id"])) == (before + 3, -1)
    never = make(gateway, name="never", pool={"max": 0})
    for _ in range(3):
        remove(gateway, create(gateway, {"template": "never"}))
    assert number(gateway, "target", never["id"]) <= 0
    usual = number(gateway, "misses_total", "sandbox") + number(gateway, "hits_total", "sandbox")
    assert usual == after


BAD: list[tuple[Any, str]] = [
    (1, "pool"),
    ({"min": "1"}, "pool.min: must be 0 to 3"),
    ({"min": -1}, "pool.min"),
    ({"max": 4}, "pool.max: must be 0 to 3, as --pool-max allows"),
    ({"min": 2, "max": 1}, "pool.min: must not be above pool.max"),
]


@pytest.mark.parametrize(("pool", "text"), BAD)
def test_what_a_template_may_not_ask_for(gateway: Gateway, pool: Any, text: str) -> None:
    answer = gateway.request("POST", "/v1/templates", {"name": "bad", "pool": pool})
    assert (answer.status, answer.json()["detail"][: len(text)]) == (400, text)


def test_a_user_keeps_none_ready_unasked(gateway: Gateway) -> None:
    _, ada = mint(gateway, principal="ada")
    answer = ada.request("POST", "/v1/templates", {"name": "hers", "pool": {"min": 1}})
    assert (answer.status, "administrators" in answer.json()["detail"]) == (403, True)
    made = make(ada, name="hers", pool={"max": 2})
    assert made["pool"] == {"min": 0, "max": 2}
    answer = ada.request("PATCH", f"/v1/templates/{made['id']}", {"pool": {"min": 1}})
    assert answer.status == 403
    assert make(ada, name="zero", pool={"min": 0})["pool"] == {"min": 0, "max": 3}


def test_one_for_which_there_was_no_pool_gets_it_later(gateway: Gateway) -> None:
    """There are 16 besides the usual ones; the next waits until one of them ends."""
    made = [make(gateway, name=f"a{n:02}", pool={"min": 1})["id"] for n in range(17)]
    lacking = [one for one in made if number(gateway, "target", one) < 0]
    assert lacking and lacking[0] != made[0]
    drop(gateway, {"id": made[0]})
    processes.until(lambda: number(gateway, "target", lacking[0]) >= 0, "its pool")


def test_the_room_of_all() -> None:
    """What is asked for at least comes in order; the rest has to do with what is left."""
    gateway, keeper = start("--pool-min", "1", "--pool-max", "3", "--pool-total", "4")
    one = make(gateway, name="one", network=way("all.org"), pool={"min": 2})["id"]
    two = make(gateway, name="two", network=way("all.org"), pool={"min": 3})["id"]
    for pool, count in (("sandbox", 1), (one, 2), (two, 1)):
        await_ready(gateway, pool, count)
        assert number(gateway, "target", pool) == count
    drop(gateway, {"id": one})
    await_ready(gateway, two, 3)
    end(gateway, keeper)


def test_each_principal_has_their_own() -> None:
    """Nobody is handed what came from the fork server of another one; the numbers tell no names."""
    gateway, keeper = start("--pool-max", "1")
    ada, bob = (mint(gateway, principal=name)[1] for name in ("ada", "bob"))
    template = make(gateway, name="shared", shared=True, network=way("own.org"), pool={"min": 1})
    await_ready(gateway, template["id"], 1)
    remove(ada, create(ada, {"template": "shared"}))  # hers comes from her own keeper
    assert number(gateway, "hits_total", template["id"]) == 0
    stir(gateway, ada, "other")
    hits = number(gateway, "hits_total", "other")
    assert create(bob)["owner"] == "bob"
    assert number(gateway, "hits_total", "other") == hits
    assert create(ada)["owner"] == "ada"
    assert number(gateway, "hits_total", "other") == hits + 1
    assert "ada" not in gateway.get("/metrics").body.decode()
    end(gateway, keeper)


def test_a_gateway_that_was_killed() -> None:
    """What stood in the pool of a template ends with it; the next one has another."""
    gateway, keeper = start("--pool-max", "2")
    name = make(gateway, name="kept", network=way("killed.org"), pool={"min": 1})["id"]
    await_ready(gateway, name, 1)
    (stood,) = opened(keeper, way("killed.org"))
    gateway.kill()
    gateway.start()
    await_ready(gateway, name, 1)
    processes.until(lambda: not (gateway.state / "sandboxes" / stood).exists(), "its end")
    made = create(gateway, {"template": "kept"})
    (hit,) = [one for one in keeper.requests("RENAME") if one["to"] == made["id"]]
    assert hit["sandbox"] != stood
    end(gateway, keeper)

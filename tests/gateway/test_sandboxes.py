"""/v1/sandboxes and /metrics with a keeper that starts nothing and kernels of the small driver:
what is asked of the keeper, what the models say, how each failure is told, that nothing stays."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from support import processes
from support.fake_keeper import FakeKeeper
from support.gateway import Answer, Gateway

NOBODY = "00000000-0000-0000-0000-000000000000"


Place = tuple[Gateway, FakeKeeper]
Begin = Callable[..., Place]


def start(*options: str) -> Place:
    gateway = Gateway(options=list(options))
    keeper = FakeKeeper(gateway.home / "keeper")
    gateway.env = keeper.environment
    return gateway.start(), keeper


def end(gateway: Gateway, keeper: FakeKeeper) -> None:
    """A clean stop tells every keeper to end that nothing lives on in."""
    assert gateway.stop() == 0, gateway.log.read_text()[-3000:]
    assert not processes.wait_gone(keeper.pids())
    shutil.rmtree(gateway.home, ignore_errors=True)


@pytest.fixture
def begin() -> Iterator[Begin]:
    """Starts gateways that are ended with the test."""
    places: list[Place] = []

    def begin_one(*options: str) -> Place:
        places.append(start(*options))
        return places[-1]

    yield begin_one
    for one in places:
        end(*one)


def create(gateway: Gateway, body: Any = None) -> dict[str, Any]:
    answer = gateway.request("POST", "/v1/sandboxes", body)
    assert answer.status == 201, answer
    model: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"/v1/sandboxes/{model['id']}"
    return model


def context_of(model: dict[str, Any]) -> str:
    (context,) = model["contexts"]
    assert (context["name"], context["language"]) == ("default", "python")
    return str(context["id"])


def workspace(gateway: Gateway, model: dict[str, Any]) -> Path:
    return gateway.state / "sandboxes" / str(model["id"]) / "workspace"


def remove(gateway: Gateway, model: dict[str, Any]) -> None:
    assert gateway.request("DELETE", f"/v1/sandboxes/{model['id']}").status == 204


def test_the_model(place: Place) -> None:
    gateway, keeper = place
    made = create(gateway, {"limits": {"memory_bytes": 1 << 28, "life_s": 3600}})
    model = gateway.get(f"/v1/sandboxes/{made['id']}").json()
    assert model["state"] in ("starting", "running")
    assert (model["reason"], model["uid"], model["cold"]) == (None, 700001, False)
    assert (model["network"], model["policy"]) == ("none", "required")
    limits = model["limits"]
    assert limits["memory_bytes"] == {"value": 1 << 28, "enforced_by": "cgroup-v1"}
    assert limits["life_s"] == {"value": 3600, "enforced_by": "host"}
    assert limits["idle_s"] == {"value": None, "enforced_by": "none"}
    assert model["confinement"] == {
        "profile": "sandbox", "policy": "required", "holds": {"seccomp": True, "landlock": 7},
        "missing": ["a thing", "another"],
    }  # fmt: skip
    assert model["usage"] == {
        "cpu_s": 1.25, "memory_bytes": 1000, "memory_peak_bytes": 2000, "processes": 3,
        "disk_bytes": 4096, "disk_inodes": None,
    }  # fmt: skip
    assert [one["id"] for one in gateway.get("/v1/sandboxes").json()["sandboxes"]] == [made["id"]]
    (opened,) = [one for one in keeper.requests("OPEN") if one["sandbox"] == made["id"]]
    assert (opened["network"], opened["limits"]["memory_bytes"]) == ("none", 1 << 28)
    remove(gateway, made)


def test_its_kernel_is_one_under_api_kernels(place: Place) -> None:
    gateway, _ = place
    made = create(gateway)
    kernel = context_of(made)
    assert gateway.kernel_model(kernel)["profile"] == "sandbox"
    with closing(gateway.client(kernel)) as client:
        assert client.run("print hello").stdout == "hello\n"
    model = gateway.get(f"/v1/sandboxes/{made['id']}").json()
    assert (model["state"], model["contexts"][0]["state"]) == ("running", "idle")
    remove(gateway, made)
    assert gateway.get(f"/api/kernels/{kernel}").status == 404


def test_deleting_leaves_nothing(place: Place) -> None:
    gateway, keeper = place
    made = create(gateway)
    deep = workspace(gateway, made)
    deep.joinpath("link").symlink_to("/etc")
    for _ in range(200):
        deep = deep / "deep"
        deep.mkdir()
    deep.joinpath("file").write_text("text")
    remove(gateway, made)
    assert not (gateway.state / "sandboxes" / made["id"]).exists()
    assert not (gateway.runtime / "kernels" / context_of(made)).exists()
    assert not (gateway.state / "logs" / context_of(made)).exists()
    assert keeper.requests("CLOSE")[-1]["sandbox"] == made["id"]
    assert gateway.get(f"/v1/sandboxes/{made['id']}").status == 404
    assert Path("/etc/passwd").exists()


def test_the_end_of_its_kernel_is_its_own(place: Place) -> None:
    gateway, _ = place
    made = create(gateway)
    gateway.delete_kernel(context_of(made))
    assert gateway.get(f"/v1/sandboxes/{made['id']}").status == 404
    processes.until(lambda: not (gateway.state / "sandboxes" / made["id"]).exists(), "removed")


def test_limits_change(place: Place) -> None:
    gateway, keeper = place
    made = create(gateway, {"limits": {"processes": 32}})
    path = f"/v1/sandboxes/{made['id']}"
    answer = gateway.request("PATCH", path, {"limits": {"memory_bytes": 1 << 29}})
    assert answer.status == 200, answer
    limits = answer.json()["limits"]
    assert (limits["memory_bytes"]["value"], limits["processes"]["value"]) == (1 << 29, 32)
    assert keeper.requests("LIMITS")[-1]["limits"]["memory_bytes"] == 1 << 29
    keeper.order("refuse-LIMITS", json.dumps({"status": 409, "message": "more is in use"}))
    answer = gateway.request("PATCH", path, {"limits": {"memory_bytes": 1 << 25}})
    keeper.forget("refuse-LIMITS")
    assert (answer.status, answer.json()["detail"]) == (409, "more is in use")
    assert gateway.get(path).json()["limits"]["memory_bytes"]["value"] == 1 << 29
    remove(gateway, made)


REFUSED: list[tuple[str, str, Any, int, str]] = [
    ("POST", "", {"limits": {"memory_bytes": "much"}}, 400, "memory_bytes"),
    ("POST", "", {"limits": {"no_such": 1}}, 400, "no_such"),
    ("POST", "", {"limits": []}, 400, "limits"),
    ("POST", "", {"env": {"A": 1}}, 400, "env: A: must be a string"),
    ("POST", "", {"env": {"A=": "1"}}, 400, "env"),
    ("POST", "", {"network": 1}, 400, "network"),
    ("POST", "", {"policy": "none"}, 400, "policy"),
    ("POST", "", {"cold": 1}, 400, "cold"),
    ("POST", "", [], 400, "body"),
    ("GET", f"/{NOBODY}", None, 404, NOBODY),
    ("PATCH", f"/{NOBODY}", {"limits": {}}, 404, NOBODY),
    ("DELETE", f"/{NOBODY}", None, 404, NOBODY),
]


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: f"{case[0]}-{case[4]}")
def test_what_is_refused(place: Place, case: tuple[str, str, Any, int, str]) -> None:
    method, path, body, status, detail = case
    answer = place[0].request(method, f"/v1/sandboxes{path}", body)
    assert answer.status == status, answer
    assert answer.headers["content-type"] == "application/problem+json"
    assert detail in answer.json()["detail"]


def test_a_limit_that_is_refused_by_patch(place: Place) -> None:
    gateway, _ = place
    made = create(gateway)
    path = f"/v1/sandboxes/{made['id']}"
    for body in ({}, {"limits": {"processes": -1}}, {"limits": None}):
        assert gateway.request("PATCH", path, body).status == 400
    remove(gateway, made)


def test_what_the_keeper_refuses_is_told(place: Place) -> None:
    gateway, keeper = place
    keeper.order("refuse-OPEN", json.dumps({"status": 501, "message": "no user namespaces here"}))
    answer = gateway.request("POST", "/v1/sandboxes")
    keeper.forget("refuse-OPEN")
    assert (answer.status, answer.json()["detail"]) == (501, "no user namespaces here")
    assert gateway.get("/v1/sandboxes").json()["sandboxes"] == []
    remove(gateway, create(gateway))


def test_a_machine_that_lacks_something(begin: Begin) -> None:
    """Policy required refuses with the keeper's sentence; best-effort is a keeper of its own."""
    gateway, keeper = begin()
    keeper.order("lacks", "seccomp is missing: use a kernel that has it")
    answer = gateway.request("POST", "/v1/sandboxes")
    assert answer.status == 501
    assert answer.json()["detail"] == "seccomp is missing: use a kernel that has it"
    keeper.forget("lacks")
    made = create(gateway, {"policy": "best-effort"})
    assert made["policy"] == made["confinement"]["policy"] == "best-effort"
    assert any("best-effort" in words for words in keeper.commands())
    remove(gateway, made)


def test_what_a_client_names_does_not_reach_the_host(place: Place) -> None:
    """The host is not confined: what loads a library must not be in its environment."""
    gateway, _ = place
    made = create(gateway, {"env": {"LD_PRELOAD": "/workspace/evil.so", "MINE": "yes"}})
    kernel = context_of(made)
    folder = gateway.runtime / "kernels" / kernel
    plan = gateway.plan_of(kernel)
    assert b"evil" not in Path(f"/proc/{gateway.host_of(kernel)}/environ").read_bytes()
    assert (plan["env"]["MINE"], plan["env"]["LD_PRELOAD"]) == ("yes", "/workspace/evil.so")
    assert plan["env"]["HOME"] == "/home/user"
    assert plan["cwd"] == "/workspace"
    assert (folder / "sandbox.json").stat().st_mode & 0o777 == 0o600
    remove(gateway, made)


def test_the_most_allowed(begin: Begin) -> None:
    gateway, _ = begin("--max-sandboxes", "1")
    made = create(gateway)
    answer = gateway.request("POST", "/v1/sandboxes")
    assert (answer.status, "Resource Limit" in answer.json()["detail"]) == (403, True)
    remove(gateway, made)
    remove(gateway, create(gateway))


def ready(gateway: Gateway) -> int:
    return int(metrics(gateway)['warmcell_pool_ready{pool="sandbox"}'])


def test_a_pool_that_follows_its_demand(begin: Begin) -> None:
    gateway, keeper = begin("--pool-min", "2", "--pool-max", "4")
    processes.until(lambda: ready(gateway) == 2, "a full pool")
    stood = {one["sandbox"] for one in keeper.requests("OPEN")}
    made = [create(gateway, {"env": {"A": "b"}, "limits": {"processes": 16}}) for _ in range(4)]
    renamed = {one["sandbox"]: one["to"] for one in keeper.requests("RENAME")}
    assert {renamed[one] for one in stood} == {one["id"] for one in made[:2]}
    assert [one["limits"]["processes"]["value"] for one in made] == [16] * 4
    told = {one["sandbox"] for one in keeper.requests("LIMITS")}
    assert told >= {one["id"] for one in made[:2]}
    assert metrics(gateway)['warmcell_pool_hits_total{pool="sandbox"}'] >= 2
    listed = gateway.get("/v1/sandboxes").json()["sandboxes"]
    assert {one["id"] for one in listed} == {one["id"] for one in made}
    with closing(gateway.client(context_of(made[0]))) as client:
        assert client.run("env A").stdout.strip() == "A=b"

    def has_grown() -> bool:
        """Demand fades: if it had done so before the pool was full, or had come in pieces, it is
        there again."""
        found = metrics(gateway)
        if found['warmcell_pool_target{pool="sandbox"}'] < 4:
            for one in [create(gateway) for _ in range(4)]:
                remove(gateway, one)
        return found['warmcell_pool_ready{pool="sandbox"}'] == 4

    processes.until(has_grown, "a pool as large as its demand")


def test_a_cold_one_is_not_of_the_pool(begin: Begin) -> None:
    gateway, keeper = begin("--pool-min", "1")
    processes.until(lambda: ready(gateway) == 1, "a full pool")
    made = create(gateway, {"cold": True})
    assert keeper.requests("RENAME") == []
    assert made["cold"] is True


def test_a_keeper_that_dies_is_started_again(begin: Begin) -> None:
    gateway, keeper = begin()
    remove(gateway, create(gateway))
    (first,) = keeper.pids()
    os.kill(first, signal.SIGKILL)
    processes.until(lambda: len(keeper.pids()) == 2, "another keeper")
    remove(gateway, create(gateway))
    assert metrics(gateway)['warmcell_keeper_starts_total{keeper="sandbox"}'] == 2


def test_a_gateway_that_comes_back_finds_them(begin: Begin) -> None:
    gateway, keeper = begin()
    made = create(gateway, {"limits": {"processes": 16}, "env": {"A": "b"}})
    kernel = context_of(made)
    client = gateway.client(kernel, "mine")
    client.run("print before")
    asked = client.execute("print running\nyielding after")
    client.await_output(asked, "running")
    gateway.kill()
    gateway.start()
    model = gateway.get(f"/v1/sandboxes/{made['id']}").json()
    assert model["limits"]["processes"]["value"] == 16
    assert model["created"][:19] == made["created"][:19]
    assert context_of(model) == kernel
    again = gateway.client(kernel, "mine", ready=False)
    assert gateway.request("POST", f"/api/kernels/{kernel}/interrupt").status == 204
    assert again.collect(asked).stdout.endswith("after\n")
    again.close()
    assert len(keeper.pids()) == 1

    def opened() -> list[int | None]:
        found = keeper.requests("OPEN")
        return [one.get("uid") for one in found if one["sandbox"] == made["id"]]

    processes.until(lambda: len(opened()) > 1, "its keeper is told of it again")
    assert opened() == [None, 700001]
    remove(gateway, made)


def test_a_host_that_was_yet_to_be_started(begin: Begin) -> None:
    """The gateway had answered and was killed before it started the host: the next one does."""
    gateway, _keeper = begin()
    made = create(gateway, {"env": {"A": "b"}})
    kernel = context_of(made)
    with closing(gateway.client(kernel)) as client:
        client.run("print before")
    gateway.kill()
    file = gateway.runtime / "kernels" / kernel / "kernel.json"
    saved = json.loads(file.read_text())
    os.kill(saved["pid"], signal.SIGKILL)
    assert not processes.wait_gone([saved["pid"]])
    file.write_text(json.dumps(saved | {"pid": 0, "start_ticks": 0}))
    gateway.start()
    with closing(gateway.client(kernel)) as client:
        assert client.run("print after").stdout == "after\n"
    plan = json.loads((file.parent / "sandbox.json").read_text())
    assert (plan["env"]["A"], plan["uid"]) == ("b", 700001)
    remove(gateway, made)


def hung(gateway: Gateway, keeper: FakeKeeper) -> HTTPConnection:
    """A create that will not be answered."""
    remove(gateway, create(gateway))
    for pid in keeper.pids():
        processes.own(pid)
    keeper.order("hang-OPEN")
    stuck = gateway.connection()
    stuck.request("POST", "/v1/sandboxes", "{}", gateway.authorization)
    processes.until(lambda: len(keeper.requests("OPEN")) > 1, "it is asked for")
    keeper.forget("hang-OPEN")
    return stuck


def test_a_create_that_hangs_holds_nobody_up(begin: Begin) -> None:
    """Hosts wait while sandboxes are made, but not for ever; one that waits can be deleted."""
    gateway, keeper = begin("--pool-max", "0")
    stuck = hung(gateway, keeper)
    first, second = create(gateway), create(gateway)
    remove(gateway, second)
    with closing(gateway.client(context_of(first))) as client:
        assert client.run("print runs").stdout == "runs\n"
    remove(gateway, first)
    stuck.close()


def test_a_host_that_cannot_be_started_when_its_time_comes(begin: Begin) -> None:
    gateway, keeper = begin("--pool-max", "0")
    stuck = hung(gateway, keeper)
    (keeper.folder / "host").write_text("#!/nonexistent\n")
    kernel = context_of(create(gateway))
    processes.until(
        lambda: gateway.kernel_model(kernel)["execution_state"] == "dead", "it is given up"
    )
    assert "could not be started" in gateway.kernel_model(kernel)["reason"]
    stuck.close()


def test_a_clean_stop_leaves_the_keeper_to_what_lives_on(begin: Begin) -> None:
    gateway, keeper = begin()
    made = create(gateway)
    gateway.process.send_signal(signal.SIGTERM)  # type: ignore[union-attr]
    assert gateway.process.wait(30) == 0  # type: ignore[union-attr]
    assert keeper.requests("END") == []
    gateway.start()
    assert gateway.get(f"/v1/sandboxes/{made['id']}").status == 200


def metrics(gateway: Gateway) -> dict[str, float]:
    answer = gateway.get("/metrics")
    assert answer.status == 200
    return parse(answer)


def parse(answer: Answer) -> dict[str, float]:
    lines = answer.body.decode().splitlines()
    return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1])
            for line in lines if not line.startswith("#")}  # fmt: skip


def test_metrics(place: Place) -> None:
    gateway, _ = place
    assert gateway.request("GET", "/metrics", auth=False).status in (401, 403)
    made = create(gateway)
    with closing(gateway.client(context_of(made))) as client:
        client.run("print hello")
        processes.until(lambda: metrics(gateway)["warmcell_websockets"] == 1, "others have gone")
        found = metrics(gateway)
    assert found["warmcell_sandboxes"] == 1
    assert found['warmcell_kernels{state="idle"}'] == 1
    assert found[f'warmcell_sandbox_cpu_seconds_total{{sandbox="{made["id"]}"}}'] == 1.25
    assert found[f'warmcell_sandbox_memory_bytes{{sandbox="{made["id"]}"}}'] == 1000
    assert found['warmcell_keeper_forks_total{keeper="sandbox"}'] == 7
    assert found['warmcell_keeper_cold_starts_total{keeper="sandbox"}'] == 3
    assert found['warmcell_http_requests_total{status="2xx"}'] >= 2
    assert found["warmcell_kernel_messages_total"] >= 4
    assert found["warmcell_client_messages_total"] >= 1
    remove(gateway, made)


def test_every_metric_has_a_help_and_a_type(place: Place) -> None:
    lines = place[0].get("/metrics").body.decode().splitlines()
    names = [line.split()[2] for line in lines if line.startswith("# HELP")]
    types = {line.split()[2]: line.split()[3] for line in lines if line.startswith("# TYPE")}
    assert len(names) == len(set(names)) == len(types)
    for name in names:
        assert name.startswith("warmcell_")
        assert name.endswith("_total") == (types[name] == "counter")

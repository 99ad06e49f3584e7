"""/v1/sandboxes/{id}/contexts with a keeper that starts nothing and kernels of the small driver,
which cannot be forked: what is made, listed, refused and ended."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psutil
import pytest
from gateway.test_sandboxes import NOBODY, Place, create, end, metrics, remove, start
from support import processes
from support.fake_kernel import driver_of
from support.gateway import Answer, Gateway

GATEWAY = (
    "--max-contexts",
    "3",
)


@pytest.fixture
def sandbox(gateway: Gateway) -> Iterator[dict[str, Any]]:
    made = create(gateway, {"env": {"A": "b"}})
    yield made
    gateway.request("DELETE", f"/v1/sandboxes/{made['id']}")


def contexts(sandbox: dict[str, Any]) -> str:
    return f"/v1/sandboxes/{sandbox['id']}/contexts"


def make(gateway: Gateway, sandbox: dict[str, Any], **body: Any) -> dict[str, Any]:
    answer = gateway.request("POST", contexts(sandbox), body)
    assert answer.status == 201, answer
    model: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"{contexts(sandbox)}/{model['id']}"
    return model


def names(gateway: Gateway, sandbox: dict[str, Any]) -> list[str]:
    return [one["name"] for one in gateway.get(contexts(sandbox)).json()["contexts"]]


def ready(gateway: Gateway, context: dict[str, Any]) -> None:
    gateway.client(context["id"]).close()


def detail(answer: Answer) -> str:
    assert answer.headers["content-type"] == "application/problem+json"
    return str(answer.json()["detail"])


def test_one_more_context(gateway: Gateway, sandbox: dict[str, Any]) -> None:
    first, other = sandbox["contexts"][0], make(gateway, sandbox)
    assert (first["name"], other["name"], other["forked_from"]) == ("default", "context-2", None)
    assert gateway.kernel_model(other["id"])["profile"] == "sandbox"
    for context in (first, other):
        with closing(gateway.client(context["id"])) as client:
            assert client.run("print hello").stdout == "hello\n"
    model = gateway.get(f"/v1/sandboxes/{sandbox['id']}").json()
    listed = gateway.get(contexts(sandbox)).json()
    assert listed == {"contexts": model["contexts"], "next": None}
    assert [one["id"] for one in model["contexts"]] == [first["id"], other["id"]]
    assert gateway.get(f"{contexts(sandbox)}/{other['id']}").json() == model["contexts"][1]
    found = metrics(gateway)
    assert (found["warmcell_sandboxes"], found['warmcell_kernels{state="idle"}']) == (1, 2)


def test_its_host_is_told_the_same_sandbox(place: Place, sandbox: dict[str, Any]) -> None:
    gateway, _ = place
    other = make(gateway, sandbox)
    first, second = (gateway.plan_of(one["id"]) for one in (sandbox["contexts"][0], other))
    assert second == first | {"uid": 700001}
    assert second["env"]["A"] == "b"


def test_the_sandbox_ends_with_its_last_context(gateway: Gateway, sandbox: dict[str, Any]) -> None:
    first, other = sandbox["contexts"][0], make(gateway, sandbox, name="mine")
    assert gateway.request("DELETE", f"{contexts(sandbox)}/{first['id']}").status == 204
    assert names(gateway, sandbox) == ["mine"]
    assert gateway.get(f"/api/kernels/{first['id']}").status == 404
    with closing(gateway.client(other["id"])) as client:
        assert client.run("print still").stdout == "still\n"
    assert gateway.request("DELETE", f"{contexts(sandbox)}/{other['id']}").status == 204
    assert gateway.get(f"/v1/sandboxes/{sandbox['id']}").status == 404
    folder = gateway.state / "sandboxes" / sandbox["id"]
    processes.until(lambda: not folder.exists(), "the folder is removed")


def test_a_deleted_sandbox_takes_all_its_contexts(
    gateway: Gateway, sandbox: dict[str, Any]
) -> None:
    made = [sandbox["contexts"][0], make(gateway, sandbox), make(gateway, sandbox)]
    hosts: set[int] = set()

    def all_run() -> bool:
        hosts.update(processes.named_below(gateway.pid, "warmcell-kernel"))
        return len(hosts) >= 3

    processes.until(all_run, "three hosts")
    remove(gateway, sandbox)
    for one in made:
        assert gateway.get(f"/api/kernels/{one['id']}").status == 404
        assert not (gateway.runtime / "kernels" / one["id"]).exists()
    assert not processes.wait_gone(hosts)


def test_limits_are_told_to_every_host(gateway: Gateway, sandbox: dict[str, Any]) -> None:
    other = make(gateway, sandbox)
    ready(gateway, other)
    path = f"/v1/sandboxes/{sandbox['id']}"
    assert gateway.request("PATCH", path, {"limits": {"output_bytes": 5000}}).status == 200
    for context in (sandbox["contexts"][0], other):
        with closing(gateway.client(context["id"])) as client:
            assert client.run("lines 4000").status == "error"


def test_the_life_of_a_sandbox_does_not_begin_again(gateway: Gateway) -> None:
    made = create(gateway, {"limits": {"life_s": 3600}})
    other = make(gateway, made)
    assert 3000 < gateway.plan_of(other["id"])["limits"]["life_s"] < 3600
    remove(gateway, made)


REFUSED: list[tuple[str, Any, int, str]] = [
    ("POST", {"name": ""}, 400, "name: must be 1 to 64 bytes long"),
    ("POST", {"name": "x" * 65}, 400, "name: must be 1 to 64 bytes long"),
    ("POST", {"name": "a\nb"}, 400, "name: must hold no control characters"),
    ("POST", {"name": 1}, 400, "name"),
    ("POST", {"fork": 1}, 400, "fork"),
    ("POST", {"force": "yes"}, 400, "force"),
    ("POST", [], 400, "body"),
    ("POST", {"name": "default"}, 409, "name: the sandbox has a context default already"),
    ("POST", {"fork": NOBODY}, 404, f"has no context {NOBODY}"),
    ("GET", None, 404, f"has no context {NOBODY}"),
    ("DELETE", None, 404, f"has no context {NOBODY}"),
]


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: f"{case[0]}-{case[3]}")
def test_what_is_refused(
    gateway: Gateway, sandbox: dict[str, Any], case: tuple[str, Any, int, str]
) -> None:
    method, body, status, text = case
    path = contexts(sandbox) + ("" if method == "POST" else f"/{NOBODY}")
    answer = gateway.request(method, path, body)
    assert answer.status == status, answer
    assert text in detail(answer)
    assert names(gateway, sandbox) == ["default"]


def test_of_no_sandbox(gateway: Gateway) -> None:
    path = f"/v1/sandboxes/{NOBODY}/contexts"
    for method, place in (("GET", path), ("POST", path), ("GET", f"{path}/{NOBODY}")):
        assert gateway.request(method, place).status == 404
    kernel = gateway.start_kernel()  # a kernel of the owner is in no sandbox
    assert gateway.get(f"{path}/{kernel}").status == 404
    gateway.delete_kernel(kernel)


def test_the_most_contexts(gateway: Gateway, sandbox: dict[str, Any]) -> None:
    for _ in range(2):
        last = make(gateway, sandbox)
    answer = gateway.request("POST", contexts(sandbox))
    assert (answer.status, "Resource Limit" in detail(answer)) == (403, True)
    assert gateway.request("DELETE", f"{contexts(sandbox)}/{last['id']}").status == 204
    assert make(gateway, sandbox)["name"] == "context-4"


def test_the_most_kernels(gateway: Gateway) -> None:
    other, keeper = start("--pool-max", "0", "--max-kernels", "2")
    made = create(other)
    make(other, made)
    answer = other.request("POST", contexts(made))
    assert (answer.status, "Resource Limit" in detail(answer)) == (403, True)
    end(other, keeper)


def test_a_context_that_cannot_be_forked(gateway: Gateway, sandbox: dict[str, Any]) -> None:
    """The driver says nothing of branches; nothing of the try is left."""
    first = sandbox["contexts"][0]
    ready(gateway, first)
    answer = gateway.request("POST", contexts(sandbox), {"fork": first["id"]})
    assert (answer.status, detail(answer)) == (409, "this kernel's interpreter cannot be forked")
    assert names(gateway, sandbox) == ["default"]
    folders = gateway.runtime / "kernels"
    processes.until(lambda: [one.name for one in folders.iterdir()] == [first["id"]], "cleared")


def test_a_busy_context(gateway: Gateway, sandbox: dict[str, Any]) -> None:
    first = sandbox["contexts"][0]
    with closing(gateway.client(first["id"])) as client:
        asked = client.execute("print waiting\nwait")
        client.await_output(asked, "waiting")
        answer = gateway.request("POST", contexts(sandbox), {"fork": first["id"]})
        text = f"context {first['id']} is busy: it can be forked between two executions"
        assert (answer.status, detail(answer)) == (409, text)


def test_a_dead_context(gateway: Gateway) -> None:
    """The others go on, and so does the sandbox; both models say why."""
    made = create(gateway)
    first = made["contexts"][0]
    path = f"/v1/sandboxes/{made['id']}"
    ready(gateway, first)
    assert gateway.request("PATCH", path, {"limits": {"life_s": 1}}).status == 200
    processes.until(lambda: gateway.get(path).json()["state"] == "failed", "dead")
    reason = "the kernel has lived for its limit of 1 s"
    model = gateway.get(path).json()
    assert (model["reason"], model["cause"]) == (reason, "life")
    assert (model["contexts"][0]["state"], model["contexts"][0]["cause"]) == ("dead", "life")
    answer = gateway.request("POST", contexts(made), {"fork": first["id"]})
    assert (answer.status, detail(answer)) == (409, f"context {first['id']} is dead: {reason}")
    assert gateway.request("PATCH", path, {"limits": {"life_s": 0}}).status == 200
    other = make(gateway, made)
    ready(gateway, other)
    assert gateway.get(path).json()["state"] == "running"
    remove(gateway, made)


def test_a_context_that_crashes_is_told_apart(gateway: Gateway, sandbox: dict[str, Any]) -> None:
    other = make(gateway, sandbox)
    with closing(gateway.client(other["id"])) as client:
        driver: psutil.Process = driver_of(client)
        driver.kill()
        client.take(lambda m: m.state == "restarting")
    listed = gateway.get(contexts(sandbox)).json()["contexts"]
    assert [one["cause"] for one in listed] == [None, "signal"]
    assert "SIGKILL" in listed[1]["reason"]


def test_a_gateway_that_comes_back_finds_them_all() -> None:
    gateway, keeper = start("--pool-max", "0")
    made = create(gateway)
    others = [make(gateway, made, name=name) for name in ("one", "two")]
    with closing(gateway.client(others[0]["id"])) as client:
        client.run("print before")
    gateway.kill()
    gateway.start()
    assert names(gateway, made) == ["default", "one", "two"]
    for one in [made["contexts"][0], *others]:
        with closing(gateway.client(one["id"])) as client:
            assert client.run("print after").stdout == "after\n"
    listed = [one["id"] for one in gateway.get("/v1/sandboxes").json()["sandboxes"]]
    assert listed == [made["id"]]
    assert make(gateway, made)["name"] == "context-4"
    remove(gateway, made)
    end(gateway, keeper)
    shutil.rmtree(gateway.home, ignore_errors=True)

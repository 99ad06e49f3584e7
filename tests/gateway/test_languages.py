"""Languages of contexts, sandboxes and templates with a keeper that starts nothing: the driver of
JavaScript is the small one of tests/kernel, which a program `node` of the test's own runs."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from gateway.test_sandboxes import NOBODY, context_of, create, end, remove
from gateway.test_template_pools import await_ready
from support import processes
from support.cli import Tool, refused
from support.fake_keeper import FakeKeeper
from support.fake_kernel import DRIVER
from support.gateway import Answer, Gateway

MISSING = "language: javascript needs node, which is not on the gateway's PATH; install nodejs"
KEPT_NOT = "the variables of javascript are not kept: the context begins anew"


@pytest.fixture(scope="module")
def programs_of(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The only folder on the gateway's PATH."""
    return tmp_path_factory.mktemp("programs")


def install(programs_of: Path) -> None:
    node = programs_of / "node"
    node.write_text(f'#!/bin/sh\nexec {sys.executable} {DRIVER} "$@"\n')
    node.chmod(0o755)


@pytest.fixture(scope="module")
def gateway(programs_of: Path) -> Iterator[Gateway]:
    """Its PATH has no Node but the test's; that is there as its keeper starts."""
    install(programs_of)
    gateway = Gateway(options=["--pool-max", "0"])
    keeper = FakeKeeper(gateway.home / "keeper")
    gateway.env = keeper.environment | {"PATH": str(programs_of)}
    gateway.start()
    remove(gateway, create(gateway))
    (programs_of / "node").unlink()
    for pid in keeper.pids():
        processes.own(pid)
    yield gateway
    end(gateway, keeper)


@pytest.fixture
def node(programs_of: Path) -> Iterator[None]:
    install(programs_of)
    yield
    (programs_of / "node").unlink(missing_ok=True)


@pytest.fixture
def sandbox(gateway: Gateway, node: None) -> Iterator[dict[str, Any]]:
    made = create(gateway, {"language": "javascript", "env": {"A": "b"}})
    yield made
    gateway.request("DELETE", f"/v1/sandboxes/{made['id']}")


def url(sandbox: dict[str, Any], rest: str = "") -> str:
    return f"/v1/sandboxes/{sandbox['id']}{rest}"


def show(gateway: Gateway, sandbox: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = gateway.get(url(sandbox)).json()
    return found


def told(answer: Answer) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.status, answer.json()["detail"]


def run(gateway: Gateway, context: dict[str, Any], code: str) -> str:
    with closing(gateway.client(context["id"])) as client:
        return client.run(code).stdout


def languages(gateway: Gateway) -> dict[str, dict[str, Any]]:
    listed = gateway.get("/v1/languages").json()["languages"]
    return {one["name"]: one for one in listed}


def test_what_there_is(gateway: Gateway, programs_of: Path) -> None:
    found = languages(gateway)
    assert set(found) >= {"python", "javascript", "cpp", "go", "java", "ruby"}
    assert (found["python"]["available"], found["python"]["keeps_variables"]) == (True, True)
    script = found["javascript"]
    assert (script["available"], script["reason"], script["package"]) == (False, MISSING, "nodejs")
    assert "warmcell-javascript" not in gateway.get("/api/kernelspecs").json()["kernelspecs"]
    install(programs_of)  # while the gateway runs
    script = languages(gateway)["javascript"]
    assert (script["available"], script["reason"], script["kind"]) == (True, None, "kernel")
    assert (script["file_extension"], script["mime_type"]) == (".js", "text/javascript")
    (programs_of / "node").unlink()


@pytest.mark.parametrize("name", ["cpp", "go", "java", "ruby"])
def test_a_toolchain(gateway: Gateway, name: str) -> None:
    one = languages(gateway)[name]
    there = shutil.which(one["program"], path="/usr/local/bin:/usr/bin:/bin") is not None
    assert (one["kind"], one["available"]) == ("toolchain", there)
    assert (one["reason"] is None) == there
    assert there or one["reason"].endswith(f"; install {one['package']}")
    status, detail = told(gateway.request("POST", "/v1/sandboxes", {"language": name}))
    assert status == 400
    assert detail.startswith(f"language: {name} has no contexts: commands compile and run it")


def test_one_that_is_not_there(gateway: Gateway) -> None:
    made = create(gateway)
    template = gateway.request("POST", "/v1/templates", {"name": "plain"}).json()["id"]
    for method, path, more in (
        ("POST", "/v1/sandboxes", {}),
        ("POST", url(made, "/contexts"), {}),
        ("POST", "/v1/templates", {"name": "script"}),
        ("PATCH", f"/v1/templates/{template}", {}),
        ("PUT", f"/v1/templates/{template}", {"name": "plain"}),
    ):
        asked = gateway.request(method, path, {"language": "javascript", **more})
        assert told(asked) == (422, MISSING)
        status, detail = told(gateway.request(method, path, {"language": "cobol", **more}))
        assert (status, detail[:23]) == (400, "language: must be pytho")
        status, _ = told(gateway.request(method, path, {"language": 1, **more}))
        assert status == 400
    assert show(gateway, made)["contexts"] == made["contexts"]
    assert gateway.request("DELETE", f"/v1/templates/{template}").status == 204
    remove(gateway, made)


def test_a_sandbox_of_it(gateway: Gateway, sandbox: dict[str, Any]) -> None:
    (first,) = sandbox["contexts"]
    assert (sandbox["language"], first["language"]) == ("javascript", "javascript")
    assert run(gateway, first, "print hello") == "hello\n"
    assert gateway.plan_of(first["id"])["env"]["A"] == "b"
    model = gateway.kernel_model(first["id"])
    assert (model["name"], model["profile"]) == ("warmcell-javascript", "sandbox")
    specs = gateway.get("/api/kernelspecs/warmcell-javascript").json()
    assert specs["spec"]["language"] == "javascript"
    path = url(sandbox, "/contexts")
    other = gateway.request("POST", path).json()
    python = gateway.request("POST", path, {"language": "python", "name": "p"}).json()
    assert [one["language"] for one in (other, python)] == ["javascript", "python"]
    assert gateway.kernel_model(python["id"])["name"] == "warmcell"
    assert run(gateway, python, "print here") == "here\n"
    listed = gateway.get(path).json()["contexts"]
    assert [one["language"] for one in listed] == ["javascript", "javascript", "python"]
    path = url({"id": NOBODY}, "/contexts")
    assert gateway.request("POST", path, {"language": "javascript"}).status == 404


def test_it_cannot_be_forked(gateway: Gateway, sandbox: dict[str, Any]) -> None:
    (first,) = sandbox["contexts"]
    run(gateway, first, "print x")
    path = url(sandbox, "/contexts")
    why = f"context {first['id']} is javascript, which cannot be forked: make a new one"
    assert told(gateway.request("POST", path, {"fork": first["id"]})) == (409, why)
    body = {"fork": first["id"], "language": "python"}
    why = f"language: context {first['id']} is javascript, and so is what is forked from it"
    assert told(gateway.request("POST", path, body)) == (400, why)


def test_pause_keeps_the_workspace_and_says_that_variables_are_not_kept(
    gateway: Gateway, sandbox: dict[str, Any]
) -> None:
    (first,) = sandbox["contexts"]
    run(gateway, first, "set x 1")
    kept = gateway.request("POST", url(sandbox, "/snapshots")).json()
    assert [one["problem"] for one in kept["contexts"]] == [KEPT_NOT]
    python = gateway.request("POST", url(sandbox, "/contexts"), {"language": "python"}).json()
    run(gateway, python, "set y 2")
    paused = gateway.request("POST", url(sandbox, "/pause")).json()
    assert (paused["state"], paused["language"]) == ("paused", "javascript")
    facts = [(one["language"], one["reason"]) for one in paused["contexts"]]
    assert facts == [("javascript", KEPT_NOT), ("python", None)]
    gateway.kill()
    gateway.start()
    assert show(gateway, sandbox)["contexts"] == paused["contexts"]
    answer = gateway.request("POST", url(sandbox, "/resume")).json()
    assert [one["problem"] for one in answer["contexts"]] == [KEPT_NOT, None]
    model = answer["sandbox"]
    assert [one["language"] for one in model["contexts"]] == ["javascript", "python"]
    assert run(gateway, first, "get x") == "nothing\n"
    assert run(gateway, python, "get y") == "2\n"


def test_a_copy_has_the_languages(gateway: Gateway, sandbox: dict[str, Any]) -> None:
    run(gateway, sandbox["contexts"][0], "print x")
    answer = gateway.request("POST", url(sandbox, "/fork"))
    assert answer.status == 201, answer
    copy = answer.json()["sandbox"]
    assert (copy["language"], copy["contexts"][0]["language"]) == ("javascript", "javascript")
    assert answer.json()["contexts"][0]["problem"] == KEPT_NOT
    remove(gateway, copy)


def test_it_is_gone_when_it_is_to_be_resumed(
    gateway: Gateway, sandbox: dict[str, Any], programs_of: Path
) -> None:
    run(gateway, sandbox["contexts"][0], "print x")
    assert gateway.request("POST", url(sandbox, "/pause")).status == 200
    (programs_of / "node").unlink()
    assert told(gateway.request("POST", url(sandbox, "/resume"))) == (422, MISSING)
    assert show(gateway, sandbox)["state"] == "paused"
    install(programs_of)
    assert gateway.request("POST", url(sandbox, "/resume")).status == 200


def test_a_template_of_it(gateway: Gateway, node: None) -> None:
    body = {"name": "script", "language": "javascript"}
    template = gateway.request("POST", "/v1/templates", body).json()
    assert template["language"] == "javascript"
    made = create(gateway, {"template": "script"})
    over = create(gateway, {"template": "script", "language": "python"})
    assert (made["language"], made["contexts"][0]["language"]) == ("javascript", "javascript")
    assert over["language"] == "python"
    path = f"/v1/templates/{template['id']}"
    assert gateway.request("PATCH", path, {"description": "x"}).json()["language"] == "javascript"
    assert gateway.request("PATCH", path, {"language": "python"}).json()["language"] == "python"
    assert gateway.request("DELETE", path).status == 204
    for one in (made, over):
        remove(gateway, one)


def test_a_pool_of_it(programs_of: Path, node: None) -> None:
    """What stands ready is of the language, and of no use to who asks for another one."""
    gateway = Gateway(options=["--pool-max", "2"])
    keeper = FakeKeeper(gateway.home / "keeper")
    gateway.env = keeper.environment | {"PATH": str(programs_of)}
    gateway.start()
    body = {"name": "ready", "language": "javascript", "pool": {"min": 1}}
    template = gateway.request("POST", "/v1/templates", body).json()
    await_ready(gateway, template["id"], 1)
    plain = create(gateway)
    assert context_of(plain)
    made = create(gateway, {"template": "ready", "env": {"A": "c"}})
    assert made["contexts"][0]["language"] == "javascript"
    assert run(gateway, made["contexts"][0], "env A") == "A=c\n"
    end(gateway, keeper)


def test_the_command_line(gateway: Gateway, node: None, tmp_path: Path) -> None:
    tool = Tool(gateway)
    made = tool.ok("sandbox", "create", "--language", "javascript").strip()
    assert show(gateway, {"id": made})["language"] == "javascript"
    asked = gateway.client(show(gateway, {"id": made})["contexts"][0]["id"])
    asked.close()
    script = tmp_path / "code.js"
    script.write_text("print one\nenv A")
    book = tmp_path / "book.ipynb"
    cells = [{"cell_type": "code", "source": "print cell"}]
    metadata = {"kernelspec": {"language": "JavaScript"}}
    book.write_text(json.dumps({"nbformat": 4, "cells": cells, "metadata": metadata}))
    assert tool.ok("run", "--sandbox", made, str(script)) == "one\nA=\n"
    assert len(show(gateway, {"id": made})["contexts"]) == 1, "it ran in the one that there is"
    assert tool.ok("run", "--sandbox", made, "--language", "python", str(script)) == "one\nA=\n"
    found = [one["language"] for one in show(gateway, {"id": made})["contexts"]]
    assert found == ["javascript", "python"]
    assert tool.ok("run", "--sandbox", made, str(book)) == "cell\n"
    kept = tool("run", "--keep", str(book))
    assert (kept.returncode, kept.stdout) == (0, b"cell\n")
    other = kept.stderr.decode().split()[-1]
    assert show(gateway, {"id": other})["language"] == "javascript"
    refused(tool("run", "--language", "cobol", str(script)), 1, "language: must be python")
    assert tool.ok("template", "create", "t", "--language", "javascript")
    listed = gateway.get("/v1/templates?name_prefix=t").json()["templates"]
    assert [one["language"] for one in listed] == ["javascript"]
    tool.ok("template", "rm", "t")
    tool.ok("sandbox", "rm", made, other)

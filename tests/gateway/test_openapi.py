"""/openapi.json and /docs: the document is valid, has what is served, and answers are as it says;
the page asks nobody for anything."""

from __future__ import annotations

import json
import os
import re
import shutil
from typing import Any

import pytest
from gateway.test_sandboxes import NOBODY, create, remove, workspace
from openapi_spec_validator import OpenAPIV31SpecValidator
from support.contract import Contract
from support.gateway import Answer, Gateway


@pytest.fixture(scope="module")
def contract(gateway: Gateway) -> Contract:
    return Contract(gateway)


class Asker:
    """Asks, and holds each answer against the document."""

    def __init__(self, gateway: Gateway, contract: Contract) -> None:
        self.gateway = gateway
        self.contract = contract

    def __call__(
        self, expected: int, method: str, path: str, body: Any = None,
        headers: dict[str, str] | None = None, *, auth: bool = True,
    ) -> Answer:  # fmt: skip
        answer = self.gateway.request(method, path, body, headers, auth=auth)
        assert answer.status == expected, answer
        self.contract.check(self.contract.find(method, path), answer)
        return answer


@pytest.fixture(scope="module")
def ask(gateway: Gateway, contract: Contract) -> Asker:
    return Asker(gateway, contract)


def test_the_document_is_valid(contract: Contract) -> None:
    assert contract.document["openapi"] == "3.1.0"
    OpenAPIV31SpecValidator(contract.document).validate()


def test_every_operation_is_described(contract: Contract) -> None:
    for one in contract.operations():
        where = f"{one.method} {one.path}"
        assert one.described["summary"], where
        assert one.described["tags"], where
        statuses = set(one.described["responses"])
        assert any(status < "4" for status in statuses), where
        # what is open to all may still want a token of some
        assert "401" in statuses or "security" in one.described, where


def test_every_described_route_is_served(gateway: Gateway, contract: Contract) -> None:
    """Whatever its parameters are, the path is known and so is the method: neither the router's 404
    nor a 405."""
    for one in contract.operations():
        path = re.sub(r"\{\w+\}", NOBODY, one.path)
        answer = gateway.request("OPTIONS", path)
        assert answer.status == 204, one
        assert one.method in answer.headers["allow"].split(", "), one


def test_methods_that_are_not_described_are_not_served(
    gateway: Gateway, contract: Contract
) -> None:
    described: dict[str, set[str]] = {}
    for one in contract.operations():
        described.setdefault(one.path, set()).add(one.method)
    for path, methods in described.items():
        allowed = gateway.request("OPTIONS", re.sub(r"\{\w+\}", NOBODY, path)).headers["allow"]
        assert set(allowed.split(", ")) - {"HEAD", "OPTIONS"} == methods, path


def test_a_base_url_is_where_the_routes_are() -> None:
    gateway = Gateway(options=["--base-url", "/lab", "--pool-max", "0"]).start()
    try:
        answer = gateway.get("/lab/openapi.json", auth=False)
        assert answer.json()["servers"] == [{"url": "/lab"}]
        assert gateway.get("/lab/docs", auth=False).status == 200
    finally:
        gateway.kill()
        shutil.rmtree(gateway.home)


def test_the_page_holds_the_document_and_nothing_from_elsewhere(
    gateway: Gateway, contract: Contract
) -> None:
    answer = gateway.get("/docs", auth=False)
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; ")
    nonce = re.search(r"script-src 'nonce-([^']+)'", policy)
    text = answer.body.decode()
    assert nonce
    assert text.count(f'<script nonce="{nonce[1]}">') == 1
    held = re.search(
        r'<script type="application/json" id="document">(.*?)</script>', text, re.DOTALL
    )
    assert held
    assert json.loads(held[1]) == contract.document
    own = text.replace(held[0], "")
    assert not re.search(r"%[A-Z]+%", own), "a mark was left"
    assert not re.search(r"""(?:src|href)\s*=\s*["']?(?:https?:)?//""", own)
    assert not re.search(r"url\(|@import|fetch\(|XMLHttpRequest|WebSocket\(|import\s*\(", own)


def test_nonces_are_not_used_twice(gateway: Gateway) -> None:
    policies = {gateway.get("/docs").headers["content-security-policy"] for _ in range(2)}
    assert len(policies) == 2


def test_answers_of_the_service_are_as_described(ask: Asker) -> None:
    for path in ("/", "/healthz", "/readyz", "/metrics", "/openapi.json", "/docs", "/api",
                 "/api/status", "/api/swagger.json", "/api/swagger.yaml", "/api/kernelspecs",
                 "/api/kernels", "/api/sessions", "/v1/sandboxes", "/v1/artifacts",
                 "/api/resolvePath?path=x", "/v1/tokens"):  # fmt: skip
        ask(200, "GET", path)
    ask(401, "GET", "/v1/sandboxes", auth=False)
    ask(401, "GET", "/api/kernels", auth=False)


def test_answers_of_jupyter_are_as_described(ask: Asker) -> None:
    kernel = ask(201, "POST", "/api/kernels", {}).json()["id"]
    name = ask(200, "GET", f"/api/kernels/{kernel}").json()["name"]
    ask(200, "GET", f"/api/kernelspecs/{name}")
    ask(200, "POST", f"/api/kernels/{kernel}/restart")
    ask(204, "POST", f"/api/kernels/{kernel}/interrupt")
    body = {"path": "a.ipynb", "type": "notebook", "name": "a", "kernel": {"id": kernel}}
    session = ask(201, "POST", "/api/sessions", body).json()["id"]
    ask(200, "GET", f"/api/sessions/{session}")
    ask(200, "PATCH", f"/api/sessions/{session}", {"path": "b.ipynb"})
    ask(400, "POST", "/api/sessions", {"path": "c.ipynb"})
    ask(501, "POST", "/api/sessions",
        {"path": "d", "type": "notebook", "kernel": {"name": "none"}})  # fmt: skip
    ask(200, "GET", "/api/kernels")
    ask(204, "DELETE", f"/api/sessions/{session}")
    ask(404, "GET", f"/api/kernels/{kernel}")


def test_answers_of_a_sandbox_are_as_described(ask: Asker) -> None:
    model = create(ask.gateway, {"limits": {"cpus": 1.5}, "env": {"A": "b"}})
    path = f"/v1/sandboxes/{model['id']}"
    context = model["contexts"][0]["id"]
    ask(200, "GET", "/v1/sandboxes")
    ask(200, "GET", path)
    ask(200, "PATCH", path, {"limits": {"execution_s": 30}})
    ask(400, "PATCH", path, {"limits": {"none": 1}})
    ask(200, "GET", f"{path}/contexts/{context}")
    ask(201, "POST", f"{path}/contexts", {"name": "second"})
    ask(409, "POST", f"{path}/contexts", {"name": "second"})
    ask(200, "GET", f"{path}/contexts")
    ask(404, "GET", f"{path}/contexts/{NOBODY}")
    ask(200, "GET", f"{path}/snapshots")
    ask(200, "GET", f"{path}/commands")
    ask(404, "GET", f"{path}/commands/{NOBODY}")
    remove(ask.gateway, model)
    ask(404, "GET", path)


def test_answers_of_executions_are_as_described(ask: Asker) -> None:
    model = create(ask.gateway)
    path = f"/v1/sandboxes/{model['id']}/executions"
    record = ask(200, "POST", path, {"code": "print 1", "labels": {"a": "b"}}).json()
    one = f"{path}/{record['id']}"
    ask(200, "GET", f"{one}?outputs=1")
    ask(200, "GET", f"{one}/events")
    ask(200, "GET", f"{one}/events", headers={"Accept": "application/x-ndjson"})
    ask(200, "GET", f"{one}/events", headers={"Accept": "text/event-stream"})
    ask(200, "POST", f"{one}/cancel")
    ask(409, "POST", f"{one}/input", {"value": "x"})
    ask(202, "POST", path, {"code": "print 2", "detach": True})
    ask(200, "GET", path)
    ask(400, "POST", path, {})
    remove(ask.gateway, model)


def test_answers_of_files_are_as_described(ask: Asker) -> None:
    model = create(ask.gateway)
    if isinstance(model["uid"], int):  # the small keeper does not give it away
        os.chown(workspace(ask.gateway, model), model["uid"], model["uid"])
    path = f"/v1/sandboxes/{model['id']}/files"
    ask(201, "PUT", f"{path}/a/b.txt", b"text")
    ask(204, "PUT", f"{path}/a/b.txt", b"more")
    ask(412, "PUT", f"{path}/a/b.txt", b"more", {"If-None-Match": "*"})
    ask(200, "GET", path)
    ask(200, "GET", f"{path}/a")
    ask(200, "GET", f"{path}/a?stat=1")
    ask(200, "GET", f"{path}/a/b.txt")
    ask(206, "GET", f"{path}/a/b.txt", headers={"Range": "bytes=0-1"})
    ask(204, "POST", f"{path}/a/b.txt?append=1", b"!")
    ask(201, "POST", f"{path}/a/b.txt?move_to=c.txt")
    ask(409, "DELETE", f"{path}/a")
    ask(204, "DELETE", f"{path}/a?recursive=1")
    remove(ask.gateway, model)

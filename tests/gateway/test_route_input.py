"""Every route of the native API that takes a body or a query: what is wrong with it is told by
name. The members are those of /openapi.json, so that a new one is among them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from gateway.good_requests import filled, good
from gateway.test_route_rights import told
from gateway.test_sandboxes import create, remove
from support.contract import Contract, Operation
from support.gateway import Gateway
from support.route_list import native

NO_JSON = (b"{", b"[]", b"1", b'{"a": 1, "a": 2}', b"\xff")
WRONG: list[list[str]] = [[]]  # of no member the value
OF_A_BATCH: dict[str, Any] = {"items": [{"code": "print x"}]}
# what a word of a query of POST files/{path} goes with
WITH = {"mode": "append=1&", "overwrite": "copy_to=other&", "append": ""}


@pytest.fixture(scope="module")
def contract(gateway: Gateway) -> Contract:
    return Contract(gateway)


@pytest.fixture(scope="module")
def names(gateway: Gateway) -> Iterator[dict[str, str]]:
    """Of what a request must find before it is read."""
    model = create(gateway)
    box = f"/v1/sandboxes/{model['id']}"
    execution = gateway.request("POST", f"{box}/executions", {"code": "print x"}).json()["id"]
    command = gateway.request("POST", f"{box}/commands", {"argv": ["true"]}).json()["id"]
    template = gateway.request("POST", "/v1/templates", {"name": "of-names"}).json()["id"]
    assert gateway.request("PUT", f"{box}/files/file", b"text").status == 201
    yield {
        "sandboxes": model["id"], "context": model["contexts"][0]["id"], "execution": execution,
        "command": command, "templates": template, "path": "file", "n": "8000", "package": "a",
        "artifacts": "none", "tokens": "none",
    }  # fmt: skip
    remove(gateway, model)
    assert gateway.request("DELETE", f"/v1/templates/{template}").status == 204


def media(operation: Operation) -> dict[str, Any]:
    found: dict[str, Any] = operation.described.get("requestBody", {}).get("content", {})
    return found


def resolved(contract: Contract, schema: Any) -> Any:
    while "$ref" in schema:
        schema = contract.document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema


def test_a_body_that_is_no_object(
    gateway: Gateway, contract: Contract, names: dict[str, str]
) -> None:
    for operation in native(contract):
        if "application/json" not in media(operation):
            continue
        path = filled(operation.path, names)
        for body in NO_JSON:
            kind = {"Content-Type": "application/json"}
            answer = gateway.request(operation.method, path, body, kind)
            assert (answer.status, told(answer) != "") == (400, True), (operation, body)


def test_a_member_that_is_not_as_it_must_be_is_named(
    gateway: Gateway, contract: Contract, names: dict[str, str]
) -> None:
    for operation in native(contract):
        if "application/json" not in media(operation):
            continue
        schema = resolved(contract, media(operation)["application/json"]["schema"])
        assert schema["properties"], operation
        for member in schema["properties"]:
            body = OF_A_BATCH if member == "parallel" else good(operation).body or {}
            answer = gateway.request(
                operation.method, filled(operation.path, names), body | {member: WRONG}
            )
            assert answer.status == 400 and member in told(answer), (operation, member, answer)


def test_a_member_that_there_is_not_is_refused(
    gateway: Gateway, contract: Contract, names: dict[str, str]
) -> None:
    """What would be passed over is a wish that nobody heard."""
    seen = 0
    for operation in native(contract):
        if "application/json" not in media(operation):
            continue
        schema = resolved(contract, media(operation)["application/json"]["schema"])
        assert schema["additionalProperties"] is False, operation
        body = good(operation).body or {}
        for member in ("no_such_member", next(iter(schema["properties"])) + "x"):
            path = filled(operation.path, names)
            answer = gateway.request(operation.method, path, body | {member: None})
            assert answer.status == 400, (operation, member, answer)
            assert told(answer).startswith(f"{member}: there is no such member"), answer
            seen += 1
        assert f"did you mean {member[:-1]}?" in told(answer), answer
    assert seen > 30


def test_members_of_objects_inside_a_body(gateway: Gateway, names: dict[str, str]) -> None:
    box = f"/v1/sandboxes/{names['sandboxes']}"
    template = f"/v1/templates/{names['templates']}"
    for method, path, body, words in (
        ("POST", f"{box}/executions", {"items": [{"code": ""}, {"code": "", "context_id": "a"}]},
         "items[1]: context_id: "),
        ("POST", f"{box}/executions", {"items": [{"code": ""}], "context": "a"}, "context: not "),
        ("PATCH", template, {"pool": {"mni": 1}}, "pool.mni: "),
        ("PATCH", template, {"files": {"a": {"text": "", "mod": "755"}}}, "files: a: mod: "),
        ("PATCH", template, {"network": {"allow": [], "deny": ["a"]}}, "network: "),
        ("POST", "/v1/sandboxes", {"files": {"a": {"text": "", "mod": "755"}}}, "files: a: mod: "),
        ("POST", "/v1/sandboxes", {"network": {"allow": [], "deny": ["a"]}}, "network: "),
        ("POST", f"{box}/commands", {"argv": ["true"], "stdin": {"base64": "", "eof": True}},
         "stdin: "),
    ):  # fmt: skip
        answer = gateway.request(method, path, body)
        assert (answer.status, told(answer).startswith(words)) == (400, True), answer


def test_a_word_of_a_query_that_is_not_as_it_must_be_is_named(
    gateway: Gateway, contract: Contract, names: dict[str, str]
) -> None:
    for operation in native(contract):
        for parameter in operation.described.get("parameters", []):
            schema = resolved(contract, parameter["schema"])
            free = schema.get("type") == "string" and not {"enum", "pattern", "format"} & {*schema}
            if parameter["in"] != "query" or free:
                continue
            posted = operation.method == "POST" and operation.path.endswith("/files/{path}")
            before = WITH[parameter["name"]] if posted else ""
            query = f"?{before}{parameter['name']}=no%20word"
            body = None if "copy_to" in before else good(operation).body
            path = filled(operation.path, names)
            answer = gateway.request(operation.method, path + query, body)
            assert answer.status == 400, (operation, parameter, answer)
            assert parameter["name"] in told(answer), (operation, parameter, answer)


def test_a_body_that_is_too_long_is_not_awaited(
    gateway: Gateway, contract: Contract, names: dict[str, str]
) -> None:
    for operation in native(contract):
        if not media(operation):
            continue
        with closing(gateway.connection()) as client:
            client.putrequest(operation.method, filled(operation.path, names) +
                              good(operation).query)  # fmt: skip
            head = {"Content-Type": next(iter(media(operation))), "Content-Length": str(1 << 50)}
            for name, value in (head | gateway.authorization).items():
                client.putheader(name, value)
            client.endheaders()
            assert client.getresponse().status == 413, operation
            assert "413" in operation.responses, operation

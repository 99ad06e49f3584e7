"""Requests made up from /openapi.json, good and bad ones, against a gateway with kernels of the
small driver: every answer is as described, and none is a 500. WARMCELL_API_EXAMPLES says how many
are made up for each operation, good and bad (./dev soak: 200), WARMCELL_API_SEED which ones."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import schemathesis
from gateway.test_sandboxes import Place, create
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.core.result import Ok
from support.contract import Contract, Operation
from support.gateway import Answer, Gateway

schemathesis.serializer.alias("application/x-tar", "application/octet-stream")

EXAMPLES = int(os.environ.get("WARMCELL_API_EXAMPLES", "2"))
SEED = int(os.environ.get("WARMCELL_API_SEED", "1"))
# these end for a client alone that asks for the end
ENDLESS = {("POST", "/v1/sandboxes/{id}/executions")}
# the small keeper starts no program, which is told after a while only
UNSTARTED = {("POST", "/v1/sandboxes/{id}/commands"), ("GET", "/v1/sandboxes/{id}/packages")}
# what the gateway refuses before it looks at the route, or for all routes alike
ANYWHERE = {400, 404, 405, 413, 414, 431}


GATEWAY = (
    "--max-sandboxes",
    "3",
    "--max-kernels",
    "8",
)


class Fuzzer:
    """Sends what is made up, every other time with names of what there is."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.contract = Contract(gateway)
        self.sent = 0
        self.problems: dict[str, str] = {}  # the first one of each kind

    def names(self) -> dict[str, str]:
        """Of a sandbox that is there, with room for more kernels."""
        kernels = self.gateway.get("/api/kernels").json()
        if len(kernels) > 5:
            for kernel in kernels:
                self.gateway.request("DELETE", f"/api/kernels/{kernel['id']}")
        models = self.gateway.get("/v1/sandboxes").json()["sandboxes"]
        model = models[0] if models else create(self.gateway)
        contexts = [one["id"] for one in model["contexts"]]
        return {"id": model["id"], "context": contexts[0] if contexts else "none"}

    def send(self, operation: Operation, case: Any) -> None:
        self.sent += 1
        if self.sent % 2:
            case.path_parameters = {**(case.path_parameters or {}), **self.known(operation)}
        if (operation.method, operation.path) in ENDLESS and isinstance(case.body, dict):
            case.body["detach"] = True
        if case.query and "watch" in case.query:
            case.query = {**case.query, "watch": "no word for it"}  # else it would go on for ever
        answer = self.call(case)
        if answer.status in ANYWHERE - {int(one) for one in operation.responses}:
            return
        try:
            assert answer.status != 500
            self.contract.check(operation, answer)
        except AssertionError as problem:
            what = f"{operation.method} {operation.path}: {answer.status}"
            self.problems.setdefault(what, f"{problem}\n{case.as_curl_command()}")

    def known(self, operation: Operation) -> dict[str, str]:
        """What the path may name of that which is there."""
        path = operation.path
        if (operation.method, path) in UNSTARTED:
            return {}
        if path.startswith("/api/kernels/{id}"):
            return {"id": self.names()["context"]}
        if not path.startswith("/v1/sandboxes/{id}"):
            return {}
        names = self.names()
        if "{execution}" in path:
            listed = self.gateway.get(f"/v1/sandboxes/{names['id']}/executions").json()
            names["execution"] = "".join(one["id"] for one in listed.get("executions", [])[-1:])
        return {name: value for name, value in names.items() if value and f"{{{name}}}" in path}

    def call(self, case: Any) -> Answer:
        head = {"Authorization": f"token {self.gateway.token}"}
        response = case.call(base_url=self.gateway.url, headers=head, timeout=60)
        headers = {name.lower(): values[0] for name, values in response.headers.items()}
        return Answer(response.status_code, headers, response.content)


def operations(document: dict[str, Any]) -> Iterator[tuple[Operation, Any]]:
    """Each with the strategies of its good and its bad requests."""
    schema = schemathesis.openapi.from_dict(document)
    for result in schema.get_all_operations():
        assert isinstance(result, Ok), result
        made = result.ok()
        described = document["paths"][made.path][made.method.lower()]
        if "x-websocket" not in described:
            yield Operation(made.method.upper(), made.path, described), made


def fuzz(fuzzer: Fuzzer, operation: Operation, made: Any, mode: GenerationMode) -> None:
    @seed(SEED)
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=made.as_strategy(generation_mode=mode))
    def send(case: Any) -> None:
        fuzzer.send(operation, case)

    try:
        send()
    except Unsatisfiable:
        assert mode == GenerationMode.NEGATIVE, operation  # it takes nothing that could be wrong


def test_no_request_is_answered_with_500(place: Place) -> None:
    gateway = place[0]
    fuzzer = Fuzzer(gateway)
    for operation, made in operations(fuzzer.contract.document):
        for mode in GenerationMode:
            fuzz(fuzzer, operation, made, mode)
    assert not fuzzer.problems, "\n\n".join(fuzzer.problems.values())
    assert fuzzer.sent > EXAMPLES
    assert gateway.get("/readyz").status == 200

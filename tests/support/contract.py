"""What /openapi.json promises, and whether an answer keeps it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from support.gateway import Answer, Gateway

Json = dict[str, Any]


@dataclass(frozen=True)
class Operation:
    method: str
    path: str
    described: Json

    @property
    def responses(self) -> set[str]:
        """The statuses that are described one by one."""
        return set(self.described["responses"]) - {"default"}


class Contract:
    """The document of one gateway."""

    def __init__(self, gateway: Gateway) -> None:
        answer = gateway.get("/openapi.json", auth=False)
        assert answer.status == 200, answer
        self.document: Json = answer.json()
        self._validators: dict[int, Draft202012Validator] = {}

    def operations(self) -> list[Operation]:
        return [
            Operation(method.upper(), path, described)
            for path, methods in self.document["paths"].items()
            for method, described in methods.items()
        ]

    def find(self, method: str, target: str) -> Operation:
        """The operation that a request is of; what names more in its path wins."""
        path = target.partition("?")[0]
        fitting = [
            one
            for one in self.operations()
            if one.method == method and re.fullmatch(_expression(one.path), path)
        ]
        assert fitting, f"{method} {path} is not described"
        return max(fitting, key=lambda one: (one.path.count("/"), -one.path.count("{")))

    def check(self, operation: Operation, answer: Answer) -> None:
        """The status is a described one, the media type one of its own, JSON of its shape."""
        what = f"{operation.method} {operation.path}: {answer.status} {answer.body[:500]!r}"
        response = operation.described["responses"].get(str(answer.status))
        assert response is not None, f"a status that is not described: {what}"
        content = response.get("content", {})
        kind = answer.headers.get("content-type", "")
        if not answer.body:
            return
        assert content, f"a body that is not described: {what}"
        names = (kind, kind.partition(";")[0], "*/*")
        media = next((content[name] for name in names if name in content), None)
        assert media is not None, f"the type {kind} is not described: {what}"
        if "schema" not in media:
            return
        lines = answer.body.splitlines() if kind == "application/x-ndjson" else [answer.body]
        for line in lines:
            errors = sorted(self._validator(media).iter_errors(json.loads(line)), key=str)
            assert not errors, f"{errors[0].message} at {list(errors[0].path)}: {what}"

    def _validator(self, media: Json) -> Draft202012Validator:
        known = self._validators.get(id(media))
        if known is None:
            schema = {**media["schema"], "components": self.document["components"]}
            known = self._validators[id(media)] = Draft202012Validator(schema)
        return known


def _expression(path: str) -> str:
    """{path} takes slashes, too."""
    parts = re.split(r"(\{\w+\})", path)
    return "".join(
        (".+" if part == "{path}" else "[^/]+") if part.startswith("{") else re.escape(part)
        for part in parts
    )

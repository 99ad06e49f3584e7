"""One request for each route of the native API that is good but for whom or what it names."""

from __future__ import annotations

import io
import re
import tarfile
from dataclasses import dataclass
from typing import Any

from support.contract import Operation

OPEN = {"/healthz", "/readyz", "/openapi.json", "/docs"}
UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
}


def empty_tar() -> bytes:
    packed = io.BytesIO()
    tarfile.open(fileobj=packed, mode="w").close()
    return packed.getvalue()


@dataclass(frozen=True)
class Good:
    body: Any = None
    query: str = ""


BOX = "/v1/sandboxes/{id}"
GOOD: dict[str, Good] = {
    f"PATCH {BOX}": Good({"labels": {"a": "b"}}),
    f"POST {BOX}/executions": Good({"code": "print hello"}),
    f"POST {BOX}/executions/{{execution}}/input": Good({"value": "x"}),
    f"PUT {BOX}/files": Good(empty_tar(), "?tar=1"),
    f"PUT {BOX}/files/{{path}}": Good(b"text"),
    f"POST {BOX}/files/{{path}}": Good(b"text", "?append=1"),
    f"PATCH {BOX}/files/{{path}}": Good({"mode": "644"}),
    f"POST {BOX}/commands": Good({"argv": ["true"]}),
    f"POST {BOX}/commands/{{command}}/stdin": Good(b"text"),
    f"POST {BOX}/commands/{{command}}/signal": Good({"signal": "SIGTERM"}),
    f"POST {BOX}/packages": Good({"packages": ["a"]}),
    f"POST {BOX}/ports": Good({"port": 8000}),
    "POST /v1/templates": Good({"name": "of-good-requests"}),
    "PUT /v1/templates/{id}": Good({"name": "of-a-good-change"}),
    "PATCH /v1/templates/{id}": Good({"description": "x"}),
    "PUT /v1/templates/{id}/seed": Good(empty_tar()),
}
JSON_BODIES = (
    f"POST {BOX}/contexts", f"POST {BOX}/snapshots", f"POST {BOX}/pause", f"POST {BOX}/resume",
    f"POST {BOX}/fork", "POST /v1/sandboxes", "POST /v1/tokens", "POST /v1/gc",
)  # fmt: skip
GOOD |= dict.fromkeys(JSON_BODIES, Good({}))


def good(operation: Operation) -> Good:
    return GOOD.get(f"{operation.method} {operation.path}", Good())


def filled(path: str, names: dict[str, str]) -> str:
    """A route's path with its parameters; {id} is that of the noun that the route begins with."""
    noun = path.split("/")[2] if path.startswith("/v1/") else ""
    return re.sub(r"\{(\w+)\}", lambda m: names[noun if m[1] == "id" else m[1]], path)

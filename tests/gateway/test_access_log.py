"""What the log says of requests, and the trace that is carried on from them."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import Any

import pytest
from gateway.test_sandboxes import create, remove
from support import processes
from support.gateway import Gateway
from support.service import Service

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"
BAD = f"00-{'0' * 32}-b7ad6b7169203331-01"


def requests(service: Service, count: int) -> list[dict[str, Any]]:
    def lines() -> list[dict[str, Any]]:
        whole = service.log.read_text().rpartition("\n")[0].splitlines()
        return [one for one in map(json.loads, whole) if one["message"] == "request"]

    processes.until(lambda: len(lines()) >= count, "a line for each request")
    return lines()


def test_a_line_for_each_request() -> None:
    with Service("--log-format", "json", "--access-log") as service:
        said = {"traceparent": PARENT}
        service.ask("/api/echo/a-name?secret=word&token=x", "POST", said, b"the body")
        service.ask("/api/echo/x", token=None)
        service.ask("/nothing/here", headers={"traceparent": BAD})
        made, refused, nothing = requests(service, 3)
        assert made["level"] == "info" and made["time"].endswith("Z")
        assert (made["method"], made["route"], made["status"]) == ("POST", "/api/echo/{name}", 200)
        assert (made["principal"], made["trace"]) == ("owner", TRACE)
        assert made["us"] >= 0 and made["bytes"] > 0
        assert (refused["status"], refused["principal"], refused["trace"]) == (401, "", "")
        assert (nothing["status"], nothing["route"], nothing["trace"]) == (404, "", "")
        text = service.log.read_text()
        for word in ("a-name", "secret", "word", "the body", "nothing/here"):
            assert word not in text


def test_no_line_unless_it_is_asked_for() -> None:
    with Service() as service:
        assert service.ask("/api/echo/x").status == 200
        assert " request " not in service.log.read_text()


def test_what_is_no_format() -> None:
    ended = Service("--log-format", "xml").fail_to_start()
    assert (ended.returncode, "log-format: must be text or json" in ended.stderr) == (2, True)


@pytest.mark.parametrize(("sent", "kept"), [(PARENT, PARENT), (BAD, None), (None, None)])
def test_a_trace_is_kept_with_an_execution(
    gateway: Gateway, sent: str | None, kept: str | None
) -> None:
    made = create(gateway)
    answer = gateway.request(
        "POST", f"/v1/sandboxes/{made['id']}/executions", {"code": "out x", "detach": True},
        {"traceparent": sent} if sent else {},
    )  # fmt: skip
    assert answer.status == 202, answer
    assert answer.json().get("traceparent") == kept
    remove(gateway, made)


def test_it_is_not_ready_while_its_database_cannot_be_written(gateway: Gateway) -> None:
    assert gateway.get("/readyz", auth=False).json() == {"status": "ready"}
    path = gateway.state / "warmcell.db"
    with closing(sqlite3.connect(path, isolation_level=None, timeout=60)) as other:
        other.execute("BEGIN IMMEDIATE")  # as long as another one writes, nobody else does
        assert gateway.request("POST", "/v1/tokens", {"name": "x"}).status == 503
        answer = gateway.get("/readyz", auth=False)
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert gateway.get("/healthz", auth=False).status == 200
        other.execute("ROLLBACK")
    assert gateway.get("/readyz", auth=False).status == 200

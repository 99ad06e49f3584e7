"""The Python blocks of cloud-sandbox.md, as they stand, against a gateway with --open-tokens."""

from __future__ import annotations

import re

from cloud_sandbox import Session
from support.document import block, run
from support.gateway import Gateway

DOCUMENT = "cloud-sandbox"
URL = "http://localhost:8080"


def sandboxes(place: Gateway, user: str) -> list[str]:
    """What is there of a user's."""
    found = place.get("/v1/sandboxes").json()["sandboxes"]
    return [one["id"] for one in found if one["owner"] == f"open.{user}"]


@block("cloud-sandbox", 1)
def test_basic_usage(place: Gateway) -> None:
    ran = run(DOCUMENT, 1, replace={URL: place.url})
    lines = ran.stdout.splitlines()
    assert re.match(r"Python version: 3\.\d+\.\d+", lines[0])
    assert "Hello from sandbox!" in lines
    assert any(re.match(r"total \d+", line) for line in lines)  # of `ls -la`
    assert lines[-1] == "test.py - 15 bytes"
    assert sandboxes(place, "my-user-id") == []  # nothing of it is left


@block("cloud-sandbox", 2)
def test_session_management(place: Gateway) -> None:
    ran = run(DOCUMENT, 2, replace={URL: place.url})
    first, *rest = ran.stdout.splitlines()
    assert first == f"Session paused: {ran.names['session_id']}"
    assert rest == ["42", ""]  # what print(x) said, and the end of its line
    assert sandboxes(place, "user123") == []


@block("cloud-sandbox", 3)
def test_low_level_client(place: Gateway) -> None:
    ran = run(DOCUMENT, 3, replace={URL: place.url})
    assert ran.stdout == "Exit code: 0\nOutput: Hello!\n\n"
    session, info = ran.names["session"], ran.names["sandbox_info"]
    assert isinstance(session, Session)
    assert (session.cpu_count, session.memory_mb, session.image) == (2, 2048, "python:3.11-slim")
    assert (info.sandbox_id, info.status) == (session.id, "running")
    assert sandboxes(place, "my-user") == []

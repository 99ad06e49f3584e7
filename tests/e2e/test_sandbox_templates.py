"""Sandboxes from templates with real keepers: the modules of a template's own fork server, its
files, environment and packages are what the first code finds."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import processes
from support.files import keeper_pids, make_gateway
from support.gateway import Gateway
from support.wheels import write_wheel


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    home = Path(os.environ["HOME"]) / "templates"
    home.mkdir()
    write_wheel(home, "tiny", "1.0", {"tiny.py": b"v = 1"})
    mode = "root" if os.geteuid() == 0 else "user"
    gateway = make_gateway(mode, "--wheels", str(home))
    with gateway:
        yield gateway
    assert not processes.wait_gone(keeper_pids(gateway))
    shutil.rmtree(gateway.home, ignore_errors=True)


def run(gateway: Gateway, sandbox: str, code: str) -> str:
    answer = gateway.request("POST", f"/v1/sandboxes/{sandbox}/executions", {"code": code})
    assert answer.json()["status"] == "ok", answer
    return str(answer.json()["outputs"]["stdout"])


def test_what_a_template_names_is_there(gateway: Gateway) -> None:
    body: dict[str, Any] = {
        "name": "whole",
        "preload": ["colorsys", "chunk_that_is_not_there"],
        "env": {"A": "b"},
        "files": {"helper.py": "x = 5", "data/in.txt": "text"},
        "packages": ["tiny"],
    }
    assert gateway.request("POST", "/v1/templates", body).status == 201
    for name in ("first", "second"):
        made = gateway.request("POST", "/v1/sandboxes", {"template": "whole", "name": name})
        assert made.status == 201, made
        code = "import sys; print('colorsys' in sys.modules)"
        assert run(gateway, name, code) == "True\n"
        code = "import os, helper, tiny; print(os.environ['A'], helper.x, tiny.v)"
        assert run(gateway, name, code) == "b 5 1\n"
        assert run(gateway, name, "open('data/in.txt', 'a').write('!')") == ""
        assert run(gateway, name, "print(open('data/in.txt').read())") == "text!\n"
    assert gateway.request("POST", "/v1/sandboxes", {"name": "usual"}).status == 201
    assert run(gateway, "usual", "import sys; print('colorsys' in sys.modules)") == "False\n"
    for name in ("first", "second", "usual"):
        assert gateway.request("DELETE", f"/v1/sandboxes/{name}").status == 204

    body = {"packages": ["absent"], "files": {"only": ""}}
    assert gateway.request("POST", "/v1/sandboxes", body).status == 422
    assert gateway.get("/v1/sandboxes").json()["sandboxes"] == []
    folders = gateway.state / "sandboxes"
    processes.until(lambda: not list(folders.glob("*/workspace/only")), "nothing of it is left")

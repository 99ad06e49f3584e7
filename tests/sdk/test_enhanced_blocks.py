"""Every block of the Enhanced Sandbox SDK's document, as it stands."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.document import block, run, run_async
from support.gateway import Gateway

import sandbox
from sandbox import (
    LocalSandbox,
    NodeSandbox,
    PersistentExecutionContext,
    RemoteSandbox,
    SandboxConfig,
)
from sandbox import server as tools

DOCUMENT = "enhanced-sandbox"
SESSION = "optional-session-id"  # the document's


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where artifacts are fetched to."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def server(place: Gateway) -> dict[str, str]:
    """What the document's server is here."""
    return {"http://127.0.0.1:5555": place.url, "your-key": place.token}


@pytest.fixture
def context(own_gateway: str) -> Iterator[dict[str, Any]]:
    """Block 1, and its end."""
    names = run(DOCUMENT, 1).names
    yield names
    names["context"].cleanup()


@block("enhanced-sandbox", 1, 2, 3, 4)
def test_a_context(context: dict[str, Any]) -> None:
    made = context["context"]
    assert isinstance(made, PersistentExecutionContext)
    assert made.session_id == SESSION
    result = run(DOCUMENT, 2, context).names["result"]
    took = result.pop("execution_time")
    assert isinstance(took, float)
    assert took > 0
    assert result == {
        "success": True,
        "error": None,
        "error_type": None,
        "stdout": "Mean: 3.0\n",
        "stderr": "",
        "artifacts": [],
        "cache_hit": False,
    }
    run(DOCUMENT, 2, context)
    assert context["result"]["cache_hit"] is True

    stats = run(DOCUMENT, 3, context).names["stats"]
    assert stats.pop("average_execution_time") > 0
    assert stats == {
        "total_executions": 2,
        "cache_hit_ratio": 0.5,
        "cache_hits": 1,
        "cache_misses": 1,
        "cached_compilations": 1,
        "session_id": SESSION,
        "artifacts_count": 0,
    }

    made.execute_code("1 / 0")
    newest, *older = run(DOCUMENT, 4, context).names["history"]
    assert newest["code"] == "1 / 0"
    assert newest["result"] == {"success": False, "error": "division by zero"}
    assert newest["timestamp"] > older[0]["timestamp"] > older[1]["timestamp"]
    assert older[0]["result"] == {"success": True, "error": None}
    assert older[0]["execution_time"] > 0
    assert "np.mean" in older[0]["code"]
    assert len(older) == 2


@block("enhanced-sandbox", 5, 6, 7, 8, 9, 10, 11, 16, 17, 18)
@pytest.mark.asyncio
async def test_a_local_sandbox(own_gateway: str) -> None:
    names = (await run_async(DOCUMENT, 5)).names
    local = names["sandbox"]
    assert isinstance(local, LocalSandbox)
    await local.run("kept = 7")

    await run_async(DOCUMENT, 16, names)
    assert (names["stdout"], names["stderr"], names["output"]) == ("Hello\n", "", "Hello")
    assert (names["artifacts"], names["exception"]) == ([], None)

    await local.run("open('seen.txt', 'w').close()")
    await run_async(DOCUMENT, 17, names)
    assert names["exit_code"] == 0
    assert names["output"].startswith("total ")
    assert names["output"].endswith(" seen.txt")

    await run_async(DOCUMENT, 18, names)
    assert names["metrics"]["running"] is True
    assert names["metrics"]["cpu_usage"] >= 0
    assert 1 < names["memory_usage"] < 512  # MiB, of a Python that has loaded its libraries
    assert names["cpu_usage"] >= 0

    assert (await run_async(DOCUMENT, 6, names)).names["stats"]["total_executions"] == 3
    codes = [one["code"] for one in (await run_async(DOCUMENT, 7, names)).names["history"]]
    assert codes == ["open('seen.txt', 'w').close()", "print('Hello')", "kept = 7"]
    await run_async(DOCUMENT, 8, names)
    assert local.get_performance_stats()["cached_compilations"] == 0
    assert local.get_execution_info()["session_id"] == local.session_id
    assert (await local.run("kept")).return_value == "7"
    await run_async(DOCUMENT, 9, names)
    assert (await run_async(DOCUMENT, 10, names)).names["session_id"] == local.session_id
    await run_async(DOCUMENT, 11, names)
    assert (await local.run("kept", check=False)).exception is not None
    local.cleanup_session()


@block("enhanced-sandbox", 12, 14)
@pytest.mark.asyncio
async def test_here_and_elsewhere(own_gateway: str, server: dict[str, str]) -> None:
    ran = await run_async(DOCUMENT, 12, replace=server)
    assert ran.stdout == "Hello World\nHello from microVM\n"
    ran = await run_async(DOCUMENT, 14, replace=server)
    assert ran.names["result"].stdout == f"{sys.version}\n"


@block("enhanced-sandbox", 13)
@pytest.mark.asyncio
async def test_node(server: dict[str, str], place: Gateway) -> None:
    ran = await run_async(DOCUMENT, 13, replace=server)
    assert ran.stdout == "Hello from Node.js\n"
    async with NodeSandbox.create(server_url=place.url, api_key=place.token) as node:
        await node.run("var kept = 6; function twice(x) { return 2 * x }")
        told = await node.run("console.error('err'); kept * 7")
        assert (told.return_value, told.stderr, told.language) == ("42", "err\n", "javascript")
        with pytest.raises(sandbox.SandboxExecutionError, match="no such thing") as caught:
            await node.run("throw new RangeError('no such thing')")
        assert caught.value.error_type == "RangeError"
        assert (await node.run("twice(kept)")).return_value == "12"


@block("enhanced-sandbox", 15)
@pytest.mark.asyncio
async def test_options(own_gateway: str) -> None:
    names = (await run_async(DOCUMENT, 15, {"LocalSandbox": LocalSandbox})).names
    config = names["config"]
    assert isinstance(config, SandboxConfig)
    assert (config.name, config.memory, config.cpus) == ("configured-sandbox", 1024, 2.0)
    async with names["sandbox"] as local:
        assert (local.name, local.config.timeout) == ("configured-sandbox", 300.0)
        told = await local.run("import os; print(os.environ['DEBUG'], os.environ['LOG_LEVEL'])")
        assert told.stdout == "true info\n"
        info = await (await local._session.sandbox()).refresh()
        limits = {name: info.limits[name]["value"] for name in ("memory_bytes", "cpus")}
        assert limits == {"memory_bytes": 1024 << 20, "cpus": 2.0}


@block("enhanced-sandbox", 19)
@pytest.mark.asyncio
async def test_errors(own_gateway: str, place: Gateway) -> None:
    async with LocalSandbox.create() as local:
        names = {**vars(sandbox), "sandbox": local}
        said = (await run_async(DOCUMENT, 19, dict(names))).stdout
        assert said.startswith("Execution failed: SyntaxError: invalid syntax")
        assert "\nError type: SyntaxError\nTraceback: " in said

        local.config.timeout = 0.2
        endless = {"invalid python code": "while True: pass"}
        said = (await run_async(DOCUMENT, 19, dict(names), endless)).stdout
        assert said == "Execution timed out after 0.2 seconds\n"

    shut_out = RemoteSandbox(server_url=place.url, api_key="of nobody")
    shut_out._is_started = True  # as one whose key was good when it began
    names["sandbox"] = shut_out
    said = (await run_async(DOCUMENT, 19, dict(names))).stdout
    assert said.startswith("Connection failed: ")


TOOLS = {
    20: "execute",
    21: "shell_execute",
    22: "list_artifacts",
    23: "cleanup_artifacts",
    24: "get_execution_info",
    25: "start_web_app",
    26: "create_manim_animation",
}


@block("enhanced-sandbox", 20, 21, 22, 23, 24, 25, 26)
def test_tools_say_that_they_are_not_there() -> None:
    names = {name: getattr(tools, name) for name in TOOLS.values()}
    for number, tool in TOOLS.items():
        said = f"^{tool} is a tool of the MCP server, which is not there; "
        with pytest.raises(tools.SandboxToolUnavailableError, match=said) as caught:
            run(DOCUMENT, number, names)
        assert caught.value.tool == tool
        assert isinstance(caught.value, NotImplementedError)


@block("enhanced-sandbox", 27)
@pytest.mark.asyncio
async def test_session_persistence(own_gateway: str) -> None:
    names: dict[str, Any] = {
        "LocalSandbox": LocalSandbox,
        "PersistentExecutionContext": PersistentExecutionContext,
    }
    await run_async(DOCUMENT, 27, names)
    assert await names["result"].output() == "42"
    await names["sandbox1"].stop()
    assert (await names["sandbox2"].run("print(x)")).stdout == "42\n"  # it is resumed
    names["sandbox2"].cleanup_session()


@block("enhanced-sandbox", 28)
@pytest.mark.asyncio
async def test_artifacts(own_gateway: str, cache: Path) -> None:
    async with LocalSandbox.create() as local:
        ran = await run_async(DOCUMENT, 28, {"sandbox": local})
        assert ran.stdout == "Created 1 artifacts\n"
        (name,) = ran.names["artifacts"]
        folder = Path(ran.names["artifacts_dir"])
        assert folder.is_relative_to(cache)
        assert (folder / name).read_bytes().startswith(b"\x89PNG\r\n")
        assert os.listdir(folder / "plots") == [Path(name).name]

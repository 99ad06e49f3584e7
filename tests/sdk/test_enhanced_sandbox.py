"""The Enhanced Sandbox SDK beyond the blocks of its document: sessions, errors, files, numbers."""

from __future__ import annotations

import asyncio
import csv
import json
import subprocess
import sys
from collections.abc import Awaitable, Iterator
from pathlib import Path
from typing import Any

import pytest
import warmcell
from sandbox.core.code_validator import CodeValidator
from sandbox.sdk import WorktreeSandbox
from support.gateway import Gateway
from support.programs import ROOT

from sandbox import (
    BaseSandbox,
    CommandExecution,
    Execution,
    IsolationLevel,
    LocalSandbox,
    NodeSandbox,
    PersistentExecutionContext,
    PythonSandbox,
    RemoteSandbox,
    SandboxConfig,
    SandboxError,
    SandboxExecutionError,
    SandboxNotStartedError,
    SandboxOptions,
    SandboxTimeoutError,
    SandboxUnsupportedError,
)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where artifacts are fetched to."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def gateway(own_gateway: str) -> Iterator[warmcell.Client]:
    """What the gateway knows, not by this package."""
    with warmcell.Client(own_gateway) as client:
        yield client


def states(client: warmcell.Client) -> dict[str, str]:
    """Of the sessions that are there, by their ids."""
    label = "sandbox.session"
    return {one.info.labels[label]: one.state for one in client.sandboxes.list(label=label)}


@pytest.mark.asyncio
async def test_a_run(own_gateway: str) -> None:
    async with LocalSandbox.create() as local:
        assert local.name.startswith("sandbox-")
        heard: list[str] = []
        code = "import sys\nprint('out')\nprint('err', file=sys.stderr)\nprint('end')\n6 * 7"
        ran = await local.run(code, on_stdout=heard.append, on_stderr=heard.append)
        assert (ran.stdout, ran.stderr, ran.return_value) == ("out\nend\n", "err\n", "42")
        assert await ran.output() == "out\nerr\nend\n42"
        assert await ran.error() == "err"
        assert "".join(heard) == "out\nerr\nend\n"
        assert (ran.status, ran.language, ran.has_error()) == ("success", "python", False)
        assert ran.to_dict()["stdout"] == "out\nend\n"
        assert ran.execution_time > 0

        with pytest.raises(SandboxExecutionError, match="division by zero") as caught:
            await local.run("print('before')\n1 / 0")
        error = caught.value
        assert error.error_type == "ZeroDivisionError"
        assert "1 / 0" in error.traceback
        assert "\x1b" not in error.traceback
        assert error.execution is not None
        assert error.execution.stdout == "before\n"
        assert error.execution.exception is error
        failed = await local.run("raise KeyError('k')", check=False)
        assert failed.has_error()
        assert isinstance(failed.exception, SandboxExecutionError)
        assert await failed.error() == "KeyError: 'k'"

        with pytest.raises(SandboxTimeoutError) as late:
            await local.run("print('begun', flush=True)\nwhile True: pass", timeout=0.3)
        assert late.value.timeout == 0.3
        assert not isinstance(late.value, SandboxExecutionError)
        assert (await local.run("print('on')")).stdout == "on\n"


@pytest.mark.asyncio
async def test_who_gives_a_run_up_interrupts_it(own_gateway: str) -> None:
    async with LocalSandbox.create() as local:
        begun = asyncio.Event()
        endless = asyncio.create_task(
            local.run(
                "print('begun')\nimport time\nwhile True: time.sleep(0.01)",
                timeout=3600,
                on_stdout=lambda _: begun.set(),
            )
        )
        await begun.wait()
        await local.stop()  # what runs goes on
        assert (await (await local._session.sandbox()).refresh()).state == "running"
        await local.start()
        endless.cancel()
        with pytest.raises(asyncio.CancelledError):
            await endless
        assert (await local.run("print('on')", timeout=3600)).stdout == "on\n"


@pytest.mark.asyncio
async def test_commands(own_gateway: str) -> None:
    async with LocalSandbox.create(env={"NAME": "value"}, working_directory="/tmp") as local:
        script = "echo out $NAME; echo err >&2; exit 3"
        ran = await local.command.run("sh", ["-c", script])
        assert (ran.stdout, ran.stderr, ran.exit_code) == ("out value\n", "err\n", 3)
        assert (ran.command, ran.args, ran.timeout) == ("sh", ["-c", script], False)
        assert (ran.has_error(), ran.success) == (True, False)
        assert await ran.error() == "err"
        assert sorted((await ran.output()).split("\n")) == ["err", "out value"]
        both = ran.to_dict()
        assert both["output"] == [
            {"stream": "stdout", "text": "out value"},
            {"stream": "stderr", "text": "err"},
        ]
        assert (both["exit_code"], both["stdout"]) == (3, "out value\n")

        quiet = await local.command.run("sh", ["-c", "echo only >&2"])
        assert not quiet.has_error()
        late = await local.command.run("sleep", ["infinity"], timeout=0.2)
        assert (late.exit_code, late.timeout, late.has_error()) == (124, True, True)
        missing = await local.command.run("no-such-program")
        assert missing.exit_code == 127
        assert "no-such-program" in missing.stderr
        killed = await local.command.run("sh", ["-c", "kill -9 $$"])
        assert killed.exit_code == 137
        here = await local.command.run("pwd")
        assert await here.output() == "/tmp"
        there = await local.command.run("pwd", working_directory="/workspace", env={"A": "b"})
        assert await there.output() == "/workspace"
        assert (await local.run("import os; os.getcwd()")).return_value == "'/tmp'"
    with pytest.raises(SandboxNotStartedError, match="not started"):
        await local.command.run("true")
    with pytest.raises(RuntimeError):
        await local.run("1")


@pytest.mark.asyncio
async def test_numbers_are_true(own_gateway: str) -> None:
    async with LocalSandbox.create() as local:
        before = await local.metrics.all()
        await local.run("held = bytearray(b'x' * (64 << 20))")
        await local.run(
            "import time\nend = time.process_time() + 0.2\nwhile time.process_time() < end: pass"
        )
        after = await local.metrics.all()
        assert after["memory_usage"] - before["memory_usage"] > 60
        assert after["memory_bytes"] == after["memory_usage"] * (1 << 20)
        assert after["cpu_seconds"] - before["cpu_seconds"] > 0.15
        assert after["cpu_usage"] > 0
        for _ in range(1000):
            if await local.metrics.get("executions") == 2:
                break
            await asyncio.sleep(0.02)
        assert await local.metrics.get("executions") == 2
        assert after["processes"] >= 1
        assert (after["name"], after["namespace"]) == (local.name, "default")
        for name in ("cpu_usage", "memory_usage", "disk_usage"):
            assert await local.metrics.get(name) >= 0
            assert await getattr(local.metrics, name)() >= 0
        assert (await local.metrics.memory() or 0) > 60
        assert await local.metrics.is_running() is True
        with pytest.raises(ValueError, match="'speed' is none of name, "):
            await local.metrics.get("speed")


THERE = """
import asyncio
import gc
import os
import sys
from sandbox import LocalSandbox, PersistentExecutionContext

async def main():
    global lost
    kept, lost = LocalSandbox(), LocalSandbox()
    for one in (kept, lost):
        await one.start()
    await kept.run("def doubled(x): return 2 * x")
    await kept.run("n = 21; open('left.txt', 'w').write('here')")
    await lost.run("1")
    print(kept.session_id, lost._execution_context._id)

asyncio.run(main())
gc.collect()  # one of the objects is gone
if os.fork() == 0:
    sys.exit()  # nothing of it is the child's to end
os.wait()
asyncio.run(lost.run("1"))
PersistentExecutionContext().execute_code("1")  # its connection ends in silence, too
"""


def test_a_session_outlives_its_process(
    own_gateway: str, gateway: warmcell.Client, cache: Path
) -> None:
    places = [str(ROOT / "sdk" / name) for name in ("python", "compat")]
    program = f"import sys; sys.path[:0] = {places!r}\n{THERE}"
    ended = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    assert ended.stderr == b""
    kept, lost = ended.stdout.decode().split()
    assert states(gateway)[kept] == "paused"
    assert lost not in states(gateway)  # nobody can come back to it

    context = PersistentExecutionContext(kept)
    assert context.execute_code("print(doubled(n))")["stdout"] == "42\n"
    assert [one["code"] for one in context.get_execution_history()][1:] == [
        "n = 21; open('left.txt', 'w').write('here')",
        "def doubled(x): return 2 * x",
    ]
    assert context.list_artifacts() == ["left.txt"]
    context.save_persistent_state()
    (found,) = gateway.sandboxes.list(label=f"sandbox.session={kept}")
    assert [one["why"] for one in found.snapshots()] == ["pause", "asked"]
    assert Path(context.artifacts_dir, "left.txt").read_text() == "here"
    context.cleanup()
    assert kept not in states(gateway)
    assert not list(cache.rglob("left.txt"))
    empty = context.execute_code("n")
    assert (empty["success"], empty["error_type"]) == (False, "NameError")
    context.cleanup()


@pytest.mark.asyncio
async def test_how_a_session_is_left(own_gateway: str, gateway: warmcell.Client) -> None:
    async with PythonSandbox.create_local(name="told") as told:
        assert isinstance(told, LocalSandbox)
        session = told.session_id
        await told.run("x = 1")
    async with LocalSandbox.create(name="untold") as untold:
        hidden = untold._execution_context._id
        assert states(gateway)[hidden] == "running"
    found = states(gateway)
    assert found[session] == "paused"
    assert hidden not in found
    await told.start()  # the same object goes on
    assert (await told.run("x")).return_value == "1"
    await told.stop()
    await told.stop()
    assert states(gateway)[session] == "paused"
    told.cleanup_session()

    long = "a-_" * 40 + "z"
    context = PersistentExecutionContext(long)
    assert context.session_id == long
    context.execute_code("y = 2")
    assert PersistentExecutionContext(long).execute_code("print(y)")["stdout"] == "2\n"
    context.cleanup()
    for wrong in ("", "a b", "../x", "a" * 129):
        with pytest.raises(ValueError, match="session_id"):
            PersistentExecutionContext(wrong)


LEAVES = """
import os
import matplotlib.pyplot as plt
from IPython.display import HTML, display
plt.plot([1, 2]); plt.show()
display(HTML("<b>bold</b>"))
for path in ("table.csv", "deep/er/photo.png", "media/scene.mp4", "thing.xyz", "way"):
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with open(path, "w") as file:
        file.write(path)
"""


@pytest.mark.asyncio
async def test_artifacts(own_gateway: str, cache: Path) -> None:
    async with LocalSandbox.create() as local:
        ran = await local.run(LEAVES)
        assert len(ran.artifacts) == 7
        kinds = {
            kind: [one["name"] for one in files]
            for kind, files in local.categorize_artifacts().items()
            if files
        }
        (plot,), (html,) = kinds.pop("plots"), kinds.pop("documents")
        assert (plot[-4:], html[-5:]) == (".png", ".html")
        assert kinds == {
            "data": ["table.csv"],
            "images": ["photo.png"],
            "manim": ["scene.mp4"],
            "other": ["thing.xyz", "way"],
        }
        assert set(local.categorize_artifacts()) >= {"videos", "audio", "code"}
        assert [one["path"] for one in local.get_manim_artifacts()] == ["media/scene.mp4"]

        listed = local.list_artifacts()
        assert sorted(listed) == sorted(ran.artifacts)
        assert "deep/er/photo.png" in listed
        assert "deep/er/photo.png" not in local.list_artifacts(recursive=False)
        assert "table.csv" in local.list_artifacts(recursive=False)
        of_json = json.loads(local.list_artifacts("json"))
        assert {one["path"]: one["size"] for one in of_json}["table.csv"] == len("table.csv")
        rows = list(csv.DictReader(local.list_artifacts("csv").splitlines()))
        assert [row["path"] for row in rows] == listed
        detailed = local.list_artifacts("detailed")
        assert (detailed["total"], detailed["summary"]["data"]["count"]) == (7, 1)
        with pytest.raises(ValueError, match="'xml' is none of"):
            local.list_artifacts("xml")

        report = local.get_artifact_report()
        assert report["total_artifacts"] == 7
        assert report["largest_artifacts"][0]["name"] == plot
        assert local.get_artifact_summary().startswith("Total Artifacts: 7\nTotal Size: ")
        assert local.get_performance_stats()["artifacts_count"] == 7

        folder = Path(local.artifacts_dir)
        assert (folder / "deep/er/photo.png").read_text() == "deep/er/photo.png"
        # what is made anew takes the place of what was there, of whatever kind it was
        await local.run("os.unlink('way'); os.mkdir('way'); open('way/now', 'w').write('further')")
        await local.run("open('table.csv', 'w').write('other')")
        assert local.artifacts_dir == str(folder)
        assert (folder / "table.csv").read_text() == "other"
        assert (folder / "way/now").read_text() == "further"

        assert local.cleanup_artifacts_by_type("data") == 1
        assert not (folder / "table.csv").exists()
        assert "table.csv" not in local.list_artifacts()
        assert local.cleanup_artifacts_by_type("audio") == 0
        local.cleanup_artifacts()
        assert local.list_artifacts() == []
        assert local.get_artifact_summary() == "No artifacts found."
        assert (await local.command.run("cat", ["table.csv"])).stdout == "other"


def test_files_of_a_session(own_gateway: str) -> None:
    context = PersistentExecutionContext()
    context.execute_code(
        "import os\nos.makedirs('a/b')\n"
        "for p in ('a/one.txt', 'a/b/two.txt', '.hidden'): open(p, 'w').write('12345')"
    )
    top = context.list_directory()
    assert [(one["name"], one["type"]) for one in top["items"]] == [("a", "directory")]
    hidden = context.list_directory(include_hidden=True)["items"]
    assert ".hidden" in [one["name"] for one in hidden]
    found = context.find_files("*.txt")
    assert [one["relative_path"] for one in found["matches"]] == ["a/one.txt", "a/b/two.txt"]
    assert found["matches"][0]["size"] == 5
    assert context.find_files("*.txt", max_results=1)["truncated"] is True
    assert context.find_files("two.txt", "a/b")["total_matches"] == 1

    assert context.get_current_directory_info()["is_default"] is True
    assert context.change_working_directory("a")["current_directory"] == "/workspace/a"
    assert context.execute_code("print(os.getcwd())")["stdout"] == "/workspace/a\n"
    assert context.change_working_directory("b", temporary=True)["is_temporary"] is True
    assert context.list_directory()["items"][0]["name"] == "two.txt"
    for wrong in ("/etc", "../../..", "missing", "two.txt"):
        refused = context.change_working_directory(wrong)
        assert (refused["success"], refused["current_directory"]) == (False, "/workspace/a/b")
    assert context.list_directory("/etc")["success"] is False
    assert context.find_files("*", "/etc")["success"] is False
    context.reset_to_default_directory()
    assert context.execute_code("print(os.getcwd())")["stdout"] == "/workspace\n"
    assert context.get_execution_info()["project_root"] == "/workspace"
    assert context.get_execution_info()["python_version"] == sys.version
    assert len(context.get_execution_history(limit=2)) == 2
    context.cleanup()


def test_validation_and_templates(own_gateway: str) -> None:
    context = PersistentExecutionContext()
    refused = context.execute_code("x = (", validate=True)
    assert (refused["success"], refused["error_type"]) == (False, "SyntaxError")
    assert refused["validation_result"]["valid"] is False
    taken = context.execute_code("    print('in')\n", "key", validate=True)
    assert taken["stdout"] == "in\n"
    assert taken["formatted_code"] == "print('in')\n"
    assert context.get_execution_stats()["total_executions"] == 1

    local = LocalSandbox()
    assert local.validate_code("await x")["valid"] is True
    assert local.validate_code("a\0b")["valid"] is False
    for name in local.get_available_templates():
        code = local.get_code_template(name)
        assert CodeValidator().validate_and_format(code)["valid"]
        assert context.execute_code(code)["success"], name
    with pytest.raises(ValueError, match="'novel' is none of the templates"):
        local.get_code_template("novel")
    context.cleanup()

    asyncio.run(both(local.start(), local.start()))
    asyncio.run(both(local.run("kept = 1"), local.run("more = 2")))  # on another loop
    assert asyncio.run(local.run("kept, more")).return_value == "(1, 2)"
    local.cleanup_session()


async def both(*work: Awaitable[object]) -> None:
    await asyncio.gather(*work)


def test_a_session_at_a_terminal(
    own_gateway: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = iter(["def f(x):", "    return x + 1", "", "f(1)", "print('said')", "1 /", "", "exit"])
    monkeypatch.setattr("builtins.input", lambda _: next(lines))
    local = LocalSandbox()
    local.start_interactive_repl()
    said = capsys.readouterr()
    assert said.out == "2\nsaid\n"
    assert "SyntaxError" in said.err
    local.cleanup_session()


@pytest.mark.asyncio
async def test_elsewhere(
    place: Gateway, client: warmcell.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with RemoteSandbox.create(
        server_url=place.url, api_key=place.token, name="shared", namespace="team"
    ) as first:
        assert (first.remote, first.server_url, first.namespace) == (True, place.url, "team")
        await first.run("x = 5")
        monkeypatch.setenv("MSB_SERVER_URL", place.url)
        monkeypatch.setenv("MSB_API_KEY", place.token)
        second = await PythonSandbox.create(remote=True, name="shared", namespace="team")
        assert (await second.run("x")).return_value == "5"
        shown = await first.run("from IPython.display import HTML; HTML('<b>bold</b>')")
        (artifact,) = shown.artifacts
        assert artifact.startswith("documents/document_")
        assert second.is_started
    assert "team.shared" not in [one.name for one in client.sandboxes.list()]
    with pytest.raises(SandboxError, match="gone"):
        await second.run("x")
    await second.stop()


@pytest.mark.asyncio
async def test_what_is_refused(own_gateway: str) -> None:
    with pytest.raises(SandboxUnsupportedError, match="mounts: "):
        await LocalSandbox.create(mounts=["/etc:/etc"])
    with pytest.raises(SandboxUnsupportedError, match="work trees"):
        await LocalSandbox.create(config=SandboxOptions.builder().worktree().build())
    with pytest.raises(SandboxUnsupportedError, match="work trees"):
        WorktreeSandbox(name="tree")
    with pytest.raises(SandboxError, match="template"):
        await LocalSandbox.create(image="no-such-template")
    with pytest.raises(TypeError, match="LocalSandbox has no option 'memori'"):
        LocalSandbox(memori=1)
    with pytest.raises(SandboxError):
        await LocalSandbox.create(memory=1)  # MB: nothing runs in so few


def test_options() -> None:
    assert SandboxConfig() == SandboxOptions.builder().build()
    built = (
        SandboxOptions()
        .remote(True)
        .server_url("http://a")
        .namespace("n")
        .name("x")
        .api_key("k")
        .memory(2048)
        .cpus(0.5)
        .timeout(9.0)
        .image("i")
        .env("A", "1")
        .envs({"B": "2"})
        .mount("/h", "/c")
        .working_directory("/w")
        .isolation_level("container")
        .max_workers(3)
        .memory_limit(100)
        .build()
    )
    assert built == SandboxConfig(
        remote=True,
        server_url="http://a",
        namespace="n",
        name="x",
        api_key="k",
        memory=2048,
        cpus=0.5,
        timeout=9.0,
        image="i",
        env={"A": "1", "B": "2"},
        mounts=["/h:/c"],
        working_directory="/w",
        isolation_level=IsolationLevel.CONTAINER,
        max_workers=3,
        memory_limit_mb=100,
    )
    made = BaseSandbox(config=built, name="y")
    assert (made.name, made.remote, made.server_url) == ("y", True, "http://a")
    assert (made.config.memory_limit_mb, built.name) == (100, "x")
    assert LocalSandbox(config=built).remote is False
    assert NodeSandbox().language == "javascript"


def test_answers_of_either_protocol() -> None:
    lines = [{"stream": "stdout", "text": "a"}, {"stream": "stderr", "text": "b"}]
    ran = Execution(output_data={"output": lines, "status": "error", "language": "python"})
    assert (ran.stdout, ran.stderr, ran.has_error()) == ("a", "b", True)
    assert asyncio.run(ran.output()) == "a\nb"
    own = Execution(stdout="out", return_value=42, exception=ValueError("v"), artifacts=["f"])
    assert (own.artifacts, own.has_error(), own.to_dict()["exception"]) == (["f"], True, "v")
    done: Any = CommandExecution(output_data={"output": lines, "exit_code": 2, "command": "c"})
    assert (done.stdout, done.stderr, done.exit_code, done.command) == ("a", "b", 2, "c")
    done = CommandExecution(output_data={"stdout": "x", "stderr": "y", "timeout": True})
    assert (done.stdout, done.has_error()) == ("x", True)

"""sandbox_sdk beyond its document's blocks: what is told while code runs, what is asked again and
what never is, limits, logs, the classes; and the REST API with real code, over plain HTTP."""

from __future__ import annotations

import json
import logging
import pickle
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sandbox_sdk
import sandbox_sdk.types
import warmcell
from sandbox_sdk import (
    BatchExecutionJob,
    CreateSandboxOptions,
    Execution,
    ExecutionError,
    ExecutionMetadata,
    Logs,
    OutputMessage,
    RateLimiter,
    RateLimitError,
    Result,
    RunCodeOptions,
    SandboxError,
    SandboxSDK,
    SandboxSDKConfig,
    SandboxSDKError,
    SandboxStatus,
)
from support.gateway import Gateway
from support.scripted_http import DROP, Scripted, ScriptedHttp
from warmcell.compat.sandbox_sdk import types

ID = "5b1e0000-0000-0000-0000-000000000000"
MADE = {"sandbox": {"id": ID, "status": "ready"}}
END = {
    "type": "end", "status": "ok", "error": None, "execution_count": 1, "execution_id": "x",
    "context_id": "c", "start_time": None, "end_time": None, "duration": 1.0,
}  # fmt: skip


def sdk_for(server: ScriptedHttp, **config: Any) -> SandboxSDK:
    return SandboxSDK({"api_key": "key", "server_url": server.url, "retry_delay": 0, **config})


def lines(*said: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(one).encode() + b"\n" for one in said)


# --- configuration


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({}, "Invalid API key"),
        ({"api_key": "", "server_url": "http://x"}, "Invalid API key"),
        ({"api_key": 1, "server_url": "http://x"}, "Invalid API key"),
        ({"api_key": "k"}, "Invalid server URL"),
        ({"api_key": "k", "server_url": "ftp://x"}, "Invalid server URL"),
        ({"api_key": "k", "server_url": "http://x", "timeout": 0}, "timeout"),
        ({"api_key": "k", "server_url": "http://x", "timeout": 1.5}, "timeout"),
        ({"api_key": "k", "server_url": "http://x", "max_retries": -1}, "max_retries"),
        ({"api_key": "k", "server_url": "http://x", "log_level": "loud"}, "log_level"),
        ({"api_key": "k", "server_url": "http://x", "retries": 1}, "retries"),
    ],
)
def test_what_is_no_configuration(
    config: dict[str, Any], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("API_KEY", "SERVER_URL", "TIMEOUT", "LOG_LEVEL"):
        monkeypatch.delenv(f"SANDBOX_{name}", raising=False)
    with pytest.raises(SandboxSDKError, match=words):
        SandboxSDK(config)


def test_defaults_and_what_stands_in_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    with SandboxSDK({"api_key": "k", "server_url": "http://127.0.0.1:9"}) as sdk:
        assert sdk.config == {
            "api_key": "k", "server_url": "http://127.0.0.1:9", "timeout": 60_000,
            "max_retries": 3, "retry_delay": 1000, "enable_logging": False, "log_level": "info",
            "enable_metrics": False, "metrics_interval": 30_000, "max_requests_per_minute": None,
        }  # fmt: skip
    monkeypatch.setenv("SANDBOX_TIMEOUT", "5000")
    given = SandboxSDKConfig("k", "http://127.0.0.1:9", max_retries=1)
    with SandboxSDK(given) as sdk:
        assert (sdk.config["timeout"], sdk.config["max_retries"]) == (5000, 1)
    monkeypatch.setenv("SANDBOX_TIMEOUT", "soon")
    with pytest.raises(SandboxSDKError, match="timeout"):
        SandboxSDK(given)


# --- what is asked again


def test_a_sandbox_whose_answer_is_lost_is_made_once() -> None:
    busy = Scripted(409, {"message": "is being made"})
    with ScriptedHttp(Scripted(DROP), busy, Scripted(201, MADE)) as server, sdk_for(server) as sdk:
        assert sdk.create_sandbox({"template_id": "python"})["sandbox"]["id"] == ID
        assert sdk.get_metrics()["active_sandboxes"] == 1
    assert len({asked.headers["idempotency-key"] for asked in server.asked}) == 1
    assert [asked.headers["authorization"] for asked in server.asked] == ["Bearer key"] * 3


def test_a_deletion_whose_answer_is_lost_is_done() -> None:
    gone = Scripted(404, {"message": "none"})
    with ScriptedHttp(Scripted(DROP), gone, gone) as server, sdk_for(server) as sdk:
        sdk.delete_sandbox("a/b?c")
        with pytest.raises(SandboxError, match="none"):
            sdk.delete_sandbox("other")
    assert server.asked[0].path == "/api/sandboxes/a%2Fb%3Fc"


def test_no_more_tries_than_allowed() -> None:
    with ScriptedHttp(*[Scripted(DROP)] * 3) as server, sdk_for(server, max_retries=2) as sdk:
        with pytest.raises(sandbox_sdk.ConnectionError):
            sdk.list_sandboxes()
        metrics = sdk.get_metrics()
    assert (metrics["total_requests"], metrics["failed_requests"]) == (1, 1)
    assert len(server.asked) == 3


def test_a_server_that_has_enough_is_asked_later_and_then_told_of() -> None:
    full = Scripted(429, {"message": "slowly"}, {"Retry-After": "0"})
    answers = [full, Scripted(200, {"sandboxes": []}), full, full]
    with ScriptedHttp(*answers) as server, sdk_for(server, max_retries=1) as sdk:
        assert sdk.list_sandboxes() == []
        with pytest.raises(RateLimitError) as raised:
            sdk.list_sandboxes()
    assert isinstance(raised.value.retry_after, int)
    assert len(server.asked) == 4


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, SandboxError),
        (401, sandbox_sdk.AuthenticationError),
        (403, SandboxError),
        (404, SandboxError),
        (500, SandboxError),
        (504, sandbox_sdk.TimeoutError),
    ],
)
def test_each_status_has_its_error(status: int, kind: type[Exception]) -> None:
    with ScriptedHttp(Scripted(status, {"message": "why"})) as server, sdk_for(server) as sdk:
        with pytest.raises(kind, match="why") as raised:
            sdk.list_sandboxes()
    assert type(raised.value) is kind
    assert getattr(raised.value, "status", status) == status


def test_a_run_goes_on_where_its_stream_broke_off() -> None:
    first = lines({"type": "stdout", "text": "a\nb"}) + b'{"type": "std'
    whole = lines(
        {"type": "stdout", "text": "a\nb"}, {"type": "stdout", "text": "c\n"},
        {"type": "result", "text": "1\u2028", "is_main_result": True}, END,
    )  # fmt: skip
    told: list[str] = []
    with ScriptedHttp(Scripted(200, first), Scripted(200, whole)) as server, sdk_for(server) as sdk:
        ran = sdk.run_code(ID, "1", {"on_stdout": lambda one: told.append(one.line)})
    assert told == ran["execution"].logs.stdout == ["a", "bc"]
    assert ran["execution"].text == "1\u2028"
    assert len({asked.headers["idempotency-key"] for asked in server.asked}) == 1


def test_a_limit_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    limiter = RateLimiter(2)
    assert RateLimiter().max_requests_per_minute == 60
    for _ in range(2):
        assert limiter.can_make_request() and limiter.get_retry_after() == 0
        limiter.record_request()
    assert not limiter.can_make_request()
    assert 0 < limiter.get_retry_after() <= 60_001
    assert 0 < limiter.take() <= 60_001
    one = RateLimiter(1)
    with ThreadPoolExecutor(8) as threads:  # of those who come at once, one gets it
        assert list(threads.map(lambda _: one.take() == 0, range(8))).count(True) == 1
    with ScriptedHttp(Scripted(200, {"sandboxes": []})) as server:
        with sdk_for(server, max_requests_per_minute=1) as sdk:
            sdk.list_sandboxes()
            with pytest.raises(RateLimitError) as raised:
                sdk.run_code(ID, "1")
    assert 0 < raised.value.retry_after <= 60_001
    assert len(server.asked) == 1, "nothing was sent"
    again = pickle.loads(pickle.dumps(raised.value))
    assert again.retry_after == raised.value.retry_after


# --- logs and numbers


@pytest.mark.parametrize("level", ["debug", "info", "warn", "error"])
def test_each_level_of_the_log(level: str, caplog: pytest.LogCaptureFixture) -> None:
    answers = [Scripted(DROP), Scripted(201, MADE), Scripted(400, {"message": "no"})]
    with ScriptedHttp(*answers) as server:
        with sdk_for(server, enable_logging=True, log_level=level) as sdk:
            sdk.create_sandbox(CreateSandboxOptions("python"))
            with pytest.raises(SandboxError):
                sdk.list_sandboxes()
    said = {one.levelname.lower() for one in caplog.records if one.name == "SandboxSDK"}
    words = ["debug", "info", "warning", "error"]
    least = words.index({"warn": "warning"}.get(level, level))
    assert said == set(words[least:])
    assert "key" not in caplog.text.replace("idempotency-key", "")


def test_metrics_are_logged_at_each_interval(caplog: pytest.LogCaptureFixture) -> None:
    seen = threading.Event()

    class Seen(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.getMessage().startswith("[Metrics] "):
                seen.set()

    handler = Seen()
    logger = logging.getLogger("SandboxSDK")
    logger.addHandler(handler)
    config = {"enable_metrics": True, "metrics_interval": 1, "enable_logging": True}
    try:
        with SandboxSDK({"api_key": "k", "server_url": "http://127.0.0.1:9", "log_level": "debug",
                         **config}):  # fmt: skip
            assert seen.wait(60)
    finally:
        logger.removeHandler(handler)


# --- the classes


def test_results_and_executions() -> None:
    result = Result({"text": "1", "png": "iVBO", "is_main_result": True, "x/y": [1]}, True)
    assert result.formats() == ["text", "png", "x/y"]
    assert (result.html, result.extra, result.raw["png"]) == (None, {"x/y": [1]}, "iVBO")
    assert result.to_dict()["extra"] == {"x/y": [1]} and result.to_dict()["png"] == "iVBO"
    assert Execution().text is None
    assert Execution(logs=Logs(["a", "b"])).text == "a\nb"
    error = ExecutionError("ValueError", "bad", "line\nline")
    whole = Execution([Result({"text": "2"}), result], Logs(["a"]), error, 3)
    assert whole.text == "1"
    assert whole.to_dict()["error"] == {
        "name": "ValueError", "value": "bad", "traceback": "line\nline"}  # fmt: skip
    assert isinstance(error, SandboxSDKError) and str(error) == "bad"
    assert pickle.loads(pickle.dumps(error)).traceback == "line\nline"
    for kind in (SandboxError, sandbox_sdk.TimeoutError, sandbox_sdk.ConnectionError):
        assert issubclass(kind, SandboxSDKError) and kind("x").name == kind.__name__
    assert str(OutputMessage("line", 1, False)) == "line"
    assert sandbox_sdk.ChartType("bar", "t", [1]).elements == [1]


def test_the_data_classes() -> None:
    assert [one.value for one in SandboxStatus] == [
        "creating", "ready", "running", "stopped", "error", "terminated"]  # fmt: skip
    word: str = SandboxStatus.READY
    assert f"{SandboxStatus.READY}" == word == "ready"
    metadata = ExecutionMetadata("e", "s", None, duration=1.5)
    assert (metadata["duration"], metadata.get("none", 1), metadata.exit_code) == (1.5, 1, None)
    assert dict(metadata)["sandbox_id"] == "s"
    with pytest.raises(KeyError):
        metadata["none"]
    job = BatchExecutionJob("1", "code")
    assert (job.language, job.timeout, job.priority) == (None, None, None)
    assert RunCodeOptions().capture_output is None
    assert sandbox_sdk.types.RateLimitConfig().max_concurrent_jobs is None
    for name in types.__all__:
        assert getattr(types, name).__doc__, name
        assert getattr(sandbox_sdk.types, name) is getattr(types, name)


# --- real runs


@pytest.fixture(scope="module")
def sdk(own_place: str) -> Iterator[SandboxSDK]:
    with SandboxSDK({"api_key": "any", "server_url": own_place}) as sdk:
        yield sdk


@pytest.fixture(scope="module")
def box(sdk: SandboxSDK) -> Iterator[str]:
    options = {"template_id": "python", "initial_env_vars": {"WHO": "all"}, "auto_start": True}
    made = sdk.create_sandbox({**options, "metadata": {"team": ["blue"]}})["sandbox"]
    assert made["metadata"] == {"team": ["blue"]}
    yield made["id"]
    sdk.delete_sandbox(made["id"])


def test_callbacks_are_told_while_the_code_runs(sdk: SandboxSDK, box: str) -> None:
    """The code waits for a file that only the callback writes."""
    code = (
        "import pathlib, time\n"
        "print('waiting')\n"
        "while not pathlib.Path('/workspace/go').exists(): time.sleep(0.01)\n"
        "display(6)\nprint('end', end='')\n7"
    )
    told: list[Any] = []

    def on_stdout(message: OutputMessage) -> None:
        told.append(message.line)
        if message.line == "waiting":
            sdk.write_file(box, "/workspace/go", "")

    ran = sdk.run_code(box, code, {"on_stdout": on_stdout, "on_result": told.append})
    assert [getattr(one, "text", one) for one in told] == ["waiting", "6", "7", "end"]
    assert [one.is_main_result for one in ran["execution"].results] == [False, True]
    assert ran["execution"].text == "7" and ran["execution"].logs.stdout == ["waiting", "end"]
    assert ran["metadata"].end_time >= ran["metadata"].start_time


def test_variables_of_a_run_alone_and_contexts_of_their_own(sdk: SandboxSDK, box: str) -> None:
    code = "import os; os.environ.get('K'), os.environ['WHO']"
    assert sdk.run_code(box, code, {"envs": {"K": "v"}})["execution"].text == "('v', 'all')"
    assert sdk.run_code(box, code)["execution"].text == "(None, 'all')"
    sdk.write_file(box, "/workspace/in/a.txt", "")
    context = sdk.create_code_context(box, cwd="/workspace/in")
    own = RunCodeOptions(context_id=context["id"])
    sdk.run_code(box, "y = 1")
    ran = sdk.run_code(box, "import os; 'y' in globals(), os.listdir()", own)
    assert ran["execution"].text == "(False, ['a.txt'])"
    with SandboxSDK({"api_key": "any", "server_url": sdk.config["server_url"]}) as other:
        assert other.run_code(box, "y")["execution"].text == "1"
        assert [one["id"] for one in other.list_code_contexts(box)] == [context["id"]]
        other._contexts.clear()
        other.delete_code_context(context["id"])  # of another client
    sdk.delete_code_context(context["id"])  # which is no error
    assert sdk.list_code_contexts(box) == []


def test_a_deadline_ends_a_run_and_not_its_sandbox(sdk: SandboxSDK, box: str) -> None:
    sdk.run_code(box, "kept = 1")
    with pytest.raises(sandbox_sdk.TimeoutError) as raised:
        sdk.run_code(box, "while True: pass", {"timeout_ms": 1000})
    assert raised.value.execution.error.name == "TimeoutError"
    with warmcell.Client(sdk.config["server_url"]) as client:
        there = client.sandboxes.get(box)
        ended = [one["id"] for one in there.executions() if one["status"] == "timeout"]
        # an interpreter that did not get to its interrupt within the gateway's grace was ended
        retained = there.execution(str(ended[-1]))["state_retained"]
    kept = sdk.run_code(box, "globals().get('kept')")["execution"].text
    assert kept == ("1" if retained else None)
    with pytest.raises(sandbox_sdk.TimeoutError):
        sdk.run_terminal(box, "sleep 1000", {"timeout_ms": 500})


def test_what_is_kept_of_the_output(sdk: SandboxSDK, box: str) -> None:
    told: list[str] = []
    opts: dict[str, Any] = {"on_stdout": lambda one: told.append(one.line)}
    code = "for i in range(9): print(i)"
    ran = sdk.run_code(box, code, {**opts, "max_output_size": 6})
    assert ran["execution"].logs.stdout == ["0", "1", "2"] and len(told) == 9
    ran = sdk.run_code(box, code, {**opts, "capture_output": False})
    assert ran["execution"].logs.stdout == [] and len(told) == 18
    with pytest.raises(SandboxSDKError, match="on_stdin"):
        sdk.run_code(box, code, {"on_stdin": print})


def test_a_batch_goes_by_priority_and_on_after_a_failure(sdk: SandboxSDK, box: str) -> None:
    jobs: list[Any] = [
        {"id": "last", "code": "order.append(1); order"},
        BatchExecutionJob("fails", "1/0", priority=5),
        {"id": "first", "code": "order = [0]", "priority": 10},
    ]
    last, fails, first = sdk.execute_batch(box, jobs)
    assert [one["success"] for one in (last, fails, first)] == [True, False, True]
    assert last["execution"].text == "[0, 1]"
    assert fails["error"] == "ZeroDivisionError: division by zero"
    assert fails["execution"].error.name == "ZeroDivisionError"
    assert all(one["duration"] > 0 for one in (last, fails, first))


def test_files_and_commands(sdk: SandboxSDK, box: str) -> None:
    path = "/workspace/a b&c=d#é?.txt"
    assert sdk.write_file(box, path, "Grüße\n") == path
    assert sdk.read_file(box, path) == "Grüße\n"
    assert sdk.read_file(box, path, encoding="base64") == "R3LDvMOfZQo="
    told: list[str] = []
    opts = {"envs": {"A": "err"}, "on_stdout": lambda one: told.append(one.line)}
    output = sdk.run_terminal(box, "echo out; echo $A >&2", opts)
    assert sorted(output.splitlines()) == sorted(told) == ["err", "out"]
    with pytest.raises(SandboxError, match="no such"):
        sdk.write_file(box, "/workspace/none/x", "", create_parents=False)
    sdk.delete_file(box, path)
    with pytest.raises(SandboxError, match="/workspace"):
        sdk.read_file(box, "/etc/passwd")


def test_pictures(sdk: SandboxSDK, box: str) -> None:
    code = "import matplotlib.pyplot as plt; plt.plot([1, 2]); plt.show()"
    (picture,) = sdk.run_code(box, code)["execution"].results
    assert picture.png.startswith("iVBO") and "png" in picture.formats()


# --- the REST API, over plain HTTP


def test_real_code_over_plain_http(place: Gateway) -> None:
    def post(path: str, body: Any) -> dict[str, Any]:
        answer = place.request("POST", path, body)
        assert answer.status in (200, 201), answer
        said: dict[str, Any] = answer.json()
        return said

    box = post("/api/sandboxes/create", {"templateId": "python-3.11"})["sandbox"]
    at = f"/api/sandboxes/{box['id']}"
    ran = post(f"{at}/execute", {"code": "print('out')\n42", "language": "python"})
    assert (ran["results"][0]["text"], ran["logs"]["stdout"]) == ("42", ["out"])
    assert ran["executionCount"] == 1
    error = post(f"{at}/execute", {"code": "1/0"})["error"]
    assert (error["name"], error["value"]) == ("ZeroDivisionError", "division by zero")
    assert "1/0" in error["traceback"] and "\x1b" not in error["traceback"]
    late = post(f"{at}/execute", {"code": "while True: pass", "timeoutMs": 500})
    assert (late["status"], late["error"]["name"]) == ("timeout", "TimeoutError")
    said = post(f"{at}/terminal", {"command": "echo x; exit 3", "envVars": {}})
    assert (said["output"], said["exitCode"], said["exit_code"]) == ("x\n", 3, 3)
    ended = post(f"{at}/terminal", {"command": "sleep 1000", "timeout_ms": 300})
    assert (ended["status"], ended["exitCode"]) == ("timeout", None)
    big = post(f"{at}/terminal", {"command": "head -c 9000000 /dev/zero | tr '\\0' x"})
    assert big["truncated"] is True and len(big["output"]) == 8 << 20
    context = post(f"{at}/contexts", {"cwd": "/tmp"})
    ran = post(f"{at}/execute", {"code": "import os; os.getcwd()", "contextId": context["id"]})
    assert ran["results"][0]["text"] == "'/tmp'"
    assert place.request("DELETE", at).status == 200


def test_patience_is_not_a_deadline(sdk: SandboxSDK, box: str) -> None:
    """Who waits no longer is told so; the run itself goes on."""
    code = (
        "import pathlib, time\n"
        "while not pathlib.Path('/workspace/on').exists(): time.sleep(0.01)\n"
        "went_on = True"
    )
    with pytest.raises(sandbox_sdk.TimeoutError, match="the run goes on"):
        sdk.run_code(box, code, {"request_timeout_ms": 300})
    sdk.write_file(box, "/workspace/on", "")
    assert sdk.run_code(box, "went_on")["execution"].text == "True"


def test_javascript_beside_python(sdk: SandboxSDK, box: str) -> None:
    with pytest.raises(SandboxError, match="no context of javascript"):
        sdk.run_code(box, "1", {"language": "javascript"})
    context = sdk.create_code_context(box, language="node")
    assert context["language"] == "javascript"
    javascript = {"language": "javascript"}
    sdk.run_code(box, "var z = [1, 2]", javascript)
    ran = sdk.run_code(box, "console.log('js'); z.length", javascript)["execution"]
    assert (ran.logs.stdout, ran.text) == (["js"], "2")
    assert sdk.run_code(box, "6 / 4", {"language": "python"})["execution"].text == "1.5"
    sdk.delete_code_context(context["id"])
    made = sdk.create_sandbox({"template_id": "node"})["sandbox"]
    assert made["template_config"]["language"] == "javascript"
    assert sdk.run_code(made["id"], "typeof z")["execution"].text == "'undefined'"
    sdk.delete_sandbox(made["id"])

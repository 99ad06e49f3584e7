"""Every Python block of sandbox-sdk.md, as it stands, against a gateway."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import sandbox_sdk
import warmcell
from sandbox_sdk import ExecutionError, RateLimitError, SandboxError, SandboxSDK
from support.document import block, run

DOCUMENT = "sandbox-sdk"
KEYS = {
    "total_requests", "successful_requests", "failed_requests", "average_response_time",
    "total_execution_time", "active_sandboxes", "last_updated",
}  # fmt: skip


@dataclass
class Place:
    """A client and a sandbox of it: what the document's fragments go on with."""

    url: str
    sdk: SandboxSDK
    sandbox_id: str

    def names(self, **more: Any) -> dict[str, Any]:
        return {"sdk": self.sdk, "sandbox_id": self.sandbox_id, "SandboxSDK": SandboxSDK, **more}

    def run(self, number: int, **more: Any) -> tuple[dict[str, Any], list[str]]:
        """The block's globals, and the lines that it printed."""
        ran = run(DOCUMENT, number, self.names(**more))
        return ran.names, ran.stdout.splitlines()


@pytest.fixture(scope="module")
def place(own_place: str) -> Iterator[Place]:
    with SandboxSDK({"api_key": "any", "server_url": own_place}) as sdk:
        made = sdk.create_sandbox({"template_id": "python-3.11"})
        yield Place(own_place, sdk, made["sandbox"]["id"])
        sdk.delete_sandbox(made["sandbox"]["id"])


@block("sandbox-sdk", 1)
def test_the_quick_start(own_place: str) -> None:
    ran = run(DOCUMENT, 1, replace={"https://api.sandbox.example.com": own_place})
    assert ran.stdout == "Hello, World!\n"
    with SandboxSDK({"api_key": "any", "server_url": own_place}) as sdk:
        listed = [one["id"] for one in sdk.list_sandboxes()]
        assert ran.names["sandbox_id"] not in listed, "it was deleted"


@block("sandbox-sdk", 2)
def test_all_keys_of_the_configuration(place: Place) -> None:
    replace = {
        '"api_key": str': '"api_key": "any"',
        '"server_url": str': f'"server_url": "{place.url}"',
        '"log_level": str': '"log_level": "error"',
    }
    ran = run(DOCUMENT, 2, {"SandboxSDK": SandboxSDK, "int": 30_000, "bool": True}, replace)
    with ran.names["sdk"] as sdk:
        assert sdk.config["retry_delay"] == sdk.config["metrics_interval"] == 30_000
        assert sdk.config["enable_metrics"] is True
        sdk.list_sandboxes()


@block("sandbox-sdk", 3, 4, 5, 6)
def test_a_sandbox_from_its_beginning_to_its_end(place: Place) -> None:
    names, _ = place.run(3)
    sandbox_id = names["sandbox_id"]
    assert names["response"]["sandbox"]["name"] == "My Sandbox"
    assert names["response"]["sandbox"]["expires_at"] > names["response"]["sandbox"]["created_at"]
    names, _ = place.run(4, sandbox_id=sandbox_id)
    assert names["status"] in {"creating", "ready", "running"}
    names, _ = place.run(5)
    assert sandbox_id in [one["id"] for one in names["sandboxes"]]
    place.run(6, sandbox_id=sandbox_id)
    assert place.sdk.get_sandbox_status(sandbox_id) == "terminated"


@block("sandbox-sdk", 7)
def test_a_run(place: Place) -> None:
    told: list[Any] = []
    names, printed = place.run(7, callback=told.append)
    assert printed[:2] == ["42", "['Hello']"]
    assert float(printed[2]) >= 0  # milliseconds
    assert names["result"]["metadata"]["duration"] == float(printed[2])
    assert [getattr(one, "line", None) or one.text for one in told] == ["Hello", "42"]


@block("sandbox-sdk", 8)
def test_a_command(place: Place) -> None:
    place.sdk.write_file(place.sandbox_id, "/workspace/there.txt", "")
    names, _ = place.run(8)
    assert "there.txt" in names["output"]


@block("sandbox-sdk", 9)
def test_a_batch(place: Place) -> None:
    names, printed = place.run(9)
    assert printed == ["Job job-1: True", "Job job-2: True"]
    assert [one["execution"].text for one in names["results"]] == ["4", "9"]


@block("sandbox-sdk", 10, 11, 12, 13)
def test_files(place: Place) -> None:
    names, _ = place.run(11)
    assert names["path"] == "/workspace/file.txt"
    assert place.run(10)[0]["content"] == "Hello, World!"
    names, _ = place.run(13)
    assert names["files"]["directory"] == "/workspace"
    assert "/workspace/file.txt" in [one["path"] for one in names["files"]["files"]]
    place.run(12)
    with pytest.raises(SandboxError) as refused:
        place.run(10)
    assert refused.value.status == 404


@block("sandbox-sdk", 14, 15, 16)
def test_contexts(place: Place) -> None:
    context = place.run(14)[0]["context"]
    assert (context["language"], context["cwd"]) == ("python", "/workspace")
    assert [one["id"] for one in place.run(15)[0]["contexts"]] == [context["id"]]
    place.run(16, context=context)
    assert place.run(15)[0]["contexts"] == []


@block("sandbox-sdk", 17, 18, 19)
def test_templates(place: Place) -> None:
    made = place.run(19)[0]["template"]
    assert made["config"]["name"] == "Custom Python"
    response = place.run(17)[0]["response"]
    assert {"templates", "total", "page", "pageSize"} <= set(response)
    assert made["id"] in [one["id"] for one in response["templates"]]
    assert place.run(18, template_id=made["id"])[0]["template"] == made
    sandbox = place.sdk.create_sandbox({"template_id": made["id"]})["sandbox"]
    assert sandbox["template_config"]["docker_image"] == "python:3.11-slim"
    place.sdk.delete_sandbox(sandbox["id"])
    with warmcell.Client(place.url) as client:  # others count what is in this gateway
        client.templates.delete(made["id"])


@block("sandbox-sdk", 20)
def test_what_was_counted(place: Place) -> None:
    metrics = place.run(20)[0]["metrics"]
    assert set(metrics) == KEYS
    assert metrics["total_requests"] >= metrics["successful_requests"] > 0
    assert metrics["active_sandboxes"] == 1


@block("sandbox-sdk", 21)
def test_each_error_where_the_document_catches_it(place: Place) -> None:
    _, printed = place.run(21, code="1/0")
    assert printed[:2] == ["Execution error: ZeroDivisionError", "Value: division by zero"]
    assert printed[2].startswith("Traceback: ") and "1/0" in "\n".join(printed)
    _, printed = place.run(21, code="1", sandbox_id="none")
    assert printed == ["Sandbox error: there is no sandbox none"]
    with SandboxSDK({"api_key": "any", "server_url": place.url, "timeout": 1000}) as sdk:
        _, printed = place.run(21, code="while True: pass", sdk=sdk)
    assert printed == ["Request timed out: Execution timeout after 1000ms"]
    nowhere = {"api_key": "any", "server_url": f"{place.url}-none", "max_retries": 0}
    with SandboxSDK(nowhere) as sdk:
        _, printed = place.run(21, code="1", sdk=sdk)
    assert len(printed) == 1 and printed[0].startswith("Connection failed: no gateway answers")
    limited = {"api_key": "any", "server_url": place.url, "max_requests_per_minute": 1}
    with SandboxSDK(limited) as sdk:
        sdk.list_sandboxes()
        _, printed = place.run(21, code="1", sdk=sdk)
    (said,) = printed
    assert said.startswith("Rate limited, retry after ") and said.endswith("ms")


@block("sandbox-sdk", 22)
def test_callbacks(place: Place) -> None:
    code = "import sys\nprint('out')\nsys.stderr.write('err\\n')\n[].missing"
    _, printed = place.run(22, code=code)
    assert printed == ["STDOUT: out", "STDERR: err", "Error: AttributeError"]
    assert place.run(22, code="6 * 7")[1] == ["Result: 42"]


@block("sandbox-sdk", 23)
def test_logging(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    ran = run(DOCUMENT, 23, {"SandboxSDK": SandboxSDK}, {'"server_url": "..."': f'"server_url": "{place.url}"'})  # fmt: skip  # noqa: E501
    with ran.names["sdk"] as sdk:
        sdk.list_sandboxes()
    assert any(one.message.startswith("GET /api/sandboxes: ") for one in caplog.records)


@block("sandbox-sdk", 24)
def test_metrics(place: Place) -> None:
    ran = run(DOCUMENT, 24, {"SandboxSDK": SandboxSDK}, {'"server_url": "..."': f'"server_url": "{place.url}"'})  # fmt: skip  # noqa: E501
    with ran.names["sdk"]:
        assert set(ran.names["metrics"]) == KEYS
        assert ran.stdout == f"{ran.names['metrics']}\n"


@block("sandbox-sdk", 25)
def test_the_environment(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SANDBOX_API_KEY", "any")
    monkeypatch.setenv("SANDBOX_SERVER_URL", place.url)
    monkeypatch.setenv("SANDBOX_TIMEOUT", "61000")
    monkeypatch.setenv("SANDBOX_LOG_LEVEL", "error")
    ran = run(DOCUMENT, 25, {"SandboxSDK": SandboxSDK})
    with ran.names["sdk"] as sdk, SandboxSDK() as alone:
        assert sdk.config == alone.config
        assert (sdk.config["timeout"], sdk.config["log_level"]) == (61_000, "error")
        assert place.sandbox_id in [one["id"] for one in alone.list_sandboxes()]


@block("sandbox-sdk", 26)
def test_after_a_limit_it_is_tried_again(place: Place) -> None:
    class Limited(SandboxSDK):
        """Refused once, as a limit would."""

        ran: list[Any]

        def run_code(self, sandbox_id: str, code: str, opts: Any = None) -> dict[str, Any]:
            self.ran.append(code)
            if len(self.ran) == 1:
                raise RateLimitError(1)
            return super().run_code(sandbox_id, code, opts)

    sdk = Limited({"api_key": "any", "server_url": place.url})
    with sdk:
        sdk.ran = []
        place.run(26, sdk=sdk, code="1", time=time, RateLimitError=RateLimitError)
        assert sdk.ran == ["1", "1"]


@block("sandbox-sdk", 27, 28)
def test_cleaning_up(place: Place) -> None:
    config = {"api_key": "any", "server_url": place.url}
    sdk = SandboxSDK(config)
    place.run(27, sdk=sdk)
    left, _ = place.run(28, config=config)
    for closed in (sdk, left["sdk"]):
        closed.disconnect()  # once more is no error
        with pytest.raises(sandbox_sdk.ConnectionError, match="closed"):
            closed.list_sandboxes()
    assert place.sdk.get_sandbox_status(place.sandbox_id) in {"ready", "running"}


def test_an_error_has_the_run_that_it_ended(place: Place) -> None:
    with pytest.raises(ExecutionError) as raised:
        place.sdk.run_code(place.sandbox_id, "print('before'); 1/0")
    assert raised.value.execution.logs.stdout == ["before"]

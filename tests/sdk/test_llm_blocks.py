"""The Python blocks of llm-sandbox.md, each run as it stands, and what its comments promise."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import llm_sandbox
import pytest
from llm_sandbox import exceptions
from support import document
from support.document import block

LLM = "llm-sandbox"


@pytest.fixture(autouse=True)
def _gateway_of_mine(own_gateway: str) -> None:
    pass


@block("llm-sandbox", 1, 2)
def test_plots_add_up_and_are_cleared() -> None:
    names: dict[str, Any] = {"ArtifactSandboxSession": llm_sandbox.ArtifactSandboxSession}
    ran = document.run(LLM, 1, names)
    assert ran.stdout == "2\n3\n"
    plots = ran.names["result2"].plots
    assert plots[:2] == ran.names["result1"].plots
    for plot in plots:
        content = base64.b64decode(plot.content_base64)
        assert plot.format is llm_sandbox.FileType.PNG and content.startswith(b"\x89PNG")
        size = content[16:20], content[20:24]
        assert (plot.width, plot.height) == tuple(int.from_bytes(one, "big") for one in size)
    assert len({plot.content_base64 for plot in plots}) == 3
    assert (ran.names["result1"].stdout, ran.names["result1"].stderr) == ("", "")
    assert document.run(LLM, 2, names).stdout == "1\n1\n"


@block("llm-sandbox", 4, 5, 6)
def test_cells_share_an_interpreter() -> None:
    ran = document.run(LLM, 4)
    assert ran.stdout == "The answer is 42\n\n"
    result = ran.names["result"]
    assert (result.stdout, result.stderr, result.exit_code) == ("The answer is 42\n", "", 0)

    told: list[llm_sandbox.ConsoleOutput] = []

    class Hurried(llm_sandbox.InteractiveSandboxSession):
        """Its %%timeit takes milliseconds for seconds, and so has enough of them soon."""

        def open(self) -> None:
            super().open()
            super().run("import time, timeit; timeit.default_timer = lambda: time.time() * 1000")

        def run(self, *args: Any, **kwargs: Any) -> Any:
            told.append(super().run(*args, **kwargs))
            return told[-1]

    ran = document.run(LLM, 5, {"InteractiveSandboxSession": Hurried})
    assert [one.exit_code for one in told] == [0, 0, 0]
    who, listing, timed = (one.stdout for one in told)
    assert {"time", "timeit"} <= set(who.split())
    assert listing.startswith("total ")
    assert " per loop " in timed

    ran = document.run(LLM, 6)
    assert ran.names["result"].stdout == "Hello with custom settings!\n"
    session = ran.names["session"]
    assert (session.settings.history_size, session.settings.timeout) == (500, 600)
    assert session.sandbox_settings.limits["memory_bytes"] == 2 << 30


@block("llm-sandbox", 7)
def test_the_protocol_of_containers() -> None:
    names: dict[str, Any] = {}
    exec("from typing import Any, Protocol", names)
    protocol = document.run(LLM, 7, names).names["ContainerProtocol"]
    members = {"execute_command", "get_archive", "run"}
    for kind in (protocol, llm_sandbox.language_handlers.ContainerProtocol):
        assert members <= set(vars(kind))
    assert all(callable(getattr(llm_sandbox.session.BaseSession, one)) for one in members)


@block("llm-sandbox", 8)
def test_the_complete_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it up to the backend that is not there."""
    monkeypatch.chdir(tmp_path)
    said: list[str] = []
    names: dict[str, Any] = {"print": said.append}
    with pytest.raises(exceptions.UnsupportedBackendError, match="kubernetes: this gateway"):
        document.run(LLM, 8, names, {"time.sleep(5)": "time.sleep(0.05)"})
    # between them, where all is very slow, that its run took longer than its 15 seconds
    assert (said[0], said[-1]) == ("Hello, World!\n", "Code failed security check")
    assert names["is_safe"] is False
    assert [one.description.split(":")[0] for one in names["violations"]] == ["requests"]
    assert [path.name for path in tmp_path.iterdir()] == ["plot_0.png"]
    assert (tmp_path / "plot_0.png").read_bytes().startswith(b"\x89PNG")


@block("llm-sandbox", 3)
def test_plots_of_r() -> None:
    names: dict[str, Any] = {"ArtifactSandboxSession": llm_sandbox.ArtifactSandboxSession}
    assert document.run(LLM, 3, names).stdout == "1\n1\n"

"""Cells and plots of llm_sandbox: what persists, what is told, what ends a run."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import llm_sandbox
import pytest
import warmcell
from llm_sandbox import (
    ArtifactSandboxSession,
    FileType,
    InteractiveSandboxSession,
    InteractiveSettings,
    KernelType,
    exceptions,
)


@pytest.fixture(autouse=True)
def _gateway_of_mine(own_gateway: str) -> None:
    pass


@pytest.fixture(scope="module")
def cells(own_place: str) -> Iterator[InteractiveSandboxSession]:
    with warmcell.Client(own_place) as client:
        with InteractiveSandboxSession(client=client, history_size=3) as session:
            yield session


def test_cells_tell_exactly_what_they_wrote(cells: InteractiveSandboxSession) -> None:
    ran = cells.run("x = 40\nprint('out')\nx + 2")
    assert (ran.stdout, ran.stderr, ran.exit_code, ran.value) == ("out\n", "", 0, "42")
    ran = cells.run("import os, sys\nos.write(1, b'a\\n')\nos.system('echo b');")
    assert (ran.stdout, ran.value) == ("a\nb\n", None)
    out: list[str] = []
    ran = cells.run("print('before')\n1 / 0", on_stdout=out.append)
    assert ("".join(out), ran.stdout, ran.exit_code) == ("before\n", "before\n", 1)
    assert ran.stderr.endswith("ZeroDivisionError: division by zero\n")
    assert "\x1b" not in ran.stdout + ran.stderr
    assert cells.run("sys.exit(3)").exit_code == 3
    assert cells.run("sys.exit('no')").stderr.endswith("no\n")
    ran = cells.run("from IPython.display import HTML, display\ndisplay(HTML('<b>1</b>'))\nx")
    assert [one["text/html"] for one in ran.displays] == ["<b>1</b>"] and ran.value == "40"
    assert isinstance(ran, llm_sandbox.ConsoleOutput)


def test_magics(cells: InteractiveSandboxSession) -> None:
    cells.run("x = 1\ndef f(): return x")
    assert "f" in cells.run("%who").stdout.split()
    cells.execute_command("touch listed")
    assert "listed" in cells.run("!ls -la").stdout
    assert cells.run("import asyncio\nawait asyncio.sleep(0)\nf()").value == "1"
    cells.run("%cd /tmp")
    assert cells.run("%pwd").value == "'/tmp'"
    assert cells.run("%cd /workspace").success()


def test_a_timeout_keeps_what_was_written_and_what_was_defined(
    cells: InteractiveSandboxSession,
) -> None:
    cells.run("kept = 'kept'")
    code = "import time\nprint('begun', flush=True)\ntime.sleep(3600)"
    out: list[str] = []
    with pytest.raises(exceptions.SandboxTimeoutError) as ended:
        cells.run(code, timeout=2, on_stdout=out.append)
    assert ended.value.timeout_duration == 2
    assert ended.value.output is not None
    said = ended.value.output.stdout
    assert said == "".join(out) and "begun\n".startswith(said)  # it had but so much time
    # an interpreter that did not get to its interrupt within the gateway's grace was ended
    kept = "'kept'" if ended.value.state_retained else None
    assert cells.run("kept").value == kept
    assert [one for one, _ in cells.history] == ["kept = 'kept'", code, "kept"]
    assert cells.history[-1][1].value == kept
    cells.run("4")
    assert len(cells.history) == 3


def test_settings() -> None:
    settings = InteractiveSettings()
    assert settings == InteractiveSettings(KernelType.IPYTHON, "1GB", 1000, 300, 0.1)
    assert KernelType("IPython") is KernelType.IPYTHON
    for wrong in ({"history_size": -1}, {"timeout": 0}, {"poll_interval": 0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            InteractiveSettings(**wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="standard"):
        InteractiveSettings(kernel_type="standard")  # type: ignore[arg-type]
    session = InteractiveSandboxSession(interactive_settings=settings, timeout=7, max_memory=None)
    assert (session.settings.timeout, session.settings.history_size) == (7, 1000)
    assert (settings.timeout, session.sandbox_settings.limits) == (300, {})
    with pytest.raises(exceptions.LanguageNotSupportedError):
        InteractiveSandboxSession(lang="javascript")


def test_max_memory_is_a_limit() -> None:
    assert InteractiveSandboxSession().sandbox_settings.limits["memory_bytes"] == 1 << 30
    with InteractiveSandboxSession(max_memory="300MB") as session:
        assert session.container is not None
        limit = session.container.info.limits["memory_bytes"]
        assert limit["value"] == 300 << 20
        ran = session.run("x = bytearray(1 << 30)\nx[::4096] = b'1' * (1 << 18)\nprint('never')")
        assert not ran.success() and "never" not in ran.stdout and ran.stderr
        assert session.run("print('on')").stdout == "on\n"


def test_plots_of_all_kinds() -> None:
    with ArtifactSandboxSession(lang="python") as session:
        ran = session.run(
            "import matplotlib.pyplot as plt\n"
            "%config InlineBackend.figure_formats = ['svg']\n"
            "plt.plot([1]); plt.title('left open')\nprint('text')"
        )
        assert (ran.stdout, ran.exit_code) == ("text\n", 0)
        (plot,) = ran.plots
        assert plot.format is FileType.SVG
        assert b"<svg" in base64.b64decode(plot.content_base64)

        ran = session.run(
            "import matplotlib.pyplot as plt\nplt.plot([1]); plt.savefig('saved.pdf'); plt.close()",
            clear_plots=True,
        )
        assert [one.format for one in ran.plots] == [FileType.PDF]
        assert base64.b64decode(ran.plots[0].content_base64).startswith(b"%PDF")

        shown = (
            "from IPython.display import display\n"
            "plot = {'text/html': '<div></div>', 'application/vnd.plotly.v1+json': {}}\n"
            "display(plot, raw=True)\n"
            "display({'text/html': '<table></table>'}, raw=True)\n"
            "raise ValueError('after it')"
        )
        ran = session.run(shown)
        assert [one.format for one in ran.plots] == [FileType.PDF, FileType.HTML]
        assert (ran.exit_code, ran.stdout) == (1, "") and "after it" in ran.stderr
        assert session.plots == ran.plots

        with pytest.raises(exceptions.SandboxTimeoutError) as ended:
            session.run("print('begun', flush=True)\nimport time; time.sleep(3600)", timeout=2)
        output = ended.value.output
        assert isinstance(output, llm_sandbox.ExecutionResult)
        assert output.plots == ran.plots
        assert session.run("plot").exit_code == 1  # no variable of another run
        session.clear_plots()
        assert session.plots == [] == session.run("print(1)").plots


def test_plots_are_of_python_and_r() -> None:
    for lang in ("java", "javascript", "cpp", "go", "ruby"):
        with pytest.raises(exceptions.LanguageNotSupportPlotError, match=lang):
            ArtifactSandboxSession(lang=lang)
    with ArtifactSandboxSession(lang="javascript", enable_plotting=False) as session:
        ran = session.run("console.log(1)")
        assert isinstance(ran, llm_sandbox.ExecutionResult)
        assert (ran.stdout, ran.plots) == ("1\n", [])

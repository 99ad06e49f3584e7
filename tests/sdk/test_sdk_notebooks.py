"""The notebooks of the client are executed by our kernel, as a reader would."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from support.gateway import Gateway
from support.programs import ROOT, programs

FOLDER = ROOT / "notebooks" / "sdk"


def execute(path: Path, kernel: str, folder: Path) -> list[str]:
    """Runs it whole; the plain text of what each cell of code shows."""
    notebook: Any = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, kernel_name=kernel, timeout=280, resources=resources).execute()
    return [
        "".join(
            output.get("text") or output.get("data", {}).get("text/plain", "")
            for output in cell["outputs"]
        )
        for cell in notebook["cells"]
        if cell["cell_type"] == "code"
    ]


@pytest.fixture(autouse=True)
def found(own_place: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """warmcell.local() finds the gateway of these tests."""
    run = Path(tempfile.mkdtemp(prefix="wn-"))  # a socket's path is short
    folder = run / "warmcell" / "local"
    folder.mkdir(parents=True)
    (folder / "gateway.sock").symlink_to(own_place.removeprefix("unix:"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(run))
    monkeypatch.setenv("WARMCELL_PROGRAM", str(programs().gateway))
    path = os.pathsep.join([str(ROOT / "sdk" / "python"), os.environ.get("PYTHONPATH", "")])
    monkeypatch.setenv("PYTHONPATH", path.rstrip(os.pathsep))
    monkeypatch.delenv("WARMCELL_URL", raising=False)
    yield
    shutil.rmtree(run)


def test_every_notebook_has_a_test() -> None:
    assert {path.stem for path in FOLDER.glob("*.ipynb")} == {
        "agent-loop",
        "attach-jupyterlab",
        "data-analysis",
        "pause-and-resume",
    }


def test_an_agent_loop(kernelspec: str, tmp_path: Path) -> None:
    shown = execute(FOLDER / "agent-loop.ipynb", kernelspec, tmp_path)
    steps = next(text for text in shown if "--- step 5" in text)
    assert "status: timeout; variables kept: True" in steps
    assert "fastest: " in steps


def test_a_data_analysis(kernelspec: str, tmp_path: Path) -> None:
    shown = execute(FOLDER / "data-analysis.ipynb", kernelspec, tmp_path)
    assert any("rides per degree" in text and "image/png" in text for text in shown)
    assert any("added months.csv" in text for text in shown)


def test_pause_and_resume(kernelspec: str, tmp_path: Path) -> None:
    shown = execute(FOLDER / "pause-and-resume.ipynb", kernelspec, tmp_path)
    assert any(text.startswith("paused") for text in shown)
    assert any("0 there, and here 660" in text for text in shown)


def test_attaching_as_jupyterlab_does(
    kernelspec: str, place: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WARMCELL_URL", place.url)
    monkeypatch.setenv("WARMCELL_TOKEN", place.token)
    shown = execute(FOLDER / "attach-jupyterlab.ipynb", kernelspec, tmp_path)
    assert any("a person sees {'apples': 3}" in text for text in shown)
    assert any("{'apples': 3, 'pears': 5}" in text for text in shown)


def test_attaching_with_a_gateway_of_the_notebooks_own(kernelspec: str, tmp_path: Path) -> None:
    shown = execute(FOLDER / "attach-jupyterlab.ipynb", kernelspec, tmp_path)
    assert any("{'apples': 3, 'pears': 5}" in text for text in shown)

"""The folder of a run of the tests: nothing but that is removed behind it."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from support import processes

CONFTEST = str(Path(__file__).parents[1] / "conftest.py")


def test_a_run_that_had_none_removes_none(
    pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another plugin failed before it was made. The folder for temporary files is everybody's."""
    (plugin,) = (
        one for one in pytestconfig.pluginmanager.get_plugins()
        if getattr(one, "__file__", None) == CONFTEST
    )  # fmt: skip
    removed: list[str] = []
    with monkeypatch.context() as patched:
        patched.setattr(tempfile, "tempdir", tempfile.tempdir)
        patched.setattr(shutil, "rmtree", lambda path, **_: removed.append(str(path)))
        patched.setattr(processes, "until", lambda condition, _: condition())
        plugin.pytest_unconfigure(SimpleNamespace(stash=pytest.Stash()))
    assert removed == []

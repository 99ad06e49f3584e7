"""`warmcell doctor` about the Python that sandboxes run."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from support.programs import programs


def doctor(environment: Path) -> tuple[int, dict[str, Any]]:
    """Its exit status and its last row, for that virtual environment."""
    done = subprocess.run(
        [str(programs().gateway), "doctor", "--json"],
        env=os.environ | {"VIRTUAL_ENV": str(environment)},
        stdout=subprocess.PIPE,
        check=False,
    )
    return done.returncode, json.loads(done.stdout)["checks"][-1]


def test_a_python_that_is_not_the_embedded_one(tmp_path: Path) -> None:
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.symlink_to("/usr/bin/python3")
    (tmp_path / "pyvenv.cfg").write_text(f"home = {tmp_path}\nversion = 3.11.99\n")
    status, row = doctor(tmp_path)
    assert (status, row["name"], row["status"]) == (1, "the Python of sandboxes", "missing")
    assert row["why"].startswith(f"{python} is Python 3.11.99, and this program embeds Python 3.")
    assert row["remedy"].startswith("make the environment with /")
    (tmp_path / "pyvenv.cfg").write_text("home = /usr/bin\n")
    _status, row = doctor(tmp_path)
    assert row == {
        "name": "the Python of sandboxes", "status": "ok", "why": None, "remedy": None
    }  # fmt: skip


def test_an_interpreter_that_does_not_run(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("WARMCELL_PYTHON", "/bin/false")
    status, row = doctor(tmp_path)
    assert (status, row["status"]) == (1, "missing")
    assert "WARMCELL_PYTHON" in row["remedy"]

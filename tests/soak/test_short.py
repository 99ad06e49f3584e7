"""The short forms of the long proofs: the same code as `./dev soak`, for seconds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).resolve().parent / "run.py"


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["cycles", "--cycles", "20"], id="cycles"),
        pytest.param(["sandboxes", "--sandboxes", "30", "--live", "20"], id="sandboxes"),
        pytest.param(["kills", "--kill-seconds", "8"], id="kills"),
        pytest.param(["sandbox-kills", "--kill-seconds", "1"], id="sandbox-kills"),
        pytest.param(
            ["followers", "--followers", "20", "--followed-lines", "50000"], id="followers"
        ),
        pytest.param(["sequence", "--steps", "60", "--seed", "11"], id="sequence"),
        pytest.param(["readers", "--readers", "30", "--lines", "50000"], id="readers"),
    ],
)
def test_proof(arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, str(RUN), *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert done.stdout.startswith(f"soak: {arguments[0]}: ")

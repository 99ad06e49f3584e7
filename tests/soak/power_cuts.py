"""Power cuts, simulated: tests/gateway/test_power_cut.py with many cuts of several lives."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from harness.processes import BenchError

TESTS = Path(__file__).resolve().parents[1]
CUTS_OF_A_LIFE = 100


def run(cuts: int, seed: int, say: Callable[[str], None]) -> str:
    lives = -(-cuts // CUTS_OF_A_LIFE)
    for life in range(lives):
        say(f"power-cuts: life {life + 1} of {lives}")
        env = {"WARMCELL_POWER_CUTS": str(min(cuts, CUTS_OF_A_LIFE)),
               "WARMCELL_POWER_SEED": str(seed + life)}  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", str(TESTS / "gateway" / "test_power_cut.py")],
            env=os.environ | env, cwd=TESTS.parent, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            raise BenchError(f"seed {seed + life}: {done.stdout[-4000:]}")
    return f"{lives * min(cuts, CUTS_OF_A_LIFE)} cuts in each mode, nothing safe lost (seed {seed})"

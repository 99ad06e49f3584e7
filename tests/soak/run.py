#!/usr/bin/env python3
"""The long proofs across processes: `./dev soak`, or one of them by its name.

Durations come from flags, or from WARMCELL_SOAK_CYCLES, WARMCELL_SOAK_SANDBOXES,
WARMCELL_SOAK_KILL_MINUTES, WARMCELL_SOAK_READERS and WARMCELL_SOAK_CUTS.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "bench")]

import cycles  # noqa: E402
import followers  # noqa: E402
import kills  # noqa: E402
import power_cuts  # noqa: E402
import readers  # noqa: E402
import sandbox_kills  # noqa: E402
import sandboxes  # noqa: E402
import sequence  # noqa: E402
from harness import processes  # noqa: E402
from harness.processes import BenchError  # noqa: E402


def number(name: str, default: float) -> float:
    """A number from the environment."""
    text = os.environ.get(name, "")
    try:
        return float(text) if text else default
    except ValueError:
        sys.exit(f"soak: {name} is not a number: {text}")


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "what", nargs="?", help="one; else all",
        choices=["cycles", "sandboxes", "kills", "sandbox-kills", "readers", "followers",
                 "power-cuts", "sequence"],
    )  # fmt: skip
    parser.add_argument("--cycles", type=int, default=int(number("WARMCELL_SOAK_CYCLES", 5000)))
    parser.add_argument(
        "--sandboxes", type=int, default=int(number("WARMCELL_SOAK_SANDBOXES", 10_000)),
        help="sandboxes that come and go",
    )  # fmt: skip
    parser.add_argument("--live", type=int, default=300, help="sandboxes that live at once")
    parser.add_argument("--parallel", type=int, default=2, help="kernels at once (cycles)")
    minutes = number("WARMCELL_SOAK_KILL_MINUTES", 10)
    parser.add_argument("--kill-seconds", type=float, default=minutes * 60)
    parser.add_argument("--seed", type=int, default=None, help="repeats a run of kills")
    parser.add_argument("--readers", type=int, default=int(number("WARMCELL_SOAK_READERS", 300)))
    parser.add_argument("--lines", type=int, default=200_000, help="lines printed (readers)")
    parser.add_argument("--cuts", type=int, default=int(number("WARMCELL_SOAK_CUTS", 500)))
    parser.add_argument("--followers", type=int, default=500, help="readers of one execution")
    parser.add_argument(
        "--followed-lines", type=int, default=1_250_000, help="lines that it prints; 84 bytes each"
    )
    parser.add_argument("--steps", type=int, default=5000, help="steps of the random sequence")
    wanted = parser.parse_args()
    if wanted.readers < 3 or wanted.cycles < 1 or wanted.parallel < 1:
        parser.error("at least 3 readers, 1 cycle and 1 at once")
    return wanted


def say(text: str) -> None:
    end = "" if sys.stderr.isatty() else "\n"
    print(f"\r\x1b[K{text}" if not end else text, end=end, file=sys.stderr, flush=True)


def main() -> int:
    wanted = options()
    seed = wanted.seed if wanted.seed is not None else time.time_ns() & 0xFFFFFFFF
    proofs: dict[str, Callable[[], str]] = {
        "cycles": lambda: cycles.run(wanted.cycles, wanted.parallel, say),
        "sandboxes": lambda: sandboxes.run(wanted.sandboxes, wanted.live, say),
        "kills": lambda: kills.run(wanted.kill_seconds, seed, say),
        "sandbox-kills": lambda: sandbox_kills.run(wanted.kill_seconds, seed, say),
        "readers": lambda: readers.run(wanted.readers, wanted.lines, say),
        "sequence": lambda: sequence.run(wanted.steps, seed, say),
        "power-cuts": lambda: power_cuts.run(wanted.cuts, seed, say),
        "followers": lambda: followers.run(wanted.followers, wanted.followed_lines, seed, say),
    }
    processes.guard()
    try:
        for name in [wanted.what] if wanted.what else proofs:
            print(f"soak: {name}: {proofs[name]()}", flush=True)
    except BenchError as error:
        print(f"\nsoak: FAILED: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nsoak: interrupted", file=sys.stderr)
        return 130
    finally:
        processes.end_all()
    return 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Compares warmcell with its peers: `./dev bench [SUITE]`.

Prints a table and writes build/bench/SUITE.json. A wrong or missing answer ends the run with a
non-zero exit and no file: an error is not a measurement.
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import suites
from harness import processes, suite
from harness.processes import BenchError

ROOT = Path(__file__).resolve().parents[2]


def load() -> dict[str, suite.Suite]:
    """Every suite by its name, one file each."""
    found: dict[str, suite.Suite] = {}
    for module in pkgutil.iter_modules(suites.__path__):
        each: suite.Suite = importlib.import_module(f"suites.{module.name}").SUITE
        found[each.name] = each
    return found


def main() -> int:
    known = load()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("suite", nargs="?", choices=sorted(known), help="one suite; else all")
    parser.add_argument("--rounds", type=int, metavar="N", help="turns of each contender")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "bench", metavar="DIR")
    options = parser.parse_args()
    if options.rounds is not None and options.rounds < 1:
        parser.error("--rounds: at least 1")
    processes.guard()
    try:
        for name in [options.suite] if options.suite else sorted(known, reverse=True):
            each = known[name]
            (options.out / f"{name}.json").unlink(missing_ok=True)
            result = suite.summarize(each, suite.run(each, options.rounds or each.rounds))
            path = suite.write(each, result, options.out)
            print(f"\n{name}: medians of {options.rounds or each.rounds} interleaved rounds")
            print(suite.table(each, result))
            print(f"written to {path}", flush=True)
    except BenchError as error:
        print(f"\nbench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nbench: interrupted", file=sys.stderr)
        return 130
    finally:
        processes.end_all()
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""A suite: its metrics, its contenders, and the one way they are run and reported.

Contenders take turns (A B A B …), so a machine that gets slower or faster during the run does so
for all. A metric is the median over the rounds of what each round gave.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from harness.processes import BenchError


@dataclass(frozen=True)
class Metric:
    """One row of the table."""

    name: str
    unit: str
    about: str
    higher_is_better: bool = False
    floor: float = 0.0  # what a difference of two times is raised to: below it is noise


class Suite(Protocol):
    """What a file in suites/ offers under the name SUITE."""

    name: str
    metrics: Sequence[Metric]
    rounds: int

    def contenders(self) -> Sequence[str]:
        """Ours first, then the peer if there is one, then any others."""

    def measure(self, contender: str, say: Callable[[str], None]) -> Mapping[str, float]:
        """One round of one contender: a number for each metric that it takes part in."""


Samples = dict[str, dict[str, list[float]]]  # contender, metric


def run(suite: Suite, rounds: int) -> Samples:
    """Runs all rounds; the numbers of each contender in the order they came."""
    samples: Samples = {name: {} for name in suite.contenders()}
    began = time.monotonic()
    for turn in range(1, rounds + 1):
        for contender in samples:

            def say(what: str, contender: str = contender, turn: int = turn) -> None:
                clock = time.monotonic() - began
                _progress(f"{suite.name} {turn}/{rounds} {clock:4.0f} s  {contender}: {what}")

            for metric, value in suite.measure(contender, say).items():
                samples[contender].setdefault(metric, []).append(value)
    _progress("")
    return samples


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
    elif text:
        print(text, file=sys.stderr, flush=True)


def summarize(suite: Suite, samples: Samples) -> dict[str, dict[str, object]]:
    """The result file: one object a metric. A contender that lacks a metric is left out of it."""
    names = list(suite.contenders())
    result: dict[str, dict[str, object]] = {}
    for metric in suite.metrics:
        medians: dict[str, float] = {}
        for name in names:
            values = samples[name].get(metric.name)
            if values:
                medians[name] = max(metric.floor, statistics.median(values))
        if names[0] not in medians:
            raise BenchError(f"no measurement of {metric.name}")
        mine = medians.pop(names[0])
        row: dict[str, object] = {"ours": _short(mine), "peer": None, "ratio": None}
        row |= {"unit": metric.unit, "peer_name": None}
        if len(names) > 1 and names[1] in medians:
            peer = medians.pop(names[1])
            row |= {"peer": _short(peer), "peer_name": names[1]}
            row["ratio"] = _short(times_better(metric, mine, peer))
        if medians:
            row["others"] = {
                name: {"value": _short(value), "ratio": _short(times_better(metric, mine, value))}
                for name, value in medians.items()
            }
        result[metric.name] = row
    return result


def times_better(metric: Metric, mine: float, peer: float) -> float:
    """How many times better than the peer we are."""
    return mine / peer if metric.higher_is_better else peer / mine


def _short(value: float) -> float:
    return float(f"{value:.4g}")


def table(suite: Suite, result: Mapping[str, Mapping[str, object]]) -> str:
    """The result for people."""
    about = {metric.name: metric.about for metric in suite.metrics}
    rows = [("", "ours", "peer", "unit", "times better", "peer is")]
    for name, row in result.items():
        if row["peer"] is not None:
            ratio = f"{row['ratio']:.2f}"
            rows.append((name, _cell(row["ours"]), _cell(row["peer"]), str(row["unit"]), ratio,
                         str(row["peer_name"])))  # fmt: skip
        else:
            rows.append((name, _cell(row["ours"]), "", str(row["unit"]), "", about[name]))
        others = row.get("others")
        if isinstance(others, dict):
            for other, of in others.items():
                rows.append(("", "", _cell(of["value"]), "", f"{of['ratio']:.2f}", other))
    widths = [max(len(each[i]) for each in rows) for i in range(5)]
    lines = []
    for name, ours, peer, unit, ratio, who in rows:
        cells = (name.ljust(widths[0]), ours.rjust(widths[1]), peer.rjust(widths[2]))
        lines.append("  ".join((*cells, unit.ljust(widths[3]), ratio.rjust(widths[4]), who)))
    return "\n".join(line.rstrip() for line in lines)


def _cell(value: object) -> str:
    return f"{value:,.4g}" if isinstance(value, float) and value < 10000 else f"{value:,.0f}"


def write(suite: Suite, result: Mapping[str, object], folder: Path) -> Path:
    """Writes build/bench/SUITE.json whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{suite.name}.json"
    part = path.with_suffix(".part")
    part.write_text(json.dumps(result, indent=2) + "\n")
    part.rename(path)
    return path

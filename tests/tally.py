"""Sums the results of `./dev test`: the JUnit files of meson and pytest in a folder, and the parts
that failed as a whole. The file "failed" has a line `KEY NAME` for each; its counts are in KEY.xml.

Prints a line for each part and closes with `N passed, N failed, N skipped`. Exit status: 0 when
nothing failed and something passed.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree


@dataclass
class Tally:
    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def add(self, other: Tally) -> None:
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped

    def __str__(self) -> str:
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


def tally_junit(path: Path) -> tuple[Tally, list[str]]:
    """Counts the test cases of a JUnit file; the names of those that failed."""
    tally = Tally()
    names: list[str] = []
    for case in ElementTree.parse(path).iter("testcase"):
        kinds = {child.tag for child in case}
        if kinds & {"failure", "error"}:
            tally.failed += 1
            names.append(f"{case.get('classname')} {case.get('name')}")
        elif "skipped" in kinds:
            tally.skipped += 1
        else:
            tally.passed += 1
    return tally, names


def failed_parts(path: Path) -> list[tuple[str, str]]:
    lines = path.read_text().splitlines() if path.exists() else []
    return [(key, part) for key, _, part in (line.partition(" ") for line in lines)]


def main() -> int:
    folder = Path(sys.argv[1])
    tallies = {path.stem: tally_junit(path) for path in sorted(folder.glob("*.xml"))}
    total = Tally()
    print()
    for key, (tally, names) in tallies.items():
        total.add(tally)
        print(f"{key}: {tally}")
        for name in names:
            print(f"  failed: {name}")
    for key, part in failed_parts(folder / "failed"):
        print(f"failed part: {part}")
        # one without a failed test in it (a build, lint, a crash) counts as one
        if key not in tallies or not tallies[key][0].failed:
            total.failed += 1
    print(total)
    return 0 if total.failed == 0 and total.passed > 0 else 1


if __name__ == "__main__":
    sys.exit(main())

"""The last line of `./dev test` counts what ran, and no failure gets lost in it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

TALLY = Path(__file__).resolve().parents[1] / "tally.py"
MESON = """<testsuites tests="3"><testsuite name="protocol" tests="3">
<testcase name="one" classname="a"/><testcase name="two" classname="a"><skipped/></testcase>
<testcase name="three" classname="a"/></testsuite></testsuites>"""
PYTEST = """<testsuites><testsuite name="pytest"><testcase name="four" classname="b"/>
<testcase name="five" classname="b"><failure message="no">no</failure></testcase>
<testcase name="six" classname="b"><error message="no">no</error></testcase>
</testsuite></testsuites>"""


@pytest.mark.parametrize(
    ("files", "failed_parts", "last_line", "status"),
    [
        ({"meson": MESON}, "", "2 passed, 0 failed, 1 skipped", 0),
        ({"meson": MESON, "pytest": PYTEST}, "", "3 passed, 2 failed, 1 skipped", 1),
        # a part that failed by its tests is not counted again
        ({"pytest": PYTEST}, "pytest tests from outside\n", "1 passed, 2 failed, 0 skipped", 1),
        # one that failed without a failed test is
        ({"meson": MESON}, "meson unit tests\n", "2 passed, 1 failed, 1 skipped", 1),
        ({"meson": MESON}, "lint lint\nbuild the build\n", "2 passed, 2 failed, 1 skipped", 1),
        # nothing that ran is no success
        ({}, "", "0 passed, 0 failed, 0 skipped", 1),
    ],
)
def test_tally(
    tmp_path: Path, files: dict[str, str], failed_parts: str, last_line: str, status: int
) -> None:
    for name, text in files.items():
        (tmp_path / f"{name}.xml").write_text(text)
    if failed_parts:
        (tmp_path / "failed").write_text(failed_parts)
    ended = subprocess.run(
        [sys.executable, TALLY, tmp_path], capture_output=True, text=True, check=False
    )
    assert ended.stdout.splitlines()[-1] == last_line
    assert ended.returncode == status

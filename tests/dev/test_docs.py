"""The pages are true: links lead somewhere, options exist, and the table of options is whole."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from support.programs import Programs

ROOT = Path(__file__).resolve().parents[2]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
LINK = re.compile(r"\]\(([^)#:]+)\)")
OPTION = re.compile(r"`(--[a-z][a-z-]+)")
# options of other programs that pages speak of
FOREIGN = {"--gateway-url", "--once", "--link-fd", "--relay"}


def output(*command: str | Path) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text()):
        assert (page.parent / target).exists(), target


def test_page_of_options(programs: Programs) -> None:
    table = output(programs.gateway, "options", "--markdown")
    page = (ROOT / "docs" / "options.md").read_text()
    assert page.endswith(table), "make docs/options.md anew: warmcell options --markdown"


def test_options_that_the_readme_names_exist(programs: Programs) -> None:
    ours = (["--help"], ["sandbox", "ls", "--help"])  # of the gateway, and of all its clients
    told = "".join(output(programs.gateway, *words) for words in ours)
    known = set(re.findall(r"--[a-z][a-z-]+", told)) | FOREIGN
    named = set(OPTION.findall((ROOT / "README.md").read_text()))
    assert named
    assert named <= known


def test_readme_names_the_commands_that_the_door_has() -> None:
    known = set(re.findall(r"^  ([a-z]+) ", output(ROOT / "dev", "help"), re.MULTILINE))
    for page in ("README.md", "CONTRIBUTING.md"):
        named = set(re.findall(r"\./dev ([a-z]+)", (ROOT / page).read_text()))
        assert named <= known, page

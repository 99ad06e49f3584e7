"""Every example of docs/sdk.md is run as it stands, with a gateway that local() finds."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.gateway import Gateway
from support.programs import ROOT

PAGE = (ROOT / "docs" / "sdk.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


def test_there_are_examples() -> None:
    assert len(BLOCKS) == 5


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_an_example(
    number: int,
    unix_place: Gateway,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "run" / "warmcell" / "local"
    folder.mkdir(parents=True)
    assert unix_place.unix
    (folder / "gateway.sock").symlink_to(unix_place.unix)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    monkeypatch.chdir(tmp_path)
    exec(compile(BLOCKS[number], f"docs/sdk.md, example {number}", "exec"), {"__name__": "example"})
    assert capsys.readouterr().out == ("2\n" if number == 0 else "")

"""The second distribution has the modules of warmcell.compat under their originals' names, and
each gives all that its model gives, and is the very same."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
from support.programs import ROOT

SURFACES = ROOT / "sdk" / "python" / "warmcell" / "compat"
SHIMS = ROOT / "sdk" / "compat"
NAMES = ("cloud_sandbox", "llm_sandbox", "sandbox", "sandbox_sdk")


def modules(root: Path) -> list[str]:
    """`sandbox.sdk.config` and the like; without those that nobody imports."""
    found = []
    for file in root.rglob("*.py"):
        parts = list(file.relative_to(root).with_suffix("").parts)
        if parts[-1] == "__init__":
            parts.pop()
        if parts and parts[0] in NAMES and not any(part.startswith("_") for part in parts):
            found.append(".".join(parts))
    return sorted(found)


def test_the_trees_are_the_same() -> None:
    assert modules(SHIMS) == modules(SURFACES)


@pytest.mark.parametrize("name", modules(SURFACES))
def test_a_shim(name: str) -> None:
    surface = importlib.import_module(f"warmcell.compat.{name}")
    shim = importlib.import_module(name)
    assert Path(str(shim.__file__)).is_relative_to(SHIMS)
    assert surface.__all__
    for word in surface.__all__:
        assert getattr(shim, word) is getattr(surface, word), word

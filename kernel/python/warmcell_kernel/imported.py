"""What a gateway asks an interpreter after packages of its sandbox have changed."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterable


class Loaded:
    """Shown as a JSON list, so that it comes through as a user expression."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = list(names)

    def __repr__(self) -> str:
        return json.dumps(self._names)


def among(names: list[str]) -> Loaded:
    """Those that are imported; what is new on the disk is found by imports from now on."""
    importlib.invalidate_caches()
    return Loaded(name for name in names if name in sys.modules)

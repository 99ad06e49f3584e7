"""Gives the package ``comm`` the kernel's functions the moment it is imported, whoever does it.

User code takes ``create_comm`` and ``get_comm_manager`` out of the package by name, so they must be
ours before it can. Importing the package ahead would cost every start 3 ms.
"""

from __future__ import annotations

import importlib.util
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType


class _CommFinder:
    """A finder that answers for ``comm`` once, with the package as it is installed."""

    def find_spec(self, name: str, *_: object) -> ModuleSpec | None:
        if name != "comm":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None:
            return spec
        load = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            load(module)
            import warmcell_kernel.comms  # noqa: F401

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def watch() -> None:
    """To be called before any code of the user runs."""
    if "comm" not in sys.modules:
        sys.meta_path.insert(0, _CommFinder())
    else:
        import warmcell_kernel.comms  # noqa: F401

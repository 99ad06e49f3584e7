"""The persistent execution context, and what it stands on."""

from __future__ import annotations

from warmcell.compat.sandbox.core.execution_context import PersistentExecutionContext

__all__ = ["PersistentExecutionContext"]

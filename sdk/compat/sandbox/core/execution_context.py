"""The names of warmcell.compat.sandbox.core.execution_context, under the original's own."""

from warmcell.compat.sandbox.core.execution_context import *  # noqa: F403 - all that it has, and nothing else

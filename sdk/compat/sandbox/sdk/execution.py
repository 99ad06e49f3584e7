"""The names of warmcell.compat.sandbox.sdk.execution, under the original's own."""

from warmcell.compat.sandbox.sdk.execution import *  # noqa: F403 - all that it has, and nothing else

"""The names of warmcell.compat.sandbox.sdk.metrics, under the original's own."""

from warmcell.compat.sandbox.sdk.metrics import *  # noqa: F403 - all that it has, and nothing else

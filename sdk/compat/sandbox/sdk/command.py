"""The names of warmcell.compat.sandbox.sdk.command, under the original's own."""

from warmcell.compat.sandbox.sdk.command import *  # noqa: F403 - all that it has, and nothing else

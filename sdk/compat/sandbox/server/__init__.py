"""The names of warmcell.compat.sandbox.server, under the original's own."""

from warmcell.compat.sandbox.server import *  # noqa: F403 - all that it has, and nothing else

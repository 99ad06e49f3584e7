"""The names of warmcell.compat.sandbox.core, under the original's own."""

from warmcell.compat.sandbox.core import *  # noqa: F403 - all that it has, and nothing else

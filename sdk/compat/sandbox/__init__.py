"""The names of warmcell.compat.sandbox, under the original's own."""

from warmcell.compat.sandbox import *  # noqa: F403 - all that it has, and nothing else

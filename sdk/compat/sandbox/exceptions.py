"""The names of warmcell.compat.sandbox.exceptions, under the original's own."""

from warmcell.compat.sandbox.exceptions import *  # noqa: F403 - all that it has, and nothing else

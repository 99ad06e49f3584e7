"""The names of warmcell.compat.sandbox.core.interactive_repl, under the original's own."""

from warmcell.compat.sandbox.core.interactive_repl import *  # noqa: F403 - all that it has, and nothing else

"""The names of warmcell.compat.sandbox.core.code_validator, under the original's own."""

from warmcell.compat.sandbox.core.code_validator import *  # noqa: F403 - all that it has, and nothing else

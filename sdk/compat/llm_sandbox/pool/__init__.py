"""The names of `warmcell.compat.llm_sandbox.pool`."""

from warmcell.compat.llm_sandbox.pool import *  # noqa: F403

"""The names of `warmcell.compat.llm_sandbox.pool.exceptions`."""

from warmcell.compat.llm_sandbox.pool.exceptions import *  # noqa: F403

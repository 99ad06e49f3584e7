"""The names of `warmcell.compat.llm_sandbox.pool.base`."""

from warmcell.compat.llm_sandbox.pool.base import *  # noqa: F403

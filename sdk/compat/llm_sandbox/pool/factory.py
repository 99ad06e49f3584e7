"""The names of `warmcell.compat.llm_sandbox.pool.factory`."""

from warmcell.compat.llm_sandbox.pool.factory import *  # noqa: F403

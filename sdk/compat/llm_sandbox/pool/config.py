"""The names of `warmcell.compat.llm_sandbox.pool.config`."""

from warmcell.compat.llm_sandbox.pool.config import *  # noqa: F403

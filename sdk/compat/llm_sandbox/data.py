"""The names of `warmcell.compat.llm_sandbox.data`."""

from warmcell.compat.llm_sandbox.data import *  # noqa: F403

"""The names of `warmcell.compat.llm_sandbox.kubernetes`."""

from warmcell.compat.llm_sandbox.kubernetes import *  # noqa: F403

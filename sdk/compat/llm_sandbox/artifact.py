"""The names of `warmcell.compat.llm_sandbox.artifact`."""

from warmcell.compat.llm_sandbox.artifact import *  # noqa: F403

"""The names of `warmcell.compat.llm_sandbox.interactive`."""

from warmcell.compat.llm_sandbox.interactive import *  # noqa: F403

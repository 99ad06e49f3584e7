"""The names of `warmcell.compat.llm_sandbox.security`."""

from warmcell.compat.llm_sandbox.security import *  # noqa: F403

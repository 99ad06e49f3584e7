"""The names of `warmcell.compat.llm_sandbox.exceptions`."""

from warmcell.compat.llm_sandbox.exceptions import *  # noqa: F403

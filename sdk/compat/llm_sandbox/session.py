"""The names of `warmcell.compat.llm_sandbox.session`."""

from warmcell.compat.llm_sandbox.session import *  # noqa: F403

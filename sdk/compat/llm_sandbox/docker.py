"""The names of `warmcell.compat.llm_sandbox.docker`."""

from warmcell.compat.llm_sandbox.docker import *  # noqa: F403

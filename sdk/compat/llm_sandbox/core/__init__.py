"""The names of `warmcell.compat.llm_sandbox.core`."""

from warmcell.compat.llm_sandbox.core import *  # noqa: F403

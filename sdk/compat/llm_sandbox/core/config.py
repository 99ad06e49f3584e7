"""The names of `warmcell.compat.llm_sandbox.core.config`."""

from warmcell.compat.llm_sandbox.core.config import *  # noqa: F403

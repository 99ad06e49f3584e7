"""The names of `warmcell.compat.llm_sandbox.micromamba`."""

from warmcell.compat.llm_sandbox.micromamba import *  # noqa: F403

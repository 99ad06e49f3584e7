"""The names of `warmcell.compat.llm_sandbox.language_handlers`."""

from warmcell.compat.llm_sandbox.language_handlers import *  # noqa: F403

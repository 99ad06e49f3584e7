"""The names of `warmcell.compat.llm_sandbox.language_handlers.handlers`."""

from warmcell.compat.llm_sandbox.language_handlers.handlers import *  # noqa: F403

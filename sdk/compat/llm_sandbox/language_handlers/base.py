"""The names of `warmcell.compat.llm_sandbox.language_handlers.base`."""

from warmcell.compat.llm_sandbox.language_handlers.base import *  # noqa: F403

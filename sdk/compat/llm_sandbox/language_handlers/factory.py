"""The names of `warmcell.compat.llm_sandbox.language_handlers.factory`."""

from warmcell.compat.llm_sandbox.language_handlers.factory import *  # noqa: F403

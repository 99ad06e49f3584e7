"""The names of `warmcell.compat.llm_sandbox.core.session_base`."""

from warmcell.compat.llm_sandbox.core.session_base import *  # noqa: F403

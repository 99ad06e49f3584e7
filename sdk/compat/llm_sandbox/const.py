"""The names of `warmcell.compat.llm_sandbox.const`."""

from warmcell.compat.llm_sandbox.const import *  # noqa: F403

"""The names of `warmcell.compat.llm_sandbox.podman`."""

from warmcell.compat.llm_sandbox.podman import *  # noqa: F403

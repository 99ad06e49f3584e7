"""The names of `warmcell.compat.sandbox_sdk.monitoring`."""

from warmcell.compat.sandbox_sdk.monitoring import *  # noqa: F403

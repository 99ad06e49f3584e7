"""The names of `warmcell.compat.sandbox_sdk.results`."""

from warmcell.compat.sandbox_sdk.results import *  # noqa: F403

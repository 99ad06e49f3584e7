"""The names of `warmcell.compat.sandbox_sdk.types`."""

from warmcell.compat.sandbox_sdk.types import *  # noqa: F403

"""The names of `warmcell.compat.sandbox_sdk.exceptions`."""

from warmcell.compat.sandbox_sdk.exceptions import *  # noqa: F403

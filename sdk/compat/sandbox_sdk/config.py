"""The names of `warmcell.compat.sandbox_sdk.config`."""

from warmcell.compat.sandbox_sdk.config import *  # noqa: F403

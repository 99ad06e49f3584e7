"""The names of `warmcell.compat.sandbox_sdk.sdk`."""

from warmcell.compat.sandbox_sdk.sdk import *  # noqa: F403

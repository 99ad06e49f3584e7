"""The names of warmcell.compat.sandbox_sdk.running, under the name of the original."""

from warmcell.compat.sandbox_sdk.running import *  # noqa: F403

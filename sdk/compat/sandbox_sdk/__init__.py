"""The names of warmcell.compat.sandbox_sdk, under the original's own."""

from warmcell.compat.sandbox_sdk import *  # noqa: F403

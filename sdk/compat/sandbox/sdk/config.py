"""The names of warmcell.compat.sandbox.sdk.config, under the original's own."""

from warmcell.compat.sandbox.sdk.config import *  # noqa: F403 - all that it has, and nothing else

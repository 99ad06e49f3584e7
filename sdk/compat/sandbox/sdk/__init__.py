"""The names of warmcell.compat.sandbox.sdk, under the original's own."""

from warmcell.compat.sandbox.sdk import *  # noqa: F403 - all that it has, and nothing else

"""The names of warmcell.compat.sandbox.sdk.command_execution, under the original's own."""

from warmcell.compat.sandbox.sdk.command_execution import *  # noqa: F403 - all that it has, and nothing else

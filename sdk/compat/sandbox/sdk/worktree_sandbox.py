"""The names of warmcell.compat.sandbox.sdk.worktree_sandbox, under the original's own."""

from warmcell.compat.sandbox.sdk.worktree_sandbox import *  # noqa: F403 - all that it has, and nothing else

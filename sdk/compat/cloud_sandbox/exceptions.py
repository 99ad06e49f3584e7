"""The names of `warmcell.compat.cloud_sandbox.exceptions`."""

from warmcell.compat.cloud_sandbox.exceptions import *  # noqa: F403

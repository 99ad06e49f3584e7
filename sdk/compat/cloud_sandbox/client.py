"""The names of `warmcell.compat.cloud_sandbox.client`."""

from warmcell.compat.cloud_sandbox.client import *  # noqa: F403

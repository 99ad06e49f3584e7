"""The names of `warmcell.compat.cloud_sandbox.models`."""

from warmcell.compat.cloud_sandbox.models import *  # noqa: F403

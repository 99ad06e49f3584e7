"""The names of `warmcell.compat.cloud_sandbox`, and its modules, which the original has too."""

from warmcell.compat.cloud_sandbox import *  # noqa: F403

from cloud_sandbox import client, exceptions, models  # noqa: F401

"""The names of warmcell.compat.sandbox_sdk.transport, under the name of the original."""

from warmcell.compat.sandbox_sdk.transport import *  # noqa: F403

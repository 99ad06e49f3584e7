"""The names of `warmcell.compat.llm_sandbox`, and its modules, which the original has too."""

from warmcell.compat.llm_sandbox import *  # noqa: F403

from llm_sandbox import (  # noqa: F401
    const,
    core,
    data,
    docker,
    exceptions,
    interactive,
    kubernetes,
    language_handlers,
    micromamba,
    podman,
    pool,
    security,
    session,
)

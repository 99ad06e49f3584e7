"""Sandboxes made ahead, of which so many and no more are in use at one time."""

from warmcell.compat.llm_sandbox.pool.base import (
    ContainerPoolManager,
    ContainerState,
    PooledContainer,
)
from warmcell.compat.llm_sandbox.pool.config import ExhaustionStrategy, PoolConfig
from warmcell.compat.llm_sandbox.pool.exceptions import (
    PoolClosedError,
    PoolExhaustedError,
    PoolHealthCheckError,
    SessionNotOpenError,
)
from warmcell.compat.llm_sandbox.pool.factory import create_pool_manager

__all__ = [
    "ContainerPoolManager",
    "ContainerState",
    "ExhaustionStrategy",
    "PoolClosedError",
    "PoolConfig",
    "PoolExhaustedError",
    "PoolHealthCheckError",
    "PooledContainer",
    "SessionNotOpenError",
    "create_pool_manager",
]

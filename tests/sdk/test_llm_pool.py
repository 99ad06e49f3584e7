"""Pools of llm_sandbox: how many, in what order, and that nobody meets what another left."""

from __future__ import annotations

import threading
from typing import Any

import llm_sandbox
import pytest
import warmcell
from llm_sandbox import SandboxSession, exceptions
from llm_sandbox.pool import (
    ContainerState,
    ExhaustionStrategy,
    PoolClosedError,
    PoolConfig,
    PooledContainer,
    PoolExhaustedError,
    PoolHealthCheckError,
    SessionNotOpenError,
    create_pool_manager,
)


@pytest.fixture(autouse=True)
def _gateway_of_mine(own_gateway: str) -> None:
    pass


def counts(pool: llm_sandbox.pool.ContainerPoolManager) -> dict[str, int]:
    return {state: n for state, n in pool.get_stats()["state_counts"].items() if n}


def test_sessions_of_a_pool_meet_nothing_of_each_other() -> None:
    config = PoolConfig(max_pool_size=2, min_pool_size=1)
    with create_pool_manager(config=config, lang="python") as pool:
        assert counts(pool) == {"idle": 1}
        stats = pool.get_stats()
        assert (stats["total_size"], stats["max_size"], stats["min_size"]) == (1, 2, 1)
        with SandboxSession(pool=pool) as first:
            assert counts(pool) == {"busy": 1}
            left = first.container
            assert left is not None
            first.run("open('/workspace/left', 'w'); open('/tmp/left', 'w')")
        assert counts(pool) == {"idle": 1}
        with SandboxSession(pool=pool) as second:
            assert second.container is not None and second.container.id != left.id
            assert "left" not in second.execute_command("ls /workspace /tmp").stdout
        with llm_sandbox.InteractiveSandboxSession(pool=pool) as cells:
            assert cells.run("1").value == "1"
        with pytest.raises(SessionNotOpenError):
            cells.run("1")
        with pytest.raises(exceptions.NotOpenSessionError):
            cells.run("1")
    assert pool.get_stats()["closed"] and counts(pool) == {}
    with pytest.raises(PoolClosedError):
        pool.acquire()


def test_when_all_are_in_use() -> None:
    pool = create_pool_manager(
        config=PoolConfig(max_pool_size=1, exhaustion_strategy=ExhaustionStrategy.FAIL_FAST)
    )
    one = pool.acquire()
    assert (one.state, one.use_count) == (ContainerState.BUSY, 1)
    assert one.container_id == one.container.id
    with pytest.raises(PoolExhaustedError) as raised:
        pool.acquire()
    assert (raised.value.pool_size, raised.value.timeout) == (1, None)

    pool.config.exhaustion_strategy = ExhaustionStrategy.TEMPORARY
    other = pool.acquire()
    pool.release(other)

    pool.config.exhaustion_strategy = ExhaustionStrategy.WAIT
    pool.config.acquisition_timeout = 0.05
    with pytest.raises(PoolExhaustedError, match=r"0\.05"):
        pool.acquire()
    pool.config.acquisition_timeout = 60
    got: list[PooledContainer] = []
    waiter = threading.Thread(target=lambda: got.append(pool.acquire()))
    waiter.start()
    pool.release(one)
    waiter.join()
    assert [held.container_id == one.container_id for held in got] == [False]
    pool.close()
    assert counts(pool) == {"busy": 1}
    pool.release(got[0])
    assert counts(pool) == {}


def test_what_does_not_run_or_is_old_is_not_handed_out() -> None:
    config = PoolConfig(max_pool_size=1, min_pool_size=1, health_check_interval=1e-9)
    with create_pool_manager(config=config) as pool:
        first = pool.acquire()
        pool.release(first)
        (idle,) = pool._all
        idle.container.delete()
        second = pool.acquire()
        assert second.container_id != idle.container_id
        assert second.container.refresh().state in {"starting", "running"}
        pool.release(second)
        (idle,) = pool._all
        pool.config.max_container_lifetime = 1e-9
        third = pool.acquire()
        assert third.container_id != idle.container_id
        with pytest.raises(warmcell.NotFoundError):
            idle.container.refresh()
        pool.release(third)
    error = PoolHealthCheckError("id", "it is gone")
    assert (error.container_id, error.reason) == ("id", "it is gone")


def test_a_sandbox_that_cannot_be_made_leaves_its_place() -> None:
    pool = create_pool_manager(
        config=PoolConfig(max_pool_size=1), runtime_configs={"mem_limit": "1k"}
    )
    for _ in range(2):
        with pytest.raises(exceptions.ValidationError, match="memory_bytes"):
            SandboxSession(pool=pool).open()
    assert pool.get_stats()["total_size"] == 0


def test_config() -> None:
    config = PoolConfig()
    assert (config.max_pool_size, config.min_pool_size, config.idle_timeout) == (10, 0, 300)
    assert (config.acquisition_timeout, config.health_check_interval) == (30, 60)
    assert (config.max_container_lifetime, config.max_container_uses) == (3600, None)
    assert config.exhaustion_strategy is ExhaustionStrategy.WAIT and config.enable_prewarming
    wrongs: list[dict[str, Any]] = [
        {"max_pool_size": 0},
        {"max_pool_size": 1, "min_pool_size": 2},
        {"idle_timeout": 0},
        {"health_check_interval": 0},
        {"max_container_uses": 0},
    ]
    for wrong in wrongs:
        with pytest.raises(ValueError, match=list(wrong)[-1]):
            PoolConfig(**wrong)
    with pytest.raises(exceptions.UnsupportedBackendError):
        create_pool_manager("kubernetes")
    cold = PoolConfig(min_pool_size=1, enable_prewarming=False)
    assert counts(create_pool_manager(config=cold)) == {}

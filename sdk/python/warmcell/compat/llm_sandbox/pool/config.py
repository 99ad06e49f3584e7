"""How large a pool is, and what happens when all of it is in use."""

from __future__ import annotations

from dataclasses import dataclass

from warmcell.compat.llm_sandbox.const import StrEnum

__all__ = ["ExhaustionStrategy", "PoolConfig"]


class ExhaustionStrategy(StrEnum):
    """When all are in use: an error at once, waiting for acquisition_timeout, or one more that is
    not counted."""

    FAIL_FAST = "fail_fast"
    WAIT = "wait"
    TEMPORARY = "temporary"


@dataclass
class PoolConfig:
    """Times in seconds, None: no limit. A sandbox that has waited for idle_timeout, or is older
    than max_container_lifetime, is not handed out; one that nobody has looked at for
    health_check_interval is looked at first. max_container_uses: each is used once, whatever it
    says. ValueError: a number makes no sense."""

    max_pool_size: int = 10
    min_pool_size: int = 0
    idle_timeout: float | None = 300.0
    acquisition_timeout: float | None = 30.0
    health_check_interval: float = 60.0
    max_container_lifetime: float | None = 3600.0
    max_container_uses: int | None = None
    exhaustion_strategy: ExhaustionStrategy = ExhaustionStrategy.WAIT
    enable_prewarming: bool = True

    def __post_init__(self) -> None:
        self.exhaustion_strategy = ExhaustionStrategy(self.exhaustion_strategy)
        if self.max_pool_size < 1 or not 0 <= self.min_pool_size <= self.max_pool_size:
            raise ValueError("max_pool_size: at least 1; min_pool_size: from 0 to max_pool_size")
        for name in ("idle_timeout", "acquisition_timeout", "max_container_lifetime"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name}: must be more than 0 seconds, or None")
        if not self.health_check_interval > 0:
            raise ValueError("health_check_interval: must be more than 0 seconds")
        if self.max_container_uses is not None and self.max_container_uses < 1:
            raise ValueError("max_container_uses: must be at least 1, or None")

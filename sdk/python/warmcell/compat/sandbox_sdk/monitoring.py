"""What the client counts, and the limit that it may be given for its own requests."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from typing import Any

__all__ = ["MetricsCollector", "MetricsData", "RateLimiter"]

MINUTE_S = 60.0
KEPT = 1000  # of the last times of requests, for their average


def _now() -> str:
    return datetime.now(timezone.utc).isoformat()


@dataclass
class MetricsData:
    """Counts; times in milliseconds; last_updated: when something was last counted (ISO 8601)."""

    total_requests: int = 0
    successful_requests: int = 0
    failed_requests: int = 0
    average_response_time: float = 0.0
    total_execution_time: float = 0.0
    active_sandboxes: int = 0
    last_updated: str = field(default_factory=_now)


class MetricsCollector:
    """Counts from any thread."""

    def __init__(self) -> None:
        self.metrics = MetricsData()
        self._times: deque[float] = deque(maxlen=KEPT)
        self._lock = threading.Lock()

    def record_request(self, success: bool, response_time: float) -> None:
        """A request, and how many milliseconds it took."""
        with self._lock:
            m = self.metrics
            m.total_requests += 1
            m.successful_requests += success
            m.failed_requests += not success
            self._times.append(response_time)
            m.average_response_time = sum(self._times) / len(self._times)
            m.last_updated = _now()

    def record_execution(self, duration: float) -> None:
        """A run, and how many milliseconds it took."""
        with self._lock:
            self.metrics.total_execution_time += duration
            self.metrics.last_updated = _now()

    def update_active_sandboxes(self, count: int) -> None:
        """How many sandboxes of this client there are."""
        with self._lock:
            self.metrics.active_sandboxes = count
            self.metrics.last_updated = _now()

    def get_metrics(self) -> dict[str, Any]:
        """All of it, by name."""
        with self._lock:
            return asdict(self.metrics)

    def reset(self) -> None:
        """Begins anew."""
        with self._lock:
            self.metrics = MetricsData()
            self._times.clear()


class RateLimiter:
    """At most so many requests in any minute; None: any number."""

    def __init__(self, max_requests_per_minute: int | None = 60) -> None:
        self.max_requests_per_minute = max_requests_per_minute
        self._sent: deque[float] = deque()
        self._lock = threading.Lock()

    def take(self) -> int:
        """Counts a request, if one may be made now: 0, else milliseconds until one may. Of threads
        that come at once no more get one than there are."""
        with self._lock:
            wait_ms = self._wait_ms()
            if wait_ms == 0:
                self._count()
            return wait_ms

    def can_make_request(self) -> bool:
        """Whether one may be made now."""
        return self.get_retry_after() == 0

    def record_request(self) -> None:
        """One was made."""
        with self._lock:
            self._count()

    def get_retry_after(self) -> int:
        """Milliseconds until one may be made again."""
        with self._lock:
            return self._wait_ms()

    def _count(self) -> None:
        if self.max_requests_per_minute is not None:
            self._sent.append(time.monotonic())

    def _wait_ms(self) -> int:
        now = time.monotonic()
        while self._sent and self._sent[0] <= now - MINUTE_S:
            self._sent.popleft()
        most = self.max_requests_per_minute
        if most is None or len(self._sent) < most or not self._sent:
            return 0
        return max(int((self._sent[0] + MINUTE_S - now) * 1000) + 1, 1)

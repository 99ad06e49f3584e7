"""What a sandbox uses, as the gateway measures it."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from warmcell.compat.sandbox.exceptions import translated

if TYPE_CHECKING:
    from warmcell.compat.sandbox.sdk.base_sandbox import BaseSandbox

__all__ = ["Metrics"]

MIB = 1 << 20
ONE_LOOK_S = 0.1


class Metrics:
    """cpu_usage: percent of one core since this object looked last, at first since the sandbox was
    made (looks within 100 ms are one); memory_usage: MiB; disk_usage: bytes. What cannot be
    known is None."""

    def __init__(self, sandbox: BaseSandbox) -> None:
        self._sandbox = sandbox
        # of a sandbox: when, seconds of CPU, percent
        self._last: tuple[str, float, float, float] | None = None

    async def all(self) -> dict[str, Any]:
        """All of them, measured now."""
        session = self._sandbox._started_session()
        with translated():
            sandbox = await session.sandbox()
            told = await sandbox.metrics()
        usage = told.usage
        memory = usage.get("memory_bytes")
        return {
            "name": self._sandbox.name,
            "namespace": self._sandbox.namespace,
            "running": sandbox.state in {"running", "starting"},
            "cpu_usage": self._percent(told.sandbox_id, usage.get("cpu_s"), told, sandbox.info),
            "memory_usage": None if memory is None else memory / MIB,
            "disk_usage": usage.get("disk_bytes"),
            "cpu_seconds": usage.get("cpu_s"),
            "memory_bytes": memory,
            "memory_peak_bytes": usage.get("memory_peak_bytes"),
            "processes": usage.get("processes"),
            "disk_inodes": usage.get("disk_inodes"),
            "executions": told.executions.get("ended"),
        }

    def _percent(self, sandbox: str, cpu_s: float | None, told: Any, info: Any) -> float | None:
        if cpu_s is None:
            return None
        now = _seconds(told.measured)
        before, used, percent = _seconds(info.created), 0.0, 0.0
        if self._last is not None and self._last[0] == sandbox:
            _, before, used, percent = self._last
            if now - before < ONE_LOOK_S:
                return percent
        if now <= before:
            return percent
        spent = cpu_s - used if cpu_s >= used else cpu_s  # it was paused meanwhile
        percent = 100 * spent / (now - before)
        self._last = (sandbox, now, cpu_s, percent)
        return percent

    async def get(self, name: str) -> Any:
        """One of them by its name. ValueError: there is none of that name."""
        found = await self.all()
        if name not in found:
            raise ValueError(f"{name!r} is none of {', '.join(found)}")
        return found[name]

    async def cpu_usage(self) -> float | None:
        """Percent of one core."""
        value: float | None = await self.get("cpu_usage")
        return value

    async def memory_usage(self) -> float | None:
        """MiB in use."""
        value: float | None = await self.get("memory_usage")
        return value

    async def disk_usage(self) -> int | None:
        """Bytes of the workspace."""
        value: int | None = await self.get("disk_usage")
        return value

    cpu = cpu_usage
    memory = memory_usage
    disk = disk_usage

    async def is_running(self) -> bool:
        """Whether its processes are there."""
        with translated():
            sandbox = await self._sandbox._started_session().sandbox()
            info = await sandbox.refresh()
        return info.state in {"running", "starting"}


def _seconds(time: str) -> float:
    return datetime.fromisoformat(time.replace("Z", "+00:00")).timestamp() if time else 0.0

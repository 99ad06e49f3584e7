"""runtime_configs, as Docker words them, in the words of a sandbox.

One table says what becomes of each: a limit, a setting, or nothing, because a sandbox is never
otherwise. Whatever would open a sandbox to the machine is refused, and so is a name that is not
known: a limit that is not there must not look as if it were.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from warmcell.compat.llm_sandbox.exceptions import ValidationError

__all__ = ["Settings", "read_runtime_configs", "size_bytes"]

_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
CPU_PERIOD_US = 100_000  # Docker's, where only cpu_quota is given


@dataclass
class Settings:
    """What a sandbox is made with; timeout: seconds of one run."""

    limits: dict[str, float] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    network: str | None = None
    workdir: str | None = None
    timeout: float | None = None


def size_bytes(value: object) -> int:
    """512, "512m", "1GB", "1GiB" and "512Mi" in bytes; every unit is a power of 1,024.
    ValidationError: it is none of these."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([bkmgt]?)(?:i?b)?i?\s*", str(value).lower())
    if found is None or isinstance(value, bool):
        raise ValidationError(f"{value!r} is no size: 536870912, '512m' or '1GB' are")
    return int(float(found.group(1)) * _UNITS[found.group(2)])


def _network(settings: Settings, value: object) -> None:
    words = {"none": "none", "bridge": "full", "default": "full"}
    if str(value) not in words:
        raise ValidationError(f"network_mode: {value!r} is neither 'none' nor 'bridge'")
    settings.network = words[str(value)]


def _no_network(settings: Settings, value: object) -> None:
    if value:
        settings.network = "none"


def _environment(settings: Settings, value: Any) -> None:
    pairs = (
        value.items() if isinstance(value, Mapping) else (str(one).split("=", 1) for one in value)
    )
    settings.env.update({str(one[0]): str(one[1]) for one in map(tuple, pairs) if len(one) == 2})


def _labels(settings: Settings, value: Any) -> None:
    settings.labels.update({str(name): str(text) for name, text in dict(value).items()})


def _workdir(settings: Settings, value: object) -> None:
    settings.workdir = str(value)


def _timeout(settings: Settings, value: Any) -> None:
    settings.timeout = float(value)


def _tmpfs(settings: Settings, value: Any) -> None:
    for options in dict(value).values():
        found = re.search(r"size=([^,]+)", str(options))
        if found:
            _grow_tmp(settings, found.group(1))


def _grow_tmp(settings: Settings, value: object) -> None:
    """/tmp and /dev/shm have one limit: the larger that is asked for."""
    settings.limits["tmp_bytes"] = max(settings.limits.get("tmp_bytes", 0), size_bytes(value))


def _storage(settings: Settings, value: Any) -> None:
    settings.limits["workspace_bytes"] = size_bytes(dict(value)["size"])


def _quota(settings: Settings, value: Any) -> None:
    settings.limits["cpus"] = float(value) / CPU_PERIOD_US


def _limit(name: str, of: Callable[[Any], float]) -> Callable[[Settings, Any], None]:
    def put(settings: Settings, value: Any) -> None:
        settings.limits[name] = of(value)

    return put


_HONOURED: dict[str, Callable[[Settings, Any], None]] = {
    "cpu_count": _limit("cpus", float),
    "cpus": _limit("cpus", float),
    "nano_cpus": _limit("cpus", lambda value: float(value) / 1e9),
    "cpu_quota": _quota,
    "mem_limit": _limit("memory_bytes", size_bytes),
    "memory": _limit("memory_bytes", size_bytes),
    "pids_limit": _limit("processes", int),
    "shm_size": _grow_tmp,
    "tmpfs": _tmpfs,
    "storage_opt": _storage,
    "timeout": _timeout,
    "environment": _environment,
    "labels": _labels,
    "network_mode": _network,
    "network_disabled": _no_network,
    "working_dir": _workdir,
}
# a sandbox is so in any case: confined, without rights, swap or a terminal, removed at its end
_AS_IT_IS = {
    "auto_remove",
    "cap_drop",
    "cpu_period",  # read with cpu_quota
    "cpu_shares",
    "detach",
    "init",
    "mem_swappiness",
    "memswap_limit",
    "name",
    "read_only",
    "remove",
    "security_opt",
    "stdin_open",
    "tty",
    "user",
}


def read_runtime_configs(configs: Mapping[str, Any]) -> Settings:
    """ValidationError: a name that is not known, would open the sandbox, or has no such value."""
    settings = Settings()
    for name, value in configs.items():
        if value is None or name in _AS_IT_IS:
            continue
        if name not in _HONOURED:
            raise ValidationError(
                f"runtime_configs: {name!r} has no counterpart in a sandbox; "
                f"it knows {', '.join(sorted(_HONOURED))}"
            )
        try:
            _HONOURED[name](settings, value)
        except (KeyError, TypeError, ValueError) as error:
            raise ValidationError(f"runtime_configs: {name}: {value!r} makes no sense") from error
    period = configs.get("cpu_period")
    if period and configs.get("cpu_quota"):
        settings.limits["cpus"] = float(configs["cpu_quota"]) / float(period)
    return settings

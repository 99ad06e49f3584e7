"""The configuration of a SandboxSDK: what it was given, then the environment, then defaults."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Union

from warmcell.compat.sandbox_sdk.exceptions import SandboxSDKError
from warmcell.compat.sandbox_sdk.types import SandboxSDKConfig

__all__ = ["DEFAULTS", "ENVIRONMENT", "LEVELS", "Config", "read_config"]

Config = Union[Mapping[str, Any], SandboxSDKConfig]

DEFAULTS: Mapping[str, Any] = {
    "timeout": 60_000,
    "max_retries": 3,
    "retry_delay": 1000,
    "enable_logging": False,
    "log_level": "info",
    "enable_metrics": False,
    "metrics_interval": 30_000,
    "max_requests_per_minute": None,
}
"""Of each key that may be left out; times in milliseconds."""

ENVIRONMENT: Mapping[str, str] = {
    "api_key": "SANDBOX_API_KEY",
    "server_url": "SANDBOX_SERVER_URL",
    "timeout": "SANDBOX_TIMEOUT",
    "log_level": "SANDBOX_LOG_LEVEL",
}
"""The variables that stand in for keys."""

LEVELS = ("debug", "info", "warn", "error")
LEAST = {
    "timeout": 1,
    "max_retries": 0,
    "retry_delay": 0,
    "metrics_interval": 1,
    "max_requests_per_minute": 1,
}


def _number(name: str, value: Any) -> int:
    try:
        number = int(value)
    except (TypeError, ValueError):
        number = LEAST[name] - 1
    if isinstance(value, (bool, float)) or number < LEAST[name]:
        raise SandboxSDKError(f"{name}: must be a whole number of at least {LEAST[name]}")
    return number


def read_config(config: Config | None = None) -> dict[str, Any]:
    """All keys with their values. SandboxSDKError names one that is wrong."""
    given = asdict(config) if isinstance(config, SandboxSDKConfig) else dict(config or {})
    unknown = set(given) - set(DEFAULTS) - set(ENVIRONMENT)
    if unknown:
        raise SandboxSDKError(f"there is no configuration key {min(unknown)!r}")
    found: dict[str, Any] = dict(DEFAULTS)
    found.update({key: os.environ[name] for key, name in ENVIRONMENT.items() if os.getenv(name)})
    found.update({key: value for key, value in given.items() if value is not None})
    for key, what in (("api_key", "API key"), ("server_url", "server URL")):
        if not isinstance(found.get(key), str) or not found[key]:
            raise SandboxSDKError(f"Invalid {what} provided")
    if found["log_level"] not in LEVELS:
        raise SandboxSDKError(f"log_level: must be one of {', '.join(LEVELS)}")
    for key in LEAST:
        if found[key] is not None:
            found[key] = _number(key, found[key])
    return found

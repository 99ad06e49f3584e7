"""What the gateway tells of sessions, sandboxes, files and runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

__all__ = ["ExecResult", "FileInfo", "SandboxInfo", "Session"]


def _time(value: str | datetime | None) -> datetime | None:
    if not isinstance(value, str):
        return value
    try:
        return datetime.fromisoformat(value.replace("Z", "+00:00"))
    except ValueError:
        return None


@dataclass
class Session:
    """A session: what a sandbox is acquired for, and what is paused and resumed.

    status is `active`, `paused` or `expired`; sandbox_id is empty until it is acquired;
    workspace_url is where its files are, below the gateway's URL.
    """

    id: str
    user_id: str
    status: str
    sandbox_id: str | None = None
    image: str = "python:3.11-slim"
    cpu_count: int = 2
    memory_mb: int = 2048
    workspace_url: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    last_active_at: datetime | None = None
    expires_at: datetime | None = None
    metadata: dict[str, str] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Session:
        """Of an answer."""
        return cls(
            id=data.get("id", ""),
            user_id=data.get("user_id", ""),
            status=data.get("status", ""),
            sandbox_id=data.get("sandbox_id"),
            image=data.get("image") or cls.image,
            cpu_count=data.get("cpu_count", cls.cpu_count),
            memory_mb=data.get("memory_mb", cls.memory_mb),
            workspace_url=data.get("workspace_url"),
            created_at=_time(data.get("created_at")),
            updated_at=_time(data.get("updated_at")),
            last_active_at=_time(data.get("last_active_at")),
            expires_at=_time(data.get("expires_at")),
            metadata=dict(data.get("metadata") or {}),
        )


@dataclass
class ExecResult:
    """How a run ended, and what it wrote. error: why it did not end by itself; truncated: not all
    that it wrote is here, but in the native API, under run_id."""

    exit_code: int
    stdout: str
    stderr: str
    duration_ms: int
    timed_out: bool = False
    error: str | None = None
    truncated: bool = False
    run_id: str = ""

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ExecResult:
        """Of an answer."""
        return cls(
            exit_code=data.get("exit_code", -1),
            stdout=data.get("stdout", ""),
            stderr=data.get("stderr", ""),
            duration_ms=data.get("duration_ms", 0),
            timed_out=data.get("timed_out", False),
            error=data.get("error"),
            truncated=data.get("truncated", False),
            run_id=data.get("run_id", ""),
        )

    @property
    def success(self) -> bool:
        """It ended by itself, in time, with 0."""
        return self.exit_code == 0 and not self.timed_out and not self.error


@dataclass
class FileInfo:
    """What is known of a file or folder; size is in bytes."""

    name: str
    path: str
    size: int
    is_dir: bool
    mod_time: datetime | None = None

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> FileInfo:
        """Of an answer."""
        return cls(
            name=data.get("name", ""),
            path=data.get("path", ""),
            size=data.get("size", 0),
            is_dir=data.get("is_dir", False),
            mod_time=_time(data.get("mod_time")),
        )


@dataclass
class SandboxInfo:
    """A sandbox that was acquired. It has no address: ip is None."""

    sandbox_id: str
    container_id: str
    status: str
    ip: str | None = None

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> SandboxInfo:
        """Of an answer."""
        return cls(
            sandbox_id=data.get("sandbox_id", ""),
            container_id=data.get("container_id", ""),
            status=data.get("status", ""),
            ip=data.get("ip"),
        )

"""cloud_sandbox on warmcell: isolated sandboxes over its REST API (docs/cloud.md)."""

from warmcell.compat.cloud_sandbox.client import Sandbox, SandboxClient
from warmcell.compat.cloud_sandbox.exceptions import (
    AuthError,
    NotFoundError,
    RateLimitError,
    SandboxError,
    ServiceUnavailableError,
    TimeoutError,  # noqa: A004 - the original's name
)
from warmcell.compat.cloud_sandbox.models import ExecResult, FileInfo, SandboxInfo, Session

__all__ = [
    "AuthError",
    "ExecResult",
    "FileInfo",
    "NotFoundError",
    "RateLimitError",
    "Sandbox",
    "SandboxClient",
    "SandboxError",
    "SandboxInfo",
    "ServiceUnavailableError",
    "Session",
    "TimeoutError",
]

"""The surface of `sandbox_sdk` (sdb-x): a client of servers that speak its REST API, which warmcell
does (docs/coming-from-sandbox_sdk.md)."""

from warmcell.compat.sandbox_sdk.exceptions import (
    AuthenticationError,
    ConnectionError,  # noqa: A004 - the API's own names
    ExecutionError,
    RateLimitError,
    SandboxError,
    SandboxSDKError,
    TimeoutError,  # noqa: A004
)
from warmcell.compat.sandbox_sdk.monitoring import MetricsCollector, MetricsData, RateLimiter
from warmcell.compat.sandbox_sdk.results import ChartType, Execution, Logs, OutputMessage, Result
from warmcell.compat.sandbox_sdk.sdk import SandboxSDK
from warmcell.compat.sandbox_sdk.types import (
    BatchExecutionJob,
    BatchExecutionResult,
    CodeContext,
    CreateContextOptions,
    CreateSandboxOptions,
    ExecutionMetadata,
    ExecutionResult,
    FileInfo,
    FileListResponse,
    RunCodeOptions,
    SandboxConfig,
    SandboxSDKConfig,
    SandboxStatus,
    SandboxTemplate,
    TemplateConfig,
)

__all__ = [
    "AuthenticationError",
    "BatchExecutionJob",
    "BatchExecutionResult",
    "ChartType",
    "CodeContext",
    "ConnectionError",
    "CreateContextOptions",
    "CreateSandboxOptions",
    "Execution",
    "ExecutionError",
    "ExecutionMetadata",
    "ExecutionResult",
    "FileInfo",
    "FileListResponse",
    "Logs",
    "MetricsCollector",
    "MetricsData",
    "OutputMessage",
    "RateLimitError",
    "RateLimiter",
    "Result",
    "RunCodeOptions",
    "SandboxConfig",
    "SandboxError",
    "SandboxSDK",
    "SandboxSDKConfig",
    "SandboxSDKError",
    "SandboxStatus",
    "SandboxTemplate",
    "TemplateConfig",
    "TimeoutError",
]

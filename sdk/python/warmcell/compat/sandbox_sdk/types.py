"""The data classes and enumerations of the API."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any, Callable

from warmcell.compat.sandbox_sdk.exceptions import ExecutionError
from warmcell.compat.sandbox_sdk.results import ChartType, Execution, Logs, OutputMessage, Result

__all__ = [
    "BatchExecutionJob",
    "BatchExecutionResult",
    "ChartType",
    "CodeContext",
    "CreateContextOptions",
    "CreateSandboxOptions",
    "ErrorResponse",
    "Execution",
    "ExecutionError",
    "ExecutionMetadata",
    "ExecutionResult",
    "FileInfo",
    "FileListResponse",
    "FileOperationOptions",
    "Logs",
    "OutputMessage",
    "RateLimitConfig",
    "RateLimitInfo",
    "Result",
    "RunCodeOptions",
    "SandboxConfig",
    "SandboxCreationResponse",
    "SandboxEnvironment",
    "SandboxSDKConfig",
    "SandboxStatus",
    "SandboxTemplate",
    "TemplateConfig",
    "TemplateListResponse",
]


class SandboxStatus(str, Enum):
    """How a sandbox is. It equals its word, as the calls give it."""

    CREATING = "creating"
    READY = "ready"
    RUNNING = "running"
    STOPPED = "stopped"
    ERROR = "error"
    TERMINATED = "terminated"

    def __str__(self) -> str:
        return str(self.value)


@dataclass
class ExecutionMetadata:
    """About a run; duration: milliseconds. It can be read as a dictionary, too."""

    execution_id: str
    sandbox_id: str
    start_time: datetime | None
    context_id: str | None = None
    end_time: datetime | None = None
    duration: float | None = None
    exit_code: int | None = None

    def __getitem__(self, name: str) -> Any:
        if name not in self.__dataclass_fields__:
            raise KeyError(name)
        return getattr(self, name)

    def get(self, name: str, default: Any = None) -> Any:
        """As of a dictionary."""
        return getattr(self, name) if name in self.__dataclass_fields__ else default

    def keys(self) -> list[str]:
        """The names of its fields."""
        return list(self.__dataclass_fields__)


@dataclass
class ExecutionResult:
    """What a run gives; timestamp: milliseconds since 1970."""

    execution: Execution
    metadata: ExecutionMetadata
    timestamp: int


@dataclass
class BatchExecutionJob:
    """A piece of code of a batch; timeout: milliseconds; priority: 1 to 10, the highest first."""

    id: str
    code: str
    language: str | None = None
    timeout: int | None = None
    priority: int | None = None


@dataclass
class BatchExecutionResult:
    """How a job of a batch ended; duration: milliseconds."""

    job_id: str
    success: bool
    duration: float
    execution: Execution | None = None
    error: str | None = None


@dataclass
class RunCodeOptions:
    """Options of run_code; times in milliseconds, max_output_size in bytes of stdout and stderr
    together."""

    on_stdout: Callable[[OutputMessage], None] | None = None
    on_stderr: Callable[[OutputMessage], None] | None = None
    on_result: Callable[[Result], None] | None = None
    on_error: Callable[[ExecutionError], None] | None = None
    envs: dict[str, str] | None = None
    timeout_ms: int | None = None
    request_timeout_ms: int | None = None
    capture_output: bool | None = None
    max_output_size: int | None = None
    context_id: str | None = None
    language: str | None = None


@dataclass
class TemplateConfig:
    """What a template is made with."""

    name: str
    language: str
    version: str
    docker_image: str
    framework: str | None = None
    dependencies: list[str] | None = None
    install_command: str | None = None
    start_command: str | None = None
    default_env_vars: dict[str, str] | None = None
    timeout_ms: int | None = None
    max_instances: int | None = None


@dataclass
class SandboxTemplate:
    """A template."""

    id: str
    config: TemplateConfig
    created_at: datetime
    updated_at: datetime
    is_public: bool
    author_id: str | None = None


@dataclass
class SandboxConfig:
    """A sandbox."""

    id: str
    user_id: str
    template_id: str
    template_config: TemplateConfig
    status: SandboxStatus
    created_at: datetime
    updated_at: datetime
    container_id: str | None = None
    port: int | None = None
    exposed_url: str | None = None
    expires_at: datetime | None = None
    metadata: dict[str, Any] | None = None


@dataclass
class SandboxEnvironment:
    """Environment variables and ports of a sandbox; ports: inside to outside."""

    sandbox_id: str
    variables: dict[str, str]
    ports: dict[int, int]


@dataclass
class SandboxCreationResponse:
    """What create_sandbox gives."""

    sandbox: SandboxConfig
    connection_string: str | None = None
    credentials: dict[str, Any] | None = None


@dataclass
class CodeContext:
    """A context of a sandbox."""

    id: str
    sandbox_id: str
    language: str
    cwd: str
    created_at: datetime


@dataclass
class CreateSandboxOptions:
    """Options of create_sandbox; expiry_time: milliseconds."""

    template_id: str
    name: str | None = None
    expiry_time: int | None = None
    initial_env_vars: dict[str, str] | None = None
    metadata: dict[str, Any] | None = None
    auto_start: bool | None = None


@dataclass
class CreateContextOptions:
    """Options of create_code_context."""

    sandbox_id: str
    cwd: str | None = None
    language: str | None = None
    request_timeout_ms: int | None = None


@dataclass
class FileOperationOptions:
    """Options of the calls for files."""

    sandbox_id: str
    path: str
    encoding: str | None = None
    create_parents: bool | None = None


@dataclass
class FileInfo:
    """A file or folder; size: bytes."""

    path: str
    is_directory: bool
    size: int
    created_at: datetime | None
    modified_at: datetime | None


@dataclass
class FileListResponse:
    """What is in a folder."""

    files: list[FileInfo]
    directory: str


@dataclass
class TemplateListResponse:
    """A page of templates."""

    templates: list[SandboxTemplate]
    total: int
    page: int
    page_size: int


@dataclass
class ErrorResponse:
    """What the server says when it refuses."""

    code: str
    message: str
    details: dict[str, Any] | None = None
    timestamp: int | None = None


@dataclass
class SandboxSDKConfig:
    """The configuration; times in milliseconds; log_level: debug, info, warn or error."""

    api_key: str
    server_url: str
    timeout: int | None = None
    max_retries: int | None = None
    retry_delay: int | None = None
    enable_logging: bool | None = None
    log_level: str | None = None
    enable_metrics: bool | None = None
    metrics_interval: int | None = None
    max_requests_per_minute: int | None = None


@dataclass
class RateLimitConfig:
    """Limits of a user."""

    max_requests_per_minute: int | None = None
    max_concurrent_jobs: int | None = None
    max_sandboxes_per_user: int | None = None
    max_storage_per_sandbox: int | None = None


@dataclass
class RateLimitInfo:
    """How much of a limit is left."""

    remaining: int
    limit: int
    reset_at: datetime

"""The surface of `llm_sandbox`: sessions that run code of a language model in a sandbox.

    with SandboxSession(lang="python") as session:
        print(session.run("print('Hello, World!')").stdout)

docs/coming-from-llm_sandbox.md says what is as it was, what is better, and what differs.
"""

from warmcell.compat.llm_sandbox.artifact import ArtifactSandboxSession
from warmcell.compat.llm_sandbox.const import DefaultImage, SandboxBackend, SupportedLanguage
from warmcell.compat.llm_sandbox.core.config import SessionConfig
from warmcell.compat.llm_sandbox.data import (
    ConsoleOutput,
    ExecutionResult,
    FileType,
    PlotOutput,
    StreamCallback,
)
from warmcell.compat.llm_sandbox.exceptions import (
    ContainerError,
    ResourceError,
    SandboxError,
    SandboxTimeoutError,
    SecurityError,
    ValidationError,
)
from warmcell.compat.llm_sandbox.interactive import (
    InteractiveSandboxSession,
    InteractiveSettings,
    KernelType,
)
from warmcell.compat.llm_sandbox.security import (
    RestrictedModule,
    SecurityIssueSeverity,
    SecurityPattern,
    SecurityPolicy,
    get_security_policy,
)
from warmcell.compat.llm_sandbox.session import SandboxSession, create_session

__all__ = [
    "ArtifactSandboxSession",
    "ConsoleOutput",
    "ContainerError",
    "DefaultImage",
    "ExecutionResult",
    "FileType",
    "InteractiveSandboxSession",
    "InteractiveSettings",
    "KernelType",
    "PlotOutput",
    "ResourceError",
    "RestrictedModule",
    "SandboxBackend",
    "SandboxError",
    "SandboxSession",
    "SandboxTimeoutError",
    "SecurityError",
    "SecurityIssueSeverity",
    "SecurityPattern",
    "SecurityPolicy",
    "SessionConfig",
    "StreamCallback",
    "SupportedLanguage",
    "ValidationError",
    "create_session",
    "get_security_policy",
]

"""The Python client of warmcell.

    import warmcell

    with warmcell.local() as w, w.sandboxes.create() as sandbox:
        print(sandbox.run("1 + 1").text)

Client is for plain calls, AsyncClient for asyncio; everything below them has the same names, with
Async before it. docs/sdk.md shows both.
"""

from warmcell.aio.artifacts import AsyncArtifact, AsyncArtifacts
from warmcell.aio.client import AsyncClient
from warmcell.aio.command import AsyncCommand, AsyncCommands
from warmcell.aio.context import AsyncContext, AsyncContexts
from warmcell.aio.execution import AsyncExecution, Handlers
from warmcell.aio.files import AsyncFiles
from warmcell.aio.packages import AsyncPackages
from warmcell.aio.ports import AsyncPorts
from warmcell.aio.sandbox import AsyncSandbox, AsyncSandboxes
from warmcell.aio.templates import AsyncTemplates
from warmcell.aio.tokens import AsyncTokens
from warmcell.artifacts import Artifact, Artifacts
from warmcell.client import Client, local
from warmcell.command import Command, Commands
from warmcell.context import Context, Contexts
from warmcell.errors import (
    CommandFailedError,
    ConflictError,
    ConnectionLostError,
    ExecutionFailedError,
    ForbiddenError,
    GatewayTimeoutError,
    GoneError,
    InvalidRequestError,
    KernelError,
    LocalGatewayError,
    NotFoundError,
    PreconditionError,
    ProblemError,
    QuotaError,
    RangeError,
    RateLimitError,
    StorageFullError,
    TooLargeError,
    TransportError,
    UnauthorizedError,
    UnavailableError,
    UnprocessableError,
    UnreachableError,
    UnsupportedError,
    WaitTimeoutError,
    WarmcellError,
)
from warmcell.execution import Execution
from warmcell.files import Files
from warmcell.local import LocalGateway
from warmcell.packages import Packages
from warmcell.ports import Ports
from warmcell.sandbox import Sandbox, Sandboxes
from warmcell.templates import Templates
from warmcell.tokens import Tokens

__all__ = [
    "Artifact",
    "Artifacts",
    "AsyncArtifact",
    "AsyncArtifacts",
    "AsyncClient",
    "AsyncCommand",
    "AsyncCommands",
    "AsyncContext",
    "AsyncContexts",
    "AsyncExecution",
    "AsyncFiles",
    "AsyncPackages",
    "AsyncPorts",
    "AsyncSandbox",
    "AsyncSandboxes",
    "AsyncTemplates",
    "AsyncTokens",
    "Client",
    "Command",
    "CommandFailedError",
    "Commands",
    "ConflictError",
    "ConnectionLostError",
    "Context",
    "Contexts",
    "Execution",
    "ExecutionFailedError",
    "Files",
    "ForbiddenError",
    "GatewayTimeoutError",
    "GoneError",
    "Handlers",
    "InvalidRequestError",
    "KernelError",
    "LocalGateway",
    "LocalGatewayError",
    "NotFoundError",
    "Packages",
    "Ports",
    "PreconditionError",
    "ProblemError",
    "QuotaError",
    "RangeError",
    "RateLimitError",
    "Sandbox",
    "Sandboxes",
    "StorageFullError",
    "Templates",
    "Tokens",
    "TooLargeError",
    "TransportError",
    "UnauthorizedError",
    "UnavailableError",
    "UnprocessableError",
    "UnreachableError",
    "UnsupportedError",
    "WaitTimeoutError",
    "WarmcellError",
    "local",
]

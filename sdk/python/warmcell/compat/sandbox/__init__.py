"""The Enhanced Sandbox SDK: Python and JavaScript in sandboxes of this machine and of others.

    from sandbox import LocalSandbox

    async with LocalSandbox.create(name="mine") as sandbox:
        print(await (await sandbox.run("print('Hello')")).output())

docs/coming-from-sandbox.md says what differs from the original.
"""

from __future__ import annotations

from warmcell.compat.sandbox.core.execution_context import PersistentExecutionContext
from warmcell.compat.sandbox.exceptions import (
    SandboxConnectionError,
    SandboxError,
    SandboxExecutionError,
    SandboxNotStartedError,
    SandboxTimeoutError,
    SandboxUnsupportedError,
)
from warmcell.compat.sandbox.sdk import (
    BaseSandbox,
    Command,
    CommandExecution,
    Execution,
    IsolationLevel,
    LocalSandbox,
    Metrics,
    NodeSandbox,
    PythonSandbox,
    RemoteSandbox,
    SandboxConfig,
    SandboxOptions,
)

__all__ = [
    "BaseSandbox",
    "Command",
    "CommandExecution",
    "Execution",
    "IsolationLevel",
    "LocalSandbox",
    "Metrics",
    "NodeSandbox",
    "PersistentExecutionContext",
    "PythonSandbox",
    "RemoteSandbox",
    "SandboxConfig",
    "SandboxConnectionError",
    "SandboxError",
    "SandboxExecutionError",
    "SandboxNotStartedError",
    "SandboxOptions",
    "SandboxTimeoutError",
    "SandboxUnsupportedError",
]

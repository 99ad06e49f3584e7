"""The classes of the SDK."""

from __future__ import annotations

from warmcell.compat.sandbox.sdk.base_sandbox import BaseSandbox
from warmcell.compat.sandbox.sdk.command import Command
from warmcell.compat.sandbox.sdk.command_execution import CommandExecution
from warmcell.compat.sandbox.sdk.config import IsolationLevel, SandboxConfig, SandboxOptions
from warmcell.compat.sandbox.sdk.execution import Execution
from warmcell.compat.sandbox.sdk.local_sandbox import LocalSandbox
from warmcell.compat.sandbox.sdk.metrics import Metrics
from warmcell.compat.sandbox.sdk.node_sandbox import NodeSandbox
from warmcell.compat.sandbox.sdk.python_sandbox import PythonSandbox
from warmcell.compat.sandbox.sdk.remote_sandbox import RemoteSandbox
from warmcell.compat.sandbox.sdk.worktree_sandbox import WorktreeSandbox

__all__ = [
    "BaseSandbox",
    "Command",
    "CommandExecution",
    "Execution",
    "IsolationLevel",
    "LocalSandbox",
    "Metrics",
    "NodeSandbox",
    "PythonSandbox",
    "RemoteSandbox",
    "SandboxConfig",
    "SandboxOptions",
    "WorktreeSandbox",
]

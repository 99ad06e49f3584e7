"""The tools of the original's MCP server, which is not there: each says so, and what to call.

Nothing stands in for them: they raise SandboxToolUnavailableError, whatever they are given.
"""

from __future__ import annotations

from typing import NoReturn

from warmcell.compat.sandbox.exceptions import SandboxUnsupportedError

__all__ = [
    "SandboxToolUnavailableError",
    "cleanup_artifacts",
    "create_manim_animation",
    "execute",
    "get_execution_info",
    "list_artifacts",
    "shell_execute",
    "start_web_app",
]


class SandboxToolUnavailableError(SandboxUnsupportedError):
    """A tool of the MCP server was called, and there is no MCP server. tool: its name."""

    def __init__(self, tool: str, instead: str) -> None:
        super().__init__(f"{tool} is a tool of the MCP server, which is not there; {instead}")
        self.tool = tool


def execute(
    code: str,  # noqa: ARG001 - the signatures are the document's
    interactive: bool = False,  # noqa: ARG001
    web_app_type: str | None = None,  # noqa: ARG001
    session_id: str | None = None,  # noqa: ARG001
) -> NoReturn:
    """Not there; LocalSandbox.run() and PersistentExecutionContext.execute_code() run code."""
    raise SandboxToolUnavailableError("execute", "call PersistentExecutionContext.execute_code()")


def shell_execute(
    command: str,  # noqa: ARG001
    working_directory: str | None = None,  # noqa: ARG001
    timeout: float = 30,  # noqa: ARG001
    session_id: str | None = None,  # noqa: ARG001
) -> NoReturn:
    """Not there; sandbox.command.run() runs programs."""
    raise SandboxToolUnavailableError("shell_execute", "call sandbox.command.run()")


def list_artifacts() -> NoReturn:
    """Not there; LocalSandbox.list_artifacts() lists them."""
    raise SandboxToolUnavailableError("list_artifacts", "call LocalSandbox.list_artifacts()")


def cleanup_artifacts() -> NoReturn:
    """Not there; LocalSandbox.cleanup_artifacts() forgets them."""
    raise SandboxToolUnavailableError("cleanup_artifacts", "call LocalSandbox.cleanup_artifacts()")


def get_execution_info(session_id: str | None = None) -> NoReturn:  # noqa: ARG001
    """Not there; LocalSandbox.get_execution_info() tells it."""
    raise SandboxToolUnavailableError(
        "get_execution_info", "call LocalSandbox.get_execution_info()"
    )


def start_web_app(
    code: str,  # noqa: ARG001
    app_type: str = "flask",  # noqa: ARG001
    port: int | None = None,  # noqa: ARG001
) -> NoReturn:
    """Not there; a server that code in a sandbox starts is reached through the gateway's ports."""
    raise SandboxToolUnavailableError(
        "start_web_app", "start it from code, and reach it by `warmcell port`"
    )


def create_manim_animation(
    code: str | None = None,  # noqa: ARG001
    quality: str = "medium_quality",  # noqa: ARG001
    scene_name: str | None = None,  # noqa: ARG001
    manim_code: str | None = None,  # noqa: ARG001
) -> NoReturn:
    """Not there; where a sandbox has manim, sandbox.command.run("manim", …) renders."""
    raise SandboxToolUnavailableError(
        "create_manim_animation", 'call sandbox.command.run("manim", …) where manim is installed'
    )

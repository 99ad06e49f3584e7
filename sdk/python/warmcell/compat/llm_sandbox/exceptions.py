"""What can go wrong: one tree below SandboxError."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from warmcell.compat.llm_sandbox.data import ConsoleOutput
    from warmcell.compat.llm_sandbox.security import SecurityIssueSeverity, SecurityPattern

__all__ = [
    "CommandEmptyError",
    "CommandFailedError",
    "ContainerError",
    "ExtraArgumentsError",
    "ImageNotFoundError",
    "ImagePullError",
    "InvalidRegexPatternError",
    "LanguageHandlerNotInitializedError",
    "LanguageNotSupportPlotError",
    "LanguageNotSupportedError",
    "LibraryInstallationNotSupportedError",
    "MissingDependencyError",
    "NotOpenSessionError",
    "PackageManagerError",
    "ResourceError",
    "SandboxError",
    "SandboxTimeoutError",
    "SecurityError",
    "SecurityPolicyViolation",
    "SecurityViolationError",
    "UnsupportedBackendError",
    "ValidationError",
]


def _because(sentence: str, why: str | None) -> str:
    return f"{sentence}: {why}" if why else sentence


class SandboxError(Exception):
    """The base of all errors of this package."""


class ContainerError(SandboxError):
    """The sandbox, or the gateway, failed or cannot be reached."""


class SecurityError(SandboxError):
    """What was asked for is not allowed: a path that leads out, a restricted library."""


class ResourceError(SandboxError):
    """A limit or a quota is in the way."""


class ValidationError(SandboxError):
    """What was asked for makes no sense; the sentence names the setting."""


class ExtraArgumentsError(SandboxError):
    """An argument that this session cannot honour."""


class LanguageNotSupportedError(SandboxError):
    """No session of this kind runs that language."""

    def __init__(self, lang: str) -> None:
        super().__init__(f"Language {lang} is not supported")


class ImageNotFoundError(SandboxError):
    """`image` is neither a template of the gateway nor one of DefaultImage."""

    def __init__(self, image: str, why: str | None = None) -> None:
        super().__init__(_because(f"Image {image} not found", why))


class NotOpenSessionError(SandboxError):
    """open() was not called yet, or close() was."""

    def __init__(self) -> None:
        super().__init__("Session is not open: call open(), or use it in a with block")


class LibraryInstallationNotSupportedError(SandboxError):
    """Libraries of this language cannot be installed here; the sentence says why."""

    def __init__(self, lang: str, why: str | None = None) -> None:
        super().__init__(_because(f"Library installation is not supported for {lang}", why))


class CommandEmptyError(SandboxError):
    """A command without a word."""

    def __init__(self) -> None:
        super().__init__("Command cannot be empty")


class CommandFailedError(SandboxError):
    """A command that had to succeed did not."""

    def __init__(self, command: str, exit_code: int, output: str) -> None:
        super().__init__(f"Command {command} failed with exit code {exit_code}:\n{output}")
        self.command = command
        self.exit_code = exit_code
        self.output = output


class PackageManagerError(SandboxError):
    """The language has no package manager."""

    def __init__(self, package_manager: str) -> None:
        super().__init__(f"Package manager {package_manager} not found")


class ImagePullError(SandboxError):
    """Nothing here pulls an image; the name is kept for those who catch it."""

    def __init__(self, image: str, error: str) -> None:
        super().__init__(f"Failed to pull image {image}: {error}")


class UnsupportedBackendError(SandboxError):
    """There is no such backend."""

    def __init__(self, backend: str, why: str | None = None) -> None:
        super().__init__(_because(f"Unsupported backend: {backend}", why))


class MissingDependencyError(SandboxError):
    """The machine of the gateway lacks a toolchain; the sentence names the package."""


class LanguageNotSupportPlotError(SandboxError):
    """Plots are captured of Python and R alone."""

    def __init__(self, lang: str) -> None:
        super().__init__(f"Language {lang} does not support plot detection")


class InvalidRegexPatternError(SandboxError):
    """The pattern of a SecurityPattern cannot be compiled."""

    def __init__(self, pattern: str) -> None:
        super().__init__(f"Invalid regex pattern: {pattern}")


class LanguageHandlerNotInitializedError(SandboxError):
    """No handler is registered for the language."""

    def __init__(self, language: str) -> None:
        super().__init__(f"Language handler for {language} is not initialized.")


class SecurityViolationError(SandboxError):
    """Code was refused by the security policy."""


class SecurityPolicyViolation(SecurityViolationError):
    """What `enforce_security_policy=True` raises in place of running the code."""

    def __init__(
        self,
        violations: Sequence[SecurityPattern],
        severity_threshold: SecurityIssueSeverity | None = None,
    ) -> None:
        self.violations = list(violations)
        self.severity_threshold = severity_threshold
        found = "; ".join(f"[{one.severity.name}] {one.description}" for one in self.violations)
        super().__init__(f"The security policy refuses this code: {found}")


class SandboxTimeoutError(SandboxError):
    """The gateway ended what ran, with all that it had started. timeout_duration: the seconds that
    it had; output: what it had written until then, None where nothing ran; state_retained: whether
    the next cell has the variables, None where there are none to keep."""

    def __init__(
        self,
        message: str,
        timeout_duration: float | None = None,
        output: ConsoleOutput | None = None,
    ) -> None:
        super().__init__(message)
        self.timeout_duration = timeout_duration
        self.output = output
        self.state_retained: bool | None = None

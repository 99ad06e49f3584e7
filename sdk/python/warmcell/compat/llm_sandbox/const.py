"""The names of languages and backends."""

from __future__ import annotations

from enum import Enum

__all__ = ["DefaultImage", "SandboxBackend", "StrEnum", "SupportedLanguage"]


class StrEnum(str, Enum):
    """Members are strings, are printed as their value, and are found in any case:
    `SupportedLanguage("Python")`. ValueError: there is none with that value."""

    def __str__(self) -> str:
        return str(self.value)

    @classmethod
    def _missing_(cls, value: object) -> StrEnum | None:
        wanted = str(value).lower()
        return next((one for one in cls if one.value.lower() == wanted), None)


class SandboxBackend(StrEnum):
    """What isolates the code. DOCKER, PODMAN and MICROMAMBA all mean the sandboxes of warmcell,
    which need no daemon and no image; KUBERNETES is refused with UnsupportedBackendError."""

    DOCKER = "docker"
    KUBERNETES = "kubernetes"
    PODMAN = "podman"
    MICROMAMBA = "micromamba"


class SupportedLanguage(StrEnum):
    """Python is always there, the others where the machine of the gateway has their toolchain."""

    PYTHON = "python"
    JAVA = "java"
    JAVASCRIPT = "javascript"
    CPP = "cpp"
    GO = "go"
    RUBY = "ruby"
    R = "r"


class DefaultImage:
    """Names that stand for the usual sandbox of each language: there are no images here."""

    PYTHON = "warmcell/python"
    JAVA = "warmcell/java"
    JAVASCRIPT = "warmcell/javascript"
    CPP = "warmcell/cpp"
    GO = "warmcell/go"
    RUBY = "warmcell/ruby"
    R = "warmcell/r"

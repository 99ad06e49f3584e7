"""What a language needs to be run by files and commands."""

from __future__ import annotations

import logging
import re
import shlex
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol

from warmcell.compat.llm_sandbox.exceptions import CommandFailedError, PackageManagerError

__all__ = [
    "AbstractLanguageHandler",
    "ContainerProtocol",
    "LanguageConfig",
    "PlotDetectionConfig",
    "PlotLibrary",
]


class ContainerProtocol(Protocol):
    """What can be asked of a container: every session of this package can."""

    def execute_command(self, command: str, workdir: str | None = None) -> Any:
        """Runs a command, and tells its end and its output."""
        ...

    def get_archive(self, path: str) -> tuple[Any, ...]:
        """A file, or a folder with all below it, as the bytes of a tar, and what it is."""
        ...

    def run(self, code: str, libraries: list[str] | None = None) -> Any:
        """Runs code, with these libraries."""
        ...


class PlotLibrary(Enum):
    """Libraries whose plots are captured."""

    MATPLOTLIB = "matplotlib"
    SEABORN = "seaborn"
    PLOTLY = "plotly"
    BOKEH = "bokeh"
    BASE = "base"
    GGPLOT2 = "ggplot2"
    LATTICE = "lattice"


@dataclass
class PlotDetectionConfig:
    """Plots are captured by the kernel of the language: there is no code to be added to a
    user's."""

    libraries: list[PlotLibrary] = field(default_factory=list)


@dataclass
class LanguageConfig:
    """execution_commands: lines for /bin/sh, run one after the other up to the first that fails;
    `{program}` is the first of programs that the sandbox has, `{file}` the file with the code,
    `{binary}` a file beside it that they may make. package: what to install where there is no such
    program."""

    name: str
    file_extension: str
    execution_commands: list[str]
    package_manager: str | None = None
    is_support_library_installation: bool = True
    plot_detection: PlotDetectionConfig | None = None
    programs: tuple[str, ...] = ()
    package: str = ""


class AbstractLanguageHandler(ABC):
    """One language. `config` is to be set by who derives from it."""

    config: LanguageConfig

    def __init__(self, logger: logging.Logger | None = None) -> None:
        self.logger = logger or logging.getLogger(__name__)

    @property
    def name(self) -> str:
        """As SupportedLanguage has it."""
        return self.config.name

    @property
    def file_extension(self) -> str:
        """Of files with code, without a dot."""
        return self.config.file_extension

    @property
    def is_support_library_installation(self) -> bool:
        """Whether libraries of this language can be installed at all."""
        return self.config.is_support_library_installation

    @property
    def is_support_plot_detection(self) -> bool:
        """Whether plots of this language are captured."""
        return self.config.plot_detection is not None

    @property
    def supported_plot_libraries(self) -> list[PlotLibrary]:
        """Those whose plots are captured."""
        return list(self.config.plot_detection.libraries) if self.config.plot_detection else []

    def get_execution_commands(
        self, code_file: str, program: str | None = None, binary: str | None = None
    ) -> list[str]:
        """The lines that run a file. CommandFailedError: there are none."""
        if not self.config.execution_commands:
            raise CommandFailedError(self.name, 1, "this language has no commands that run it")
        words = {
            "file": shlex.quote(code_file),
            "program": shlex.quote(program or next(iter(self.config.programs), self.name)),
            "binary": shlex.quote(binary or f"{code_file}.out"),
        }
        return [line.format(**words) for line in self.config.execution_commands]

    def get_library_installation_command(self, library: str) -> str:
        """The line that installs a library. PackageManagerError: the language has no package
        manager."""
        if not self.config.package_manager:
            raise PackageManagerError(self.name)
        return f"{self.config.package_manager} {shlex.quote(library)}"

    @abstractmethod
    def get_import_patterns(self, module: str) -> str:
        """A regular expression of what imports a module."""

    @staticmethod
    def get_multiline_comment_patterns() -> str:
        """A regular expression of comments with a beginning and an end; by default those of C."""
        return r"/\*[\s\S]*?\*/"

    @staticmethod
    def get_inline_comment_patterns() -> str:
        """A regular expression of comments up to the end of a line; by default those of C++."""
        return r"//[^\n]*"

    @staticmethod
    def get_string_patterns() -> str:
        """A regular expression of literals, in which nothing is a comment."""
        return r'"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\''

    def filter_comments(self, code: str) -> str:
        """Code with its comments as blanks, and its lines where they were."""
        comments = f"{self.get_multiline_comment_patterns()}|{self.get_inline_comment_patterns()}"
        either = re.compile(f"({self.get_string_patterns()})|(?:{comments})", re.MULTILINE)

        def without(found: re.Match[str]) -> str:
            if found.group(1) is not None:
                return found.group(0)
            return re.sub(r"[^\n]", " ", found.group(0))

        return either.sub(without, code)

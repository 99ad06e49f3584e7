"""Security policies: what code is not meant to do, as a hint.

A policy reads code, it does not confine it: whoever wants to can word code so that no reader finds
what it does. What holds code in is the sandbox. A policy says early, and in words, what is not
wanted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import IntEnum

from warmcell.compat.llm_sandbox.exceptions import InvalidRegexPatternError

__all__ = [
    "RestrictedModule",
    "SecurityIssueSeverity",
    "SecurityPattern",
    "SecurityPolicy",
    "get_security_policy",
]


class SecurityIssueSeverity(IntEnum):
    """How bad a finding is. SAFE is none: it is told, and makes no code unsafe."""

    SAFE = 0
    LOW = 1
    MEDIUM = 2
    HIGH = 3


@dataclass
class SecurityPattern:
    """A regular expression that is looked for in code without its comments and docstrings.
    InvalidRegexPatternError: it is none."""

    pattern: str
    description: str
    severity: SecurityIssueSeverity = SecurityIssueSeverity.MEDIUM

    def __post_init__(self) -> None:
        self.severity = SecurityIssueSeverity(self.severity)
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise InvalidRegexPatternError(self.pattern) from error


@dataclass
class RestrictedModule:
    """A module that is not to be imported, nor what is below it."""

    name: str
    description: str
    severity: SecurityIssueSeverity = SecurityIssueSeverity.MEDIUM

    def __post_init__(self) -> None:
        self.severity = SecurityIssueSeverity(self.severity)


@dataclass
class SecurityPolicy:
    """severity_threshold: from which severity on a finding makes code unsafe; with SAFE, the
    default, every finding does that has a severity at all."""

    severity_threshold: SecurityIssueSeverity = SecurityIssueSeverity.SAFE
    patterns: list[SecurityPattern] = field(default_factory=list)
    restricted_modules: list[RestrictedModule] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.severity_threshold = SecurityIssueSeverity(self.severity_threshold)
        self.patterns = list(self.patterns or ())
        self.restricted_modules = list(self.restricted_modules or ())

    def add_pattern(self, pattern: SecurityPattern) -> None:
        """One more pattern; what is there already is not added again."""
        if pattern not in self.patterns:
            self.patterns.append(pattern)

    def add_restricted_module(self, module: RestrictedModule) -> None:
        """One more module; what is there already is not added again."""
        if module not in self.restricted_modules:
            self.restricted_modules.append(module)

    def refuses(self, severity: SecurityIssueSeverity) -> bool:
        """Whether a finding of this severity makes code unsafe."""
        return severity > SecurityIssueSeverity.SAFE and severity >= self.severity_threshold


_LOW, _MEDIUM, _HIGH = (
    SecurityIssueSeverity.LOW,
    SecurityIssueSeverity.MEDIUM,
    SecurityIssueSeverity.HIGH,
)
# what policies are put together from: (expression, words, severity)
_PATTERNS = {
    "shell": (r"\bos\.(system|popen)\s*\(", "Runs a line in a shell", _HIGH),
    "process": (r"\bsubprocess\.\w+\s*\(", "Starts another program", _HIGH),
    "evaluation": (r"(?<![\w.])(eval|exec)\s*\(", "Runs text as code", _MEDIUM),
    "import": (r"\b__import__\s*\(", "Imports by a name in text", _MEDIUM),
    "removal": (r"\b(os\.(remove|unlink|rmdir)|shutil\.rmtree)\s*\(", "Removes files", _MEDIUM),
    "writing": (r"\bopen\s*\([^)]*,\s*['\"][rb+t]*[wax]", "Writes to a file", _LOW),
    "socket": (r"\bsocket\.socket\s*\(", "Opens a socket", _MEDIUM),
}
_MODULES = {
    "ctypes": ("Calls functions of C libraries", _HIGH),
    "os": ("The operating system", _HIGH),
    "subprocess": ("Other programs", _HIGH),
    "multiprocessing": ("Other processes", _MEDIUM),
    "importlib": ("Imports by a name in text", _MEDIUM),
    "pickle": ("Makes objects, and runs code, of bytes", _MEDIUM),
    "socket": ("The network", _MEDIUM),
    "requests": ("The network, by HTTP", _LOW),
    "httpx": ("The network, by HTTP", _LOW),
    "urllib": ("The network, by URLs", _LOW),
    "http": ("The network, by HTTP", _LOW),
    "shutil": ("Copies and removes folders", _LOW),
}
_PROGRAMS = ("ctypes", "subprocess", "multiprocessing")
_PROCESSES = (*_PROGRAMS, "os")
_NETWORK = ("socket", "requests", "httpx", "urllib", "http")
_BY_NAME: dict[str, tuple[SecurityIssueSeverity, tuple[str, ...], tuple[str, ...]]] = {
    "minimal": (_HIGH, ("shell", "process"), ()),
    "development": (_HIGH, ("shell", "process"), ("ctypes",)),
    "educational": (_MEDIUM, ("shell", "process", "removal"), (*_PROCESSES, *_NETWORK)),
    "data_science": (_MEDIUM, ("shell", "process", "evaluation"), _PROGRAMS),
    "web_scraping": (_MEDIUM, ("shell", "process", "evaluation"), _PROGRAMS),
    "production": (
        _LOW,
        ("shell", "process", "evaluation", "import", "removal", "socket"),
        (*_PROCESSES, *_NETWORK, "importlib", "pickle"),
    ),
    "strict": (_LOW, tuple(_PATTERNS), tuple(_MODULES)),
}


def get_security_policy(name: str) -> SecurityPolicy:
    """A policy to start from, the caller's own to change: "minimal", "development", "educational",
    "data_science", "web_scraping", "production" or "strict". ValueError: there is none of that
    name."""
    found = _BY_NAME.get(name.lower())
    if found is None:
        raise ValueError(f"there is no security policy {name!r}: one of {', '.join(_BY_NAME)}")
    threshold, patterns, modules = found
    return SecurityPolicy(
        threshold,
        [SecurityPattern(*_PATTERNS[one]) for one in patterns],
        [RestrictedModule(one, *_MODULES[one]) for one in modules],
    )

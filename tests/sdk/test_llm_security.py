"""Security policies of llm_sandbox: what is_safe finds, and that it is enforced when asked for."""

from __future__ import annotations

from functools import partial

import pytest
from llm_sandbox import (
    InteractiveSandboxSession,
    SandboxSession,
    SecurityIssueSeverity,
    SecurityPattern,
    SecurityPolicy,
    exceptions,
    get_security_policy,
)
from llm_sandbox.security import RestrictedModule

HIGH, LOW, SAFE = (
    SecurityIssueSeverity.HIGH,
    SecurityIssueSeverity.LOW,
    SecurityIssueSeverity.SAFE,
)
OS = RestrictedModule("os", "the system", HIGH)


def found(code: str, policy: SecurityPolicy, lang: str = "python") -> tuple[bool, list[str]]:
    """No session is opened for it: nothing runs."""
    safe, violations = SandboxSession(lang=lang, security_policy=policy).is_safe(code)
    return safe, [one.description for one in violations]


IMPORTS = [
    "import os",
    "import sys, os",
    "import os.path as p",
    "from os import path",
    "from os.path import join",
    "x = '#'; import os",
    "x = '''#'''; import os",
    "__import__('os')",
    "__import__(name='os')",
    "import importlib\nimportlib.import_module('os')",
    "from importlib import import_module as load\nload('os')",
    "load = __import__\nload('os')",
    "__import__('o' + 's')",
    "exec('''import os''')",
    "eval(\"__import__('os')\")",
    "exec(b'import os')",
    "exec('exec(\"import os\")')",
    "def f():\n    import os",
    "if 0:\n    import os",
    "%time 1\nimport os",
    "!ls\nx = 1; import os",
    "import os as (",
]
NAMES_COMPUTED = [
    "__import__(name)",
    "import importlib\nimportlib.import_module(f())",
    "%x\n__import__(n)",
]
HARMLESS = [
    "'''import os'''",
    "def f():\n    '''import os, as they say'''\n    return 1",
    "# import os",
    "x = 1  # import os",
    "import ossify",
    "import posix_os",
    "from . import os_like",
    "print('import os')",
    "os = 1",
    "%who\n!ls -la",
    "",
]


@pytest.mark.parametrize("code", IMPORTS)
def test_an_import_is_found_however_it_is_worded(code: str) -> None:
    assert found(code, SecurityPolicy(HIGH, [], [OS])) == (False, ["os: the system"])


def test_an_import_whose_name_is_computed_may_be_any() -> None:
    for code in NAMES_COMPUTED:
        safe, words = found(code, SecurityPolicy(HIGH, [], [OS]))
        assert not safe and "computes" in words[-1], code
        assert found(code, SecurityPolicy(HIGH)) == (True, [])


@pytest.mark.parametrize("code", HARMLESS)
def test_what_imports_nothing_is_not_blamed(code: str) -> None:
    assert found(code, SecurityPolicy(SAFE, [], [OS])) == (True, [])


def test_patterns_and_severities() -> None:
    secret = SecurityPattern(r"secret\(", "asks for a secret", LOW)
    note = SecurityPattern(r"note\(", "notes something", SAFE)
    both = "secret('#')\nnote(1)"
    for threshold, safe in ((SAFE, False), (LOW, False), (HIGH, True)):
        policy = SecurityPolicy(threshold, [secret, note])
        for _ in range(3):  # each time the same, each finding once
            assert found(both, policy) == (safe, ["asks for a secret", "notes something"])
    assert found("note(1)", SecurityPolicy(SAFE, [note])) == (True, ["notes something"])
    assert found("# secret()\n'''secret()'''\n", SecurityPolicy(SAFE, [secret])) == (True, [])
    assert found("x = 'ü'  # secret()\nx = 'secret('", SecurityPolicy(SAFE, [secret]))[0] is False
    assert SecurityPolicy().severity_threshold is SAFE
    assert SandboxSession().is_safe("import os") == (True, [])

    policy = SecurityPolicy(LOW, [secret])
    for _ in range(2):
        policy.add_pattern(SecurityPattern(r"secret\(", "asks for a secret", LOW))
        policy.add_restricted_module(OS)
    assert (policy.patterns, policy.restricted_modules) == ([secret], [OS])
    assert SecurityPattern("a", "b").severity is SecurityIssueSeverity.MEDIUM
    assert RestrictedModule("a", "b").severity is SecurityIssueSeverity.MEDIUM
    with pytest.raises(exceptions.InvalidRegexPatternError, match="unclosed"):
        SecurityPattern("(unclosed", "no pattern")


def test_presets() -> None:
    thresholds = {
        "minimal": "HIGH",
        "development": "HIGH",
        "educational": "MEDIUM",
        "data_science": "MEDIUM",
        "web_scraping": "MEDIUM",
        "production": "LOW",
        "strict": "LOW",
    }
    for name, threshold in thresholds.items():
        policy = get_security_policy(name)
        assert policy.severity_threshold.name == threshold
        assert found("print(sum(range(10)))", policy) == (True, [])
        assert found("import os; os.system('id')", policy)[0] is False
        assert found("import subprocess; subprocess.run(['id'])", policy)[0] is False
    for name in ("production", "strict", "educational"):
        assert found("import socket", get_security_policy(name))[0] is False
    assert found("model.eval()\nimport numpy as np", get_security_policy("production"))[0]
    assert found("open('x', 'w')", get_security_policy("strict"))[0] is False
    changed = get_security_policy("minimal")
    changed.patterns.clear()
    assert get_security_policy("minimal").patterns
    with pytest.raises(ValueError, match="production"):
        get_security_policy("lax")


OTHERS = {
    "javascript": ("fs", "const fs = require('node:fs')", "// require('fs')\nlet x = '//'"),
    "java": ("java.io", "import java.io.File;", "/* import java.io.File; */ class A {}"),
    "cpp": ("fstream", "#include <fstream>", "// #include <fstream>"),
    "go": ("os", 'import (\n"fmt"\n"os"\n)', '// import "os"'),
    "ruby": ("socket", "require 'socket'", "=begin\nrequire 'socket'\n=end\nx = 1 # it"),
    "r": ("system", "library(system)", "# library(system)"),
}


@pytest.mark.parametrize("lang", OTHERS)
def test_other_languages(lang: str) -> None:
    module, bad, good = OTHERS[lang]
    policy = SecurityPolicy(LOW, [], [RestrictedModule(module, "it", LOW)])
    assert found(bad, policy, lang) == (False, [f"{module}: it"])
    assert found(good, policy, lang) == (True, [])


def test_a_policy_is_enforced_when_asked_for(own_gateway: str) -> None:
    policy = SecurityPolicy(HIGH, [SecurityPattern("odd", "is odd", LOW)], [OS])
    with SandboxSession(security_policy=policy) as session:
        assert session.run("import os; print('ran')").stdout == "ran\n"
        for way in (session.safe_run, partial(session.run, enforce_security_policy=True)):
            with pytest.raises(exceptions.SecurityPolicyViolation, match="the system") as raised:
                way("open('ran', 'w'); import os  # odd")
            assert [one.severity for one in raised.value.violations] == [HIGH]
            assert raised.value.severity_threshold is HIGH
            assert isinstance(raised.value, exceptions.SecurityViolationError)
        assert not session.execute_command("ls ran").success()
        assert session.safe_run("print('odd')").stdout == "odd\n"
        with pytest.raises(exceptions.SecurityError, match="OS"):
            session.install(["OS"])
    cells = InteractiveSandboxSession(security_policy=policy, enforce_security_policy=True)
    with cells:
        with pytest.raises(exceptions.SecurityPolicyViolation):
            cells.run("x = 1; import os")
        assert "NameError" in cells.run("x").stderr
        assert cells.run("import os", enforce_security_policy=False).success()

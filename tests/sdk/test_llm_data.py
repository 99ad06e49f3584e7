"""The data, errors, enumerations, languages and modules of llm_sandbox."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError, replace
from typing import Any

import llm_sandbox
import pytest
import warmcell.compat.llm_sandbox as ours
from llm_sandbox import (
    ConsoleOutput,
    DefaultImage,
    ExecutionResult,
    FileType,
    PlotOutput,
    SandboxBackend,
    SecurityIssueSeverity,
    SessionConfig,
    SupportedLanguage,
    exceptions,
)
from llm_sandbox.language_handlers import (
    AbstractLanguageHandler,
    LanguageConfig,
    LanguageHandlerFactory,
    PlotLibrary,
)


def test_the_names_at_the_top() -> None:
    assert all(getattr(llm_sandbox, one) is getattr(ours, one) for one in ours.__all__)
    assert llm_sandbox.SandboxSession is llm_sandbox.create_session


def test_outputs() -> None:
    output = ConsoleOutput()
    assert (output.exit_code, output.stderr, output.stdout) == (0, "", "")
    assert output.success() and not ConsoleOutput(1).success()
    with pytest.warns(DeprecationWarning, match="stdout"):
        assert ConsoleOutput(0, "", "said").text() == "said"
    with pytest.raises(FrozenInstanceError):
        output.stdout = "other"  # type: ignore[misc]
    plot = PlotOutput(FileType.PNG, "AA==")
    assert (plot.width, plot.height, plot.dpi) == (None, None, None)
    result = ExecutionResult(2, "err", "out", [replace(plot, width=1)])
    assert isinstance(result, ConsoleOutput) and ExecutionResult().plots == []
    told = {"exit_code": 2, "stderr": "err", "stdout": "out"}
    assert json.loads(result.to_json()) == told
    plots = json.loads(result.to_json(include_plots=True))["plots"]
    assert plots == [
        {"format": "png", "content_base64": "AA==", "width": 1, "height": None, "dpi": None}
    ]


def test_enumerations() -> None:
    assert [one.value for one in SandboxBackend] == ["docker", "kubernetes", "podman", "micromamba"]
    languages = ["python", "java", "javascript", "cpp", "go", "ruby", "r"]
    assert [one.value for one in SupportedLanguage] == languages
    assert LanguageHandlerFactory.get_supported_languages()[:7] == languages
    assert SupportedLanguage("Python") is SupportedLanguage.PYTHON
    assert f"{SupportedLanguage.CPP}" == "cpp"
    with pytest.raises(ValueError, match="cobol"):
        SupportedLanguage("cobol")
    kinds = ["png", "jpeg", "pdf", "svg", "csv", "json", "txt", "html"]
    assert [one.value for one in FileType] == kinds
    severities = [(one.name, one.value) for one in SecurityIssueSeverity]
    assert severities == [("SAFE", 0), ("LOW", 1), ("MEDIUM", 2), ("HIGH", 3)]
    assert all(hasattr(DefaultImage, one.name) for one in SupportedLanguage)


# of each error what it is made with, and a word of its sentence
ERRORS: dict[str, tuple[tuple[Any, ...], str]] = {
    "ContainerError": (("it is gone",), "gone"),
    "SecurityError": (("a path",), "path"),
    "ResourceError": (("memory",), "memory"),
    "ValidationError": (("cpu_count",), "cpu_count"),
    "ExtraArgumentsError": (("colour",), "colour"),
    "LanguageNotSupportedError": (("cobol",), "Language cobol is not supported"),
    "ImageNotFoundError": (("python:9",), "python:9 not found"),
    "NotOpenSessionError": ((), "not open"),
    "LibraryInstallationNotSupportedError": (("java",), "not supported for java"),
    "CommandEmptyError": ((), "empty"),
    "CommandFailedError": (("ls", 2, "no such file"), "ls failed with exit code 2:\nno such"),
    "PackageManagerError": (("pip",), "pip not found"),
    "ImagePullError": (("python:9", "no network"), "python:9: no network"),
    "UnsupportedBackendError": (("lxc",), "Unsupported backend: lxc"),
    "MissingDependencyError": (("install r-base",), "r-base"),
    "LanguageNotSupportPlotError": (("go",), "go does not support plot"),
    "InvalidRegexPatternError": (("(",), "pattern: ("),
    "LanguageHandlerNotInitializedError": (("go",), "handler for go"),
    "SecurityViolationError": (("refused",), "refused"),
    "SandboxTimeoutError": (("it took", 3.0), "it took"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_an_error(name: str) -> None:
    arguments, words = ERRORS[name]
    error: Any = getattr(exceptions, name)(*arguments)
    assert issubclass(type(error), exceptions.SandboxError) and words in str(error)
    assert set(ours.exceptions.__all__) == {*ERRORS, "SandboxError", "SecurityPolicyViolation"}
    more = vars(error)
    if name == "SandboxTimeoutError":
        assert more == {"timeout_duration": 3.0, "output": None, "state_retained": None}
    if name == "CommandFailedError":
        assert tuple(more.values()) == arguments


def test_the_configuration_of_a_session() -> None:
    config = SessionConfig()
    assert (config.lang, config.workdir) == (SupportedLanguage.PYTHON, "/sandbox")
    assert (config.default_timeout, config.execution_timeout) == (60.0, None)
    assert config.get_execution_timeout() == 60.0
    assert SessionConfig(execution_timeout=5).get_execution_timeout() == 5
    assert SessionConfig(container_id="one").is_using_existing_container()
    assert not config.is_using_existing_container()
    wrong: list[dict[str, Any]] = [
        {"image": "a", "dockerfile": "b"},
        {"container_id": "a", "image": "b"},
        {"session_timeout": 0},
    ]
    for one in wrong:
        with pytest.raises(ValueError, match=next(iter(one))):
            SessionConfig(**one)


class EchoHandler(AbstractLanguageHandler):
    """A language that a user adds."""

    config = LanguageConfig("echo", "txt", ["cat {file}"], programs=("cat",))

    def get_import_patterns(self, module: str) -> str:
        return module


def test_languages() -> None:
    python = LanguageHandlerFactory.create_handler("PYTHON")
    assert (python.name, python.file_extension) == ("python", "py")
    assert python.is_support_plot_detection and python.is_support_library_installation
    assert PlotLibrary.MATPLOTLIB in python.supported_plot_libraries
    assert python.get_execution_commands("a b.py", "/usr/bin/python3") == [
        "/usr/bin/python3 -u 'a b.py'"
    ]
    assert python.get_library_installation_command("a;b") == "pip install 'a;b'"
    assert python.filter_comments("x = '#'  # it\ny") == "x = '#'      \ny"
    java = LanguageHandlerFactory.create_handler("java")
    assert not java.is_support_plot_detection and java.supported_plot_libraries == []
    assert java.filter_comments('a /* b\n */ "//" // c') == 'a     \n    "//"     '
    with pytest.raises(exceptions.PackageManagerError):
        java.get_library_installation_command("it")
    with pytest.raises(exceptions.LanguageNotSupportedError):
        LanguageHandlerFactory.create_handler("echo")
    echo = EchoHandler()
    assert echo.get_execution_commands("f") == ["cat f"]
    echo.config = LanguageConfig("echo", "txt", [])
    with pytest.raises(exceptions.CommandFailedError, match="no commands"):
        echo.get_execution_commands("f")

"""The languages, each by its configuration and by how it imports."""

from __future__ import annotations

import re

from warmcell.compat.llm_sandbox.language_handlers.base import (
    AbstractLanguageHandler,
    LanguageConfig,
    PlotDetectionConfig,
    PlotLibrary,
)

__all__ = [
    "CppHandler",
    "GoHandler",
    "JavaHandler",
    "JavaScriptHandler",
    "PythonHandler",
    "RHandler",
    "RubyHandler",
]


class PythonHandler(AbstractLanguageHandler):
    """Python: the one of the sandbox's environment, with what is installed in it."""

    config = LanguageConfig(
        name="python",
        file_extension="py",
        execution_commands=["{program} -u {file}"],
        package_manager="pip install",
        plot_detection=PlotDetectionConfig(
            [
                PlotLibrary.MATPLOTLIB,
                PlotLibrary.SEABORN,
                PlotLibrary.PLOTLY,
                PlotLibrary.BOKEH,
            ]
        ),
        programs=("python3", "python"),
        package="python3",
    )

    def get_import_patterns(self, module: str) -> str:
        """Of `import a, module` and `from module import …`."""
        name = re.escape(module)
        return rf"\bimport\s+(?:[\w.]+\s*,\s*)*{name}\b|\bfrom\s+{name}(?:\.[\w.]+)?\s+import\b"

    @staticmethod
    def get_multiline_comment_patterns() -> str:
        """Python has none: a text between three quotes is one that the code may use."""
        return r"(?!)"

    @staticmethod
    def get_inline_comment_patterns() -> str:
        """From "#" on."""
        return r"#[^\n]*"

    @staticmethod
    def get_string_patterns() -> str:
        """Also those between three quotes."""
        long = r'"""(?:\\.|[^\\])*?"""' + r"|'''(?:\\.|[^\\])*?'''"
        return f"{long}|{AbstractLanguageHandler.get_string_patterns()}"


class JavaScriptHandler(AbstractLanguageHandler):
    """JavaScript, by Node."""

    config = LanguageConfig(
        name="javascript",
        file_extension="js",
        execution_commands=["{program} {file}"],
        package_manager="npm install",
        programs=("node", "nodejs"),
        package="nodejs",
    )

    def get_import_patterns(self, module: str) -> str:
        """Of require(), import … from, import "…" and import()."""
        name = rf"['\"`](?:node:)?{re.escape(module)}(?:/[^'\"`]*)?['\"`]"
        return rf"(?:\brequire\s*\(|\bfrom|\bimport\s*\(?)\s*{name}"

    @staticmethod
    def get_string_patterns() -> str:
        """Also templates."""
        return rf"{AbstractLanguageHandler.get_string_patterns()}|`(?:\\.|[^`\\])*`"


class JavaHandler(AbstractLanguageHandler):
    """Java: one file, which need not be named for its class."""

    config = LanguageConfig(
        name="java",
        file_extension="java",
        execution_commands=["{program} {file}"],
        is_support_library_installation=False,
        programs=("java",),
        package="default-jdk-headless",
    )

    def get_import_patterns(self, module: str) -> str:
        """Of `import module.Class;`."""
        return rf"\bimport\s+(?:static\s+)?{re.escape(module)}\b"


class CppHandler(AbstractLanguageHandler):
    """C++: compiled, and run."""

    config = LanguageConfig(
        name="cpp",
        file_extension="cpp",
        execution_commands=["{program} -std=c++17 -o {binary} {file}", "{binary}"],
        is_support_library_installation=False,
        programs=("g++", "clang++", "c++"),
        package="g++",
    )

    def get_import_patterns(self, module: str) -> str:
        """Of #include."""
        return rf"^\s*#\s*include\s*[<\"]{re.escape(module)}[>\"]".replace("^", "(?m:^)", 1)


class GoHandler(AbstractLanguageHandler):
    """Go: built, and run, so that the exit code is the program's own."""

    config = LanguageConfig(
        name="go",
        file_extension="go",
        execution_commands=["{program} build -o {binary} {file}", "{binary}"],
        package_manager="go get",
        programs=("go", "/usr/local/go/bin/go", "/usr/lib/go/bin/go"),
        package="golang-go",
    )

    def get_import_patterns(self, module: str) -> str:
        """Of a path in an import."""
        name = re.escape(module)
        return rf"\bimport\b\s*(?:\w+\s+|\.\s*)?\"{name}\"|\bimport\s*\([^)]*\"{name}\""


class RubyHandler(AbstractLanguageHandler):
    """Ruby."""

    config = LanguageConfig(
        name="ruby",
        file_extension="rb",
        execution_commands=["{program} {file}"],
        package_manager="gem install --user-install",
        programs=("ruby",),
        package="ruby",
    )

    def get_import_patterns(self, module: str) -> str:
        """Of require and load."""
        return rf"\b(?:require|require_relative|load|gem)\s*\(?\s*['\"]{re.escape(module)}['\"/]"

    @staticmethod
    def get_multiline_comment_patterns() -> str:
        """From =begin to =end."""
        return r"^=begin\b[\s\S]*?^=end\b"

    @staticmethod
    def get_inline_comment_patterns() -> str:
        """From "#" on."""
        return r"#[^\n]*"


class RHandler(AbstractLanguageHandler):
    """R."""

    config = LanguageConfig(
        name="r",
        file_extension="R",
        execution_commands=["{program} --vanilla {file}"],
        is_support_library_installation=False,
        plot_detection=PlotDetectionConfig(
            [
                PlotLibrary.BASE,
                PlotLibrary.GGPLOT2,
                PlotLibrary.PLOTLY,
                PlotLibrary.LATTICE,
            ]
        ),
        programs=("Rscript",),
        package="r-base-core",
    )

    def get_import_patterns(self, module: str) -> str:
        """Of library(), require(), requireNamespace() and module::name."""
        name = re.escape(module)
        return (
            rf"\b(?:library|require|requireNamespace)\s*\(\s*['\"]?{name}['\"]?\s*[,)]|\b{name}::"
        )

    @staticmethod
    def get_multiline_comment_patterns() -> str:
        """R has none."""
        return r"(?!)"

    @staticmethod
    def get_inline_comment_patterns() -> str:
        """From "#" on."""
        return r"#[^\n]*"

"""What can be said of code before it runs, and code to begin with."""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Mapping
from typing import Any

__all__ = ["CodeValidator"]

TEMPLATES: Mapping[str, str] = {
    "data_analysis": """\
import pandas as pd

data = pd.DataFrame({"x": [1, 2, 3], "y": [2.0, 4.1, 5.9]})
print(data.describe())
""",
    "plot": """\
import matplotlib.pyplot as plt

plt.plot([1, 2, 3], [2.0, 4.1, 5.9])
plt.title("Title")
plt.show()
""",
    "file_processing": """\
import csv

with open("out.csv", "w", newline="") as file:
    csv.writer(file).writerows([["a", "b"], [1, 2]])
""",
    "class": """\
class Example:
    def __init__(self, value):
        self.value = value

    def doubled(self):
        return 2 * self.value


print(Example(21).doubled())
""",
}


class CodeValidator:
    """Looks at code without running it, as the caller's Python reads it. The interpreter in the
    sandbox may be newer, and knows magics and `!` besides: it is the judge of what runs."""

    def validate_and_format(self, code: str) -> dict[str, Any]:
        """valid; issues: sentences; formatted_code: without common indentation and with a last
        line's end."""
        formatted = textwrap.dedent(code).strip("\n")
        formatted = f"{formatted}\n" if formatted else ""
        issues = []
        try:
            compile(formatted, "<code>", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        except SyntaxError as error:
            issues.append(f"line {error.lineno}: {error.msg}")
        except ValueError as error:  # a NUL
            issues.append(str(error))
        return {"valid": not issues, "issues": issues, "formatted_code": formatted}

    def get_available_templates(self) -> list[str]:
        """The names of what get_code_template gives."""
        return list(TEMPLATES)

    def get_code_template(self, template_type: str) -> str:
        """Code to begin with. ValueError: there is none of that name."""
        try:
            return TEMPLATES[template_type]
        except KeyError:
            known = ", ".join(TEMPLATES)
            raise ValueError(f"{template_type!r} is none of the templates {known}") from None

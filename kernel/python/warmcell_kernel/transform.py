"""A cheap proof that IPython's input transformation leaves a cell as it is.

The transformation costs more than three times what compiling costs. Each rule here excludes, by
text alone, everything that one of its steps could change; a cell in doubt goes the long way.
"""

from __future__ import annotations

import re
from typing import Any

from IPython.core import inputtransformer2 as it2
from IPython.core.autocall import IPyAutocall
from IPython.core.macro import Macro
from IPython.core.prefilter import _default_checkers

SUSPICIOUS = re.compile(
    r"""
    \A\s                                  # leading blank lines or indentation
    | ^[^\S\n]+$                          # a line of blanks alone: dedent empties it
    | [\r\x0b\x0c\x1c-\x1f\x85\u2028\u2029\x00]  # other ends of lines
    | \?                                  # help
    | ^[^\S\n]*[!%,;/]                    # escapes
    | =[\s\\]*[!%]                        # assignments of magics and commands
    | >>> | \.\.\. | In\ \[               # prompts
    """,
    re.VERBOSE | re.MULTILINE,
)
# what prefilter takes as the function of a line: %{0,2}[\w.*]* after an escape and blanks
HEAD = re.compile(r"[\w.*]*")

CLEANUPS = [it2.leading_empty_lines, it2.leading_indent, it2.classic_prompt, it2.ipython_prompt]
LINES = [it2.cell_magic]
TOKENS = [it2.MagicAssign, it2.SystemAssign, it2.EscapedCommand, it2.HelpEnd]


def _is_pristine(shell: Any) -> bool:
    """Whether the transformers are IPython's own, so that the rules speak of them."""
    manager = shell.input_transformer_manager
    prefilter = shell.prefilter_manager
    return bool(
        type(manager) is it2.TransformerManager
        and manager.cleanup_transforms == CLEANUPS
        and manager.line_transforms == LINES
        and manager.token_transformers == TOKENS
        and not shell.input_transformers_post
        and not prefilter.transformers
        and list(map(type, prefilter.checkers)) == _default_checkers
        and not prefilter.checkers[0].enabled
        and not shell.autocall
    )


def _line_is_plain(shell: Any, line: str) -> bool:
    """Whether prefilter leaves a cell of one line: it names no magic, macro or autocall object."""
    match = HEAD.match(line)
    name = match.group() if match else ""
    value = shell.user_ns.get(name)
    if isinstance(value, Macro | IPyAutocall):
        return False
    return not (shell.automagic and shell.find_magic(name))


def unchanged(shell: Any, cell: str) -> str | None:
    """What transform_cell(cell) gives where that is the cell itself (with a newline), or None."""
    if SUSPICIOUS.search(cell) or not cell or not _is_pristine(shell):
        return None
    whole = cell if cell.endswith("\n") else cell + "\n"
    if whole.find("\n") == len(whole) - 1 and not _line_is_plain(shell, whole[:-1]):
        return None
    return whole

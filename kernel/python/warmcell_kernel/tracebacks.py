"""IPython's coloured tracebacks, byte for byte, without building the same tables for each of them.

Two functions that IPython calls for a traceback define a class on every call, and from the class
follow tables of regular expressions and of colours: six of the eight milliseconds that a traceback
takes. They depend on the theme alone, so they are made once. What is imported only for tracebacks
is imported when the kernel first has nothing to do, so that the first error does not wait for it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

Ranges = list[tuple[int, int]]


@functools.cache
def prepare() -> None:
    """Puts the remembering functions in the places of the forgetful ones, once."""
    import stack_data
    from stack_data import core

    if hasattr(core, "_pygmented_with_ranges") and hasattr(stack_data, "style_with_executing_node"):
        core._pygmented_with_ranges = highlight
        stack_data.style_with_executing_node = functools.lru_cache(maxsize=16)(
            stack_data.style_with_executing_node
        )
        remember_colours()


@functools.cache
def marking_lexer() -> type:
    """The lexer that marks the tokens which begin inside the executing node."""
    from pygments.lexers.python import PythonLexer

    class MarkingLexer(PythonLexer):
        ranges: Ranges

        def get_tokens(self, text: str) -> Iterator[tuple[Any, str]]:
            at = 0
            for kind, value in super().get_tokens(text):
                marked = any(start <= at < end for start, end in self.ranges)
                yield (kind.ExecutingNode if marked else kind), value
                at += len(value)

    return MarkingLexer


def highlight(formatter: Any, code: str, ranges: Ranges) -> list[str]:
    """The lines of code in colour, the ranges marked; without colour where pygments fails."""
    import pygments

    lexer = marking_lexer()(stripnl=False)
    lexer.ranges = ranges
    try:
        text = pygments.highlight(code, lexer, formatter)
    except Exception:
        text = code
    lines: list[str] = text.splitlines()
    return lines


def remember_colours() -> None:
    """Lets a formatter take over the escape sequences that an earlier one of its style made."""
    from pygments.formatters.terminal256 import Terminal256Formatter

    set_up: Callable[[Any], None] = Terminal256Formatter._setup_styles
    made: dict[Any, tuple[dict[str, Any], dict[str, Any]]] = {}

    @functools.wraps(set_up)
    def set_up_once(self: Any) -> None:
        key = (self.style, self.usebold, self.useunderline, self.useitalic)
        if key not in made:
            set_up(self)
            if len(made) < 16:
                made[key] = (dict(self.style_string), dict(self.best_match))
            return
        self.style_string, self.best_match = map(dict, made[key])

    Terminal256Formatter._setup_styles = set_up_once


def warm_up(shell: Any) -> Iterator[None]:
    """Does what the first traceback would, in steps of some milliseconds."""
    for name in ("executing", "asttokens.asttokens", "stack_data", "pygments.lexers.python"):
        __import__(name)
        yield
    prepare()
    yield
    marking_lexer()(stripnl=False)
    yield
    try:
        raise KeyboardInterrupt
    except KeyboardInterrupt as error:
        shell.InteractiveTB.structured_traceback(type(error), error, error.__traceback__)

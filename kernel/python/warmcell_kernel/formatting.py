"""Formatting of displayed values, with a short way for int, bool and str.

IPython asks eleven formatters for every value. For a plain number or string only repr() comes out
of it, unless somebody registered a printer that would be found for one; the short way is taken only
when there is none.
"""

from __future__ import annotations

from typing import Any

from IPython.core.formatters import BaseFormatter, DisplayFormatter, PlainTextFormatter
from IPython.lib import pretty

PLAIN = (int, bool, str)
# what a printer for one of these types would be registered for
TYPES = frozenset({int, bool, str, object})
NAMES = frozenset((t.__module__, t.__qualname__) for t in TYPES)
PRETTY = {t: pretty._type_pprinters.get(t) for t in TYPES}


class ShellDisplayFormatter(DisplayFormatter):
    """Gives what DisplayFormatter gives."""

    def format(
        self, obj: Any, include: Any = None, exclude: Any = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        if type(obj) in PLAIN and include is None and exclude is None and self._is_plain(obj):
            try:
                return {"text/plain": repr(obj)}, {}
            except ValueError:  # an int of too many digits: the error is shown as IPython shows it
                pass
        data, metadata = super().format(obj, include=include, exclude=exclude)
        return data, metadata

    def _is_plain(self, obj: Any) -> bool:
        text = self.formatters.get("text/plain")
        return (
            type(text) is PlainTextFormatter
            and text.enabled
            and all(text.type_printers.get(t) is printer for t, printer in PRETTY.items())
            and text.singleton_printers.get(id(obj)) is pretty._singleton_pprinters.get(id(obj))
            and NAMES.isdisjoint(text.deferred_printers)
            and _knows_nothing(self.ipython_display_formatter, obj)
            and _knows_nothing(self.mimebundle_formatter, obj)
            and all(
                formatter is text or _knows_nothing(formatter, obj)
                for formatter in self.formatters.values()
            )
        )


def _knows_nothing(formatter: BaseFormatter, obj: Any) -> bool:
    """Whether nobody registered anything with a formatter that it would find for obj."""
    return (
        type(formatter).__module__ == "IPython.core.formatters"
        and TYPES.isdisjoint(formatter.type_printers)
        and id(obj) not in formatter.singleton_printers
        and NAMES.isdisjoint(formatter.deferred_printers)
    )

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

    # the formatters as they were last looked at, and the values of the traits of each of them;
    # None: one of them is not IPython's own
    _looked_at: tuple[list[BaseFormatter], list[dict[str, Any]] | None] = ([], None)

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
        """Whether nobody registered anything that a formatter would find for obj."""
        text = self.formatters.get("text/plain")
        name = id(obj)
        return (
            type(text) is PlainTextFormatter
            and text.enabled
            and all(text.type_printers.get(t) is printer for t, printer in PRETTY.items())
            and text.singleton_printers.get(name) is pretty._singleton_pprinters.get(name)
            and NAMES.isdisjoint(text.deferred_printers)
            and self._others_know_nothing(text, name)
        )

    def _others_know_nothing(self, text: PlainTextFormatter, obj_id: int) -> bool:
        others = [self.ipython_display_formatter, self.mimebundle_formatter]
        others += self.formatters.values()
        if others != self._looked_at[0]:
            self._looked_at = (others, _registers(text, others))
        registers = self._looked_at[1]
        if registers is None:
            return False
        for traits in registers:
            types, later = traits["type_printers"], traits["deferred_printers"]
            if (
                (types and not TYPES.isdisjoint(types))
                or obj_id in traits["singleton_printers"]
                or (later and not NAMES.isdisjoint(later))
            ):
                return False
        return True


def _registers(text: PlainTextFormatter, others: list[BaseFormatter]) -> list[Any] | None:
    """Where each keeps its traits: to ask for every one by its name costs more than to format."""
    if any(type(formatter).__module__ != "IPython.core.formatters" for formatter in others):
        return None
    for formatter in others:  # a trait has its place once it was asked for
        _ = formatter.type_printers, formatter.singleton_printers, formatter.deferred_printers
    return [formatter._trait_values for formatter in others if formatter is not text]

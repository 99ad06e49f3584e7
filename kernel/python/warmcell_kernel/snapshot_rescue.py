"""Loads what can be loaded of a snapshot that does not load as a whole: a module is gone, a class
refuses its state. What could not be made is broken; a variable that leads to it is not restored.

It is many times slower than the usual way, and is taken only where that has failed.
"""

from __future__ import annotations

import gc
import pickle
import sys
import types
from collections.abc import Callable
from typing import Any, ClassVar

from warmcell_kernel import snapshot_pickler
from warmcell_kernel.snapshot import Problems, reason_of


class Broken:
    """Stands for what could not be made."""

    def __init__(self, reason: str) -> None:
        self.reason = reason

    def __call__(self, *_: Any, **__: Any) -> Broken:
        return self


FILLERS = (snapshot_pickler.fill_cell, snapshot_pickler.fill_class, snapshot_pickler.fill_function)


def broken_of(*values: Any) -> Broken | None:
    return next((value for value in values if type(value) is Broken), None)


PlainUnpickler: Any = pickle._Unpickler


class Unpickler(PlainUnpickler):
    """Python's own unpickler, written in Python, which goes on after a failure."""

    dispatch: ClassVar[dict[int, Any]] = dict(PlainUnpickler.dispatch)

    def __init__(self, file: Any, buffers: Any) -> None:
        super().__init__(file, buffers=buffers)
        self.load()

    def find_class(self, module: str, name: str) -> Any:
        try:
            return super().find_class(module, name)
        except Exception as error:
            return Broken(reason_of(error))

    def make(self, function: Any, arguments: tuple[Any, ...], **named: Any) -> Any:
        try:
            return broken_of(function, *arguments) or function(*arguments, **named)
        except Exception as error:
            broken = Broken(reason_of(error))
            if function in FILLERS:
                self.spoil(arguments[0], broken)
            return broken

    def spoil(self, half_made: Any, broken: Broken) -> None:
        """Whoever meets it later meets what is broken."""
        for number, value in self.memo.items():
            if value is half_made:
                self.memo[number] = broken

    def load_reduce(self) -> None:
        arguments = self.stack.pop()
        self.stack[-1] = self.make(self.stack[-1], arguments)

    def load_newobj(self) -> None:
        arguments = self.stack.pop()
        cls = self.stack.pop()
        self.append(broken_of(cls) or self.make(cls.__new__, (cls, *arguments)))

    def load_newobj_ex(self) -> None:
        named = self.stack.pop()
        arguments = self.stack.pop()
        cls = self.stack.pop()
        self.append(broken_of(cls) or self.make(cls.__new__, (cls, *arguments), **named))

    def load_build(self) -> None:
        made = self.stack[-2]
        if broken_of(made):
            self.stack.pop()
        else:
            self.fill(super().load_build, made)

    def fill(self, load: Callable[[], None], made: Any) -> None:
        try:
            load()
        except Exception as error:
            self.stack[-1] = broken_of(made) or Broken(reason_of(error))
            self.spoil(made, self.stack[-1])

    def load_appends(self) -> None:
        self.fill(super().load_appends, self.metastack[-1][-1])

    def load_setitems(self) -> None:
        self.fill(super().load_setitems, self.metastack[-1][-1])

    def load_additems(self) -> None:
        self.fill(super().load_additems, self.metastack[-1][-1])

    dispatch[pickle.REDUCE[0]] = load_reduce
    dispatch[pickle.NEWOBJ[0]] = load_newobj
    dispatch[pickle.NEWOBJ_EX[0]] = load_newobj_ex
    dispatch[pickle.BUILD[0]] = load_build
    dispatch[pickle.APPENDS[0]] = load_appends
    dispatch[pickle.SETITEMS[0]] = load_setitems
    dispatch[pickle.ADDITEMS[0]] = load_additems


def sort_out(values: dict[str, Any], live: tuple[Any, ...]) -> tuple[dict[str, Any], Problems]:
    """Those that are whole, and why the others are not."""
    whole: dict[str, Any] = {}
    problems: Problems = []
    for name, value in values.items():
        broken = find_broken(value, live)
        if broken is None:
            whole[name] = value
        else:
            problems.append({"name": name, "reason": broken.reason})
    return whole, problems


def find_broken(value: Any, live: tuple[Any, ...]) -> Broken | None:
    """A broken thing that value leads to, not by way of what lives in this process anyway."""
    main = sys.modules["__main__"].__name__
    seen = {id(one) for one in live}
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if id(one) in seen or isinstance(one, types.ModuleType):
            continue
        seen.add(id(one))
        if type(one) is Broken:
            return one
        if isinstance(one, type) and one.__module__ != main:
            continue
        waiting += gc.get_referents(one)
    return None

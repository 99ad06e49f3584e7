"""Pickles what cells define: functions and classes by value, modules by name.

Everything else is Python's own pickle, protocol 5. A function of a cell goes on in the namespace
that it is restored into: the pickle refers to the live namespace, the module ``__main__`` and the
dictionary of builtins, and holds none of them.
"""

from __future__ import annotations

import abc
import builtins
import contextlib
import dataclasses
import enum
import functools
import importlib
import importlib.util
import linecache
import marshal
import pickle
import sys
import types
import typing
from collections.abc import Callable
from typing import Any

from warmcell_kernel import snapshot_arrays

IN_BAND_BYTES = 64 * 1024  # a smaller buffer stands in the pickle itself
APART_MOST = 4096  # buffers, each of which becomes a file
LIVE = ("namespace", "module", "builtins")

Reduced = Any  # what a reducer may give: a tuple of pickle's, a string or NotImplemented


class Live:
    """Stands in a pickle for what the process that loads it has already."""

    places: typing.ClassVar[dict[str, Any]] = {}  # while a pickle is loaded

    def __init__(self, name: str) -> None:
        self.name = name

    def __reduce__(self) -> Reduced:
        return live, (self.name,)


def live(name: str) -> Any:
    return Live.places[name]


def places(namespace: dict[str, Any]) -> dict[str, Any]:
    main = sys.modules["__main__"]
    return dict(zip(LIVE, (namespace, main, builtins.__dict__), strict=True))


class SnapshotPickler(pickle.Pickler):
    """Pickles values of a namespace into one graph."""

    def __init__(
        self, file: Any, namespace: dict[str, Any], callback: Callable[[memoryview], None]
    ) -> None:
        self._callback = callback
        self._apart = 0
        super().__init__(file, 5, buffer_callback=self._take_buffer)
        self.sources: set[str] = set()  # the files that its functions name
        self._array_type = snapshot_arrays.array_type()
        self._refer_to_live(namespace)

    def _refer_to_live(self, namespace: dict[str, Any]) -> None:
        """Makes the pickler take the live objects for ones that it has pickled already."""
        stand_ins = [Live(name) for name in LIVE]
        self.dump(stand_ins)
        memo: dict[int, tuple[int, Any]] = self.memo.copy()
        for stand_in, thing in zip(stand_ins, places(namespace).values(), strict=True):
            memo[id(thing)] = (memo.pop(id(stand_in))[0], thing)
        self.memo = memo

    def _take_buffer(self, buffer: pickle.PickleBuffer) -> bool:
        raw = buffer.raw()
        if raw.nbytes < IN_BAND_BYTES or self._apart == APART_MOST:
            return True
        self._apart += 1
        self._callback(raw)
        return False

    def reducer_override(self, value: Any) -> Reduced:
        reducer = REDUCERS.get(type(value))
        if reducer is not None:
            return reducer(self, value)
        if type(value) is self._array_type:
            return snapshot_arrays.reduce_array(self, value)
        if isinstance(value, type):
            return reduce_class(value)
        if isinstance(value, dataclasses._FIELD_BASE):  # type: ignore[attr-defined]
            return getattr, (dataclasses, value.name)
        return NotImplemented


class SnapshotUnpickler(pickle.Unpickler):
    """Loads what SnapshotPickler wrote: the stand-ins first."""

    def __init__(self, file: Any, buffers: Any) -> None:
        super().__init__(file, buffers=buffers)
        self.load()


# --- what can be found by its name


def found_by_name(value: Any) -> bool:
    """Whether an import gives this very object, also in another process."""
    module = sys.modules.get(getattr(value, "__module__", None) or "")
    if module is None or module is sys.modules["__main__"] or not has_file(module):
        return False
    at: Any = module
    for name in getattr(value, "__qualname__", value.__name__).split("."):
        at = getattr(at, name, None)
    return at is value


def has_file(module: types.ModuleType) -> bool:
    return getattr(module, "__spec__", None) is not None


def reduce_module(_: SnapshotPickler, module: types.ModuleType) -> Reduced:
    if sys.modules.get(module.__name__) is not module or not has_file(module):
        raise pickle.PicklingError(f"module {module.__name__!r} cannot be imported by its name")
    return importlib.import_module, (module.__name__,)


# --- functions


def reduce_code(pickler: SnapshotPickler, code: types.CodeType) -> Reduced:
    pickler.sources.add(code.co_filename)
    return make_code, (importlib.util.MAGIC_NUMBER, marshal.dumps(code))


def make_code(magic: bytes, data: bytes) -> types.CodeType:
    if magic != importlib.util.MAGIC_NUMBER:
        raise pickle.UnpicklingError("it was compiled by another version of Python")
    return marshal.loads(data)  # type: ignore[no-any-return]


def reduce_function(_: SnapshotPickler, function: types.FunctionType) -> Reduced:
    if found_by_name(function):
        return NotImplemented
    module = sys.modules.get(function.__module__ or "")
    within: Any = function.__globals__
    if module is not None and within is vars(module) and has_file(module):
        within = module
    state = {
        name: getattr(function, name)
        for name in ("__qualname__", "__module__", "__doc__", "__defaults__", "__kwdefaults__")
    }
    for name in ("__annotations__", "__type_params__"):
        if getattr(function, name, None):
            state[name] = getattr(function, name)
    made = (function.__code__, within, function.__name__, function.__closure__)
    return make_function, made, (state, function.__dict__), None, None, fill_function


def make_function(
    code: types.CodeType, within: Any, name: str, closure: tuple[types.CellType, ...] | None
) -> types.FunctionType:
    namespace = vars(within) if isinstance(within, types.ModuleType) else within
    return types.FunctionType(code, namespace, name, None, closure)


def fill_function(function: types.FunctionType, state: tuple[dict[str, Any], Any]) -> None:
    for name, value in state[0].items():
        setattr(function, name, value)
    function.__dict__.update(state[1])


def reduce_cell(_: SnapshotPickler, cell: types.CellType) -> Reduced:
    try:
        contents: tuple[Any, ...] = (cell.cell_contents,)
    except ValueError:
        contents = ()
    return types.CellType, (), contents, None, None, fill_cell


def fill_cell(cell: types.CellType, contents: tuple[Any, ...]) -> None:
    if contents:
        cell.cell_contents = contents[0]


# --- classes


def reduce_class(cls: type) -> Reduced:
    if found_by_name(cls) or cls.__module__ == "builtins":
        return reduce_named_class(cls)
    if isinstance(cls, enum.EnumMeta):
        return reduce_enum(cls)
    slots = cls.__dict__.get("__slots__")
    made = (type(cls), cls.__name__, cls.__bases__, (slots,) if isinstance(slots, str) else slots)
    state = own_attributes(cls)
    state["__qualname__"] = cls.__qualname__
    return make_class, made, state, None, None, fill_class


def reduce_named_class(cls: type) -> Reduced:
    """The types of None, ... and NotImplemented have no name that leads to them."""
    for value in (None, ..., NotImplemented):
        if cls is type(value):
            return type, (value,)
    if cls.__module__ == "builtins" and getattr(builtins, cls.__name__, None) is not cls:
        name = next((name for name in types.__all__ if getattr(types, name) is cls), None)
        if name:
            return getattr, (types, name)
    return NotImplemented


def own_attributes(cls: type) -> dict[str, Any]:
    descriptors = (types.GetSetDescriptorType, types.MemberDescriptorType)
    return {
        name: value
        for name, value in cls.__dict__.items()
        if name not in ("_abc_impl", "__slots__")
        and not (isinstance(value, descriptors) and value.__objclass__ is cls)
    }


class Quiet:
    """The first base of a class that is being made: no hook of the others is called, as they were
    when the class was made first."""

    __slots__ = ()

    def __init_subclass__(cls, **_: Any) -> None:
        pass


class QuietWithRoom:
    """The same, in whose place a class can be put whose objects have a dictionary."""

    def __init_subclass__(cls, **_: Any) -> None:
        pass


def make_class(meta: type, name: str, bases: tuple[type, ...], slots: Any) -> type:
    namespace: dict[str, Any] = {} if slots is None else {"__slots__": slots}
    make: Any = abc.ABCMeta.__new__ if issubclass(meta, abc.ABCMeta) else type.__new__
    if not any("__init_subclass__" in vars(c) for b in bases for c in b.__mro__[:-1]):
        return make(meta, name, bases, namespace)  # type: ignore[no-any-return]
    for quiet in (Quiet, QuietWithRoom):
        made: type = make(meta, name, (quiet, *bases), namespace)
        with contextlib.suppress(TypeError):  # another layout
            made.__bases__ = bases
            return made
    return make(meta, name, bases, namespace)  # type: ignore[no-any-return]


def fill_class(cls: type, state: dict[str, Any]) -> None:
    for name, value in state.items():
        type.__setattr__(cls, name, value)


def reduce_enum(cls: Any) -> Reduced:
    if has_own_new(cls):
        raise pickle.PicklingError(f"Enum {cls.__qualname__} has a __new__ of its own")
    members = {name: member._value_ for name, member in cls.__members__.items()}
    own = own_attributes(cls)
    before: dict[str, Any] = {
        n: own[n] for n in ("__init__", "_missing_", "_generate_next_value_") if n in own
    }
    made: dict[str, Any] = {
        "__module__": cls.__module__,
        "__qualname__": cls.__qualname__,
        **before,
    }
    after = {
        name: value
        for name, value in own.items()
        if (not name.startswith("_") and name not in members)
        or name in ("__doc__", "__str__", "__repr__", "__format__", "__annotations__")
    }  # fmt: skip
    return make_enum, (type(cls), cls.__name__, cls.__bases__, made, members), after, None, None, (
        fill_class
    )  # fmt: skip


def has_own_new(cls: Any) -> bool:
    maker = getattr(cls, "_new_member_", None)
    return isinstance(maker, types.FunctionType) and not found_by_name(maker)


def make_enum(
    meta: Any,
    name: str,
    bases: tuple[type, ...],
    attributes: dict[str, Any],
    members: dict[str, Any],
) -> enum.EnumMeta:
    namespace = meta.__prepare__(name, bases)
    for key, value in {**attributes, **members}.items():
        namespace[key] = value
    return meta(name, bases, namespace)  # type: ignore[no-any-return]


# --- the rest of what stands in classes and cells


def reduce_cached_property(_: Any, value: functools.cached_property[Any]) -> Reduced:
    return make_cached_property, (value.func, value.attrname)


def make_cached_property(function: Any, name: str | None) -> functools.cached_property[Any]:
    made: functools.cached_property[Any] = functools.cached_property(function)
    made.attrname = name
    return made


def reduce_lru_cache(_: Any, value: Any) -> Reduced:
    if found_by_name(value):
        return NotImplemented
    parameters = value.cache_parameters()
    return make_lru_cache, (value.__wrapped__, parameters["maxsize"], parameters["typed"])


def make_lru_cache(function: Any, maxsize: int | None, typed: bool) -> Any:
    return functools.lru_cache(maxsize, typed)(function)


def reduce_type_var(_: Any, value: Any) -> Reduced:
    module = sys.modules.get(value.__module__ or "")
    if module is not None and getattr(module, value.__name__, None) is value and (
        module is not sys.modules["__main__"]
    ):  # fmt: skip
        return NotImplemented
    made = (value.__name__, value.__constraints__, value.__bound__, value.__covariant__)
    return make_type_var, (*made, value.__contravariant__)


def make_type_var(name: str, constraints: Any, bound: Any, co: bool, contra: bool) -> Any:
    return typing.TypeVar(name, *constraints, bound=bound, covariant=co, contravariant=contra)


def reduce_new_type(_: Any, value: Any) -> Reduced:
    return (
        NotImplemented
        if found_by_name(value)
        else (typing.NewType, (value.__name__, value.__supertype__))
    )


def reduce_property(_: Any, value: property) -> Reduced:
    return property, (value.fget, value.fset, value.fdel, value.__doc__)


def reduce_wrapped(_: Any, value: Any) -> Reduced:
    return type(value), (value.__func__,)


def reduce_mapping_proxy(_: Any, value: types.MappingProxyType[Any, Any]) -> Reduced:
    return types.MappingProxyType, (dict(value),)


def reduce_missing(*_: Any) -> Reduced:
    return getattr, (dataclasses, "MISSING")


REDUCERS: dict[type, Callable[[SnapshotPickler, Any], Reduced]] = {
    types.FunctionType: reduce_function,
    types.CodeType: reduce_code,
    types.CellType: reduce_cell,
    types.ModuleType: reduce_module,
    types.MappingProxyType: reduce_mapping_proxy,
    property: reduce_property,
    classmethod: reduce_wrapped,
    staticmethod: reduce_wrapped,
    functools.cached_property: reduce_cached_property,
    type(functools.lru_cache(lambda: None)): reduce_lru_cache,
    type(dataclasses.MISSING): reduce_missing,
    typing.TypeVar: reduce_type_var,
    typing.NewType: reduce_new_type,
}


# --- the lines of cells, for tracebacks and inspection


def lines_of(names: set[str]) -> dict[str, list[str]]:
    """Of files that exist in this process alone."""
    found = {}
    for name in names:
        entry = linecache.cache.get(name)
        if entry is not None and len(entry) == 4 and entry[1] is None:
            found[name] = entry[2]
    return found


def put_lines(lines: dict[str, list[str]]) -> None:
    for name, text in lines.items():
        linecache.cache[name] = (sum(map(len, text)), None, text, name)

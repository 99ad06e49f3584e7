"""Arrays of numpy that have their memory in common: a view is pickled as the array that it looks
into, and where it looks. By itself pickle makes a copy of what each of them shows.

A view whose array nobody else refers to is left to numpy: of a large array that is gone but for a
slice, the slice alone is kept.
"""

from __future__ import annotations

import sys
from typing import Any

SOLE_REFERENCES = 3  # to an array: its view's, the variable of whoever counts, and the count's own

Reduced = Any  # as in snapshot_pickler


def array_type() -> type | None:
    """None: nothing here can be an array."""
    found = getattr(sys.modules.get("numpy"), "ndarray", None)
    return found if isinstance(found, type) else None


def reduce_array(_: Any, value: Any) -> Reduced:
    owner, is_shared = owner_of(value)
    if not is_shared or value.nbytes == 0 or not is_plain(owner) or value.dtype.hasobject:
        return NotImplemented
    made = (owner, value.dtype, value.shape, value.strides, address(value) - address(owner))
    try:
        make_view(*made)
    except (TypeError, ValueError):  # it shows what is not the owner's, as by a trick of strides
        return NotImplemented
    return make_view, made, value.flags.writeable, None, None, set_writeable


def owner_of(array: Any) -> tuple[Any, bool]:
    """The array whose memory it shows, and whether others refer to that; or itself, and no."""
    at, is_shared = array, False
    while type(at.base) is type(array):
        at = at.base
        is_shared = is_shared or sys.getrefcount(at) > SOLE_REFERENCES
    return at, is_shared


def is_plain(owner: Any) -> bool:
    """Its bytes come back in the order in which they are."""
    return not owner.dtype.hasobject and (owner.flags.c_contiguous or owner.flags.f_contiguous)


def address(array: Any) -> int:
    found: int = array.__array_interface__["data"][0]
    return found


def make_view(
    owner: Any, dtype: Any, shape: tuple[int, ...], strides: tuple[int, ...], offset: int
) -> Any:
    """By its bytes: not every dtype can be looked at as a buffer."""
    raw = owner.ravel(order="K").view("u1")
    return type(owner)(shape, dtype, raw, offset, strides)


def set_writeable(view: Any, is_writeable: bool) -> None:
    if not is_writeable:
        view.flags.writeable = False

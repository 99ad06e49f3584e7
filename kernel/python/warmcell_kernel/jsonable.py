"""JSON of requests, read; and what the C encoder does not know: values of user code in the JSON of
a message.

The rules of the latter are those of jupyter_client, so that outputs are the same under every Python
kernel.
"""

from __future__ import annotations

import numbers
from collections.abc import Iterable
from datetime import date, datetime
from json import JSONDecoder
from typing import Any

_decoder: Any = JSONDecoder()
_decode, _scan = _decoder.decode, _decoder.scan_once


def read_json(part: bytes) -> Any:
    """json.loads of what the host has seen to be UTF-8; ValueError, RecursionError."""
    if part == b"{}":
        return {}
    text = part.decode("utf-8", "surrogatepass")
    try:
        value, end = _scan(text, 0)
    except StopIteration:
        return _decode(text)  # which passes blanks over, and says what is wrong
    return value if end == len(text) else _decode(text)


def fallback(value: Any) -> Any:
    """Replaces a value by one of JSON's own types (or bytes); TypeError when there is none."""
    if isinstance(value, datetime):
        if value.tzinfo is None:
            value = value.astimezone()
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Iterable):
        return list(value)
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return float(value)
    raise TypeError(f"{value!r} is not JSON serializable")

"""What the C encoder does not know: values of user code in the JSON of a message.

The rules are those of jupyter_client, so that outputs are the same under every Python kernel.
"""

from __future__ import annotations

import numbers
from collections.abc import Iterable
from datetime import date, datetime
from typing import Any


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

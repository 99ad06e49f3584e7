"""What the flooding kernel and the flooding driver publish, and how a client checks it."""

from __future__ import annotations

from collections.abc import Sequence

from harness.message import Message
from harness.processes import BenchError

METADATA = b"{}"
CONTENT = b'{"data": {"text/plain": "message %07d"}, "metadata": {}, "transient": {}}'


def check(messages: Sequence[Message], msg_id: bytes, count: int) -> None:
    """Fails unless exactly `count` displays came, in order, and then idle."""
    mine = [each for each in messages if msg_id in each.parent]
    shown = [each.content for each in mine if b'"display_data"' in each.header]
    if shown != [CONTENT % i for i in range(count)]:
        raise BenchError(f"{len(shown)} of {count} messages arrived, or not in order")
    if not any(each.is_idle(msg_id) for each in mine):
        raise BenchError("the flood has no end")

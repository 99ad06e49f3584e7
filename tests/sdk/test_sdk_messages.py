"""The client's WebSocket as something between may hand it on: messages in pieces."""

from __future__ import annotations

import asyncio
import json
import tempfile
from pathlib import Path
from typing import Any

from warmcell._core.address import Address
from warmcell._core.stream import Stream
from websockets.asyncio.server import ServerConnection, unix_serve

HELLO = {"op": "hello", "limits": {}, "principal": "user"}
WORD = "ä" * 5000


def pieces(message: dict[str, Any], size: int) -> list[str]:
    text = json.dumps(message, ensure_ascii=False)
    return [text[at : at + size] for at in range(0, len(text), size)]


async def answer(line: ServerConnection) -> None:
    """Each call in pieces that end anywhere, with a ping between two."""
    await line.send(json.dumps(HELLO))
    async for text in line:
        asked = json.loads(text)
        said = {"id": asked["id"], "done": True, "said": asked["word"] + WORD}
        await line.send(pieces(said, asked["size"]))
        await line.ping()


def test_messages_in_pieces_are_whole_and_in_order() -> None:
    async def ask() -> list[Any]:
        with tempfile.TemporaryDirectory(prefix="wcm-") as folder:
            path = str(Path(folder) / "s")
            async with unix_serve(answer, path):
                stream = Stream(Address.parse(f"unix:{path}"))
                calls = [
                    stream.act("say", word=str(number), size=size)
                    for number, size in enumerate((1000, 1 << 20, 1, 333, 1 << 20))
                ]
                found = await asyncio.gather(*calls)
                await stream.close()
                return [one["said"] for one in found]

    assert asyncio.run(ask()) == [f"{number}{WORD}" for number in range(5)]

"""Bytes to and from local files, piece by piece, with progress."""

from __future__ import annotations

import asyncio
import inspect
import os
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import httpx

from warmcell.models import Progress

PIECE_BYTES = 1 << 20

Told = Callable[[Progress], Any]


async def tell(progress: Told | None, done: int, total: int | None) -> None:
    if progress:
        told = progress(Progress(done, total))
        if inspect.isawaitable(told):
            await told


async def pieces_of(
    file: BinaryIO, total: int | None, progress: Told | None
) -> AsyncIterator[bytes]:
    done = 0
    while piece := await asyncio.to_thread(file.read, PIECE_BYTES):
        yield piece
        done += len(piece)
        await tell(progress, done, total)


async def save_to(target: Path, response: httpx.Response, progress: Told | None) -> None:
    """The body as a file that appears whole, or not at all."""
    length = response.headers.get("Content-Length")
    total = int(length) if length else None
    fd, name = await asyncio.to_thread(
        tempfile.mkstemp, prefix=f".{target.name[:40]}.", dir=target.parent
    )
    try:
        with os.fdopen(fd, "wb") as file:
            done = 0
            async for piece in response.aiter_bytes(PIECE_BYTES):
                await asyncio.to_thread(file.write, piece)
                done += len(piece)
                await tell(progress, done, total)
            os.fchmod(file.fileno(), 0o666 & ~current_umask())
        await asyncio.to_thread(os.replace, name, target)
    except BaseException:
        with suppress(OSError):
            await asyncio.to_thread(os.unlink, name)
        raise


def current_umask() -> int:
    """There is no way to read it that is not to set it; /proc has one."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("Umask:"):
                return int(line.split()[1], 8)
    return 0o077

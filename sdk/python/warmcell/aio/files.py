"""Files of a sandbox's workspace."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, Union

from warmcell._core.http import segment
from warmcell._core.transfer import pieces_of, save_to
from warmcell._core.transport import Transport
from warmcell.errors import NotFoundError
from warmcell.models import FileEntry, Progress, read

PathLike = Union[str, "os.PathLike[str]"]


class AsyncFiles:
    """Paths are relative to the workspace; `/workspace/…` means the same. Writes are whole or not
    at all."""

    def __init__(self, transport: Transport, sandbox: str) -> None:
        self._transport = transport
        self._root = f"/v1/sandboxes/{sandbox}/files"

    def _url(self, path: PathLike) -> str:
        parts = [part for part in _relative(path).split("/") if part not in {"", "."}]
        return "/".join([self._root, *map(segment, parts)])

    async def read(self, path: PathLike) -> bytes:
        response = await self._transport.http.send("GET", self._url(path))
        return response.content

    async def read_text(self, path: PathLike, encoding: str = "utf-8") -> str:
        return (await self.read(path)).decode(encoding)

    async def write(
        self,
        path: PathLike,
        data: str | bytes,
        *,
        mode: int | None = None,
        if_match: str | None = None,
        new: bool = False,
    ) -> None:
        """Replaces or makes the file, with folders on the way. if_match: only if its etag is this;
        new: only if nothing is there (PreconditionError)."""
        head = {}
        if if_match is not None:
            head["If-Match"] = if_match
        if new:
            head["If-None-Match"] = "*"
        body = data.encode() if isinstance(data, str) else data
        await self._transport.http.send(
            "PUT", self._url(path), body=body, params=_mode(mode), headers=head
        )

    async def append(self, path: PathLike, data: str | bytes) -> None:
        """Adds to the end of a file. It is not sent twice: ConnectionLostError."""
        body = data.encode() if isinstance(data, str) else data
        await self._transport.http.send("POST", self._url(path), body=body, params={"append": 1})

    async def upload(
        self,
        local: PathLike,
        path: PathLike | None = None,
        *,
        progress: Callable[[Progress], object] | None = None,
    ) -> None:
        """A local file into the workspace, of any length, with its permissions; under its own name
        if no path is given."""
        source = Path(local)
        target = self._url(path if path is not None else source.name)
        file = await asyncio.to_thread(source.open, "rb")
        try:
            about = os.fstat(file.fileno())
            head = {"Content-Length": str(about.st_size)}
            async with self._transport.http.reply(
                "PUT",
                target,
                params=_mode(about.st_mode & 0o777),
                body=pieces_of(file, about.st_size, progress),
                headers=head,
            ):
                pass
        finally:
            file.close()

    async def download(
        self,
        path: PathLike,
        local: PathLike | None = None,
        *,
        progress: Callable[[Progress], object] | None = None,
    ) -> Path:
        """A file of the workspace to a local one, or below a local folder; it appears whole.
        Returns where it is."""
        name = Path(os.fspath(path)).name
        target = Path(local) if local is not None else Path(name)
        if await asyncio.to_thread(target.is_dir):
            target /= name
        async with self._transport.http.reply("GET", self._url(path)) as response:
            await save_to(target, response, progress)
        return target

    async def list(self, path: PathLike = "") -> AsyncIterator[FileEntry]:
        """What is in a folder, by name."""
        async for one in self._transport.http.pages(self._url(path), "files"):
            yield read(FileEntry, one)

    async def stat(self, path: PathLike) -> FileEntry:
        found = await self._transport.http.json("GET", self._url(path), params={"stat": 1})
        return read(FileEntry, found)

    async def exists(self, path: PathLike) -> bool:
        try:
            await self.stat(path)
        except NotFoundError:
            return False
        return True

    async def make_folder(self, path: PathLike) -> None:
        """With the folders on the way; it may be there."""
        await self._transport.http.send("PUT", self._url(path), params={"folder": 1})

    async def move(self, path: PathLike, to: PathLike, *, overwrite: bool = False) -> None:
        await self._into("move_to", path, to, overwrite)

    async def copy(self, path: PathLike, to: PathLike, *, overwrite: bool = False) -> None:
        """A file, or a folder with all below it."""
        await self._into("copy_to", path, to, overwrite)

    async def _into(self, how: str, path: PathLike, to: PathLike, overwrite: bool) -> None:
        params: dict[str, str | int] = {how: _relative(to), "overwrite": int(overwrite)}
        await self._transport.http.send("POST", self._url(path), params=params)

    async def change_mode(self, path: PathLike, mode: int) -> None:
        await self._transport.http.send("PATCH", self._url(path), data={"mode": f"{mode:o}"})

    async def delete(self, path: PathLike, *, recursive: bool = False) -> None:
        """A folder needs recursive. NotFoundError: nothing is there."""
        await self._transport.http.send(
            "DELETE", self._url(path), params={"recursive": int(recursive)}
        )

    async def watch(
        self, path: PathLike = "", *, recursive: bool = False
    ) -> AsyncIterator[Mapping[str, Any]]:
        """What changes in a folder, for as long as one iterates; the first is `ready`
        (docs/gateway.md, "Files")."""
        params = {"watch": 1, "recursive": int(recursive)}
        async with self._transport.http.reply("GET", self._url(path), params=params) as response:
            async for line in response.aiter_lines():
                if line:
                    yield json.loads(line)


def _mode(mode: int | None) -> dict[str, str | int]:
    return {} if mode is None else {"mode": f"{mode:o}"}


def _relative(path: PathLike) -> str:
    text = os.fspath(path)
    if text == "/workspace" or text.startswith("/workspace/"):
        text = text[len("/workspace") :]
    return text.strip("/")

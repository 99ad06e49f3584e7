"""What runs displayed and left, whose bytes the gateway keeps."""

from __future__ import annotations

import asyncio
import mimetypes
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path, PurePosixPath
from typing import Union

from warmcell._core.http import segment
from warmcell._core.transfer import save_to
from warmcell._core.transport import Transport
from warmcell.errors import NotFoundError
from warmcell.models import ArtifactInfo, Progress, read

PathLike = Union[str, "os.PathLike[str]"]


class AsyncArtifact:
    """One of them; info is what is known of it."""

    def __init__(self, transport: Transport, info: ArtifactInfo) -> None:
        self._transport = transport
        self.info = info

    @property
    def id(self) -> str:
        return self.info.id

    @property
    def mime_type(self) -> str:
        return self.info.mime_type

    @property
    def name(self) -> str:
        """A name for a file of its own: that of its path, else its id with the ending of its
        type."""
        if self.info.path:
            return PurePosixPath(self.info.path).name
        ending = mimetypes.guess_extension(self.info.mime_type.split(";")[0]) or ""
        return f"{self.info.id}{ending}"

    def _content(self) -> str:
        if self.info.sha256 is None:
            why = self.info.problem or "its bytes were not kept"
            raise NotFoundError(404, f"artifact {self.id}: {why}")
        return f"/v1/artifacts/{self.id}/content"

    async def read(self) -> bytes:
        response = await self._transport.http.send("GET", self._content())
        return response.content

    async def save(
        self,
        path: PathLike | None = None,
        *,
        progress: Callable[[Progress], object] | None = None,
    ) -> Path:
        """Writes it to path, or below it if that is a folder; without one to `name` in the current
        folder. The file appears whole. Returns where it is."""
        target = Path(path) if path is not None else Path(self.name)
        if await asyncio.to_thread(target.is_dir):
            target /= self.name
        async with self._transport.http.reply("GET", self._content()) as response:
            await save_to(target, response, progress)
        return target

    async def delete(self) -> None:
        """Forgets it; a file of the sandbox stays."""
        await self._transport.http.delete(f"/v1/artifacts/{self.id}")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name} {self.mime_type} {self.info.size_bytes} bytes>"


class AsyncArtifacts:
    """All of the caller's, or with a sandbox those of it."""

    def __init__(self, transport: Transport, sandbox: str | None = None) -> None:
        self._transport = transport
        self._path = f"/v1/sandboxes/{sandbox}/artifacts" if sandbox else "/v1/artifacts"

    async def list(
        self, *, kind: str | None = None, mime_type: str | None = None
    ) -> AsyncIterator[AsyncArtifact]:
        """The oldest first. kind: display or file; mime_type: a type, or `image/` for all of
        them."""
        asked = {"kind": kind, "mime_type": mime_type}
        params = {name: value for name, value in asked.items() if value is not None}
        async for one in self._transport.http.pages(self._path, "artifacts", params):
            yield AsyncArtifact(self._transport, read(ArtifactInfo, one))

    async def get(self, id_or_sha256: str) -> AsyncArtifact:
        data = await self._transport.http.json("GET", f"/v1/artifacts/{segment(id_or_sha256)}")
        return AsyncArtifact(self._transport, read(ArtifactInfo, data))

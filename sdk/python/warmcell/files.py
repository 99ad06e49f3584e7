"""Files of a sandbox's workspace, for plain calls; see warmcell.aio.files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from warmcell._core.facade import Facade, words_of
from warmcell.aio.files import AsyncFiles, PathLike
from warmcell.models import FileEntry, Progress


@words_of(AsyncFiles)
class Files(Facade[AsyncFiles]):
    def read(self, path: PathLike) -> bytes:
        return self._portal.call(self._inner.read(path))

    def read_text(self, path: PathLike, encoding: str = "utf-8") -> str:
        return self._portal.call(self._inner.read_text(path, encoding))

    def write(
        self,
        path: PathLike,
        data: str | bytes,
        *,
        mode: int | None = None,
        if_match: str | None = None,
        new: bool = False,
    ) -> None:
        self._portal.call(self._inner.write(path, data, mode=mode, if_match=if_match, new=new))

    def append(self, path: PathLike, data: str | bytes) -> None:
        self._portal.call(self._inner.append(path, data))

    def upload(
        self,
        local: PathLike,
        path: PathLike | None = None,
        *,
        progress: Callable[[Progress], object] | None = None,
    ) -> None:
        turn = self._portal.turn()
        turn.wait(self._inner.upload(local, path, progress=turn.here(progress)))

    def download(
        self,
        path: PathLike,
        local: PathLike | None = None,
        *,
        progress: Callable[[Progress], object] | None = None,
    ) -> Path:
        turn = self._portal.turn()
        return turn.wait(self._inner.download(path, local, progress=turn.here(progress)))

    def list(self, path: PathLike = "") -> Iterator[FileEntry]:
        return self._portal.iterate(self._inner.list(path))

    def stat(self, path: PathLike) -> FileEntry:
        return self._portal.call(self._inner.stat(path))

    def exists(self, path: PathLike) -> bool:
        return self._portal.call(self._inner.exists(path))

    def make_folder(self, path: PathLike) -> None:
        self._portal.call(self._inner.make_folder(path))

    def move(self, path: PathLike, to: PathLike, *, overwrite: bool = False) -> None:
        self._portal.call(self._inner.move(path, to, overwrite=overwrite))

    def copy(self, path: PathLike, to: PathLike, *, overwrite: bool = False) -> None:
        self._portal.call(self._inner.copy(path, to, overwrite=overwrite))

    def change_mode(self, path: PathLike, mode: int) -> None:
        self._portal.call(self._inner.change_mode(path, mode))

    def delete(self, path: PathLike, *, recursive: bool = False) -> None:
        self._portal.call(self._inner.delete(path, recursive=recursive))

    def watch(self, path: PathLike = "", *, recursive: bool = False) -> Iterator[Mapping[str, Any]]:
        return self._portal.iterate(self._inner.watch(path, recursive=recursive))

"""What runs displayed and left, for plain calls; see warmcell.aio.artifacts."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from warmcell._core.facade import Facade, words_of
from warmcell.aio.artifacts import AsyncArtifact, AsyncArtifacts, PathLike
from warmcell.models import ArtifactInfo, Progress

SHOWN_BYTES = 16 << 20  # a notebook keeps what it shows


@words_of(AsyncArtifact)
class Artifact(Facade[AsyncArtifact]):
    @property
    def info(self) -> ArtifactInfo:
        return self._inner.info

    @property
    def id(self) -> str:
        return self._inner.id

    @property
    def mime_type(self) -> str:
        return self._inner.mime_type

    @property
    def name(self) -> str:
        return self._inner.name

    def read(self) -> bytes:
        return self._portal.call(self._inner.read())

    def save(
        self,
        path: PathLike | None = None,
        *,
        progress: Callable[[Progress], object] | None = None,
    ) -> Path:
        turn = self._portal.turn()
        return turn.wait(self._inner.save(path, progress=turn.here(progress)))

    def delete(self) -> None:
        self._portal.call(self._inner.delete())

    def _repr_mimebundle_(
        self, include: Any = None, exclude: Any = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """In a notebook it is shown as what it is, if it is not too long."""
        bundle: dict[str, Any] = {"text/plain": repr(self)}
        if self.info.sha256 is not None and self.info.size_bytes <= SHOWN_BYTES:
            bundle[self.mime_type] = shown(self.mime_type, self.read())
        return bundle, {}


def shown(mime_type: str, content: bytes) -> str:
    """As it stands in a MIME bundle: text as text, all else as base64."""
    kind = mime_type.split(";", maxsplit=1)[0].strip()
    is_text = kind.startswith("text/") or kind.endswith(("+xml", "json"))
    return content.decode("utf-8", "replace") if is_text else base64.b64encode(content).decode()


@words_of(AsyncArtifacts)
class Artifacts(Facade[AsyncArtifacts]):
    def list(self, *, kind: str | None = None, mime_type: str | None = None) -> Iterator[Artifact]:
        for one in self._portal.iterate(self._inner.list(kind=kind, mime_type=mime_type)):
            yield Artifact(self._portal, one)

    def get(self, id_or_sha256: str) -> Artifact:
        return Artifact(self._portal, self._portal.call(self._inner.get(id_or_sha256)))

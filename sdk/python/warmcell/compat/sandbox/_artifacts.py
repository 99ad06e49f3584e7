"""Artifacts of a session as files: what they are called, what kind they are, and a folder of this
machine's that they are fetched into when somebody looks at it.

What a file is called says the sandbox, so it is not trusted: no name leads out of the folder.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any

from warmcell.aio.artifacts import AsyncArtifact
from warmcell.models import ArtifactInfo

CATEGORIES = (
    *("images", "videos", "plots", "data", "code", "documents", "audio", "manim", "other"),
)
BY_ENDING = {
    "images": ".png .jpg .jpeg .gif .bmp .tiff .svg .webp",
    "videos": ".mp4 .avi .mov .wmv .flv .webm .mkv",
    "data": ".csv .tsv .json .xml .yaml .yml .pkl .pickle .h5 .hdf5 .parquet .npy .npz .sqlite .db",
    "code": ".py .js .html .css .sql .sh .bat .r",
    "documents": ".pdf .docx .doc .txt .md .rtf .tex",
    "audio": ".mp3 .wav .flac .aac .ogg .m4a",
}
OF_DISPLAYS = (  # the beginning of a type, and the category
    ("image/", "plots"),
    ("video/", "videos"),
    ("audio/", "audio"),
    ("application/pdf", "plots"),
    ("application/json", "data"),
    ("text/", "documents"),
)
COLUMNS = ("name", "path", "full_path", "size", "created", "modified", "extension", "type")
UNITS = ("B", "KB", "MB", "GB", "TB")
MOST = 10  # of the recent and the largest ones in a report


def category_of_path(path: PurePosixPath) -> str:
    """Of a file in the workspace."""
    if "manim" in path.parts[0].lower() or path.parts[:1] == ("media",):
        return "manim"
    ending = path.suffix.lower()
    for category, endings in BY_ENDING.items():
        if ending and ending in endings.split():
            return category
    return "other"


def _category_of_display(mime_type: str) -> str:
    for beginning, category in OF_DISPLAYS:
        if mime_type.startswith(beginning):
            return category
    return "data" if "json" in mime_type else "other"


def _inside(path: str) -> PurePosixPath | None:
    """As a path that stays below a folder; None: it is none."""
    pure = PurePosixPath(path)
    if pure.is_absolute() or not pure.parts or ".." in pure.parts or "\0" in path:
        return None
    return pure


def _seconds(time: str) -> float:
    try:
        return datetime.fromisoformat(time.replace("Z", "+00:00")).timestamp()
    except ValueError:
        return 0.0


@dataclass(frozen=True)
class Item:
    """path: below the folder. A display is named by its kind and id, a file as it is in the
    workspace."""

    artifact: AsyncArtifact
    path: PurePosixPath
    category: str

    def info(self, folder: Path) -> dict[str, Any]:
        about = self.artifact.info
        created = _seconds(about.created)
        return {
            "name": self.path.name,
            "path": str(self.path),
            "full_path": str(folder / self.path),
            "size": about.size_bytes,
            "created": created,
            "modified": created,
            "extension": self.path.suffix.lower(),
            "type": self.category,
        }


def _item(artifact: AsyncArtifact) -> Item | None:
    about: ArtifactInfo = artifact.info
    if about.sha256 is None:
        return None  # the gateway kept no bytes of it
    if about.path is not None:
        path = _inside(about.path)
        return None if path is None else Item(artifact, path, category_of_path(path))
    category = _category_of_display(about.mime_type)
    ending = PurePosixPath(artifact.name).suffix or ".bin"
    word = category.removesuffix("s")
    return Item(artifact, PurePosixPath(category, f"{word}_{about.id[:13]}{ending}"), category)


def items_of(artifacts: Sequence[AsyncArtifact]) -> list[Item]:
    """Of each path the last one that was left there, and none that a later one stands in the way
    of, as a folder or below it; in the order in which they came."""
    found: list[Item] = []
    taken: set[PurePosixPath] = set()
    folders: set[PurePosixPath] = set()
    for artifact in reversed(artifacts):
        item = _item(artifact)
        if (
            item is None
            or item.path in taken
            or item.path in folders
            or not taken.isdisjoint(item.path.parents)
        ):
            continue
        found.append(item)
        taken.add(item.path)
        folders.update(item.path.parents)
    return found[::-1]


class Folder:
    """Where a session's artifacts lie on this machine; only its user enters it."""

    def __init__(self, session_id: str) -> None:
        given = os.environ.get("XDG_CACHE_HOME", "")
        base = Path(given) if given.startswith("/") else Path.home() / ".cache"
        self.path = base / "warmcell" / "sessions" / session_id / "artifacts"
        self._has: dict[PurePosixPath, str] = {}

    async def fetch(self, items: Sequence[Item]) -> None:
        """What is not here, or is otherwise."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        for item in items:
            target = self.path / item.path
            if not self._is_here(item, target):
                _make_room(self.path, item.path)
                await item.artifact.save(target)
                self._has[item.path] = str(item.artifact.info.sha256)

    def _is_here(self, item: Item, target: Path) -> bool:
        if target.is_symlink() or not target.is_file():
            return False
        if target.stat().st_size != item.artifact.info.size_bytes:
            return False
        if item.path not in self._has:
            self._has[item.path] = hashlib.sha256(target.read_bytes()).hexdigest()
        return self._has[item.path] == item.artifact.info.sha256

    def forget(self, item: Item) -> None:
        self._has.pop(item.path, None)
        (self.path / item.path).unlink(missing_ok=True)

    def remove(self) -> None:
        """All of it."""
        self._has.clear()
        shutil.rmtree(self.path.parent, ignore_errors=True)


def _make_room(folder: Path, path: PurePosixPath) -> None:
    """Folders on the way to it; what was a file there, or a folder in its place, goes."""
    here = folder
    for part in path.parts[:-1]:
        here /= part
        if here.is_symlink() or here.is_file():
            here.unlink()
        here.mkdir(exist_ok=True)
    here /= path.name
    if here.is_dir() and not here.is_symlink():
        shutil.rmtree(here)


# how they are told


def by_category(infos: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Every category, also the empty ones."""
    found: dict[str, list[dict[str, Any]]] = {category: [] for category in CATEGORIES}
    for info in infos:
        found[info["type"]].append(info)
    return found


def report(infos: Sequence[dict[str, Any]]) -> dict[str, Any]:
    categories = {
        category: {
            "count": len(files),
            "size": sum(file["size"] for file in files),
            "files": files,
        }
        for category, files in by_category(infos).items()
        if files
    }
    return {
        "total_artifacts": len(infos),
        "total_size": sum(info["size"] for info in infos),
        "categories": categories,
        "recent_artifacts": list(reversed(infos))[:MOST],
        "largest_artifacts": sorted(infos, key=lambda info: -int(info["size"]))[:MOST],
    }


def _readable(size: float) -> str:
    unit = 0
    while size >= 1024 and unit < len(UNITS) - 1:
        size /= 1024
        unit += 1
    return f"{size:.1f} {UNITS[unit]}"


def summary(infos: Sequence[dict[str, Any]]) -> str:
    if not infos:
        return "No artifacts found."
    told = report(infos)
    lines = [
        f"Total Artifacts: {told['total_artifacts']}",
        f"Total Size: {_readable(told['total_size'])}",
        "",
        "Categories:",
    ]
    for category, one in told["categories"].items():
        lines.append(f"  {category}: {one['count']} files ({_readable(one['size'])})")
    lines += ["", "Recent Artifacts:"]
    lines += [f"  {one['name']} ({_readable(one['size'])})" for one in told["recent_artifacts"][:5]]
    return "\n".join(lines)


def formatted(infos: Sequence[dict[str, Any]], format_type: str) -> Any:
    """list: paths; json and csv: a text; detailed: a dict with the categories. ValueError: none of
    these."""
    if format_type == "list":
        return [info["path"] for info in infos]
    if format_type == "json":
        return json.dumps(list(infos), indent=2)
    if format_type == "csv":
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows([info[column] for column in COLUMNS] for info in infos)
        return text.getvalue()
    if format_type == "detailed":
        categories = {name: files for name, files in by_category(infos).items() if files}
        return {
            "total": len(infos),
            "files": list(infos),
            "categories": categories,
            "summary": {
                name: {"count": len(files), "total_size": sum(one["size"] for one in files)}
                for name, files in categories.items()
            },
        }
    raise ValueError(f"{format_type!r} is none of list, json, csv and detailed")

"""Whether what a fork server has imported or read is still what is on disk."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

from warmcell_kernel import startup

EVERY_S = 1.0
Mark = tuple[int, int, int] | None  # inode, time, size; None: there is none


def mark(path: str) -> Mark:
    try:
        about = os.stat(path)  # noqa: PTH116
    except OSError:
        return None
    return about.st_ino, about.st_mtime_ns, about.st_size


class Watch:
    """Remembers how things are when it is made.

    Of each package its first file and the RECORD of its installation, of each folder of packages
    its .pth files, and the files of IPython's configuration.
    """

    def __init__(self, shell: Any) -> None:
        self._marks: dict[str, Mark] = {}
        for path in (*package_files(), *startup.config_paths(shell.ipython_dir)):
            self._marks[path] = mark(path)
        self._next_s = 0.0
        folders = [folder for folder in sys.path if folder.endswith("-packages")]
        self._folders = {folder: (mark(folder), listing(folder)) for folder in folders}

    def changed(self) -> str | None:
        """One sentence about the first thing that changed; looks once a second at most."""
        now = time.monotonic()
        if now < self._next_s:
            return None
        self._next_s = now + EVERY_S
        return self._look()

    def _look(self) -> str | None:
        for path, before in self._marks.items():
            if mark(path) != before:
                return f"{path} was changed"
        for folder, (before, names) in self._folders.items():
            now = mark(folder)
            if now == before:
                continue
            if listing(folder) != names:
                return f"{folder} has other .pth files"
            self._folders[folder] = (now, names)  # a package more, which nobody has imported
        return None


def listing(folder: str) -> list[tuple[str, Mark]]:
    """The files of a folder of packages that change sys.path."""
    try:
        names = sorted(name for name in os.listdir(folder) if name.endswith(".pth"))
    except OSError:
        return []
    return [(name, mark(f"{folder}/{name}")) for name in names]


def package_files() -> list[str]:
    """The first file of each package that was imported, and the record of its installation."""
    files = []
    records = {}
    for folder in {folder for folder in sys.path if folder.endswith("-packages")}:
        for info in Path(folder).glob("*.dist-info"):
            name = info.name.partition("-")[0].lower()
            records[name] = str(info / "RECORD")
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if "." in name or not file or not os.path.isabs(file):  # noqa: PTH117
            continue
        files.append(file)
        record = records.get(name.lower())
        if record is not None:
            files.append(record)
    return files

"""The environment and the working folder of one execution."""

from __future__ import annotations

import os
from typing import Any


class Place:
    """Takes on what a request names for its run alone, and gives back what was there before.

    Of the environment that is the variables that are named; what the run makes of others stays.
    """

    def __init__(self) -> None:
        self._before: dict[str, str | None] = {}
        self._folder: int | None = None

    def enter(self, wanted: dict[str, Any]) -> None:
        """OSError, TypeError or ValueError: the folder or a variable cannot be taken on."""
        env = wanted.get("env") or {}
        cwd = wanted.get("cwd")
        if not isinstance(env, dict):
            raise TypeError("metadata.warmcell.env: must be an object")
        for name, value in env.items():
            self._before[name] = os.environ.get(name)
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        if cwd is not None:
            before = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.chdir(cwd)
            except BaseException:
                os.close(before)
                raise
            self._folder = before

    def leave(self) -> None:
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        self._before.clear()
        if self._folder is not None:
            folder, self._folder = self._folder, None
            try:
                os.fchdir(folder)
            finally:
                os.close(folder)

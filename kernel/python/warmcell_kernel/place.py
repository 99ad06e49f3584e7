"""The environment, the working folder and the words of one execution."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from warmcell_kernel.shell import ZMQInteractiveShell

NO_FILES = frozenset({"", "-", "-c"})  # first words of which Python makes no __file__


class Place:
    """Takes on what a request names for its run alone, and gives back what was there before.

    Of the environment that is the variables that are named; what the run makes of others stays.
    """

    def __init__(self, shell: ZMQInteractiveShell) -> None:
        self._shell = shell
        self._words: list[str] | None = None
        self._had_file: list[Any] = []
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
        if wanted.get("argv") is not None:
            self._become_program(wanted["argv"])

    def _become_program(self, argv: Any) -> None:
        if not (isinstance(argv, list) and argv and all(isinstance(word, str) for word in argv)):
            raise TypeError("metadata.warmcell.argv: must be a list of one string or more")
        names = self._shell.user_ns
        self._words = getattr(sys, "argv", [])
        self._had_file = [names["__file__"]] if "__file__" in names else []
        self._shell.is_program = True
        sys.argv = list(argv)
        if argv[0] not in NO_FILES:
            names["__file__"] = argv[0]

    def _end_program(self) -> None:
        if self._words is None:
            return
        self._shell.is_program = False
        sys.argv, self._words = self._words, None
        self._shell.user_ns.pop("__file__", None)
        if self._had_file:
            self._shell.user_ns["__file__"] = self._had_file.pop()

    def leave(self) -> None:
        self._end_program()
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

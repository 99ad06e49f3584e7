"""The kinds of frames of the link; docs/link.md is their specification."""

from __future__ import annotations

VERSION = 1

HELLO = 1
REQUEST = 2
SHUTDOWN = 4
ADOPT = 5
BRANCH = 6
SAVE = 7
RESTORE = 8
READY = 16
DONE = 20
HISTORY = 22
EXIT = 23
BRANCHED = 24
SAVED = 25

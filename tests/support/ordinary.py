"""Runs a command as an ordinary user: ``python ordinary.py UID COMMAND...``, started by root.

A machine may close the folders above the project to other users (/root, or / itself). The command
then gets a mount namespace whose root is open and shows the same things at the same places.
"""

from __future__ import annotations

import ctypes
import os
import stat
import sys
from contextlib import suppress
from pathlib import Path

NEW_MOUNTS = 0x20000
MS_BIND, MS_REC, MS_PRIVATE, MNT_DETACH = 4096, 16384, 1 << 18, 2
PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}

libc = ctypes.CDLL(None, use_errno=True)


def call(result: int, what: str) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), what)


def mount(source: str, target: Path, kind: str, flags: int, options: str = "") -> None:
    call(
        libc.mount(
            source.encode(), os.fsencode(target), kind.encode(), flags, options.encode() or None
        ),
        f"mount {target}",
    )


def closed_above(path: Path) -> Path | None:
    """The deepest folder above the path that other users may not enter."""
    closed = [p for p in path.parents if not p.stat().st_mode & stat.S_IXOTH]
    return max(closed, key=lambda p: len(p.parts)) if closed else None


def show(view: Path, path: Path) -> None:
    target = view / path.relative_to("/")
    if path.is_symlink():
        target.symlink_to(path.readlink())
    elif path.is_dir():
        target.mkdir(exist_ok=True)
        mount(str(path), target, "", MS_BIND | MS_REC)
    elif path.is_file():
        target.touch()
        mount(str(path), target, "", MS_BIND)


def open_view(needed: list[Path]) -> None:
    """Makes a root in which every folder above the needed paths can be entered."""
    call(libc.unshare(NEW_MOUNTS), "unshare")
    mount("", Path("/"), "", MS_REC | MS_PRIVATE)
    view = Path("/mnt")
    opened = {folder for path in needed if (closed := closed_above(path))
              for folder in [closed, *closed.parents]} | {Path("/")}  # fmt: skip
    mount("tmpfs", view, "tmpfs", 0, "mode=755")
    for folder in sorted(opened, key=lambda p: len(p.parts)):
        (view / folder.relative_to("/")).mkdir(exist_ok=True)
        for entry in folder.iterdir():
            if entry not in opened and entry != view:
                with suppress(FileNotFoundError):  # somebody else's, that is removed just now
                    show(view, entry)
    (view / "mnt").mkdir(exist_ok=True)
    os.chdir(view)
    call(libc.syscall(PIVOT_ROOT[os.uname().machine], b".", b"."), "pivot_root")
    call(libc.umount2(b".", MNT_DETACH), "umount")
    os.chdir("/")


def become(uid: int) -> None:
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def main(arguments: list[str]) -> None:
    uid, command = int(arguments[0]), arguments[1:]
    needed = [Path(p) for p in (*command, *os.environ.get("SHOWN", "").split(":")) if p[:1] == "/"]
    needed += [Path(sys.prefix), Path(__file__), Path.cwd() / "here"]
    needed = [p for path in needed if path.exists() for p in (path, path.resolve())]
    place = Path.cwd()
    if any(closed_above(path) for path in needed):
        open_view(needed)
    os.chdir(place)
    become(uid)
    os.execvp(command[0], command)


def command(uid: int, *arguments: str) -> list[str]:
    """The command line that runs the arguments as that user."""
    return [sys.executable, __file__, str(uid), *arguments]


if __name__ == "__main__":
    main(sys.argv[1:])

"""Attempts at files: the host's, other sandboxes', the gateway's; reading, and writing where none
may.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from escape.attempts import Result, attempt
from escape.calls import call, passes, said


def holds(path: str | Path, marker: str) -> bool:
    with open(path, "rb") as file:
        return marker.encode() in file.read(1 << 20)


def first(paths: Iterator[str], marker: str) -> Result:
    why = "no path led there"
    for path in paths:
        try:
            if holds(path, marker):
                return True, path
        except OSError as error:
            why = f"{path}: {error.strerror}"
    return False, why


def processes(a: dict[str, Any]) -> list[str]:
    """Those that are seen, unless it is told which: outside there are others' without end."""
    return a.get("processes") or [entry for entry in os.listdir("/proc") if entry.isdigit()]


@attempt
def read_path(a: dict[str, Any]) -> Result:
    return holds(a["file"], a["marker"]), a["file"]


@attempt
def read_upwards(a: dict[str, Any]) -> Result:
    return first(iter(["../" * n + a["file"].lstrip("/") for n in range(1, 12)]), a["marker"])


@attempt
def read_symlink(a: dict[str, Any]) -> Result:
    link = Path("a-link")
    link.unlink(missing_ok=True)
    link.symlink_to(a["file"])
    return holds(link, a["marker"]), str(link)


@attempt
def read_symlink_of_folder(a: dict[str, Any]) -> Result:
    link = Path("a-folder")
    link.unlink(missing_ok=True)
    link.symlink_to(os.path.dirname(a["file"]))
    return holds(link / os.path.basename(a["file"]), a["marker"]), str(link)


@attempt
def read_hard_link(a: dict[str, Any]) -> Result:
    link = os.path.join(a.get("beside", "."), "hard-link")
    os.link(a["file"], link)
    try:
        return holds(link, a["marker"]), link
    finally:
        os.unlink(link)


@attempt
def read_through_proc_root(a: dict[str, Any]) -> Result:
    return first((f"/proc/{p}/root{a['file']}" for p in processes(a)), a["marker"])


@attempt
def read_through_proc_cwd(a: dict[str, Any]) -> Result:
    name = os.path.basename(a["file"])
    return first((f"/proc/{p}/cwd/{name}" for p in processes(a)), a["marker"])


def descriptors(a: dict[str, Any]) -> Iterator[str]:
    for process in processes(a):
        with suppress(OSError):
            for number in os.listdir(f"/proc/{process}/fd"):
                path = f"/proc/{process}/fd/{number}"
                with suppress(OSError):  # it may be closed meanwhile
                    if stat.S_ISREG(os.stat(path).st_mode):
                        yield path


@attempt
def read_through_proc_fd(a: dict[str, Any]) -> Result:
    return first(descriptors(a), a["marker"])


@attempt
def read_through_map_files(a: dict[str, Any]) -> Result:
    def mapped() -> Iterator[str]:
        for process in processes(a):
            try:
                yield from (
                    f"/proc/{process}/map_files/{n}"
                    for n in os.listdir(f"/proc/{process}/map_files")
                )
            except OSError:
                continue

    return first(mapped(), a["marker"])


@attempt
def read_environ(a: dict[str, Any]) -> Result:
    return first((f"/proc/{p}/environ" for p in processes(a)), a["marker"])


@attempt
def read_mountinfo_sources(a: dict[str, Any]) -> Result:
    """What the list of mounts names as a source is looked for at the places where keepers keep
    it.
    """
    roots = [line.split()[3] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    folders = [*roots, "/state", "/host", "/next", "/template", "/oldroot", "/.old"]
    name = os.path.basename(a["file"])
    paths = [p for f in folders for p in (f"{f}/{name}", f"{f}/../{name}", f"{f}{a['file']}")]
    return first(iter([*paths, a["file"]]), a["marker"])


@attempt
def read_inherited_descriptor(a: dict[str, Any]) -> Result:
    for number in os.listdir("/proc/self/fd"):
        try:
            if a["marker"].encode() in os.pread(int(number), 1 << 16, 0):
                return True, number
        except OSError:
            continue
    return False, "none of them"


@attempt
def walk_from_inherited_folder(a: dict[str, Any]) -> Result:
    for number in os.listdir("/proc/self/fd"):
        try:
            fd = os.open(a["file"].lstrip("/"), os.O_RDONLY, dir_fd=int(number))
        except OSError:
            continue
        found = a["marker"].encode() in os.read(fd, 1 << 16)
        os.close(fd)
        if found:
            return True, number
    return False, "none of them"


class Handle(ctypes.Structure):
    _fields_ = (("bytes", ctypes.c_uint), ("type", ctypes.c_int), ("data", ctypes.c_ubyte * 128))


@attempt
def name_to_handle(a: dict[str, Any]) -> Result:
    handle, mount = Handle(bytes=128), ctypes.c_int()
    return passes("name_to_handle_at", -100, b".", ctypes.byref(handle), ctypes.byref(mount), 0)


@attempt
def open_by_handle(a: dict[str, Any]) -> Result:
    """The handle is read outside, so that nothing but opening it is asked here."""
    handle = Handle(bytes=a["bytes"], type=a["type"])
    ctypes.memmove(handle.data, bytes.fromhex(a["handle"]), a["bytes"])
    beside = os.open(a["beside"], os.O_RDONLY | os.O_DIRECTORY)
    fd, number = call("open_by_handle_at", beside, ctypes.byref(handle), os.O_RDONLY)
    return (fd >= 0 and a["marker"].encode() in os.read(fd, 4096)), said(fd, number)


@attempt
def read_database(a: dict[str, Any]) -> Result:
    try:
        with closing(sqlite3.connect(f"file:{a['file']}?mode=ro", uri=True)) as connection:
            text = connection.execute("select text from tokens").fetchone()[0]
    except sqlite3.Error as error:
        return False, str(error)
    return text == a["marker"], "read"


@attempt
def list_folder(a: dict[str, Any]) -> Result:
    return a["name"] in os.listdir(a["folder"]), a["folder"]


@attempt
def exists(a: dict[str, Any]) -> Result:
    return os.path.exists(a["path"]), a["path"]


@attempt
def create_files(a: dict[str, Any]) -> Result:
    """In every folder that is named, and every one that can be seen and is not its own."""
    own = ("/workspace", "/tmp", "/dev/shm", "/home/user", "/var/tmp", "/proc")
    folders = list(a["folders"])
    if a["everywhere"]:
        for folder, below, _ in os.walk("/"):
            below[:] = [d for d in below if os.path.join(folder, d) not in own]
            if folder.count("/") < 4:
                folders.append(folder)
    for folder in folders:
        path = os.path.join(folder, "written-by-a-test")
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
        except OSError:
            continue
        os.unlink(path)
        return True, folder
    return False, f"{len(folders)} folders"


@attempt
def open_for_writing(a: dict[str, Any]) -> Result:
    os.close(os.open(a["path"], os.O_WRONLY))
    return True, a["path"]


@attempt
def write_read_only(a: dict[str, Any]) -> Result:
    """A file of the same user's, shown inside: opened, reopened through /proc, chmod, mapped,
    renamed.
    """
    path = a["path"]
    ways = []

    def reopened() -> None:
        fd = os.open(path, os.O_RDONLY)
        os.close(os.open(f"/proc/self/fd/{fd}", os.O_WRONLY))

    def mapped() -> None:
        with open(path, "r+b") as file:
            mmap.mmap(file.fileno(), 0).close()

    every: dict[str, Callable[[], object]] = {
        "open": lambda: os.close(os.open(path, os.O_WRONLY)),
        "reopen": reopened,
        "chmod": lambda: os.chmod(path, 0o644),
        "utime": lambda: os.utime(path),
        "map": mapped,
        "truncate": lambda: os.truncate(path, os.stat(path).st_size),
        "rename": lambda: os.rename(path, path),
        "xattr": lambda: os.setxattr(path, "user.test", b"x"),
    }
    for name, way in every.items():
        try:
            way()
            if name != "rename" or a.get("control"):
                ways.append(name)
        except OSError:
            continue
    return bool(ways), ",".join(ways)


@attempt
def make_device(a: dict[str, Any]) -> Result:
    path = os.path.join(a["folder"], "device").encode()
    result, number = call("mknodat", -100, path, stat.S_IFCHR | 0o666, os.makedev(1, 5))
    if result == 0:
        os.unlink(path)
    return result == 0, said(result, number)


@attempt
def make_block_device(a: dict[str, Any]) -> Result:
    """Of a number that no driver has."""
    path = os.path.join(a["folder"], "block").encode()
    result, number = call("mknodat", -100, path, stat.S_IFBLK | 0o666, os.makedev(254, 255))
    if result == 0:
        os.unlink(path)
    return result == 0, said(result, number)


@attempt
def find_devices(a: dict[str, Any]) -> Result:
    """A device beside the harmless ones."""
    harmless = {"null", "zero", "full", "random", "urandom", "tty", "ptmx"}
    found = []
    for folder, _, names in os.walk(a["folder"]):
        for name in names:
            mode = os.lstat(os.path.join(folder, name)).st_mode
            other = name not in harmless and not folder.startswith("/dev/pts")
            if (stat.S_ISBLK(mode) or stat.S_ISCHR(mode)) and other:
                found.append(name)
    return bool(found), ",".join(found[:5])


@attempt
def read_bytes(a: dict[str, Any]) -> Result:
    """A file of the kernel's that says something."""
    fd = os.open(a["path"], os.O_RDONLY | os.O_NONBLOCK)
    count = len(os.read(fd, 4096))
    return count > 0, f"{count} bytes"


@attempt
def same_text(a: dict[str, Any]) -> Result:
    """What the host says of itself is what it says in here."""
    text = os.uname().nodename if a["path"] == "hostname" else Path(a["path"]).read_text()
    return text == a["text"], text[:80]


@attempt
def gain_by_setuid(a: dict[str, Any]) -> Result:
    """A program of the test's own that belongs to root, with the bit set."""
    import subprocess

    found = subprocess.run([a["program"], "-u"], capture_output=True, text=True, check=False)
    return found.stdout.strip() == "0", found.stdout + found.stderr

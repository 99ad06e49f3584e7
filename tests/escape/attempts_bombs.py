"""Bombs: each takes as much as it is told, which is more than the sandbox may have and less than
hurts a
machine. Reached: it got all of it, and was still there a while later."""

from __future__ import annotations

import mmap
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

from escape.attempts import Result, attempt

CHUNK = 4 << 20


def linger(a: dict[str, Any], got: str) -> Result:
    """What is counted from outside is counted from time to time: the test says how long that
    takes.
    """
    time.sleep(a.get("linger_s", 0))
    return True, got


@attempt
def bomb_processes(a: dict[str, Any]) -> Result:
    children = []
    try:
        for _ in range(a["count"]):
            child = os.fork()
            if child == 0:
                signal.pause()
            children.append(child)
        return linger(a, f"{len(children)} processes")
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
        for child in children:
            os.waitpid(child, 0)


@attempt
def bomb_threads(a: dict[str, Any]) -> Result:
    threading.stack_size(64 << 10)
    done, threads = threading.Event(), []
    try:
        for _ in range(a["count"]):
            thread = threading.Thread(target=done.wait)
            thread.start()
            threads.append(thread)
        return linger(a, f"{len(threads)} threads")
    except RuntimeError as error:
        return False, f"{len(threads)} threads, then {error}"
    finally:
        done.set()
        for thread in threads:
            thread.join()


@attempt
def bomb_memory(a: dict[str, Any]) -> Result:
    held: list[bytearray] = []
    try:
        while len(held) < a["bytes"] // CHUNK:
            held += [bytearray(b"x") * CHUNK]
        return linger(a, f"{len(held)} chunks")
    except MemoryError:
        return False, f"{len(held)} chunks, then no more"


@attempt
def bomb_memory_of_many(a: dict[str, Any]) -> Result:
    """Spread over children, each with little: it got all of it when each says that it has its
    part, and all of them live a while later."""
    children = []
    said, saying = os.pipe()
    try:
        for _ in range(8):
            child = os.fork()
            if child == 0:
                try:
                    held = bytearray(b"x") * (a["bytes"] // 8)
                    os.write(saying, b".")
                    os.close(saying)
                    signal.pause()
                    del held
                finally:
                    os._exit(1)
            children.append(child)
        os.close(saying)
        got = len(b"".join(iter(lambda: os.read(said, 8), b"")))  # to the end: no child has more
        end = time.monotonic() + a.get("linger_s", 0)
        living = list(children)
        while got == len(living) == len(children):
            living = [c for c in children if os.waitpid(c, os.WNOHANG) == (0, 0)]
            if time.monotonic() >= end:
                break
            time.sleep(0.05)
        return len(living) == got == len(children), f"{got} parts, {len(living)} children live"
    finally:
        os.close(said)
        for child in children:
            try:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
            except OSError:
                continue


def write_file(path: Path, a: dict[str, Any]) -> Result:
    written = 0
    try:
        with path.open("wb", buffering=0) as file:
            while written < a["bytes"]:
                written += file.write(b"x" * CHUNK)
        return linger(a, f"{written} bytes")
    except OSError as error:
        return False, f"{written} bytes, then {error.strerror}"
    finally:
        path.unlink(missing_ok=True)


@attempt
def bomb_file(a: dict[str, Any]) -> Result:
    """One file."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    return write_file(Path(a["folder"]) / "bomb", a)


@attempt
def bomb_files(a: dict[str, Any]) -> Result:
    """Many, each of one chunk."""
    paths, why = [Path(a["folder"]) / f"bomb-{n}" for n in range(a["bytes"] // CHUNK)], ""
    try:
        for path in paths:
            path.write_bytes(b"x" * CHUNK)
        return linger(a, f"{len(paths)} files")
    except OSError as error:
        why = str(error.strerror)
    finally:
        for path in paths:
            path.unlink(missing_ok=True)
    return False, why


@attempt
def bomb_unlinked_files(a: dict[str, Any]) -> Result:
    """Files that have no name any more."""
    held, why = [], ""
    try:
        for _ in range(a["bytes"] // CHUNK):
            fd = os.open(a["folder"], os.O_TMPFILE | os.O_RDWR)
            held.append(fd)
            os.write(fd, b"x" * CHUNK)
        return linger(a, f"{len(held)} files")
    except OSError as error:
        why = str(error.strerror)
    finally:
        for fd in held:
            os.close(fd)
    return False, why


@attempt
def bomb_mapped_file(a: dict[str, Any]) -> Result:
    """Pages of a file that are dirty through a mapping."""
    path = Path(a["folder"]) / "mapped"
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with path.open("w+b") as file:
            file.truncate(a["bytes"])
            with mmap.mmap(file.fileno(), a["bytes"]) as mapping:
                for at in range(0, a["bytes"], mmap.PAGESIZE):
                    mapping[at] = 1
                return linger(a, f"{a['bytes']} bytes")
    except OSError as error:
        return False, str(error.strerror)
    finally:
        path.unlink(missing_ok=True)


@attempt
def bomb_inodes(a: dict[str, Any]) -> Result:
    folder = Path(a["folder"]) / "inodes"
    folder.mkdir()
    made = 0
    try:
        for made in range(a["count"]):
            (folder / str(made)).touch()
        return linger(a, f"{made} files")
    except OSError as error:
        return False, f"{made} files, then {error.strerror}"
    finally:
        for n in range(made + 1):
            (folder / str(n)).unlink(missing_ok=True)
        folder.rmdir()


@attempt
def bomb_descriptors(a: dict[str, Any]) -> Result:
    import resource

    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    held: list[int] = []
    try:
        while len(held) < a["count"]:
            held.append(os.open("/dev/null", os.O_RDONLY))
        return True, f"{len(held)} descriptors"
    except OSError as error:
        return False, f"{len(held)} descriptors, then {error.strerror}"
    finally:
        for fd in held:
            os.close(fd)


@attempt
def read_into_cache(a: dict[str, Any]) -> Result:
    """A file without blocks, read to its end: its pages go into the page cache. It always gets
    there; the
    test looks at what is charged to the sandbox."""
    path = Path(a["folder"]) / "sparse"
    try:
        with path.open("w+b") as file:
            file.truncate(a["bytes"])
            while file.read(CHUNK):
                pass
    finally:
        path.unlink(missing_ok=True)
    return True, "read"

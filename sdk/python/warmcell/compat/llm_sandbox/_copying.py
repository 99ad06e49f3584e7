"""Files between this machine and a sandbox.

What is in the workspace goes through the API of files, of any length; /tmp and other places of the
sandbox, where a program must do it, by `tar` and `cat` inside. Names that come from a sandbox never
lead out of the folder that they are put in.
"""

from __future__ import annotations

import io
import os
import posixpath
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import warmcell
from warmcell.compat.llm_sandbox.exceptions import (
    ContainerError,
    ResourceError,
    SecurityError,
    ValidationError,
)

__all__ = ["archive", "copy_in", "copy_out", "inside", "refuse_outward", "remove", "write"]

WORKSPACE = "/workspace"
WORKDIR = "/sandbox"  # what the workspace is called in paths that are given to a session
STDIN_BYTES = 16 << 20


def inside(path: str, workdir: str = WORKDIR) -> str:
    """The place in a sandbox that is meant: "/sandbox/…" is the workspace, and a path that is not
    absolute is below workdir."""
    refuse_outward(path)
    whole = posixpath.normpath(posixpath.join(workdir, path))
    if whole == WORKDIR or whole.startswith(f"{WORKDIR}/"):
        return WORKSPACE + whole[len(WORKDIR) :]
    return whole


def refuse_outward(path: str) -> None:
    """SecurityError: a path with "..", or without a word."""
    if ".." in Path(path).parts or not path or "\0" in path:
        raise SecurityError(f"{path!r} is no path in a sandbox")


def _in_workspace(path: str) -> bool:
    return path == WORKSPACE or path.startswith(f"{WORKSPACE}/")


def copy_in(sandbox: warmcell.Sandbox, source: Path, target: str) -> None:
    """A file, or a folder with the files below it; links are left out of it. FileNotFoundError:
    there is no source."""
    if not source.exists():
        raise FileNotFoundError(f"{source} does not exist")
    if source.is_file():
        _put(sandbox, source, target)
        return
    if _in_workspace(target):
        sandbox.files.make_folder(target)
    for folder, folders, names in os.walk(source):
        below = Path(folder).relative_to(source)
        for name in folders:
            if _in_workspace(target) and not (Path(folder) / name).is_symlink():
                sandbox.files.make_folder(posixpath.join(target, below.as_posix(), name))
        for name in names:
            file = Path(folder) / name
            if file.is_file() and not file.is_symlink():
                _put(sandbox, file, posixpath.join(target, below.as_posix(), name))


def _put(sandbox: warmcell.Sandbox, source: Path, target: str) -> None:
    if _in_workspace(target):
        sandbox.files.upload(source, target)
        return
    data = source.read_bytes()
    if len(data) > STDIN_BYTES:
        raise ValidationError(f"{target}: files of more than 16 MiB go below {WORKDIR} alone")
    words = ["/bin/sh", "-c", 'mkdir -p "${1%/*}/" && cat > "$1"', "sh", target]
    ran = sandbox.commands.run(words, stdin=data)
    if not ran.ok:
        raise ContainerError(f"{target} cannot be written: {ran.stderr.strip()}")


def copy_out(sandbox: warmcell.Sandbox, source: str, target: Path) -> None:
    """A file to target, or below it if that is a folder; of a folder what is below it. Links and
    devices are left out. FileNotFoundError: there is no source."""
    if _in_workspace(source) and source != WORKSPACE:
        try:
            kind = sandbox.files.stat(source).kind
        except warmcell.NotFoundError as error:
            raise FileNotFoundError(f"{source} does not exist in the sandbox") from error
        if kind == "file":
            _folder_of(target)
            sandbox.files.download(source, target)
            return
    data, _ = archive(sandbox, source)
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        root = tar.next()
        if root is not None and root.isfile():
            _folder_of(target)
            place = target / posixpath.basename(source) if target.is_dir() else target
            _save(tar, root, place)
            return
        for member, below in _safe_members(tar):
            place = target / below
            if member.isdir():
                place.mkdir(parents=True, exist_ok=True)
            else:
                _folder_of(place)
                _save(tar, member, place)


def _folder_of(target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)


def _save(tar: tarfile.TarFile, member: tarfile.TarInfo, place: Path) -> None:
    content = tar.extractfile(member)
    if content is None:
        raise ContainerError(f"{member.name} is no file")
    with content, place.open("wb") as file:
        shutil.copyfileobj(content, file)
    place.chmod(member.mode & 0o777 | 0o600)


def _safe_members(tar: tarfile.TarFile) -> Iterator[tuple[tarfile.TarInfo, Path]]:
    """Files and folders, with their place below the folder that was packed."""
    for member in tar.getmembers():
        parts = Path(member.name).parts
        safe = parts and ".." not in parts and not Path(member.name).is_absolute()
        if safe and (member.isfile() or member.isdir()):
            yield member, Path(*parts[1:])


def archive(sandbox: warmcell.Sandbox, path: str) -> tuple[bytes, dict[str, Any]]:
    """A tar of a file, or of a folder with all below it, and {"name", "size", "mode", "mtime",
    "linkTarget"} of it. FileNotFoundError: there is none; ResourceError: it is longer than what a
    command may write."""
    folder, name = posixpath.split(path.rstrip("/") or "/")
    words = ["tar", "-c", "-f", "-", "-C", folder or "/", "--", name or "."]
    ran = sandbox.commands.run(words)
    if ran.status == "output_limit":
        raise ResourceError(f"{path} is longer than the sandbox's limit of output")
    if not ran.ok:
        if sandbox.commands.run(["test", "-e", path]).ok:
            raise ContainerError(f"{path} cannot be read: {ran.stderr.strip()}")
        raise FileNotFoundError(f"{path} does not exist in the sandbox")
    with tarfile.open(fileobj=io.BytesIO(ran.stdout_bytes)) as tar:
        first = tar.next()
        if first is None:
            raise ContainerError(f"{path} cannot be read")
        about: dict[str, Any] = {
            "name": posixpath.basename(first.name.rstrip("/")),
            "size": first.size,
            "mode": first.mode,
            "mtime": first.mtime,
            "linkTarget": first.linkname,
        }
    return ran.stdout_bytes, about


def write(sandbox: warmcell.Sandbox, path: str, text: str) -> None:
    """Replaces or makes a file."""
    if _in_workspace(path):
        sandbox.files.write(path, text)
        return
    ran = sandbox.commands.run(["/bin/sh", "-c", 'cat > "$1"', "sh", path], stdin=text)
    if not ran.ok:
        raise ContainerError(f"{path} cannot be written: {ran.stderr.strip()}")


def remove(sandbox: warmcell.Sandbox, path: str) -> None:
    """Removes a file of our own, if it and the sandbox are still there."""
    with suppress(warmcell.WarmcellError):
        if _in_workspace(path):
            sandbox.files.delete(path)
        else:
            sandbox.commands.run(["rm", "-f", path])

"""A session that code runs in, with plain calls: its variables outlive objects and processes.

The session is a sandbox of a gateway, named for the session's id. Nothing of a user's code runs in
the process of who calls.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import posixpath
import re
import uuid
import weakref
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import Any

from warmcell.compat.sandbox import _artifacts
from warmcell.compat.sandbox._artifacts import Folder, Item
from warmcell.compat.sandbox._session import OURS, SESSION, Making, Ran, Session, gateway_name
from warmcell.compat.sandbox.core.code_validator import CodeValidator
from warmcell.compat.sandbox.exceptions import SandboxError
from warmcell.models import FileEntry

__all__ = ["PersistentExecutionContext"]

SESSION_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
WORKSPACE = "/workspace"
FACTS = (
    "[__import__('sys').version, __import__('sys').executable, "
    "__import__('os').environ.get('VIRTUAL_ENV'), __import__('sys').path[:10]]"
)


class _Life:
    """What becomes of a session when its process ends, or its object is gone."""

    def __init__(self, session: Session, told: bool) -> None:
        self.session = session
        self.told = told  # somebody knows the id, and can come back
        self.pid = os.getpid()  # the child of a fork leaves none of its parent's

    async def leave(self) -> None:
        """Pauses it, or, where nobody can come back, ends it."""
        if self.told:
            await self.session.pause()
        else:
            await self.session.delete()


_lives: set[_Life] = set()  # also of objects that are gone, as long as there is a sandbox


def _gone(life: _Life) -> None:
    if life.session.id is None:
        _lives.discard(life)


class PersistentExecutionContext:
    """One session. session_id: 1 to 128 letters, digits, `-` and `_` (ValueError); a session that
    is there already goes on with its variables and files, and without an id a new one begins. The
    sandbox is made when it is first needed."""

    def __init__(self, session_id: str | None = None) -> None:
        if session_id is not None and not SESSION_ID.fullmatch(session_id):
            raise ValueError("session_id: 1 to 128 letters, digits, - and _")
        self._id = session_id or uuid.uuid4().hex
        self._session = Session(gateway_name(self._id), find=session_id is not None)
        self._session.making = Making(labels={SESSION: self._id})
        self._life = _Life(self._session, told=session_id is not None)
        _lives.add(self._life)
        weakref.finalize(self, _gone, self._life).atexit = False
        self._folder = Folder(self._id)
        self._validator = CodeValidator()

    @property
    def session_id(self) -> str:
        """Its id, with which any process of this user comes back to it."""
        self._life.told = True
        return self._id

    @property
    def project_root(self) -> str:
        """The folder that code runs in, in the sandbox."""
        return WORKSPACE

    # code

    def execute_code(
        self,
        code: str,
        cache_key: str | None = None,  # noqa: ARG002 - the document's
        validate: bool = False,
    ) -> dict[str, Any]:
        """Runs Python code to its end, and says what came of it; code that fails raises nothing.

        artifacts are paths below artifacts_dir. cache_key may be anything: compiled code is found
        by its text. validate: code that is no Python is not sent, and two members more say so."""
        checked = self._validator.validate_and_format(code) if validate else None
        if checked is not None and not checked["valid"]:
            return _refused(checked)

        async def run() -> tuple[Ran, list[str]]:
            ran = await self._session.run(code)
            found = _artifacts.items_of(await ran.execution.artifacts())
            return ran, [str(item.path) for item in found]

        ran, artifacts = self._session.call(run())
        told = {**_told_of(ran), "artifacts": artifacts}
        told["cache_hit"] = bool(ran.execution.record.get("code_cache_hit"))
        if checked is not None:
            told["validation_result"] = checked
            told["formatted_code"] = checked["formatted_code"]
        return told

    def validate_code(self, code: str) -> dict[str, Any]:
        """Whether it is Python, without running it (CodeValidator)."""
        return self._validator.validate_and_format(code)

    # numbers

    def get_execution_stats(self) -> dict[str, Any]:
        """Numbers of the session. Executions are those that the gateway keeps records of, of all
        processes that used it; the cache is the interpreter's: its numbers begin anew with
        clear_cache(), and when a session was paused."""

        async def look() -> tuple[list[Mapping[str, Any]], Mapping[str, Any], int]:
            records = await self._session.records()
            artifacts = _artifacts.items_of(await self._session.artifacts())
            metrics = await (await self._session.sandbox()).metrics()
            return records, metrics.code_cache or {}, len(artifacts)

        records, cache, artifacts = self._session.call(look())
        took = [float(one["run_ms"]) / 1000 for one in records if one.get("run_ms") is not None]
        hits, misses = int(cache.get("hits", 0)), int(cache.get("misses", 0))
        return {
            "total_executions": len(records),
            "average_execution_time": sum(took) / len(took) if took else 0.0,
            "cache_hit_ratio": hits / (hits + misses) if hits + misses else 0.0,
            "cache_hits": hits,
            "cache_misses": misses,
            "cached_compilations": int(cache.get("cached_compilations", 0)),
            "session_id": self.session_id,
            "artifacts_count": artifacts,
        }

    def get_execution_history(self, limit: int = 100) -> list[dict[str, Any]]:
        """The last ones, the newest first: code, result (success, error), execution_time,
        artifacts, timestamp (when it was asked for, ISO 8601)."""

        async def look() -> tuple[list[Mapping[str, Any]], list[Item]]:
            records = (await self._session.records())[-limit:] if limit > 0 else []
            sandbox = await self._session.sandbox()
            whole = [await sandbox.execution(str(one["id"])) for one in reversed(records)]
            return whole, _artifacts.items_of(await self._session.artifacts())

        records, items = self._session.call(look())
        return [
            {
                "code": one.get("code", ""),
                "result": {
                    "success": one.get("status") == "ok",
                    "error": (one.get("error") or {}).get("value") or one.get("reason"),
                },
                "execution_time": float(one.get("run_ms") or 0) / 1000,
                "artifacts": [
                    str(item.path) for item in items if item.artifact.info.execution_id == one["id"]
                ],
                "timestamp": one.get("created"),
            }
            for one in records
        ]

    def get_execution_info(self) -> dict[str, Any]:
        """The Python that code runs in."""
        version, executable, environment, path = self._session.call(self._session.ask(FACTS))
        return {
            "python_version": version,
            "executable": executable,
            "virtual_env": environment,
            "project_root": self.project_root,
            "artifacts_dir": str(self._folder.path),
            "sys_path": path,
            "session_id": self.session_id,
        }

    def clear_cache(self) -> None:
        """Forgets what the interpreter has compiled; variables stay."""

        async def clear() -> None:
            ran = await self._session.run("%clear_code_cache", labels=OURS, store_history=False)
            if not ran.execution.ok:
                raise SandboxError(f"the cache was not cleared: {ran.execution.error}")

        self._session.call(clear())

    # its life

    def save_persistent_state(self) -> None:
        """Saves the variables now, in a snapshot that outlives the machine's end; the session goes
        on. SandboxError: it is busy."""
        self._life.told = True
        self._session.call(self._session.save())

    def cleanup(self) -> None:
        """Ends the session: its variables, files, history and artifacts go, here too. The next run
        begins it anew, empty."""
        self._session.call(self._session.delete())
        self._folder.remove()

    # artifacts

    def _items(self) -> list[Item]:
        async def find() -> list[Item]:
            return _artifacts.items_of(await self._session.artifacts())

        return self._session.call(find())

    def artifact_infos(self) -> list[dict[str, Any]]:
        """Of each name, path, full_path, size, created, modified, extension and type; the oldest
        first."""
        return [item.info(self._folder.path) for item in self._items()]

    @property
    def artifacts_dir(self) -> str:
        """A folder of this machine's with all artifacts of the session: what is not there yet is
        fetched when this is read."""

        async def fetch() -> None:
            await self._folder.fetch(_artifacts.items_of(await self._session.artifacts()))

        self._session.call(fetch())
        return str(self._folder.path)

    def list_artifacts(self, format_type: str = "list", recursive: bool = True) -> Any:
        """list: paths below artifacts_dir; json, csv: a text; detailed: a dict. ValueError: none of
        these. recursive: also what is in folders."""
        infos = self.artifact_infos()
        chosen = [info for info in infos if recursive or "/" not in info["path"]]
        return _artifacts.formatted(chosen, format_type)

    def categorize_artifacts(self) -> dict[str, list[dict[str, Any]]]:
        """By their kinds: images, videos, plots, data, code, documents, audio, manim, other."""
        return _artifacts.by_category(self.artifact_infos())

    def get_artifact_report(self) -> dict[str, Any]:
        """total_artifacts, total_size (bytes), categories, recent_artifacts, largest_artifacts."""
        return _artifacts.report(self.artifact_infos())

    def get_artifact_summary(self) -> str:
        """The same for a person to read."""
        return _artifacts.summary(self.artifact_infos())

    def cleanup_artifacts(self) -> None:
        """Forgets all artifacts, here and in the gateway; files of the workspace stay."""
        self._forget(None)

    def cleanup_artifacts_by_type(self, artifact_type: str) -> int:
        """Forgets those of a kind; how many they were."""
        return self._forget(artifact_type)

    def _forget(self, category: str | None) -> int:
        async def forget() -> int:
            found = await self._session.artifacts()
            items = _artifacts.items_of(found)
            going = [item for item in items if category in {None, item.category}]
            names = {item.artifact.info.path or item.artifact.id for item in going}
            for artifact in found:  # those that later ones stand in the place of, too
                if category is None or (artifact.info.path or artifact.id) in names:
                    await artifact.delete()
            for item in going:
                self._folder.forget(item)
            return len(going)

        return self._session.call(forget())

    # files of the sandbox

    def change_working_directory(self, path: str, temporary: bool = False) -> dict[str, Any]:
        """The folder that the next runs begin in, in the sandbox; temporary: the answer says so."""
        before = self._session.cwd or WORKSPACE
        target = posixpath.normpath(posixpath.join(before, path))
        problem = self._no_folder(target)
        if problem:
            return {"success": False, "error": problem, "current_directory": before}
        self._session.cwd = target
        return {
            "success": True,
            "current_directory": target,
            "previous_directory": before,
            "is_default": target == WORKSPACE,
            "is_temporary": temporary,
        }

    def reset_to_default_directory(self) -> dict[str, Any]:
        """Runs begin in the workspace again."""
        self._session.cwd = None
        return {
            "success": True,
            "current_directory": WORKSPACE,
            "message": "Reset to default sandbox directory",
        }

    def get_current_directory_info(self) -> dict[str, Any]:
        """Where the next run begins."""
        current = self._session.cwd or WORKSPACE
        return {
            "current_directory": current,
            "default_directory": WORKSPACE,
            "home_directory": WORKSPACE,
            "is_default": current == WORKSPACE,
            "is_in_home": True,
            "artifacts_directory": str(self._folder.path),
        }

    def _no_folder(self, target: str) -> str | None:
        """Why it is no folder of the workspace."""
        if target != WORKSPACE and not target.startswith(f"{WORKSPACE}/"):
            return f"{target} is outside the workspace"
        try:
            entry = self._session.call(self._session.here(lambda: self._look(target)))
        except SandboxError as error:
            return str(error)
        return None if entry is None or entry.kind == "folder" else f"{target} is no folder"

    async def _look(self, target: str) -> FileEntry | None:
        below = target[len(WORKSPACE) + 1 :]
        return await (await self._session.sandbox()).files.stat(below) if below else None

    def list_directory(
        self, path: str | None = None, include_hidden: bool = False
    ) -> dict[str, Any]:
        """What is in a folder of the workspace."""
        target = posixpath.normpath(posixpath.join(self._session.cwd or WORKSPACE, path or ""))
        problem = self._no_folder(target)
        if problem:
            return {"success": False, "error": problem, "path": target}

        async def look() -> list[FileEntry]:
            files = (await self._session.sandbox()).files
            return [one async for one in files.list(target[len(WORKSPACE) + 1 :])]

        found = self._session.call(self._session.here(look))
        items = [_file(one) for one in found if include_hidden or not one.name.startswith(".")]
        items.sort(key=lambda item: (item["type"], item["name"]))
        return {"success": True, "path": target, "items": items, "total_items": len(items)}

    def find_files(
        self, pattern: str, search_path: str | None = None, max_results: int = 100
    ) -> dict[str, Any]:
        """Files and folders whose path below search_path fits (`*` stands for a slash, too)."""
        base = posixpath.normpath(posixpath.join(self._session.cwd or WORKSPACE, search_path or ""))
        problem = self._no_folder(base)
        if problem:
            return {"success": False, "error": problem, "pattern": pattern, "search_path": base}

        async def walk() -> list[dict[str, Any]]:
            files = (await self._session.sandbox()).files
            found: list[dict[str, Any]] = []
            folders = [base[len(WORKSPACE) + 1 :]]
            while folders and len(found) <= max_results:
                async for one in files.list(folders.pop(0)):
                    path = f"{WORKSPACE}/{one.path}"
                    below = str(PurePosixPath(path).relative_to(base))
                    if one.kind == "folder":
                        folders.append(one.path)
                    if fnmatchcase(below, pattern) or fnmatchcase(one.name, pattern):
                        found.append({**_file(one), "path": path, "relative_path": below})
            return found

        found = self._session.call(self._session.here(walk))
        return {
            "success": True,
            "pattern": pattern,
            "search_path": base,
            "matches": found[:max_results],
            "total_matches": len(found[:max_results]),
            "truncated": len(found) > max_results,
        }


def _told_of(ran: Ran) -> dict[str, Any]:
    execution, error = ran.execution, ran.execution.error
    message, kind = None, None
    if not execution.ok:
        message = error.value if error else execution.record.get("reason") or execution.status
        kind = error.name if error else execution.status
    return {
        "success": execution.ok,
        "error": message,
        "error_type": kind,
        "stdout": execution.stdout,
        "stderr": execution.stderr,
        "execution_time": float(execution.record.get("run_ms") or 0) / 1000,
    }


def _refused(checked: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "success": False,
        "error": "; ".join(checked["issues"]),
        "error_type": "SyntaxError",
        "stdout": "",
        "stderr": "",
        "execution_time": 0.0,
        "artifacts": [],
        "cache_hit": False,
        "validation_result": checked,
        "formatted_code": checked["formatted_code"],
    }


def _file(entry: FileEntry) -> dict[str, Any]:
    return {
        "name": entry.name,
        "type": {"folder": "directory"}.get(entry.kind, entry.kind),
        "size": entry.size_bytes if entry.kind == "file" else None,
        "modified": entry.modified,
        "permissions": (entry.mode or "")[-3:],
    }


@atexit.register
def _at_exit() -> None:
    for life in list(_lives):
        if life.session.id is not None and life.pid == os.getpid():
            # what cannot be done any more, the gateway does when nobody has used it for long
            with contextlib.suppress(Exception):
                life.session.call(life.leave())

"""The variables of a namespace as bytes, and back.

What a snapshot consists of: a pickle of all variables, one graph, so that what they share stays
shared; buffers of arrays and frames beside it, each as it stands in memory; and a head, which
names the variables, and those that could not be saved with the reason.
"""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from warmcell_kernel import snapshot_pickler
from warmcell_kernel.snapshot_pickler import Live, SnapshotPickler, SnapshotUnpickler

VERSION = 1
REASON_CHARACTERS = 300
# what IPython keeps of cells and outputs, and what every module has
HIDDEN = re.compile(r"In|Out|exit|quit|get_ipython|_+|_[io]h|_dh|_i*|_i?\d+|_exit_code|__.*__")

Problems = list[dict[str, str]]


class Snapshot:
    """What one save gives. The buffers are borrowed from the variables."""

    def __init__(self, head: dict[str, Any], pickle: memoryview, buffers: list[memoryview]) -> None:
        self.head, self.pickle, self.buffers = head, pickle, buffers


class Marks:
    """What is known of buffers: their sizes and marks, each KEY:TAG; others are passed over."""

    def __init__(
        self, known: Iterable[tuple[int, str]], make: Callable[[bytes, Any], bytes]
    ) -> None:
        self.make = make  # the tag of bytes under a key; OSError: there can be none
        self.of_size: dict[int, set[str]] = {}
        for size, mark in known:
            if ":" in mark:
                self.of_size.setdefault(size, set()).add(mark)

    def find(self, buffer: memoryview) -> str | None:
        """Its mark, if that is known."""
        marks = self.of_size.get(buffer.nbytes, set())
        for key in {mark.partition(":")[0] for mark in marks}:
            try:
                mark = f"{key}:{self.make(key.encode(), buffer).hex()}"
            except OSError:
                return None
            if mark in marks:
                return mark
        return None


class Nowhere:
    """A file that a trial is written to."""

    @staticmethod
    def write(data: Any) -> int:
        return len(data)


def reason_of(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception:
        text = ""
    text = " ".join(text.split())[:REASON_CHARACTERS]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def variables_of(namespace: dict[str, Any], hidden: Mapping[str, Any]) -> dict[str, Any]:
    """What a user has put into the namespace, in the order of it."""
    absent = object()
    return {
        name: value
        for name, value in namespace.items()
        if isinstance(name, str)
        and hidden.get(name, absent) is not value
        and not HIDDEN.fullmatch(name)
    }


# --- saving


def save(
    namespace: dict[str, Any], hidden: Mapping[str, Any], marks: Marks | None = None
) -> Snapshot:
    """Saves all variables that can be saved. marks: of buffers that whoever asks has already: one
    that is the same stands in the head alone."""
    values = variables_of(namespace, hidden)
    problems: Problems = []
    try:
        pickle, buffers = pickle_all(namespace, values)
    except Exception:
        problems = take_out_what_fails(namespace, values)
        pickle, buffers = pickle_all(namespace, values)
    sent, described = choose(buffers, marks)
    head = {
        "version": VERSION,
        "python": sys.version.split()[0],
        "cwd": folder(),
        "variables": [{"name": n, "type": type(v).__name__} for n, v in values.items()],
        "not_saved": problems,
        "pickle_bytes": pickle.nbytes,
        "buffers": described,
    }
    return Snapshot(head, pickle, sent)


def pickle_all(
    namespace: dict[str, Any], values: dict[str, Any]
) -> tuple[memoryview, list[memoryview]]:
    buffers: list[memoryview] = []
    file = io.BytesIO()
    pickler = SnapshotPickler(file, namespace, buffers.append)
    pickler.dump(values)
    pickler.dump(snapshot_pickler.lines_of(pickler.sources))
    return file.getbuffer(), buffers


def take_out_what_fails(namespace: dict[str, Any], values: dict[str, Any]) -> Problems:
    """Tries each by itself; those that fail leave values."""
    problems: Problems = []
    for name in list(values):
        try:
            trial = SnapshotPickler(Nowhere(), namespace, lambda _: None)
            trial.dump(values[name])
        except Exception as error:
            del values[name]
            problems.append({"name": name, "reason": reason_of(error)})
    return problems


def choose(
    buffers: list[memoryview], marks: Marks | None
) -> tuple[list[memoryview], list[dict[str, Any]]]:
    """The buffers that are sent, and what the head says of all."""
    sent, described = [], []
    for buffer in buffers:
        same = marks.find(buffer) if marks else None
        if same is None:
            sent.append(buffer)
        described.append({"bytes": buffer.nbytes, "same": same})
    return sent, described


def folder() -> str | None:
    try:
        return os.getcwd()  # noqa: PTH109
    except OSError:
        return None


# --- restoring


def restore(
    namespace: dict[str, Any], head: dict[str, Any], pickle: Any, buffers: Sequence[Any]
) -> dict[str, Any]:
    """Puts what a snapshot holds into the namespace; says what it put there, and what not."""
    if head.get("version") != VERSION:
        raise ValueError(f"the snapshot is of version {head.get('version')}, not {VERSION}")
    if head.get("cwd"):
        change_folder(head["cwd"])
    Live.places = snapshot_pickler.places(namespace)
    try:
        values, problems = load(pickle, buffers)
    finally:
        Live.places = {}
    namespace.update(values)
    return {"restored": list(values), "not_restored": [*head.get("not_saved", []), *problems]}


def change_folder(path: str) -> None:
    try:
        os.chdir(path)
    except OSError:
        print(f"The working folder {path!r} is not there any more.", file=sys.stderr)


def load(pickle: Any, buffers: Sequence[Any]) -> tuple[dict[str, Any], Problems]:
    try:
        return unpickle(SnapshotUnpickler, pickle, buffers), []
    except Exception:
        from warmcell_kernel import snapshot_rescue

        values = unpickle(snapshot_rescue.Unpickler, pickle, buffers)
        return snapshot_rescue.sort_out(values, tuple(Live.places.values()))


def unpickle(kind: Callable[..., Any], pickle: Any, buffers: Sequence[Any]) -> dict[str, Any]:
    unpickler = kind(io.BytesIO(pickle), buffers)
    values: dict[str, Any] = unpickler.load()
    snapshot_pickler.put_lines(unpickler.load())
    return values

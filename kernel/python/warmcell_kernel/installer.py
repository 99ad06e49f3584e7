"""What is run for /v1/sandboxes/{id}/packages; docs/packages.md has the whole way.

`install` runs apart from the sandbox, with access to the index or the folder of wheels: it resolves
and unpacks wheels into a folder, and no code of theirs is run. `list`, `own`, `commit` and `remove`
run in the sandbox itself. Each is a script of its own (`python -I installer.py VERB`), needs the
standard library alone (and `install` pip), and writes one JSON object a line to stdout, the last
with the outcome; the exit status is 0, or 1 behind {"event": "failed", "reason": …}.

A sandbox's packages are one folder, ROOT/site, a link to ROOT/site-ID. Every change makes a new
folder of hard links beside it and then moves the link, so that it is there as a whole or not.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import runpy
import shutil
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any, NoReturn

NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
VERSION = re.compile(r"[A-Za-z0-9._+!-]{1,100}")
MODULES_MOST = 1000
REASON_MOST = 2000  # characters
LINE_MOST = 500
PROGRAMS = ("subprocess.Popen", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.system")
SITE = "site"
INCOMING = ".packages-"  # what the gateway has put into the workspace, with an id behind it
RUNNING = "site-"


class Failed(Exception):
    """Its text goes to the client."""


def emit(event: str, **members: Any) -> None:
    sys.stdout.write(json.dumps({"event": event, **members}) + "\n")
    sys.stdout.flush()


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


# --- what is installed


def name_of(one: metadata.Distribution) -> str | None:
    """Code in the sandbox may have written anything into its folder."""
    try:
        return one.metadata["Name"]
    except (OSError, ValueError) as error:
        raise Failed(f"a package in {one.locate_file('')} cannot be read: {error}") from error


def distributions(path: list[str]) -> Iterator[metadata.Distribution]:
    """Each once, as an import finds it first; what has no name is none."""
    seen = set()
    for one in metadata.distributions(path=path):
        name = name_of(one)
        if name and NAME.fullmatch(name) and normal(name) not in seen:
            seen.add(normal(name))
            yield one


def files_of(one: metadata.Distribution) -> list[Path]:
    """Relative to its folder. Scripts and data were written for a prefix that we do not have."""
    found = []
    for file in one.files or ():
        parts = [part for part in file.parts if part != ".."]
        if parts and not file.is_absolute():
            found.append(Path(*parts))
    return found


def modules_of(one: metadata.Distribution) -> list[str]:
    """The names by which its modules are imported, without what is below them."""
    found = set()
    for file in one.files or ():
        first = file.parts[0] if file.parts else ""
        if len(file.parts) == 1:
            first = first.partition(".")[0] if file.suffix in (".py", ".so") else ""
        if first.isidentifier() and first not in ("bin", "share", "include", "__pycache__"):
            found.add(first)
    return sorted(found)[:MODULES_MOST]


def model(one: metadata.Distribution, location: str) -> dict[str, Any]:
    return {
        "name": one.metadata["Name"],
        "version": one.version,
        "location": location,
        "modules": modules_of(one),
    }


def list_packages(root: Path, *, all_of_them: bool) -> int:
    """Those of the sandbox hide those of the environment that have the same name."""
    own = {normal(one.metadata["Name"]): one for one in distributions([str(root / SITE)])}
    found = [model(one, "sandbox") | {"requires": one.requires or []} for one in own.values()]
    found += [
        model(one, "environment")
        for one in distributions(sys.path if all_of_them else [])
        if normal(one.metadata["Name"]) not in own
    ]
    found.sort(key=lambda package: normal(str(package["name"])))
    emit("listed", packages=found)
    return 0


# --- apart: finding and unpacking


def write_known(known: list[dict[str, Any]], folder: Path) -> None:
    """What the sandbox has, as pip sees it: names and requirements, and nothing to import."""
    folder.mkdir()
    for package in known:
        name, version = str(package.get("name")), str(package.get("version"))
        if not NAME.fullmatch(name) or not VERSION.fullmatch(version):
            continue
        lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
        lines += [
            f"Requires-Dist: {requirement}"
            for requirement in package.get("requires") or ()
            if isinstance(requirement, str) and requirement.isprintable() and "@" not in requirement
        ]
        place = folder / f"{normal(name).replace('-', '_')}-{version}.dist-info"
        place.mkdir(exist_ok=True)
        (place / "METADATA").write_text("\n".join(lines) + "\n", encoding="utf-8")


def run_pip(words: list[str], phase: str) -> None:
    """pip as this Python has it; what it says is progress, and its errors are the reason.

    A fork runs it: it may do with its process what it likes, and its modules are imported once.
    """
    errors: list[str] = []
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        be_pip(words, writing)
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8", errors="replace") as said:
        for raw in said:
            line = raw.strip()
            if line.startswith("ERROR: "):
                errors.append(line.removeprefix("ERROR: "))
            elif errors and raw.startswith(" "):
                errors.append(line)
            elif line:
                emit("progress", phase=phase, text=line[:LINE_MOST])
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status:
        why = " ".join(errors)[:REASON_MOST]
        raise Failed(why or f"pip ended with status {status} and gave no reason")


def forbid_programs(event: str, _: object) -> None:
    """What is built is built by programs. A wheel may need a source by its URL, which
    --only-binary lets pass."""
    if event in PROGRAMS:
        raise PermissionError("wheels only: no program may be started to build one")


def be_pip(words: list[str], output: int) -> NoReturn:
    """The rest of a child's life.

    What is known is behind all else, so that nothing in it can stand before a module of Python.
    """
    status: object = 1
    sys.addaudithook(forbid_programs)
    try:
        os.dup2(output, 1)
        os.dup2(output, 2)
        sys.path.append(str(Path.cwd() / "known"))
        sys.argv = ["pip", *words]
        runpy.run_module("pip", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        status = end.code
    except BaseException as error:
        sys.stderr.write(f"ERROR: {type(error).__name__}: {error}\n")
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status if isinstance(status, int) else int(status is not None))


def pip_options(order: dict[str, Any]) -> list[str]:
    options = ["--isolated", "--no-input", "--disable-pip-version-check", "--only-binary", ":all:"]
    options += ["--progress-bar", "off", "--cache-dir", str(Path.cwd() / "cache")]
    options += ["--index-url", order["index"]] if order.get("index") else ["--no-index"]
    if order.get("trusted"):
        options += ["--trusted-host", order["trusted"]]
    if order.get("wheels"):
        options += ["--find-links", order["wheels"]]
    return options


def requested_name(requirement: str) -> str:
    found = NAME.match(requirement)
    return normal(found.group().rstrip("._-")) if found else ""


def install() -> int:
    """Reads {"requirements", "known", "index", "trusted", "wheels"} and unpacks into out/."""
    order = json.load(sys.stdin)
    if importlib.util.find_spec("pip") is None:
        raise Failed("No module named pip: this Python has none to install with")
    with suppress(ImportError):  # a name of its own, which it may change
        importlib.import_module("pip._internal.commands.install")
    here = Path.cwd()
    out = here / "out"
    for folder in (here / "tmp", out):
        folder.mkdir()
    write_known(order["known"], here / "known")
    report_file = here / "report.json"
    wanted: list[str] = order["requirements"]
    options = pip_options(order)
    dry = ["install", "--dry-run", "--report", str(report_file), *options, *wanted]
    run_pip(dry, "resolve")
    report = json.loads(report_file.read_text(encoding="utf-8"))
    chosen = [one["metadata"] for one in report["install"]]
    if chosen:
        exact = [f"{one['name']}=={one['version']}" for one in chosen]
        place = ["--no-deps", "--no-compile", "--ignore-installed", "--target", str(out)]
        run_pip(["install", *options, *place, *exact], "install")
    new = {normal(one["name"]) for one in chosen}
    sys.path.append(str(here / "known"))
    there = {normal(one.metadata["Name"]): one for one in distributions(sys.path[::-1])}
    names = dict.fromkeys(requested_name(text) for text in wanted)
    emit(
        "staged",
        installed=[{"name": one["name"], "version": one["version"]} for one in chosen],
        already=[
            {"name": there[name].metadata["Name"], "version": there[name].version}
            for name in names
            if name not in new and name in there
        ],
    )
    return 0


# --- in the sandbox: the folder of packages


def link(source: str, target: str) -> str:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, target, follow_symlinks=False)
    return target


def source_is_gone(file: Path) -> bool:
    """Of a compiled module."""
    return not (file.parent.parent / f"{file.name.partition('.')[0]}.py").exists()


def drop(site: Path, one: metadata.Distribution) -> None:
    for relative in files_of(one):
        file = site / relative
        if file.is_symlink() or file.is_file():
            file.unlink()
    for folder, _, names in os.walk(site, topdown=False):
        here = Path(folder)
        for name in names:
            if here.name == "__pycache__" and source_is_gone(here / name):
                (here / name).unlink()
        if here != site and not any(here.iterdir()):
            here.rmdir()


def add(site: Path, incoming: Path) -> None:
    for folder, _, names in os.walk(incoming):
        place = site / Path(folder).relative_to(incoming)
        place.mkdir(exist_ok=True)
        for name in names:
            (Path(folder) / name).replace(place / name)


def change(root: Path, alter: Callable[[Path], None]) -> None:
    """Alters a copy of ROOT/site, and then has the link lead to it."""
    root.mkdir(exist_ok=True)
    site = root / SITE
    before = {one.name for one in root.iterdir() if one.name.startswith(RUNNING)}
    new = root / f"{RUNNING}{uuid.uuid4().hex}"
    fresh = root / f"{SITE}.new"
    try:
        if site.is_dir():
            shutil.copytree(site, new, symlinks=True, copy_function=link)
        else:
            new.mkdir()
        alter(new)
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(new.name)
        fresh.replace(site)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise
    for name in before:
        shutil.rmtree(root / name, ignore_errors=True)


def commit(root: Path, incoming: Path) -> int:
    """Moves what the installer has unpacked into ROOT/site."""
    own = {normal(one.metadata["Name"]): one for one in distributions([str(root / SITE)])}
    base = {normal(one.metadata["Name"]): one for one in distributions(sys.path)}
    installed, replaced = [], []
    modules: set[str] = set()
    for one in distributions([str(incoming)]):
        name = normal(one.metadata["Name"])
        old = own.get(name)
        hidden = old or base.get(name)
        installed.append(
            {
                "name": one.metadata["Name"],
                "version": one.version,
                "replaces": hidden.version if hidden else None,
            }
        )
        modules.update(modules_of(one), modules_of(hidden) if hidden else ())
        if old:
            replaced.append(old)

    def alter(site: Path) -> None:
        for old in replaced:
            drop(site, old)
        add(site, incoming)

    try:
        if installed:
            change(root, alter)
    finally:
        for left in root.parent.glob(f"{INCOMING}*"):
            shutil.rmtree(left, ignore_errors=True)
    emit("committed", installed=installed, modules=sorted(modules)[:MODULES_MOST])
    return 0


def remove(root: Path, name: str) -> int:
    for one in distributions([str(root / SITE)]):
        if normal(one.metadata["Name"]) == normal(name):
            found = one
            break
    else:
        emit("absent")
        return 0
    modules, old = modules_of(found), model(found, "sandbox")
    change(root, lambda site: drop(site, found))
    emit("removed", name=old["name"], version=old["version"], modules=modules)
    return 0


def main(words: list[str]) -> int:
    match words:
        case ["install"]:
            return install()
        case ["list", root]:
            return list_packages(Path(root), all_of_them=True)
        case ["own", root]:
            return list_packages(Path(root), all_of_them=False)
        case ["commit", root, incoming]:
            return commit(Path(root), Path(incoming))
        case ["remove", root, name]:
            return remove(Path(root), name)
    return 2


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except (Failed, OSError, ValueError) as error:
        emit("failed", reason=str(error)[:REASON_MOST])
        sys.exit(1)

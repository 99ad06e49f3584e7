"""Rules of this project that no ready-made tool knows; run by `./dev lint`.

- Includes go one way: protocol <- sandbox <- kernel; protocol <- gateway: net, store, launch,
  files <- core <- dialect <- the files of gateway/ itself; sandbox <- gateway/launch, core and the
  files of gateway/ itself. Every include names its header from the root.
- A file has at most 800 lines, a function at most 80.
- No text names a folder of the machine it was written on.

Prints one line for each offence, `file:line: what is wrong`, and exits 1 when there is any.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FILE_LINES = 800
FUNCTION_LINES = 80

# what every folder of gateway/ may use of gateway/ itself
BASE = ("gateway/log.h", "gateway/place.h", "gateway/settings.h")
# a folder, and what its files may include; the longest folder that fits counts
MAY_INCLUDE: dict[str, tuple[str, ...]] = {
    "protocol/": ("protocol/",),
    "sandbox/": ("protocol/", "sandbox/"),
    "kernel/": ("protocol/", "sandbox/", "kernel/"),
    "gateway/net/": ("protocol/", *BASE, "gateway/net/"),
    "gateway/store/": ("protocol/", *BASE, "gateway/store/"),
    "gateway/launch/": ("protocol/", "sandbox/", *BASE, "gateway/launch/"),
    "gateway/files/": ("protocol/", "gateway/files/"),
    "gateway/core/": (
        "protocol/",
        "sandbox/",
        *BASE,
        "gateway/net/",
        "gateway/store/",
        "gateway/launch/",
        "gateway/files/",
        "gateway/core/",
    ),
    "gateway/dialect/": (
        "protocol/",
        *BASE,
        "gateway/net/",
        "gateway/core/",
        "gateway/dialect/",
        "gateway/web/",
    ),
    "gateway/cli/": (
        "protocol/",
        *BASE,
        "gateway/ini.h",
        "gateway/option.h",
        "gateway/options.h",
        "gateway/server_record.h",
        "gateway/net/reason.h",
        "gateway/net/url.h",
        "gateway/core/bundle.h",
        "gateway/core/reseal.h",  # keys reseal, in a folder that no gateway uses
        "gateway/store/retention_table.h",  # gc, in a folder that no gateway uses
        "gateway/store/vault.h",  # keys rotate, likewise
        "gateway/files/pack.h",
        "gateway/files/unpack.h",
        "gateway/cli/",
    ),
    "gateway/": ("protocol/", "sandbox/", "gateway/"),
    "tests/": ("protocol/", "sandbox/", "kernel/", "gateway/", "tests/"),
}
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"')
SHELL_FUNCTION = re.compile(r"^\w+\(\) \{")

# the top folders that any machine has
STANDARD = {
    *("bin", "boot", "dev", "etc", "home", "lib", "lib64", "media", "mnt", "opt", "proc", "root"),
    *("run", "sbin", "srv", "sys", "tmp", "usr", "var"),
}


def files() -> list[str]:
    """Every file that git knows or would add, by its path from the root."""
    listed = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-co", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return [name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


def include_offences(name: str, lines: Iterable[str]) -> Iterator[str]:
    folder = max((f for f in MAY_INCLUDE if name.startswith(f)), key=len, default=None)
    if folder is None:
        return
    for number, line in enumerate(lines, 1):
        found = INCLUDE.match(line)
        if found and not found[1].startswith(MAY_INCLUDE[folder]):
            yield f"{name}:{number}: a file of {folder} may not include {found[1]}"


def function_offences(name: str, lines: list[str]) -> Iterator[str]:
    """Functions of C and shell begin and end in the first column."""
    begin = 0
    for number, line in enumerate(lines, 1):
        if line == "{" or (not name.endswith((".c", ".h")) and SHELL_FUNCTION.match(line)):
            begin = number
        elif line == "}" and begin:
            if number - begin + 1 > FUNCTION_LINES:
                yield f"{name}:{begin}: a function of {number - begin + 1} lines"
            begin = 0


def python_offences(name: str, text: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno:
            length = node.end_lineno - node.lineno + 1
            if length > FUNCTION_LINES:
                yield f"{name}:{node.lineno}: {node.name} has {length} lines"


def forbidden_places(root: Path) -> list[str]:
    """The checkout itself, and the top folder it lies in when only this machine has that."""
    places = [f"{root}{os.sep}"]
    top = root.parts[1] if len(root.parts) > 2 else ""
    if top and top not in STANDARD:
        places.append(f"/{top}/")
    return places


def place_offences(name: str, lines: Iterable[str], places: list[str]) -> Iterator[str]:
    for number, line in enumerate(lines, 1):
        for place in places:
            if re.search(rf"(?<![\w.~}}-]){re.escape(place)}", line):
                yield f"{name}:{number}: names a folder of this machine"
                break


def offences(name: str, text: str, places: list[str]) -> Iterator[str]:
    lines = text.splitlines()
    yield from place_offences(name, lines, places)
    is_c = name.endswith((".c", ".h"))
    is_shell = text.startswith("#!/bin/sh")
    if is_c:
        yield from include_offences(name, lines)
    if is_c or is_shell:
        yield from function_offences(name, lines)
    if name.endswith(".py"):
        yield from python_offences(name, text)
    if (is_c or is_shell or name.endswith((".py", ".js", ".ts"))) and len(lines) > FILE_LINES:
        yield f"{name}:1: {len(lines)} lines"


def main() -> int:
    places = forbidden_places(ROOT)
    found = 0
    for name in files():
        try:
            text = (ROOT / name).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # not a text: a corpus file or a picture
        for offence in offences(name, text, places):
            print(offence)
            found += 1
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

"""The rules of lint.py find what they are for, and let the rest pass."""

from __future__ import annotations

from pathlib import Path

import lint
import pytest


@pytest.mark.parametrize(
    ("name", "header", "allowed"),
    [
        ("protocol/link.c", "protocol/bytes.h", True),
        ("protocol/link.c", "kernel/host/host.h", False),
        ("protocol/link.c", "bytes.h", False),
        ("kernel/host/host.c", "protocol/link.h", True),
        ("kernel/host/host.c", "gateway/log.h", False),
        ("gateway/net/server.c", "gateway/log.h", True),
        ("gateway/net/server.c", "gateway/core/kernel.h", False),
        ("gateway/store/blob.c", "gateway/net/route.h", False),
        ("gateway/core/kernel.c", "gateway/store/blob.h", True),
        ("gateway/core/kernel.c", "gateway/dialect/jupyter.h", False),
        ("gateway/dialect/jupyter.c", "gateway/core/kernel.h", True),
        ("gateway/dialect/jupyter.c", "gateway/store/blob.h", False),
        ("gateway/main.c", "gateway/dialect/jupyter.h", True),
    ],
)
def test_direction_of_includes(name: str, header: str, allowed: bool) -> None:
    found = list(lint.offences(name, f'#include <stdio.h>\n#include "{header}"\n', []))
    assert not found if allowed else found[0].startswith(f"{name}:2: ")


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("protocol/link.c", ("int f(void)\n{", "    g();", "}")),
        ("dev", ("#!/bin/sh\nf() {", "    g", "}")),
        ("tests/x.py", ("def f():", "    g()", "")),
    ],
)
@pytest.mark.parametrize(("lines", "allowed"), [(70, True), (90, False)])
def test_length_of_functions(
    name: str, function: tuple[str, str, str], lines: int, allowed: bool
) -> None:
    begin, line, end = function
    text = "\n".join([begin, *[line] * lines, end])
    assert bool(list(lint.offences(name, text, []))) is not allowed


@pytest.mark.parametrize(("lines", "allowed"), [(800, True), (801, False)])
def test_length_of_files(lines: int, allowed: bool) -> None:
    assert bool(list(lint.offences("kernel/a.c", "int x;\n" * lines, []))) is not allowed


def test_folders_of_this_machine() -> None:
    places = lint.forbidden_places(Path("/elsewhere/trees/warmcell"))
    text = "see /elsewhere/notes\nand /usr/elsewhere/x\nand https://a.example/elsewhere/\n"
    assert list(lint.offences("README.md", text, places)) == [
        "README.md:1: names a folder of this machine"
    ]
    assert lint.forbidden_places(Path("/home/me/warmcell")) == ["/home/me/warmcell/"]

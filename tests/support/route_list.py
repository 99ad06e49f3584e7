"""tests/gateway/routes.toml: for every route of the native API, which test shows each of its
statuses, that what is foreign is not there, that bad input is named, and what the same request does
twice. Its head says how it is read.

    python -m support.route_list FILE…    # in tests/: each test of the list that did not see its
                                          # status, by what support.observed wrote to the files
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path
from typing import Any

from support.contract import Contract, Operation
from support.programs import ROOT

TESTS = ROOT / "tests"
LIST = TESTS / "gateway" / "routes.toml"
NATIVE = re.compile(r"/(v1/.*|metrics|healthz|readyz|openapi\.json|docs)$")
OF_PROGRAMS = {"ports", "packages"}  # what they do twice is told by a server, and an installer
Rows = dict[str, str]


def native(contract: Contract) -> list[Operation]:
    return [one for one in contract.operations() if NATIVE.match(one.path)]


def name(operation: Operation) -> str:
    return f"{operation.method} {operation.path}"


def listed() -> dict[str, Any]:
    return tomllib.loads(LIST.read_text())


def wanted(operation: Operation) -> set[str]:
    """What must be shown of a route, besides its statuses."""
    words = set(operation.responses)
    parameters = {one["name"]: one for one in operation.described.get("parameters", [])}
    if "{id}" in operation.path:
        words.add("foreign")
    if "requestBody" in operation.described or any(
        one["in"] == "query" for one in parameters.values()
    ):
        words.add("input")
    by_nature = operation.method in ("PUT", "DELETE") and not OF_PROGRAMS & {
        *operation.path.split("/")
    }
    if "Idempotency-Key" in parameters or by_nature:
        words.add("twice")
    return words


def rows(document: dict[str, Any], operation: Operation) -> Rows:
    """Those of a route; what it does not say itself, [every] says for all."""
    words = wanted(operation)
    own: Rows = document.get(name(operation), {})
    return {word: test for word, test in document["every"].items() if word in words} | own


def problems(contract: Contract) -> list[str]:
    """What the list lacks, has too much, or names that is no test."""
    document = listed()
    operations = {name(one): one for one in native(contract)}
    found = [
        f"{one}: there is no such route"
        for one in document
        if one not in operations and one != "every"
    ]
    for route, operation in operations.items():
        has, must = rows(document, operation), wanted(operation)
        found += [f"{route}: {one} is shown by no test" for one in must - has.keys()]
        found += [f"{route}: {one} is not described" for one in has.keys() - must]
    known = tests()
    shown = {test for one in operations.values() for test in rows(document, one).values()}
    found += [f"{one} is no test" for one in shown - known]
    return sorted(found)


def tests() -> set[str]:
    """All of them, as file::function."""
    return {
        f"{path.name}::{found}"
        for path in TESTS.rglob("test_*.py")
        for found in re.findall(
            r"^(?:    )?(?:async )?def (test_\w+)\(", path.read_text(), re.MULTILINE
        )
    }


def blind(observed: list[Path]) -> list[str]:
    """The named tests that did not see the status that they are named for."""
    seen = set()
    for line in "".join(path.read_text() for path in observed).splitlines():
        method, path, status, test = line.split("\t")
        file, *_, function = test.split("::")
        seen.add((f"{method} {path.replace('*}', '}')}", status, f"{file}::{function}"))
    return [
        f"{route} {word}: {test}"
        for route, own in listed().items()
        if " " in route
        for word, test in own.items()
        if word.isdigit() and (route, word, test) not in seen
    ]


if __name__ == "__main__":
    print("\n".join(blind([Path(one) for one in sys.argv[1:]])) or "each saw its status")

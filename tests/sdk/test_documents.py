"""The lists of what becomes of each block and name of the four documents are whole and true."""

from __future__ import annotations

import hashlib
import tomllib
from typing import Any

import pytest
from support import surface_table
from support.document import DOCUMENTS, FOLDER, TESTS, blocks, functions_of, numbers_of_tests

# they are what was promised: nobody edits them to make a test pass
SUMS = {
    "cloud-sandbox": "a4df9805b956c00928840ad66b18f2523af994f84ad17ecd4145f0085c3c05b6",
    "enhanced-sandbox": "746cce1afc1bf4258aa7e244c3103dcd8c2a1ded5e5397d8ada381637ddc4534",
    "llm-sandbox": "978fcf592809e6ac1e3e849903f6b44a87d2575af8377c8a61d66d5d8208ea0b",
    "sandbox-sdk": "f0427599f3863b42a9ba0f0be363bb02344cbc3c6df59437ba68a14f570b9d5e",
}
WITH = {"runs": None, "fragment": "preamble", "refuses": "error"}
MEMBERS = {"number", "heading", "status", "test"}


def listed(document: str) -> list[dict[str, Any]]:
    found = tomllib.loads((FOLDER / f"{document}.toml").read_text())
    return list(found["block"])


def assert_test(document: str, said: str) -> None:
    file, _, name = said.partition("::")
    assert name in functions_of(TESTS / file), f"{document}: there is no test {said}"


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_document_is_as_it_was(document: str) -> None:
    data = (FOLDER / f"{document}.md").read_bytes()
    assert hashlib.sha256(data).hexdigest() == SUMS[document]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_block_has_its_place(document: str) -> None:
    known = blocks(document)
    rows = listed(document)
    assert [(row["number"], row["heading"]) for row in rows] == [
        (block.number, block.heading) for block in known
    ]
    ran_by = numbers_of_tests(document)
    for row in rows:
        more = WITH[row["status"]]
        assert set(row) == MEMBERS | ({more} if more else set()), row
        assert_test(document, row["test"])
        assert row["test"] in ran_by.get(row["number"], []), f"{row['test']} does not run {row}"


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_name_is_there(document: str) -> None:
    found = surface_table.names(document)
    assert found
    for name in found:
        assert_test(document, name.test)
    assert [said for name in found if (said := surface_table.missing(name))] == []
    page = surface_table.PAGES / f"{surface_table.PACKAGES[document]}.md"
    assert page.read_text() == surface_table.page(document), "run python -m support.surface_table"

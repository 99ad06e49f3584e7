"""Files of a sandbox below each other: lists of all, patterns, copies, permissions."""

from __future__ import annotations

import os
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from support.files import Box, end, make_gateway, problem
from support.gateway import Gateway


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    gateway = make_gateway("root" if os.geteuid() == 0 else "user", "--file-limit", "2000000")
    gateway.start()
    yield gateway
    end(gateway)


@pytest.fixture(scope="module")
def box(gateway: Gateway) -> Iterator[Box]:
    box = Box.make(gateway)
    yield box
    box.remove()


def paths(box: Box, at: str, query: str) -> list[str]:
    answer = box.get(f"{at}?{query}")
    assert answer.status == 200, answer
    return [entry["path"].removeprefix(f"{at}/") for entry in answer.json()["files"]]


@pytest.fixture
def tree(box: Box) -> str:
    """`a-b` sorts before `a/…` as bytes, but what is in a folder stands behind the folder."""
    at = box.fresh()
    for name in ("a/deep/x.py", "a/y.py", "a-b", "b.txt", ".hidden/z.py", "\u00e9.py"):
        box.put(f"{at}/{name}", name.encode())
    box.cell(f"import os; os.symlink('a', '{at}/link')")
    return at


ORDER = [".hidden", ".hidden/z.py", "a", "a/deep", "a/deep/x.py", "a/y.py", "a-b", "b.txt", "link",
         "\u00e9.py"]  # fmt: skip


def test_all_below(box: Box, tree: str) -> None:
    assert paths(box, tree, "recursive=1") == ORDER
    entries = box.get(f"{tree}?recursive=1").json()["files"]
    by_path = {entry["path"]: entry for entry in entries}
    found = by_path[f"{tree}/a/deep/x.py"]
    assert (found["name"], found["kind"], found["size_bytes"]) == ("x.py", "file", 11)
    assert box.gateway.get(found["url"]).body == b"a/deep/x.py"
    assert by_path[f"{tree}/link"]["target"] == "a"
    assert paths(box, f"{tree}/link", "recursive=1") == ["deep", "deep/x.py", "y.py"]


@pytest.mark.parametrize("limit", [1, 2, 3, 9, 10, 11])
def test_pages_of_all(box: Box, tree: str, limit: int) -> None:
    found: list[str] = []
    after = ""
    while True:
        answer = box.gateway.get(f"{box.url}/{tree}?recursive=1&limit={limit}{after}").json()
        found += [entry["path"].removeprefix(f"{tree}/") for entry in answer["files"]]
        if answer["next"] is None:
            break
        assert len(answer["files"]) == limit
        after = "&after=" + quote(answer["next"])
    assert found == ORDER


def test_a_page_goes_on_where_the_last_one_has_gone(box: Box, tree: str) -> None:
    answer = box.get(f"{tree}?recursive=1&limit=5").json()
    box.ask("DELETE", f"{tree}/a/deep?recursive=1")
    rest = box.gateway.get(f"{box.url}/{tree}?recursive=1&after={quote(answer['next'])}").json()
    assert [entry["path"].removeprefix(f"{tree}/") for entry in rest["files"]] == ORDER[5:]


@pytest.mark.parametrize("after", ["..", "../x", "a/../..", "./../..", "/../..", "a//../.."])
def test_no_page_goes_on_above_its_folder(box: Box, tree: str, after: str) -> None:
    answer = box.gateway.get(f"{box.url}/{tree}?recursive=1&after={quote(after)}").json()
    found = [entry["path"].removeprefix(f"{tree}/") for entry in answer["files"]]
    assert not set(found) - set(ORDER)


def test_many_names_in_one_folder(box: Box) -> None:
    """More than are kept in memory at once."""
    at = box.fresh()
    box.cell(f"for n in range(3000): open(f'{at}/{{n:05}}', 'w').close()")
    assert paths(box, at, "recursive=1&limit=10000") == [f"{n:05}" for n in range(3000)]
    assert paths(box, at, "glob=*99&limit=10000") == [f"{n:05}" for n in range(99, 3000, 100)]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*.py", ["\u00e9.py"]),
        ("?.py", ["\u00e9.py"]),
        ("**/*.py", ["a/deep/x.py", "a/y.py", "\u00e9.py"]),
        ("**", [name for name in ORDER if not name.startswith(".")]),
        ("a/**", ["a", "a/deep", "a/deep/x.py", "a/y.py"]),
        ("**/deep/*", ["a/deep/x.py"]),
        ("*/y.py", ["a/y.py"]),
        (".*/*.py", [".hidden/z.py"]),
        ("[a-b]?[bt]*", ["a-b", "b.txt"]),
        ("nothing/**/here", []),
    ],
)
def test_patterns(box: Box, tree: str, pattern: str, found: list[str]) -> None:
    assert paths(box, tree, f"glob={quote(pattern)}") == found


def test_lists_that_cannot_be(box: Box, tree: str) -> None:
    for query, status in [
        ("glob=", 400), ("glob=a/../b", 400), ("glob=%5Bab", 400), ("glob=" + "a/" * 61, 400),
        ("glob=" + "a" * 1025, 400),
        ("recursive=2", 400), ("recursive=1&stat=1", 400), ("recursive=1&limit=0", 400),
    ]:  # fmt: skip
        assert problem(box.get(f"{tree}?{query}"))[0] == status, query
    assert problem(box.get(f"{tree}/b.txt?recursive=1"))[0] == 409
    assert problem(box.get(f"{tree}/none?recursive=1"))[0] == 404


def test_a_list_of_what_lies_too_deep(gateway: Gateway) -> None:
    """In a workspace that nobody counts: others that are as deep are ended."""
    box = Box.make(gateway, limits={"workspace_bytes": 0, "workspace_inodes": 0})
    box.cell("import os\nfor _ in range(140): os.mkdir('d'); os.chdir('d')")
    status, why = problem(box.get("?recursive=1"))
    assert (status, "deep" in why) == (409, True)
    box.remove()


def test_copies_of_files(box: Box) -> None:
    at = box.fresh()
    body = os.urandom(1_500_000)
    box.put(f"{at}/run?mode=755", body)
    made = box.ask("POST", f"{at}/run?copy_to={at}/new/run")
    assert (made.status, made.headers["location"]) == (201, f"{box.url}/{at}/new/run")
    assert box.get(f"{at}/new/run").body == body
    inside = box.cell(f"import os; s = os.stat('{at}/new/run'); print(s.st_uid, oct(s.st_mode))")
    assert inside == "1000 0o100755\n"
    box.put(f"{at}/other", b"other")
    assert problem(box.ask("POST", f"{at}/other?copy_to={at}/new/run"))[0] == 409
    assert box.ask("POST", f"{at}/other?copy_to={at}/new/run&overwrite=1").status == 204
    assert (box.get(f"{at}/new/run").body, box.get(f"{at}/other").body) == (b"other", b"other")


def test_copies_of_folders(box: Box, tree: str) -> None:
    assert box.ask("POST", f"{tree}/a?copy_to={tree}/copy/of").status == 201
    assert paths(box, f"{tree}/copy/of", "recursive=1") == ["deep", "deep/x.py", "y.py"]
    assert box.get(f"{tree}/copy/of/deep/x.py").body == b"a/deep/x.py"
    assert box.ask("POST", f"{tree}/link?copy_to={tree}/copy/link").status == 201
    assert box.get(f"{tree}/copy/link?stat=1").json()["target"] == "a"
    box.put(f"{tree}/a/y.py", b"new")
    box.put(f"{tree}/copy/of/more", b"stays")
    assert problem(box.ask("POST", f"{tree}/a?copy_to={tree}/copy/of"))[0] == 409
    assert box.ask("POST", f"{tree}/a?copy_to={tree}/copy/of&overwrite=1").status == 204
    assert box.get(f"{tree}/copy/of/y.py").body == b"new"
    assert box.get(f"{tree}/copy/of/more").body == b"stays"


def test_a_folder_is_not_copied_into_itself_by_a_link(box: Box, tree: str) -> None:
    assert box.ask("POST", f"{tree}/a?copy_to={tree}/link/inside").status == 201
    assert paths(box, f"{tree}/a/inside", "recursive=1") == ["deep", "deep/x.py", "y.py"]


def test_copies_that_cannot_be(box: Box, tree: str) -> None:
    box.cell(f"import os; open('{tree}/large', 'w').truncate(2000001); os.mkfifo('{tree}/fifo');"
             f"os.mkdir('{tree}/closed'); os.mkdir('{tree}/closed/in');"
             f"os.chmod('{tree}/closed/in', 0); os.symlink('/etc', '{tree}/out')")  # fmt: skip
    for path, to, status in [
        ("none", "x", 404), ("a", "a/in", 409), ("a", "a", 409), ("b.txt", "b.txt/in", 409),
        ("a", "b.txt&overwrite=1", 409), ("b.txt", "a&overwrite=1", 409), ("large", "x", 413),
        ("fifo", "x", 409), ("closed", "x", 403), ("b.txt", "../../x", 400),
        ("b.txt", "out/x", 403),
    ]:  # fmt: skip
        answer = box.ask("POST", f"{tree}/{path}?copy_to={tree}/{to}")
        assert problem(answer)[0] == status, (path, to, answer)
    assert problem(box.ask("POST", f"?copy_to={tree}/x"))[0] in (404, 405)
    assert problem(box.ask("POST", f"{tree}/b.txt?copy_to=x&move_to=y"))[0] == 400
    assert problem(box.ask("POST", f"{tree}/b.txt?copy_to=x", b"body"))[0] == 400
    box.cell(f"import os; os.chmod('{tree}/closed/in', 0o700)")


def test_copies_share_the_room(gateway: Gateway) -> None:
    small = Box.make(gateway, limits={"workspace_bytes": 2_000_000, "workspace_inodes": 64})
    small.put("a/file", bytes(900_000))
    assert small.ask("POST", "a?copy_to=b").status == 201
    status, why = problem(small.ask("POST", "a?copy_to=c"))
    assert (status, "workspace_bytes" in why) == (507, True)
    small.ask("DELETE", "b?recursive=1")
    for number in range(40):
        small.put(f"e/{number}", b"")
    status, why = problem(small.ask("POST", "e?copy_to=d"))
    assert (status, "workspace_inodes" in why) == (507, True)
    small.remove()


def test_permissions(box: Box) -> None:
    at = box.fresh()
    etag = box.put(f"{at}/run", b"#!/bin/sh\necho hi\n").headers["etag"]
    mode = {"Content_Type": "application/json"}
    assert box.ask("PATCH", f"{at}/run", b'{"mode": "755"}', **mode).status == 204
    assert box.get(f"{at}/run?stat=1").json()["mode"] == "0755"
    assert box.ask("PATCH", f"{at}/run", b'{"mode": "755"}', **mode).status == 204
    assert box.cell(f"import subprocess; print(subprocess.check_output('{at}/run'))")
    assert box.ask("PATCH", at, b'{"mode": "0700"}', If_Match="*").status == 204
    assert box.ask("PATCH", f"{at}/run", b'{"mode": "0"}', If_Match=etag).status == 204
    for path, body, status in [
        ("run", b"{}", 400), ("run", b'{"mode": 755}', 400), ("run", b'{"mode": "4755"}', 400),
        ("run", b'{"mode": "888"}', 400), ("run", b"no json", 400), ("none", b'{"mode": "1"}', 404),
    ]:  # fmt: skip
        assert problem(box.ask("PATCH", f"{at}/{path}", body))[0] == status, body
    assert problem(box.ask("PATCH", f"{at}/run", b'{"mode": "1"}', If_Match='"a"'))[0] == 412
    box.cell(f"import os; os.symlink('/etc/passwd', '{at}/out')")
    assert problem(box.ask("PATCH", f"{at}/out", b'{"mode": "777"}'))[0] == 403


def test_foreign_and_none(box: Box, gateway: Gateway) -> None:
    minted = gateway.request("POST", "/v1/tokens", {"principal": "someone"}).json()["token"]
    for method, path in [
        ("GET", "?recursive=1"), ("GET", "?glob=**"), ("POST", "/a?copy_to=b"),
        ("PATCH", "/a"), ("GET", "/a?recursive=1"),
    ]:  # fmt: skip
        foreign = gateway.request(method, f"{box.url}{path}", b'{"mode": "1"}' if method == "PATCH"
                                  else None, {"Authorization": f"Bearer {minted}"})  # fmt: skip
        assert foreign.status == 404, (method, path, foreign)
        assert gateway.request(method, f"/v1/sandboxes/none/files{path}").status == 404


def test_what_is_long_to_match_makes_pages_shorter(box: Box) -> None:
    at = box.fresh()
    name = "a" * 255
    box.cell(
        f"os.chdir('{at}')\n"
        f"for _ in range(45): os.mkdir('{name}'); os.chdir('{name}')\n"
        f"for n in range(5): open(f'{{n}}', 'w').close()\n"
        f"os.chdir('/workspace')"
    )
    url = f"{box.url}/{at}?limit=10000&glob={quote('**/[' + 'a' * 1000 + '0-9]*')}"
    pages = [box.gateway.get(url).json()]
    while pages[-1]["next"] is not None:
        pages.append(box.gateway.get(f"{url}&after={quote(pages[-1]['next'])}").json())
    found = [entry["name"] for page in pages for entry in page["files"]]
    assert found == [name] * 45 + [*"01234"]
    assert len(pages) > 1

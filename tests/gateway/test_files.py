"""/v1/sandboxes/{id}/files with real sandboxes, as root and as an ordinary user: what is read,
written, listed, moved and removed, what is refused and how, and whose the files are."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import processes
from support.files import MODES, Box, end, finish, make_gateway, make_wrapped, problem
from support.gateway import Gateway

MIB = 1 << 20


@pytest.fixture(scope="module", params=MODES)
def gateway(request: pytest.FixtureRequest) -> Iterator[Gateway]:
    gateway = make_gateway(request.param).start()
    yield gateway
    end(gateway)


@pytest.fixture(scope="module")
def box(gateway: Gateway) -> Iterator[Box]:
    box = Box.make(gateway)
    yield box
    box.remove()


# --- cells and the API share the files


def test_a_cell_edits_an_uploaded_file(box: Box) -> None:
    at = box.fresh()
    assert box.put(f"{at}/new/data.txt", b"one\n").status == 201
    box.cell(f"open('{at}/new/data.txt', 'a').write('two\\n'); open('{at}/new/own', 'w').close()")
    assert box.get(f"{at}/new/data.txt").body == b"one\ntwo\n"
    inside = box.cell(f"import os; s = os.stat('{at}/new/data.txt'); print(s.st_uid, s.st_gid)")
    assert inside == "1000 1000\n"


def test_the_api_deletes_a_cells_file(box: Box) -> None:
    at = box.fresh()
    box.cell(f"open('{at}/made', 'w').write('x')")
    assert box.ask("DELETE", f"{at}/made").status == 204
    assert box.cell(f"import os; print(os.listdir('{at}'))") == "[]\n"


def test_what_is_made_is_the_sandboxs(box: Box) -> None:
    at = box.fresh()
    box.put(f"{at}/a/b/file", b"x")
    box.put(f"{at}/folder/deep?folder=1")
    box.ask("POST", f"{at}/c/log?append=1", b"x")
    box.ask("POST", f"{at}/a/b/file?move_to={at}/d/file")
    found = list((box.folder / at).rglob("*"))
    assert {path.name for path in found} >= {"a", "b", "file", "folder", "deep", "c", "log", "d"}
    for path in found:
        assert (path.lstat().st_uid, path.lstat().st_gid) == (box.owner, box.owner), path
        wanted = 0o755 if path.is_dir() else 0o644
        assert path.lstat().st_mode & 0o7777 == wanted, path


def test_every_thread_is_itself_again(box: Box) -> None:
    threads = [
        threading.Thread(target=lambda: [box.put(f"t{n}", b"x") for n in range(20)])
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seen = set()
    for task in Path(f"/proc/{box.gateway.pid}/task").iterdir():
        lines = (task / "status").read_text().splitlines()
        seen.add(tuple(line for line in lines if line.split(":")[0] in ("Uid", "Gid", "Groups",
                                                                        "CapEff")))  # fmt: skip
    assert len(seen) == 1, seen
    assert len(set(next(iter(seen))[0].split()[1:])) == 1


# --- reading


def test_bytes_are_bytes(box: Box) -> None:
    at = box.fresh()
    for size in (0, 1, 255, 70_000, 3 * MIB + 5):
        body = os.urandom(size)
        assert box.put(f"{at}/{size}.bin", body).status == 201
        answer = box.get(f"{at}/{size}.bin")
        assert (answer.status, answer.body == body) == (200, True)
        assert answer.headers["content-type"] == "application/octet-stream"
        assert answer.headers["content-length"] == str(size)


@pytest.mark.parametrize(
    ("name", "kind", "shown"),
    [
        ("a.PNG", "image/png", 'filename="a.PNG"; filename*=UTF-8\'\'a.PNG'),
        ("t.csv", "text/csv; charset=utf-8", 'filename="t.csv"; filename*=UTF-8\'\'t.csv'),
        ("n", "application/octet-stream", 'filename="n"; filename*=UTF-8\'\'n'),
        (".png", "application/octet-stream", 'filename=".png"; filename*=UTF-8\'\'.png'),
        ('q"\\;.html', "text/html; charset=utf-8",
         'filename="q___.html"; filename*=UTF-8\'\'q%22%5C%3B.html'),
        ("é\r\nX: y", "application/octet-stream",
         'filename="____X_ y"; filename*=UTF-8\'\'%C3%A9%0D%0AX%3A%20y'),
    ],
)  # fmt: skip
def test_what_a_browser_is_told(box: Box, name: str, kind: str, shown: str) -> None:
    at = box.fresh()
    box.put(f"{at}/{name}", b"x")
    headers = box.get(f"{at}/{name}").headers
    assert headers["content-type"] == kind
    assert headers["content-disposition"] == f"attachment; {shown}"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-security-policy"].startswith("sandbox; default-src 'none'")


@pytest.mark.parametrize(
    ("asked", "status", "body", "said"),
    [
        ("bytes=0-3", 206, b"0123", "bytes 0-3/10"),
        ("bytes=7-", 206, b"789", "bytes 7-9/10"),
        ("bytes=-2", 206, b"89", "bytes 8-9/10"),
        ("bytes=5-99", 206, b"56789", "bytes 5-9/10"),
        ("bytes=10-", 416, b"", "bytes */10"),
        ("lines=1-2", 200, b"0123456789", None),
    ],
)
def test_ranges(box: Box, asked: str, status: int, body: bytes, said: str | None) -> None:
    at = box.fresh()
    etag = box.put(f"{at}/file", b"0123456789").headers["etag"]
    answer = box.get(f"{at}/file", Range=asked)
    assert (answer.status, answer.body, answer.headers.get("content-range")) == (status, body, said)
    assert answer.headers["etag"] == etag
    if status == 206:
        assert box.get(f"{at}/file", Range=asked, If_Range=etag).status == 206
        assert box.get(f"{at}/file", Range=asked, If_Range='"other"').status == 200


def test_etags(box: Box) -> None:
    at = box.fresh()
    first = box.put(f"{at}/file", b"one").headers["etag"]
    assert box.get(f"{at}/file", If_None_Match=first).status == 304
    second = box.put(f"{at}/file", b"two").headers["etag"]
    assert first != second
    assert box.get(f"{at}/file", If_None_Match=first).status == 200
    third = box.ask("POST", f"{at}/file?append=1", b"!").headers["etag"]
    box.cell(f"open('{at}/file', 'a').write('cell')")
    fourth = box.get(f"{at}/file").headers["etag"]
    assert len({first, second, third, fourth}) == 4


def test_head_and_stat(box: Box) -> None:
    at = box.fresh()
    etag = box.put(f"{at}/file.json", b"[1]").headers["etag"]
    head = box.ask("HEAD", f"{at}/file.json")
    assert (head.status, head.body, head.headers["content-length"]) == (200, b"", "3")
    assert (head.headers["etag"], head.headers["content-type"]) == (etag, "application/json")
    told = box.get(f"{at}/file.json?stat=1").json()
    assert told.pop("modified").endswith("Z")
    assert told == {
        "name": "file.json", "path": f"{at}/file.json", "url": f"{box.url}/{at}/file.json",
        "kind": "file", "size_bytes": 3, "mode": "0644", "etag": etag, "target": None,
    }  # fmt: skip
    box.cell(f"import os; os.symlink('nowhere', '{at}/link')")
    told = box.get(f"{at}/link?stat=1").json()
    assert (told["kind"], told["target"], told["etag"]) == ("symlink", "nowhere", None)
    told = box.get(f"{at}?stat=1").json()
    assert (told["kind"], told["mode"], told["path"]) == ("folder", "0755", at)
    told = box.get("?stat=1").json()
    assert (told["kind"], told["path"], told["url"]) == ("folder", "", box.url)


def test_a_list(box: Box) -> None:
    at = box.fresh()
    box.cell(
        f"import os, socket; os.chdir('{at}'); open('b', 'w').write('12'); os.mkdir('a');"
        "os.symlink('b', 'c'); os.mkfifo('d'); open('B', 'w'); os.chmod('b', 0o640);"
        "s = socket.socket(socket.AF_UNIX); s.bind('e'); os.chdir('..')"
    )
    listed = box.get(at).json()
    assert (listed["path"], listed["next"]) == (at, None)
    assert [(e["name"], e["kind"]) for e in listed["files"]] == [
        ("B", "file"), ("a", "folder"), ("b", "file"), ("c", "symlink"), ("d", "other"),
        ("e", "other"),
    ]  # fmt: skip
    b = listed["files"][2]
    assert (b["size_bytes"], b["mode"], b["path"]) == (2, "0640", f"{at}/b")
    assert box.gateway.get(b["url"]).body == b"12"
    assert listed["files"][3]["target"] == "b"


ODD = [b"\xff\xfe", b"new\nline", b"a b", b"%41", b"\xc3\xa9", b"..a", b"#?&+", b"\x01", b"\\"]


def test_any_name_but_nul(box: Box) -> None:
    at = box.fresh()
    for name in ODD:
        assert box.put(at.encode() + b"/" + name, name).status == 201
    assert sorted(ODD) == sorted(os.listdir(os.fsencode(box.folder / at)))
    files = box.get(at).json()["files"]
    assert [box.gateway.get(entry["url"]).body for entry in files] == sorted(ODD)
    assert [entry["name"] for entry in files] == [
        name.decode("utf-8", "replace") for name in sorted(ODD)
    ]
    assert problem(box.gateway.get(f"{box.url}/{at}/a%00b"))[0] == 400
    for entry in files:
        assert box.gateway.request("DELETE", entry["url"]).status == 204
    assert box.names(at) == []


@pytest.mark.parametrize("limit", [1, 3, 7, 1000])
def test_pages(box: Box, limit: int) -> None:
    at = box.fresh()
    names = sorted([f"n{i}".encode() for i in range(20)] + ODD)
    for name in names:
        box.put(at.encode() + b"/" + name, name)
    found: list[bytes] = []
    after, pages = "", 0
    while True:
        page = box.gateway.get(f"{box.url}/{at}?limit={limit}{after}").json()
        found += [box.gateway.get(entry["url"]).body for entry in page["files"]]
        pages += 1
        if page["next"] is None:
            break
        assert len(page["files"]) == limit
        after = "&after=" + page["next"].replace("%", "%25")
    assert found == names
    assert pages == -(-len(names) // limit)


# --- writing


def test_created_or_replaced(box: Box) -> None:
    at = box.fresh()
    first = box.put(f"{at}/a/b", b"1")
    assert (first.status, first.headers["location"]) == (201, f"{box.url}/{at}/a/b")
    second = box.put(f"{at}/a/b", b"2")
    assert (second.status, "location" in second.headers) == (204, False)
    assert box.get(f"{at}/a/b").headers["etag"] == second.headers["etag"]


def test_modes(box: Box) -> None:
    at = box.fresh()
    box.put(f"{at}/run?mode=755", b"#!/bin/sh\necho hi\n")
    assert box.cell(f"import subprocess; print(subprocess.check_output('{at}/run'))")
    box.put(f"{at}/run", b"#!/bin/sh\necho there\n")  # it stays what it was
    assert box.get(f"{at}/run?stat=1").json()["mode"] == "0755"
    box.ask("POST", f"{at}/log?append=1&mode=0600", b"x")
    assert box.get(f"{at}/log?stat=1").json()["mode"] == "0600"


def test_conditions(box: Box) -> None:
    at = box.fresh()
    path = f"{at}/file"
    assert problem(box.put(path, b"x", If_Match="*"))[0] == 412
    assert problem(box.put(path, b"x", If_Match='"a"'))[0] == 412
    etag = box.put(path, b"1", If_None_Match="*").headers["etag"]
    assert problem(box.put(path, b"2", If_None_Match="*"))[0] == 412
    assert problem(box.put(path, b"2", If_Match='"a", "b"'))[0] == 412
    assert problem(box.put(path, b"2", If_Match=f"W/{etag}"))[0] == 412
    assert box.get(path).body == b"1"
    assert box.put(path, b"2", If_Match=f'"a", {etag}').status == 204
    assert problem(box.put(path, b"3", If_Match=etag))[0] == 412
    assert problem(box.ask("POST", f"{path}?append=1", b"3", If_Match=etag))[0] == 412
    assert problem(box.ask("DELETE", path, If_Match=etag))[0] == 412
    assert box.get(path).body == b"2"
    assert box.ask("DELETE", path, If_Match="*").status == 204


def test_one_of_many_creates(box: Box) -> None:
    at = box.fresh()
    statuses: list[int] = []

    def create(number: int) -> None:
        statuses.append(box.put(f"{at}/lock", b"%d" % number, If_None_Match="*").status)

    threads = [threading.Thread(target=create, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [201] + [412] * 15


def test_one_of_many_replaces(box: Box) -> None:
    """Those that read the same version: one writes, the others are told."""
    at = box.fresh()
    etag = box.put(f"{at}/file", b"first").headers["etag"]
    uploads = [box.begin(f"{at}/file", 1, If_Match=etag) for _ in range(8)]
    for number, upload in enumerate(uploads):
        upload.send(b"%d" % number)
    assert sorted(finish(upload).status for upload in uploads) == [204] + [412] * 7


def test_nothing_is_seen_before_it_is_whole(box: Box) -> None:
    at = box.fresh()
    box.put(f"{at}/file", b"old")
    box.cell(f"held = open('{at}/file')")
    upload = box.begin(f"{at}/file", 3 * MIB)
    upload.send(bytes(2 * MIB))
    other = box.begin(f"{at}/other", 2)
    other.send(b"a")
    assert box.names(at) == ["file"]
    assert box.get(f"{at}/file").body == b"old"
    upload.send(bytes(MIB))
    assert finish(upload).status == 204
    assert box.get(f"{at}/file?stat=1").json()["size_bytes"] == 3 * MIB
    assert box.cell("print(held.read())") == "old\n"
    other.close()
    upload = box.begin(f"{at}/file", None)  # in chunks that end in the middle
    upload.send(b"3\r\nabc\r\n5\r\nab")
    upload.close()
    assert box.get(f"{at}/file?stat=1").json()["size_bytes"] == 3 * MIB
    assert box.names(at) == ["file"]


def test_chunks(box: Box) -> None:
    at = box.fresh()
    upload = box.begin(f"{at}/file", None)
    for _ in range(40):
        upload.send(b"10000\r\n" + bytes(0x10000) + b"\r\n")
    upload.send(b"0\r\n\r\n")
    assert finish(upload).status == 201
    assert box.get(f"{at}/file?stat=1").json()["size_bytes"] == 40 * 0x10000


def test_append(box: Box) -> None:
    at = box.fresh()
    first = box.ask("POST", f"{at}/new/log?append=1", b"one\n")
    assert (first.status, first.headers["location"]) == (201, f"{box.url}/{at}/new/log")
    assert box.ask("POST", f"{at}/new/log?append=1", b"two\n").status == 204
    box.cell(f"import os; os.symlink('new/log', '{at}/link')")
    assert box.ask("POST", f"{at}/link?append=1", b"three\n").status == 204
    assert box.get(f"{at}/new/log").body == b"one\ntwo\nthree\n"
    assert box.get(f"{at}/link?stat=1").json()["kind"] == "symlink"
    assert box.ask("POST", f"{at}/empty?append=1", b"").status == 201


def test_appends_are_not_mixed(box: Box) -> None:
    at = box.fresh()
    lines = [bytes([65 + n]) * 200_000 for n in range(8)]

    def add(line: bytes) -> None:
        for _ in range(3):
            assert box.ask("POST", f"{at}/log?append=1", line + b"\n").status in (201, 204)

    threads = [threading.Thread(target=add, args=(line,)) for line in lines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(box.get(f"{at}/log").body.split()) == sorted(lines * 3)


def test_folders(box: Box) -> None:
    at = box.fresh()
    made = box.put(f"{at}/a/b/c?folder=1")
    assert (made.status, made.headers["location"]) == (201, f"{box.url}/{at}/a/b/c")
    assert box.put(f"{at}/a/b/c?folder=1").status == 204
    assert problem(box.put(f"{at}/a/b/c?folder=1", If_None_Match="*"))[0] == 412
    box.put(f"{at}/file", b"x")
    assert problem(box.put(f"{at}/file?folder=1"))[0] == 409
    assert problem(box.put(f"{at}/file/in?folder=1"))[0] == 409
    assert problem(box.put(f"{at}/x?folder=1", b"body"))[0] == 400
    assert "?tar=1 alone" in problem(box.put("?folder=1"))[1]


# --- moving and removing


def test_moves(box: Box) -> None:
    at = box.fresh()
    box.put(f"{at}/a", b"1")
    moved = box.ask("POST", f"{at}/a?move_to={at}/new/place/b")
    assert (moved.status, moved.headers["location"]) == (201, f"{box.url}/{at}/new/place/b")
    box.put(f"{at}/c", b"2")
    status, why = problem(box.ask("POST", f"{at}/c?move_to={at}/new/place/b"))
    assert (status, "already" in why) == (409, True)
    assert box.get(f"{at}/new/place/b").body == b"1"
    assert box.ask("POST", f"{at}/c?move_to={at}/new/place/b&overwrite=1").status == 204
    assert box.get(f"{at}/new/place/b").body == b"2"
    assert box.ask("POST", f"{at}/new?move_to={at}/old").status == 201
    assert box.names(at) == ["old"]
    assert box.ask("POST", f"{at}/old/place/b?move_to={at}/%ff%0a").status == 201
    assert os.listdir(os.fsencode(box.folder / at)).count(b"\xff\n") == 1


def test_moves_that_cannot_be(box: Box) -> None:
    at = box.fresh()
    box.put(f"{at}/folder/file", b"1")
    box.put(f"{at}/file", b"2")
    for path, to, status in [
        (f"{at}/none", f"{at}/x", 404),
        (f"{at}/none/none", f"{at}/x", 404),
        (f"{at}/folder", f"{at}/folder/in", 409),
        (f"{at}/folder", f"{at}/file&overwrite=1", 409),
        (f"{at}/file", f"{at}/folder&overwrite=1", 409),
        (f"{at}/file", f"{at}/folder/file/x", 409),
        (f"{at}/file", "", 409),
        (f"{at}/file", "../x", 400),
        (f"{at}/file", f"{at}/{'n' * 300}", 400),
    ]:
        assert problem(box.ask("POST", f"{path}?move_to={to}"))[0] == status, (path, to)
    assert (box.get(f"{at}/folder/file").body, box.get(f"{at}/file").body) == (b"1", b"2")


def test_removing(box: Box) -> None:
    at = box.fresh()
    box.put(f"{at}/folder/deep/file", b"1")
    box.put(f"{at}/file", b"2")
    box.cell(f"import os; os.symlink('folder', '{at}/link')")
    assert problem(box.ask("DELETE", f"{at}/none"))[0] == 404
    assert problem(box.ask("DELETE", f"{at}/file/in"))[0] == 404
    status, why = problem(box.ask("DELETE", f"{at}/folder"))
    assert (status, "recursive" in why) == (409, True)
    assert box.ask("DELETE", f"{at}/link?recursive=1").status == 204
    assert box.get(f"{at}/folder/deep/file").body == b"1"
    assert box.ask("DELETE", f"{at}/folder?recursive=1").status == 204
    assert box.ask("DELETE", f"{at}/file").status == 204
    assert box.names(at) == []
    assert problem(box.ask("DELETE", "//?recursive=1"))[0] in (405, 409)


def test_removing_what_is_deep(box: Box) -> None:
    at = box.fresh()
    box.cell(f"import os; top = os.getcwd(); os.chdir('{at}')\n"
             "for _ in range(100):\n    os.mkdir('d'); os.chdir('d')\n"
             "open('file', 'w').close(); os.chdir(top)")  # fmt: skip
    assert box.ask("DELETE", f"{at}?recursive=1").status == 204
    assert problem(box.get(at))[0] == 404


# --- what is refused


REFUSED: list[tuple[str, str, bytes | None, dict[str, str], int, str]] = [
    ("GET", "none", None, {}, 404, "no such file"),
    ("GET", "none/deeper", None, {}, 404, "no such file"),
    ("GET", "file/in", None, {}, 404, "no such file"),
    ("GET", "?limit=0", None, {}, 400, "limit"),
    ("GET", "?limit=10001", None, {}, 400, "limit"),
    ("GET", "?limit=x", None, {}, 400, "limit"),
    ("GET", "?after=%25zz", None, {}, 400, "after"),
    ("GET", "?stat=2", None, {}, 400, "stat"),
    ("GET", "n" * 256, None, {}, 400, "longer than 255"),
    ("GET", "d/" * 2050, None, {}, 400, "longer than 4095"),
    ("PUT", "folder", b"x", {}, 409, "folder"),
    ("PUT", "file/in", b"x", {}, 409, "not a folder"),
    ("PUT", "x?mode=8", b"x", {}, 400, "mode"),
    ("PUT", "x?mode=1777", b"x", {}, 400, "mode"),
    ("PUT", "x?mode=", b"x", {}, 400, "mode"),
    ("PUT", "x?folder=x", b"", {}, 400, "folder"),
    ("PUT", "x", b"x", {"If_None_Match": '"a"'}, 400, "If-None-Match"),
    ("POST", "x", b"x", {}, 400, "one of append=1"),
    ("POST", "x?append=1&move_to=y", b"x", {}, 400, "one of append=1"),
    ("POST", "file?move_to=y", b"x", {}, 400, "no body"),
    ("POST", "file?move_to=y&overwrite=x", b"", {}, 400, "overwrite"),
    ("POST", "folder?append=1", b"x", {}, 409, "not a regular file"),
    ("DELETE", "folder?recursive=x", None, {}, 400, "recursive"),
    ("PATCH", "file", b"x", {}, 400, "body"),
]


@pytest.fixture(scope="module")
def refusing(box: Box) -> Box:
    box.put("file", b"x")
    box.put("folder?folder=1")
    return box


@pytest.mark.parametrize("row", REFUSED, ids=lambda row: f"{row[0]}-{row[1][:30]}-{row[4]}")
def test_what_is_refused(
    refusing: Box, row: tuple[str, str, Any, dict[str, str], int, str]
) -> None:
    method, path, body, headers, status, detail = row
    told = problem(refusing.ask(method, path, body, **headers))
    assert (told[0], detail in told[1]) == (status, True), told
    assert refusing.get("x").status == 404


def test_who_has_no_token(box: Box) -> None:
    answer = box.gateway.request("GET", box.url, auth=False)
    assert answer.status in (401, 403)
    answer = box.gateway.request("PUT", f"{box.url}/secret", b"x", auth=False)
    assert answer.status in (401, 403)
    assert box.get("secret").status == 404


def test_a_sandbox_that_is_not_there(gateway: Gateway) -> None:
    url = "/v1/sandboxes/00000000-0000-0000-0000-000000000000/files"
    for method, path, body in [
        ("GET", "", None), ("GET", "/a", None), ("PUT", "/a", b"x"), ("PUT", "/a?folder=1", b""),
        ("POST", "/a?append=1", b"x"), ("POST", "/a?move_to=b", b""), ("DELETE", "/a", None),
    ]:  # fmt: skip
        assert problem(gateway.request(method, url + path, body))[0] == 404


# --- special files and permissions


SPECIAL = {
    "fifo": "import os; os.mkfifo({at!r} + '/it')",
    "socket": "import socket; s = socket.socket(socket.AF_UNIX); s.bind({at!r} + '/it')",
}


@pytest.mark.parametrize("kind", SPECIAL)
def test_what_is_no_file_blocks_nobody(box: Box, kind: str) -> None:
    at = box.fresh()
    box.cell(SPECIAL[kind].format(at=at))
    for method, path, body in [("GET", f"{at}/it", None), ("POST", f"{at}/it?append=1", b"x")] * 3:
        status, why = problem(box.ask(method, path, body))
        assert (status, "neither" in why or "not a regular file" in why) == (409, True)
    assert box.get(f"{at}/it?stat=1").json()["kind"] == "other"
    assert box.put(f"{at}/it", b"a file now").status == 204
    assert box.get(f"{at}/it").body == b"a file now"
    box.cell(SPECIAL["fifo"].format(at=at + "/.."))
    assert box.ask("DELETE", "it").status == 204


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes devices")
def test_a_device(box: Box) -> None:
    at = box.fresh()
    os.mknod(box.folder / at / "zero", 0o666 | 0o020000, os.makedev(1, 5))
    assert problem(box.get(f"{at}/zero"))[0] == 409
    assert problem(box.ask("POST", f"{at}/zero?append=1", b"x"))[0] == 409


def test_what_the_sandbox_may_not_do(box: Box) -> None:
    at = box.fresh()
    box.cell(
        f"import os; os.chdir('{at}'); open('shut', 'w').write('x'); os.chmod('shut', 0);"
        "os.mkdir('closed'); open('closed/file', 'w').write('x'); os.chmod('closed', 0);"
        "os.mkdir('fixed'); open('fixed/file', 'w').write('x'); os.chmod('fixed', 0o555);"
        "os.mkdir('named'); open('named/file', 'w').write('x'); os.chmod('named', 0o444);"
        "os.chdir('..')"
    )
    for method, path, body in [
        ("GET", "shut", None), ("POST", "shut?append=1", b"x"), ("GET", "closed", None),
        ("GET", "closed/file", None), ("PUT", "closed/new", b"x"), ("PUT", "fixed/new", b"x"),
        ("PUT", "fixed/file", b"x"), ("PUT", "fixed/new?folder=1", b""),
        ("DELETE", "fixed/file", None), ("DELETE", "closed/file", None),
        ("DELETE", "fixed?recursive=1", None), ("DELETE", "closed?recursive=1", None),
        ("POST", f"fixed/file?move_to={at}/x", b""), ("POST", f"shut?move_to={at}/fixed/x", b""),
    ]:  # fmt: skip
        status, why = problem(box.ask(method, f"{at}/{path}", body))
        assert (status, "may not" in why) == (403, True), (method, path)
    (entry,) = box.get(f"{at}/named").json()["files"]
    assert (entry["name"], entry["kind"], entry["size_bytes"]) == ("file", "other", None)
    assert box.get(f"{at}/shut?stat=1").json()["mode"] == "0000"
    assert box.put(f"{at}/shut", b"another in its place").status == 204
    box.cell(f"import os; [os.chmod('{at}/' + n, 0o755) for n in ('closed', 'fixed', 'named')]")


GROUP = 64321


@pytest.fixture
def of_a_group() -> Iterator[Gateway]:
    in_group = ["setpriv", f"--groups={GROUP}"]
    gateway = make_wrapped(lambda *command: [*in_group, *command]).start()
    yield gateway
    end(gateway)


@pytest.mark.skipif(os.geteuid() != 0, reason="files of another uid are made by root")
def test_files_of_others(of_a_group: Gateway) -> None:
    """Neither the gateway's uid nor any of its groups helps."""
    assert str(GROUP) in Path(f"/proc/{of_a_group.pid}/status").read_text()
    box = Box.make(of_a_group)
    for name, mode, gid in [("own", 0o600, 0), ("main", 0o660, 0), ("further", 0o660, GROUP)]:
        path = box.folder / name
        path.write_text("secret")
        os.chown(path, 0, gid)
        path.chmod(mode)
        assert problem(box.get(name))[0] == 403
        assert problem(box.ask("POST", f"{name}?append=1", b"x"))[0] == 403
        assert path.read_text() == "secret"


# --- great files


def test_a_hundred_megabytes(box: Box) -> None:
    """Both ways, with memory that does not follow the size."""
    size, piece = 100 * MIB, os.urandom(MIB)
    before = processes.peak_bytes(box.gateway.pid)
    upload = box.begin("big", size)
    for _ in range(size // MIB):
        upload.send(piece)
    assert finish(upload).status == 201
    connection = box.gateway.connection()
    connection.request("GET", f"{box.url}/big", headers=box.gateway.authorization)
    response = connection.getresponse()
    got = 0
    while block := response.read(MIB):
        assert block == piece
        got += len(block)
    connection.close()
    assert got == size
    assert processes.peak_bytes(box.gateway.pid) - before < 32 * MIB
    assert box.ask("DELETE", "big").status == 204


def test_a_sparse_file_of_two_gigabytes(box: Box) -> None:
    box.cell("open('sparse', 'wb').truncate(1 << 31)")
    answer = box.get("sparse", Range="bytes=2147483642-")
    assert (answer.status, answer.body) == (206, bytes(6))
    assert box.ask("DELETE", "sparse").status == 204

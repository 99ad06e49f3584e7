"""Tars in and out of a sandbox's workspace, also those that mean harm."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import zlib
from collections.abc import Callable, Iterator

import pytest
from support import processes
from support.files import Box, end, finish, make_gateway, problem
from support.gateway import Gateway

MIB = 1 << 20
LIMIT = 64 * MIB


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    gateway = make_gateway("root" if os.geteuid() == 0 else "user", "--file-limit", str(LIMIT))
    gateway.start()
    yield gateway
    end(gateway)


@pytest.fixture(scope="module")
def box(gateway: Gateway) -> Iterator[Box]:
    box = Box.make(gateway)
    yield box
    box.remove()


def entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", **more: object) -> bytes:
    """One header and its data, which is the name, as POSIX has them."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    data = name.encode("utf-8", "surrogateescape") if kind == tarfile.REGTYPE else b""
    info.size = len(data)
    for key, value in more.items():
        setattr(info, key, value)
    head = info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")
    return head + data + bytes(-len(data) % 512)


END = bytes(1024)


def unpacked(box: Box, at: str, body: bytes) -> dict[str, int]:
    answer = box.put(f"{at}?tar=1", body)
    assert answer.status == 200, answer
    found = answer.json()
    assert isinstance(found, dict)
    return found


def read_tar(body: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(body), errorlevel=2) as tar:
        return {info.name: info for info in tar.getmembers()}


def contents(box: Box, path: str) -> list[tuple[object, ...]]:
    """All but the times, which folders and links do not keep."""
    body = box.get(f"{path}?tar=1").body
    with tarfile.open(fileobj=io.BytesIO(body)) as tar:
        return [
            (one.name, one.type, one.mode, one.linkname,
             one.isreg() and body[one.offset_data : one.offset_data + one.size])
            for one in tar.getmembers()
        ]  # fmt: skip


# --- out


def test_out(box: Box) -> None:
    at = box.fresh()
    long = "n" * 120
    box.put(f"{at}/a/deep/file", b"x" * 1000)
    box.put(f"{at}/a/empty?mode=755")
    box.put(f"{at}/{long}/{long}", b"long")
    box.put(at.encode() + b"/\xff", b"odd")
    box.cell(f"import os; os.symlink('a/deep', '{at}/link'); os.symlink('{long}', '{at}/far');"
             f"os.utime('{at}/a/empty', (1e9, 1e9))")  # fmt: skip
    answer = box.get(f"{at}?tar=1")
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/x-tar"
    assert f'filename="{at}.tar"' in answer.headers["content-disposition"]
    found = read_tar(answer.body)
    assert list(found) == ["a", "a/deep", "a/deep/file", "a/empty", "far", "link", long,
                           f"{long}/{long}", "\udcff"]  # fmt: skip
    assert (found["a/empty"].mode, found["a/empty"].mtime) == (0o755, 1_000_000_000)
    assert (found["link"].linkname, found["far"].linkname) == ("a/deep", long)
    with tarfile.open(fileobj=io.BytesIO(answer.body)) as tar:
        for name, data in (("a/deep/file", b"x" * 1000), (f"{long}/{long}", b"long")):
            file = tar.extractfile(name)
            assert file and file.read() == data
    zipped = box.get(f"{at}?tar=gzip")
    assert zipped.headers["content-type"] == "application/gzip"
    assert gzip.decompress(zipped.body) == answer.body
    one = read_tar(box.get(f"{at}/a/deep/file?tar=1").body)
    assert [(info.name, info.size) for info in one.values()] == [("file", 1000)]
    assert list(read_tar(box.get(f"{at}/link?tar=1").body)) == ["file"]


def test_out_and_in_again(box: Box) -> None:
    at = box.fresh()
    for size in (0, 1, 511, 512, 513, 3 * MIB + 7):
        box.put(f"{at}/from/{size}", os.urandom(size))
    box.put(at.encode() + b"/from/\xfe\n", b"odd")
    box.cell(f"import os; os.symlink('1', '{at}/from/link'); os.mkdir('{at}/from/none')")
    for form in ("1", "gzip"):
        body = box.get(f"{at}/from?tar={form}").body
        said = unpacked(box, f"{at}/{form}", body)
        assert said == {"files": 7, "folders": 1, "symlinks": 1, "bytes": 3 * MIB + 1547}
        assert contents(box, f"{at}/{form}") == contents(box, f"{at}/from")
        assert unpacked(box, f"{at}/{form}", body) == said  # once more is the same
    whole = box.gateway.get(f"{box.url}?tar=1")
    assert whole.status == 200 and f"{at}/from/513" in read_tar(whole.body)


def test_what_is_left_out_is_said(box: Box) -> None:
    at = box.fresh()
    box.put(f"{at}/file", b"x")
    box.cell(f"import os; os.mkfifo('{at}/fifo'); open('{at}/shut', 'w').close();"
             f"os.chmod('{at}/shut', 0); os.mkdir('{at}/dir', 0)")  # fmt: skip
    answer = box.get(f"{at}?tar=1")
    with tarfile.open(fileobj=io.BytesIO(answer.body)) as tar:
        names = tar.getnames()
    assert names == ["dir", "file", "."]
    for name, why in (("fifo", "neither"), ("shut", "may not"), ("dir", "may not")):
        assert any(f"left out: {name}:".encode() in part and why.encode() in part
                   for part in answer.body.split(b"comment=")), name  # fmt: skip
    box.cell(f"import os; os.chmod('{at}/dir', 0o700)")


def test_outs_that_cannot_be(box: Box) -> None:
    at = box.fresh()
    box.cell(f"import os; os.mkfifo('{at}/fifo'); os.symlink('/etc', '{at}/out')")
    for path, status in (("none", 404), ("fifo", 409), ("out", 403)):
        assert problem(box.get(f"{at}/{path}?tar=1"))[0] == status, path
    assert problem(box.get(f"{at}?tar=zip"))[0] == 400


def test_a_reader_who_leaves(box: Box) -> None:
    at = box.fresh()
    box.cell(f"open('{at}/large', 'wb').truncate({64 * MIB})")
    for form in ("1", "gzip"):
        connection = box.gateway.connection()
        connection.request("GET", f"{box.url}/{at}?tar={form}", headers=box.gateway.authorization)
        assert connection.getresponse().read(100)
        connection.close()
    assert box.names(at) == ["large"]


# --- in


def test_in(box: Box) -> None:
    at = box.fresh()
    long = "/".join(["d" * 90] * 3)
    body = b"".join([
        entry("./", tarfile.DIRTYPE), entry("./dir/", tarfile.DIRTYPE, mode=0o500),
        entry("./dir/file", mode=0o6755, mtime=1_000_000_000), entry("no/folder/said"),
        entry(long), entry("link", tarfile.SYMTYPE, "dir/file"),
        entry("dir/up", tarfile.SYMTYPE, "../no"), entry("\udcff"), END,
    ])  # fmt: skip
    said = unpacked(box, f"{at}/new/place", body)
    assert (said["files"], said["folders"], said["symlinks"]) == (4, 1, 2)
    place = f"{at}/new/place"
    assert box.get(f"{place}/dir/file").body == b"./dir/file"
    assert box.get(f"{place}/link").body == b"./dir/file"
    assert box.get(f"{place}/dir/up/folder/said").body == b"no/folder/said"
    assert box.get(f"{place}/{long}").status == 200
    assert box.get(place.encode() + b"/\xff").status == 200
    told = box.get(f"{place}/dir/file?stat=1").json()
    assert (told["mode"], told["modified"][:19]) == ("0755", "2001-09-09T01:46:40")
    assert box.get(f"{place}/dir?stat=1").json()["mode"] == "0700"
    assert box.cell(f"import os; print(os.stat('{place}/dir/file').st_uid)") == "1000\n"


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_in_as_others_write_them(box: Box, form: int) -> None:
    at = box.fresh()
    out = io.BytesIO()
    long = "/".join(["\u00e9" * 20] * 4)
    with tarfile.open(fileobj=out, mode="w", format=form) as tar:
        for name in ("a", long):
            info = tarfile.TarInfo(name)
            info.size, info.mtime = 3, 1234567890.5 if form == tarfile.PAX_FORMAT else 1234567890
            tar.addfile(info, io.BytesIO(b"abc"))
    unpacked(box, at, out.getvalue())
    assert box.get(f"{at}/{long}").body == b"abc"
    assert box.get(f"{at}/a?stat=1").json()["modified"].startswith("2009-02-13T23:31:30")


def test_in_by_pieces(box: Box) -> None:
    """In chunks of one byte, each a packet of its own for the parser."""
    at = box.fresh()
    body = gzip.compress(entry("one") + entry("two") + END)
    upload = box.begin(f"{at}?tar=1", None)
    upload.send(b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n")
    assert finish(upload).status == 200
    assert box.names(at) == ["one", "two"]


def test_in_replaces_but_no_folders(box: Box) -> None:
    at = box.fresh()
    box.put(f"{at}/folder/stays", b"x")
    box.put(f"{at}/file", b"old")
    box.cell(f"import os; os.symlink('folder', '{at}/link')")
    unpacked(box, at, entry("file") + entry("link") + entry("folder/", tarfile.DIRTYPE) + END)
    assert box.get(f"{at}/file").body == b"file"
    assert box.get(f"{at}/link?stat=1").json()["kind"] == "file"
    assert box.names(f"{at}/folder") == ["stays"]
    for body in (entry("folder"), entry("folder", tarfile.SYMTYPE, "x"),
                 entry("file/", tarfile.DIRTYPE), entry("file/in")):  # fmt: skip
        status, why = problem(box.put(f"{at}?tar=1", body + END))
        assert (status, "tar: f" in why) == (409, True), why


@pytest.mark.parametrize(
    ("hostile", "status", "why"),
    [
        (entry("../evil"), 400, "../evil: its path has a .."),
        (entry("a/../../evil"), 400, "a/../../evil: its path has a .."),
        (entry("/evil"), 400, "/evil: its path is absolute"),
        (entry("n" * 256), 400, "a name is too long"),
        (entry("/".join(["n" * 200] * 25)), 400, "its path is too long"),
        (entry("evil", tarfile.SYMTYPE, "/etc/passwd"), 400, "evil: a link that leads out"),
        (entry("evil", tarfile.SYMTYPE, "../evil"), 400, "evil: a link that leads out"),
        (entry("a/evil", tarfile.SYMTYPE, "b/../../../x"), 400, "a/evil: a link that leads out"),
        (entry("evil", tarfile.SYMTYPE, ""), 400, "evil: a link to nothing"),
        (entry("evil", tarfile.LNKTYPE, "before"), 400, "evil: a hard link"),
        (entry("evil", tarfile.CHRTYPE, devmajor=1, devminor=3), 400, "evil: a device"),
        (entry("evil", tarfile.BLKTYPE), 400, "evil: a device"),
        (entry("evil", tarfile.FIFOTYPE), 400, "evil: a FIFO"),
        (entry("evil", tarfile.GNUTYPE_SPARSE), 400, "evil: a sparse file"),
        (entry("evil", b"V"), 400, "evil: an entry of a kind that is not known"),
        (entry("before/in"), 409, "before/in: "),
        (entry("dir", tarfile.SYMTYPE, "other") + entry("dir/evil"), 409, "dir/evil: "),
        (entry("evil", size=LIMIT + 1)[:512], 413, "evil: with it the files are longer"),
        (entry("evil", size=1 << 40)[:512], 413, "evil: with it the files are longer"),
        (entry("evil", size=100)[:512] + b"x", 400, "evil: breaks off"),
        (entry("evil")[:300], 400, "behind before: it breaks off"),
        (b"x" * 512, 400, "behind before: this is no tar"),
        (bytes(512) + entry("evil"), 400, "zeros"),
        (END + bytes(65 * MIB), 413, "--file-limit"),
    ],
    ids=lambda value: str(value)[:30] if isinstance(value, str) else None,
)
def test_hostile(box: Box, hostile: bytes, status: int, why: str) -> None:
    """Refused with the entry's name; what came before it is there, and nothing else."""
    at = box.fresh()
    outside = sorted(os.listdir(box.folder))
    told = problem(box.put(f"{at}/in?tar=1", entry("before") + hostile))
    assert (told[0], why in told[1]) == (status, True), told
    listed = set(box.names(f"{at}/in")) if told[0] != 413 or b"evil" in hostile else {"before"}
    assert "before" in listed and "evil" not in listed
    assert sorted(os.listdir(box.folder)) == outside
    assert box.names(at) in (["in"], [])


def pax(**records: str) -> bytes:
    body = b""
    for key, value in records.items():
        line = f" {key.replace('__', '.')}={value}\n".encode()
        size = len(line) + 2
        body += b"%d" % (size + (size >= 100)) + line
    head = tarfile.TarInfo("pax")
    head.type, head.size = b"x", len(body)
    return head.tobuf(tarfile.GNU_FORMAT) + body + bytes(-len(body) % 512)


@pytest.mark.parametrize(
    ("records", "why"),
    [
        ({"path": "../evil"}, "../evil: its path has a .."),
        ({"path": "/evil"}, "/evil: its path is absolute"),
        ({"path": "ev\0il"}, "an extended header says"),
        ({"size": "-1"}, "an extended header says"),
        ({"size": "9" * 30}, "an extended header says"),
        ({"GNU__sparse__major": "1"}, "a sparse file"),
    ],
)
def test_hostile_extended_headers(box: Box, records: dict[str, str], why: str) -> None:
    at = box.fresh()
    told = problem(box.put(f"{at}?tar=1", entry("before") + pax(**records) + entry("x") + END))
    assert (told[0], why in told[1]) == (400, True), told
    assert box.names(at) == ["before"]


def bomb(one: Callable[[int], bytes], count: int) -> bytes:
    """A gzip of what would be too much to hold."""
    zip_ = zlib.compressobj(1, zlib.DEFLATED, 31)
    return b"".join(zip_.compress(one(n)) for n in range(count)) + zip_.flush()


def test_a_bomb_of_bytes(gateway: Gateway) -> None:
    """30 MiB in 30 KiB, twice what the workspace may hold."""
    small = Box.make(gateway, limits={"workspace_bytes": 16 * MIB})
    body = bomb(lambda n: entry(f"evil{n}", size=MIB)[:512] + bytes(MIB), 30)
    status, why = problem(small.put("in?tar=1", body))
    assert (status, "tar: evil" in why, "workspace_bytes" in why) == (507, True, True), why
    assert len(small.names("in")) <= 16
    small.ask("DELETE", "in?recursive=1")
    assert small.put("x", bytes(8 * MIB)).status == 201  # its room is given back
    small.remove()


def test_a_bomb_of_names(gateway: Gateway) -> None:
    small = Box.make(gateway, limits={"workspace_inodes": 64})

    def one(n: int) -> bytes:
        kind, link = [(tarfile.REGTYPE, ""), (tarfile.DIRTYPE, ""), (tarfile.SYMTYPE, "x")][n % 3]
        return entry(f"evil{n}", kind, link, size=0)[:512]

    for folder in ("in", ""):
        status, why = problem(small.put(f"{folder}?tar=1", bomb(one, 300)))
        assert (status, "tar: evil" in why, "workspace_inodes" in why) == (507, True, True), why
        assert len(small.names(folder)) <= 64
    small.remove()


def test_more_in_all_than_the_limit(box: Box) -> None:
    at = box.fresh()
    body = bomb(lambda n: entry(f"evil{n}", size=8 * MIB)[:512] + bytes(8 * MIB), 10)
    status, why = problem(box.put(f"{at}?tar=1", body))
    assert (status, "evil8: with it" in why) == (413, True), why
    box.ask("DELETE", f"{at}?recursive=1")


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "empty"), (b"x", "empty"), (b"no tar " * 100, "this is no tar"),
        (gzip.compress(b""), "empty"), (gzip.compress(entry("x") + END)[:-9], "breaks off"),
        (b"\x1f\x8b" + b"x" * 100, "the gzip is broken"),
        (gzip.compress(END) + b"\x1f\x8bxx", "the gzip is broken"),
    ],
)  # fmt: skip
def test_what_is_no_tar(box: Box, body: bytes, why: str) -> None:
    told = problem(box.put(f"{box.fresh()}?tar=1", body))
    assert (told[0], why in told[1]) == (400, True), told


def test_gzips_behind_each_other(box: Box) -> None:
    at = box.fresh()
    unpacked(box, at, gzip.compress(entry("one")) + gzip.compress(entry("two") + END) + bytes(512))
    assert box.names(at) == ["one", "two"]


def test_a_tar_that_breaks_off_leaves_whole_files(box: Box) -> None:
    at = box.fresh()
    upload = box.begin(f"{at}/in?tar=1", 4 * MIB)
    upload.send(entry("one") + entry("two", size=3 * MIB)[:512] + bytes(2 * MIB))
    processes.until(lambda: box.get(f"{at}/in/one").status == 200, "one is there")
    upload.close()
    assert box.get(f"{at}/in/two").status == 404


def test_into_what_cannot_be(box: Box) -> None:
    at = box.fresh()
    body = entry("x") + END
    box.put(f"{at}/file", b"")
    box.cell(f"import os; os.symlink('/tmp', '{at}/out')")
    for path, status in (("file", 409), ("out", 403), ("../x", 400)):
        assert problem(box.put(f"{at}/{path}?tar=1", body))[0] == status, path
    assert problem(box.put(f"{at}?tar=1&folder=1", body))[0] == 400
    assert problem(box.put(f"{at}?tar=x", body))[0] == 400
    assert problem(box.gateway.request("PUT", box.url, body))[0] == 400
    assert box.gateway.request("PUT", f"{box.url}?tar=1", entry(f"{at}/root") + END).status == 200
    assert box.get(f"{at}/root").status == 200


def test_foreign_and_none(box: Box, gateway: Gateway) -> None:
    minted = gateway.request("POST", "/v1/tokens", {"principal": "someone"}).json()["token"]
    for method, body in (("GET", None), ("PUT", entry("x") + END)):
        for path in ("", "/a"):
            headers = {"Authorization": f"Bearer {minted}"}
            answer = gateway.request(method, f"{box.url}{path}?tar=1", body, headers)
            assert answer.status == 404, answer
            url = f"/v1/sandboxes/none/files{path}?tar=1"
            assert gateway.request(method, url, body).status == 404

"""Writes the corpus of the reader of tars: run it to make the files anew after a change.

Each file is named good-* (the parser must accept it) or bad-* (it must refuse it).
"""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Literal

HERE = Path(__file__).parent
END = bytes(1024)


def entry(
    name: str,
    data: bytes = b"",
    kind: bytes = tarfile.REGTYPE,
    *,
    link: str = "",
    size: int | None = None,
    form: Literal[0, 1, 2] = tarfile.USTAR_FORMAT,
) -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mtime = kind, link, 1_000_000_000
    info.size = len(data) if size is None else size
    return info.tobuf(form) + data + bytes(-len(data) % 512)


def extended(records: bytes) -> bytes:
    return entry("pax", records, b"x")


def tars() -> dict[str, bytes]:
    long = "/".join(["d" * 60] * 3)
    file = entry("file", b"data")
    broken = bytearray(file)
    broken[0] ^= 1
    return {
        "good-file": file + END,
        "good-no-end": file,
        "good-empty": END,
        "good-tree": entry("./", kind=tarfile.DIRTYPE)
        + entry("./a/", kind=tarfile.DIRTYPE)
        + entry("./a/b", b"x" * 513)
        + entry("./a/link", kind=tarfile.SYMTYPE, link="../a/b")
        + END,
        "good-prefix": entry(long, b"1") + END,
        "good-long": entry(long * 2, b"1", form=tarfile.GNU_FORMAT) + END,
        "good-long-link": entry("l", kind=tarfile.SYMTYPE, link=long, form=tarfile.GNU_FORMAT)
        + END,
        "good-pax": entry("\u00e9" * 80, b"1", form=tarfile.PAX_FORMAT) + END,
        "good-pax-says": extended(b"12 path=new\n21 mtime=1234567.890\n10 size=4\n")
        + entry("old", b"data")
        + END,
        "good-remark": entry("g", b"21 comment=left out:\n"[:21], b"g") + file + END,
        "good-rest": file + END + b"anything",
        "bad-nothing": b"",
        "bad-text": b"this is no tar" * 40,
        "bad-checksum": bytes(broken) + END,
        "bad-cut": file[:700],
        "bad-cut-header": file + file[:100],
        "bad-dots": entry("a/../../b", b"1") + END,
        "bad-absolute": entry("/b", b"1") + END,
        "bad-link-out": entry("a/l", kind=tarfile.SYMTYPE, link="../../x") + END,
        "bad-hard-link": entry("l", kind=tarfile.LNKTYPE, link="file") + END,
        "bad-device": entry("d", kind=tarfile.CHRTYPE) + END,
        "bad-large": entry("f", size=1 << 30) + END,
        "bad-larger": entry("f", size=1 << 62, form=tarfile.GNU_FORMAT) + END,
        "bad-sparse": extended(b"22 GNU.sparse.major=1\n") + file + END,
        "bad-record": extended(b"9999 path=x\n") + file + END,
        "bad-record-nul": extended(b"12 path=a\0b\n") + file + END,
        "bad-meta": entry("x", kind=b"x", size=1 << 20) + END,
        "bad-said-of-nothing": extended(b"12 path=new\n"),
        "bad-hole": file + bytes(512) + file,
    }


def main() -> None:
    folder = HERE / "tar"
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    for name, data in tars().items():
        (folder / name).write_bytes(data)


if __name__ == "__main__":
    main()

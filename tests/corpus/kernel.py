"""Writes the corpus of the parsers in kernel/: run it to make the files anew after a change."""

from __future__ import annotations

import struct
from pathlib import Path

HERE = Path(__file__).parent


def row(session: int, line: int, source: bytes, raw: bytes) -> bytes:
    head = struct.pack("<IqqII", 0x574F5248, session, line, len(source), len(raw))
    return head + source + raw


def history_journal() -> dict[str, bytes]:
    head = b"WCHJ1\n" + struct.pack("<I", 3) + b"/db"
    rows = row(1, 1, b"a = 1", b"%a") + row(1, 2, b"", b"") + row(-1, 2**62, b"\xff\x00", b"x")
    huge = struct.pack("<IqqII", 0x574F5248, 1, 1, 2**32 - 1, 2**32 - 1)
    return {
        "good-empty": head,
        "good-rows": head + rows,
        "good-cut-row": head + rows[:-1],
        "good-cut-head": head + rows + b"HROW",
        "good-huge-lengths": head + rows + huge,
        "good-other-magic": head + rows + b"NONE" + rows,
        "bad-empty": b"",
        "bad-magic": b"WCHJ2\n" + head[6:] + rows,
        "bad-database": b"WCHJ1\n" + struct.pack("<I", 4) + b"/db2" + rows,
        "bad-cut-name": head[:-1],
        "bad-huge-name": b"WCHJ1\n" + struct.pack("<I", 2**32 - 1) + b"/db",
    }


def main() -> None:
    folder = HERE / "history_journal"
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    for name, data in history_journal().items():
        (folder / name).write_bytes(data)


if __name__ == "__main__":
    main()

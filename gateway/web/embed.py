"""Makes a C file of a page: embed.py PAGE OUTPUT NAME gives `const char NAME[]`, ended by a NUL."""

from __future__ import annotations

import sys
from pathlib import Path


def main(page: str, output: str, name: str) -> None:
    content = Path(page).read_bytes() + b"\0"
    rows = [
        ",".join(str(byte if byte < 128 else byte - 256) for byte in content[at : at + 24])
        for at in range(0, len(content), 24)
    ]
    Path(output).write_text(f"extern const char {name}[];\nconst char {name}[] = {{\n"
                            + ",\n".join(rows) + "};\n")  # fmt: skip


if __name__ == "__main__":
    main(*sys.argv[1:])

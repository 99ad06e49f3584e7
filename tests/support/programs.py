"""Where the programs under test are, and the peers they are compared with.

WARMCELL_BUILD names the build tree (build/release). With WARMCELL_TEST_PEER=1 the same tests run
against ipykernel and jupyter_server instead: a test that a correct peer fails is a bad test, unless
it asks for what only warmcell promises.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PEER = os.environ.get("WARMCELL_TEST_PEER") == "1"
KERNEL_NAME = "python3" if PEER else "warmcell"


@dataclass(frozen=True)
class Programs:
    build: Path

    @property
    def gateway(self) -> Path:
        return self.build / "gateway" / "warmcell"

    @property
    def host(self) -> Path:
        return self.build / "kernel" / "host" / "warmcell-kernel"

    @property
    def interpreter(self) -> Path:
        return self.build / "kernel" / "python" / "warmcell-python"

    @property
    def keeper(self) -> Path:
        return self.build / "sandbox" / "warmcell-keeper"

    def check(self) -> None:
        for program in (self.gateway, self.host, self.interpreter, self.keeper):
            if not os.access(program, os.X_OK):
                raise FileNotFoundError(f"{program} has not been built (WARMCELL_BUILD)")


def programs() -> Programs:
    build = Path(os.environ.get("WARMCELL_BUILD", "build/release"))
    return Programs(build if build.is_absolute() else ROOT / build)


PYTHON = sys.executable

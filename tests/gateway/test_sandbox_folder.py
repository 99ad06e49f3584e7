"""What is left of sandboxes that are no more is removed as a gateway starts."""

from __future__ import annotations

import shutil
import uuid
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

from support import processes
from support.gateway import Gateway


def write(folder: Path) -> None:
    """A file after the other in a new folder each, for as long as nothing is removed, and then a
    few more."""
    more = 300
    for number in count():
        more -= not (folder / "0").exists()
        try:
            (folder / str(number)).mkdir()
            (folder / str(number) / "file").touch()
        except FileNotFoundError:
            if not folder.exists():
                return
        if not more:
            return


def test_what_is_written_meanwhile_goes_too(kernelspec: str) -> None:
    gateway = Gateway(options=["--no-warm", "--pool-max", "0"])
    left = gateway.state / "sandboxes" / str(uuid.uuid4())
    written = left / "workspace" / "out"
    written.mkdir(parents=True)
    with ThreadPoolExecutor() as pool:
        writing = pool.submit(write, written)
        processes.until((written / "100").exists, "it writes")
        with gateway:
            writing.result()
            processes.until(lambda: not left.exists(), "nothing is left")
    shutil.rmtree(gateway.home, ignore_errors=True)

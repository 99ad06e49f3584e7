"""Control groups of version 2 with their controllers, also where the machine has them in version 1:
the tests of shares run under a kernel of their own (User-Mode Linux), which sees this machine's
files but cannot write them."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from support.programs import Programs

MACHINE = Path(__file__).with_name("v2_machine.sh")


def test_shares_under_version_2(programs: Programs) -> None:
    linux = shutil.which("linux.uml")
    if not linux:
        pytest.skip("linux.uml is not installed (Debian's user-mode-linux)")
    done = subprocess.run(
        [
            *(linux, "rootfstype=hostfs", "ro", f"init={MACHINE}", "mem=600M", "quiet"),
            *("con0=null,fd:1", "con=null", "ssl=null"),
            f"UNIT={programs.build / 'tests' / 'sandbox' / 'share_test'}",
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    said = done.stdout.replace("\r", "")
    assert "end of machine" in said, said
    assert "FAILED" not in said, said
    assert "SKIPPED" not in said, said
    passed = re.findall(r"PASSED  \] (\d+) test", said)
    assert len(passed) == 2, said
    assert "round first in 0::/service\n" in said
    assert "round second in 0::/service/warmcell-supervisors\n" in said
    groups = [line for line in said.splitlines() if line.startswith("/sys/fs/cgroup/")]
    assert groups == ["/sys/fs/cgroup/service", "/sys/fs/cgroup/service/warmcell-supervisors"]

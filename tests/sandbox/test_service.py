"""The systemd unit is one: systemd itself reads it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from support.programs import Programs

UNIT = Path(__file__).resolve().parents[2] / "systemd" / "warmcell.service.in"
# systemd before 254 does not know it, says so and goes on
NEWER = re.compile(
    r"Unknown key( name)? 'DelegateSubgroup' in section (\[Service\]|'Service'), ignoring"
)


def test_systemd_reads_the_unit(tmp_path: Path, programs: Programs) -> None:
    analyze = shutil.which("systemd-analyze")
    if not analyze:
        pytest.skip("systemd-analyze is not installed")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "warmcell").symlink_to(programs.gateway)
    unit = tmp_path / "warmcell.service"
    unit.write_text(
        UNIT.read_text().replace("@BINDIR@", str(tmp_path / "bin")).replace("@DOCS@", "/usr/share")
    )
    done = subprocess.run([analyze, "verify", unit], capture_output=True, text=True, check=False)
    said = [line for line in done.stderr.splitlines() if str(tmp_path) in line]
    assert [line for line in said if not NEWER.search(line)] == []
    assert "warmcell.service: " not in done.stderr.replace(str(unit), "")


def test_what_sandboxes_need_is_left_to_them() -> None:
    """Each of these would keep a sandbox from its own /proc, name, devices or namespaces."""
    lines = UNIT.read_text().splitlines()
    named = {line.partition("=")[0] for line in lines if not line.startswith("#")}
    assert (
        named
        & {
            *("ProtectKernelTunables", "ProtectKernelLogs", "ProtectProc", "ProcSubset"),
            *("ProtectControlGroups", "ProtectHostname", "PrivateDevices", "RestrictNamespaces"),
            *("PrivateUsers", "SystemCallFilter", "ProtectSystem", "MemoryDenyWriteExecute"),
        }
        == set()
    )
    assert {"Delegate", "OOMPolicy", "KillMode"} <= named

"""The subcommands of warmcell that serve nothing: kernelspec, options, version, help."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel
from support.programs import ROOT, programs

NAME = "warmcell"


def run(*words: str, **env: str) -> subprocess.CompletedProcess[str]:
    command = [str(programs().gateway), *words]
    return subprocess.run(
        command, env=os.environ | env, capture_output=True, text=True, check=False
    )


class TestKernelspec:
    def spec_at(self, prefix: Path) -> Path:
        return prefix / "share" / "jupyter" / "kernels" / NAME

    def test_install_is_found_by_jupyter_and_removed(self, tmp_path: Path) -> None:
        found = run("kernelspec", "install", "--prefix", str(tmp_path), "--python", sys.executable)
        assert found.returncode == 0, found.stderr
        manager = KernelSpecManager()
        manager.kernel_dirs = [str(tmp_path / "share" / "jupyter" / "kernels")]
        spec = manager.get_kernel_spec(NAME)
        host, *rest = spec.argv
        assert Path(host).is_absolute() and Path(host).name == "warmcell-kernel"
        assert rest == ["-f", "{connection_file}", "--python", sys.executable]
        assert (spec.display_name, spec.language) == ("Python 3 (warmcell)", "python")
        assert spec.interrupt_mode == "signal"
        assert spec.metadata["warmcell"] == {"uplink": True}
        assert spec.metadata["debugger"] is False
        folder = self.spec_at(tmp_path)
        assert json.loads((folder / "kernel.json").read_text())["kernel_protocol_version"] == "5.5"
        for size in (32, 64):
            png = (folder / f"logo-{size}x{size}.png").read_bytes()
            assert png[:8] == b"\x89PNG\r\n\x1a\n"
            assert struct.unpack(">II", png[16:24]) == (size, size)
        assert "<svg" in (folder / "logo-svg.svg").read_text()
        listed = run("kernelspec", "list", "--prefix", str(tmp_path)).stdout
        assert listed.split() == [NAME, str(folder), "(warmcell)"]
        assert run("kernelspec", "remove", "--prefix", str(tmp_path)).returncode == 0
        assert not folder.exists()
        with pytest.raises(NoSuchKernel):
            manager.get_kernel_spec(NAME)

    def test_again_over_an_old_one(self, tmp_path: Path) -> None:
        options = ["--prefix", str(tmp_path), "--python", sys.executable]
        assert run("kernelspec", "install", *options).returncode == 0
        found = run("kernelspec", "install", *options, "--display-name", "Mine")
        assert found.returncode == 0
        spec = json.loads((self.spec_at(tmp_path) / "kernel.json").read_text())
        assert spec["display_name"] == "Mine"
        assert len(list(self.spec_at(tmp_path).iterdir())) == 4

    def test_user(self, tmp_path: Path) -> None:
        env = {"JUPYTER_DATA_DIR": str(tmp_path)}
        found = run("kernelspec", "install", "--user", "--python", sys.executable, **env)
        assert found.returncode == 0
        assert (tmp_path / "kernels" / NAME / "kernel.json").exists()
        assert run("kernelspec", "remove", "--user", NAME, **env).returncode == 0

    def test_sys_prefix_is_that_of_the_python(self, tmp_path: Path) -> None:
        fake = tmp_path / "python"
        fake.write_text(f"#!/bin/sh\nprintf '%s\\n' {tmp_path}/env 3.12.1 9.9\n")
        fake.chmod(0o755)
        found = run("kernelspec", "install", "--sys-prefix", "--python", str(fake))
        assert found.returncode == 0, found.stderr
        spec = json.loads((self.spec_at(tmp_path / "env") / "kernel.json").read_text())
        assert spec["argv"][-1] == str(fake)

    def test_named_otherwise(self, tmp_path: Path) -> None:
        options = ["--prefix", str(tmp_path), "--python", sys.executable]
        assert run("kernelspec", "install", *options, "--name", "py.3_x-1").returncode == 0
        assert (self.spec_at(tmp_path).parent / "py.3_x-1").is_dir()
        assert run("kernelspec", "remove", "py.3_x-1", "--prefix", str(tmp_path)).returncode == 0

    @pytest.mark.parametrize(
        ("words", "status", "sentence"),
        [
            (["--python", "/absent"], 1, "cannot run /absent"),
            (["--python", "no-such-python"], 1, "there is no no-such-python on PATH"),
            (["--python", "/bin/true"], 1, "/bin/true does not run as a Python 3"),
            (["--name", "../up"], 1, "--name: ../up holds more than letters"),
            (["--name", ""], 1, "--name: "),
            (["--user", "--sys-prefix"], 1, "only one of"),
            (["--prefix", "relative"], 1, "--prefix: must be an absolute path"),
            (["--prefix", "/proc/nowhere"], 1, "cannot make the folder /proc/nowhere"),
            (["--colour"], 2, "unknown option --colour"),
            (["word"], 2, "word: not expected here"),
        ],
    )
    def test_refused(self, words: list[str], status: int, sentence: str) -> None:
        found = run("kernelspec", "install", *words)
        assert found.returncode == status
        assert sentence in found.stderr and found.stderr.count("\n") == 1

    def test_python_without_ipython(self, tmp_path: Path) -> None:
        fake = tmp_path / "python"
        fake.write_text("#!/bin/sh\nprintf '%s\\n' /usr 3.12.1\n")
        fake.chmod(0o755)
        found = run("kernelspec", "install", "--prefix", str(tmp_path), "--python", str(fake))
        assert found.returncode == 1
        assert f"{fake} -m pip install ipython" in found.stderr

    def test_removes_only_what_is_ours(self, tmp_path: Path) -> None:
        folder = tmp_path / "share" / "jupyter" / "kernels" / "other"
        folder.mkdir(parents=True)
        (folder / "kernel.json").write_text('{"argv": ["x"], "metadata": {}}')
        found = run("kernelspec", "remove", "other", "--prefix", str(tmp_path))
        assert found.returncode == 1
        assert (folder / "kernel.json").exists()
        assert run("kernelspec", "remove", "../kernels", "--prefix", str(tmp_path)).returncode == 1

    def test_verbs(self) -> None:
        for words in ([], ["frobnicate"]):
            found = run("kernelspec", *words)
            assert found.returncode == 2
            assert "one of install, remove, list" in found.stderr


def test_options_page_is_what_the_program_says() -> None:
    page = (ROOT / "docs" / "options.md").read_text()
    assert run("options", "--markdown").stdout == page, "run: warmcell options --markdown"


def test_help_names_every_option() -> None:
    text = run("help").stdout
    assert run("serve", "--help").stdout == text
    for line in (ROOT / "docs" / "options.md").read_text().splitlines():
        if line.startswith("| `--") and "without effect" not in line:
            assert line.split("`")[1].split()[0] + " " in text.replace("\n", " "), line


def test_version_and_unknown_command() -> None:
    found = run("version")
    assert found.returncode == 0 and found.stdout.startswith("warmcell 0.")
    assert run("--version").stdout == found.stdout
    found = run("surf")
    assert found.returncode == 2
    assert found.stderr == "warmcell: unknown command surf; see warmcell help\n"

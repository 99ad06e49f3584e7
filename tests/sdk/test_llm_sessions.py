"""Sessions of llm_sandbox whose runs are programs: output, exit codes, ends, limits, commands."""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import llm_sandbox
import pytest
import warmcell
from llm_sandbox import SandboxBackend, SandboxSession, create_session, exceptions
from llm_sandbox.docker import SandboxDockerSession
from llm_sandbox.kubernetes import SandboxKubernetesSession
from llm_sandbox.micromamba import MicromambaSession
from llm_sandbox.podman import SandboxPodmanSession
from llm_sandbox.session import BaseSession
from support import processes
from warmcell.compat import _gateway


@pytest.fixture(autouse=True)
def _gateway_of_mine(own_gateway: str) -> None:
    pass


@pytest.fixture(scope="module")
def session(own_place: str) -> Iterator[BaseSession]:
    """For tests that leave nothing in it that others would mind."""
    with warmcell.Client(own_place) as client, SandboxSession(client=client) as session:
        yield session


def test_each_run_is_a_program(session: BaseSession) -> None:
    ran = session.run("x = 1\nimport sys\nprint('out')\nprint('err', file=sys.stderr)\n'value'")
    assert (ran.exit_code, ran.stdout, ran.stderr) == (0, "out\n", "err\n")
    assert ran.success() and isinstance(ran, llm_sandbox.ConsoleOutput)
    ran = session.run("print(__name__, end='')\nx")
    assert (ran.exit_code, ran.stdout) == (1, "__main__")
    assert ran.stderr.startswith("Traceback") and "NameError" in ran.stderr
    assert "\x1b" not in ran.stderr and not ran.success()
    assert session.run("import sys; sys.exit(3)").exit_code == 3
    assert session.run("import os; os.kill(os.getpid(), 9)").exit_code == 128 + 9
    ran = session.run("import os; os.write(1, b'a\\xff\\n'); os.system('echo b')")
    assert ran.stdout == "a\ufffd\nb\n"
    session.run("open('kept', 'w').write('1')")
    assert session.run("print(open('kept').read())").stdout == "1\n"

    def run(number: int) -> str:
        return session.run(f"import time; time.sleep(0.01); print({number})").stdout

    with ThreadPoolExecutor(8) as threads:  # any thread may use it, all at once
        assert list(threads.map(run, range(16))) == [f"{number}\n" for number in range(16)]


def test_output_is_told_as_it_comes_and_the_exit_code_stays(session: BaseSession) -> None:
    out: list[str] = []
    err: list[str] = []
    code = "import sys\nprint('one')\nprint('two', file=sys.stderr)\nsys.exit(7)"
    ran = session.run(code, on_stdout=out.append, on_stderr=err.append)
    assert ("".join(out), "".join(err), ran.exit_code) == ("one\n", "two\n", 7)
    out.clear()
    ran = session.execute_command("echo three; exit 4", on_stdout=out.append)
    assert ("".join(out), ran.stdout, ran.exit_code) == ("three\n", "three\n", 4)


def test_what_passes_its_time_is_ended_with_all_that_it_started(session: BaseSession) -> None:
    code = (
        "import subprocess, time\n"
        "child = subprocess.Popen(['sleep', '4321.25'])\n"
        "print(child.pid)\n"
        "time.sleep(3600)"
    )
    with pytest.raises(llm_sandbox.SandboxTimeoutError, match=r"0\.5 seconds") as ended:
        session.run(code, timeout=0.5)
    assert ended.value.timeout_duration == 0.5
    assert ended.value.output is not None

    def is_gone() -> bool:
        return "4321.25" not in session.execute_command("cat /proc/*/cmdline 2>/dev/null").stdout

    processes.until(is_gone, "the child has ended, too")
    assert session.run("print('on')").stdout == "on\n"


def test_times_of_a_session() -> None:
    session = SandboxSession(
        execution_timeout=0.2, default_timeout=0.3, runtime_configs={"timeout": 50}
    )
    with session:
        with pytest.raises(exceptions.SandboxTimeoutError) as ended:
            session.run("import time; time.sleep(3600)")
        assert ended.value.timeout_duration == 0.2
        with pytest.raises(exceptions.SandboxTimeoutError) as ended:
            session.execute_command("sleep 3600")
        assert ended.value.timeout_duration == 0.3
        assert session.run("print(1)", timeout=60).stdout == "1\n"
    assert SandboxSession(runtime_configs={"timeout": 50}).config.execution_timeout == 50
    assert SandboxSession(default_timeout=5).config.get_execution_timeout() == 5

    with SandboxSession(session_timeout=1) as session:
        assert session.container is not None
        limits = session.container.info.limits
        assert limits["life_s"]["value"] == 61
        for _ in range(2):  # its time ends the first, and refuses the second
            with pytest.raises(exceptions.SandboxTimeoutError):
                session.run("import time; time.sleep(3600)")


def test_life_of_a_session(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "llm_sandbox")
    session = create_session(
        libraries=["numpy"],
        keep_template=True,
        verbose=True,
        stream=True,
        skip_environment_setup=True,
    )
    with pytest.raises(exceptions.NotOpenSessionError):
        session.run("1")
    with pytest.raises(exceptions.NotOpenSessionError):
        session.execute_command("true")
    session.open()
    sandbox = session.container
    assert session.is_open and sandbox is not None
    assert f"opened sandbox {sandbox.id}" in caplog.text
    session.open()
    assert session.container is sandbox
    with SandboxSession(container_id=sandbox.id) as other:
        other.execute_command("echo 1 > there")
    assert session.execute_command("cat there").stdout == "1\n"
    session.close()
    session.close()
    assert not session.is_open
    with pytest.raises(warmcell.NotFoundError):
        _gateway.client().sandboxes.get(sandbox.id)


def test_what_a_session_is_made_with() -> None:
    configs: dict[str, Any] = {
        "cpu_count": 1,
        "mem_limit": "256m",
        "pids_limit": 64,
        "environment": {"GREETING": "hello"},
        "labels": {"team": "blue"},
        "network_mode": "none",
        "read_only": True,
        "tmpfs": {"/tmp": "size=64m"},
        "storage_opt": {"size": "1g"},
    }
    with SandboxSession(runtime_configs=configs, workdir="/sandbox/deep/er") as session:
        assert session.container is not None
        info = session.container.info
        wanted = {
            "cpus": 1,
            "memory_bytes": 256 << 20,
            "processes": 64,
            "tmp_bytes": 64 << 20,
            "workspace_bytes": 1 << 30,
        }
        assert {name: info.limits[name]["value"] for name in wanted} == wanted
        assert (info.labels["team"], info.network) == ("blue", "none")
        ran = session.run("import os; print(os.environ['GREETING'], os.getcwd())")
        assert ran.stdout == "hello /workspace/deep/er\n"
        ran = session.run("x = bytearray(2 << 30); x[::4096] = x[::4096]; print('never')")
        assert not ran.success() and "never" not in ran.stdout
    for configs in ({"privileged": True}, {"volumes": {}}, {"mem_limit": "much"}):
        with pytest.raises(exceptions.ValidationError, match=r"runtime_configs|no size"):
            SandboxSession(runtime_configs=configs)
    with pytest.raises(exceptions.ValidationError, match="memory_bytes"):
        SandboxSession(runtime_configs={"mem_limit": "1k"}).open()


def test_backends_are_sandboxes_of_ours() -> None:
    kinds = {
        "docker": SandboxDockerSession,
        SandboxBackend.PODMAN: SandboxPodmanSession,
        "MICROMAMBA": MicromambaSession,
    }
    for backend, kind in kinds.items():
        session = create_session(backend)
        assert isinstance(session, kind) and session.backend is SandboxBackend(backend)
    with MicromambaSession(lang="python", environment="base") as session:
        assert session.run("print(1)").stdout == "1\n"
    refused: list[tuple[Callable[..., Any], dict[str, Any]]] = [
        (SandboxSession, {"backend": SandboxBackend.KUBERNETES, "kube_namespace": "default"}),
        (SandboxKubernetesSession, {"lang": "python", "pod_manifest": {}}),
        (create_session, {"backend": "lxc"}),
        (llm_sandbox.ArtifactSandboxSession, {"backend": "kubernetes"}),
        (llm_sandbox.InteractiveSandboxSession, {"backend": "kubernetes"}),
    ]
    for make, arguments in refused:
        with pytest.raises(exceptions.UnsupportedBackendError):
            make(**arguments)


def test_what_cannot_be_honoured_is_refused() -> None:
    for arguments in (
        {"client": object()},
        {"dockerfile": "Dockerfile"},
        {"commit_container": True},
        {"colour": "blue"},
    ):
        with pytest.raises(exceptions.ExtraArgumentsError, match=next(iter(arguments))):
            SandboxSession(**arguments)
    with pytest.raises(exceptions.ExtraArgumentsError, match="environment"):
        MicromambaSession(environment="other")
    with pytest.raises(exceptions.LanguageNotSupportedError, match="cobol"):
        SandboxSession(lang="cobol")
    for image in ("no-such-template", "ghcr.io/some/image:tag"):
        with pytest.raises(exceptions.ImageNotFoundError, match=image):
            SandboxSession(image=image).open()
    with SandboxSession(image=llm_sandbox.DefaultImage.PYTHON) as session:
        assert session.is_open


def test_an_image_is_a_template() -> None:
    templates = _gateway.client().templates
    templates.create("llm-image", files={"there": "1"})
    try:
        with SandboxSession(image="llm-image") as session:
            assert session.run("print(open('there').read())").stdout == "1\n"
    finally:
        templates.delete("llm-image")


def test_commands(session: BaseSession) -> None:
    assert session.execute_command("echo $((1 + 2)) | cat", workdir="/tmp").stdout == "3\n"
    assert session.execute_command("pwd", workdir="/sandbox").stdout == "/workspace\n"
    ran = session.execute_command("no-such-program")
    assert ran.exit_code == 127 and "no-such-program" in ran.stderr
    for nothing in ("", "  "):
        with pytest.raises(exceptions.CommandEmptyError):
            session.execute_command(nothing)
    ran = session.execute_commands(["true", ("pwd", "/tmp")])
    assert (ran.stdout, ran.exit_code) == ("/tmp\n", 0)
    ran = session.execute_commands(["echo a; exit 5", "touch never"])
    assert (ran.stdout, ran.exit_code) == ("a\n", 5)
    assert session.execute_command("ls never").exit_code != 0


def test_copying(session: BaseSession, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "below").mkdir(parents=True)
    (tree / "empty").write_bytes(b"")
    (tree / "below" / "data").write_bytes(bytes(range(256)))
    (tree / "link").symlink_to("/etc/passwd")
    for place in ("/sandbox/copied", "/tmp/copied"):
        session.copy_to_runtime(str(tree), place)
        back = tmp_path / place.split("/")[1]
        session.copy_from_runtime(place, str(back))
        found = {str(one.relative_to(back)): one for one in back.rglob("*") if one.is_file()}
        assert set(found) == {"empty", "below/data"}
        assert found["below/data"].read_bytes() == bytes(range(256))
        for name, size in (("empty", 0), ("below/data", 256)):
            target = tmp_path / "one" / name.replace("/", "-")
            session.copy_from_runtime(f"{place}/{name}", str(target))
            assert target.stat().st_size == size
            data, about = session.get_archive(f"{place}/{name}")
            assert (about["name"], about["size"]) == (name.rpartition("/")[2], size)
            with tarfile.open(fileobj=BytesIO(data)) as tar:
                content = tar.extractfile(tar.getmembers()[0])
                assert content is not None and len(content.read()) == size
    session.copy_to_runtime(str(tree / "empty"), "/sandbox/")
    assert session.execute_command("cat empty").exit_code == 0
    with pytest.raises(exceptions.SecurityError):  # the gateway follows no link that leads out
        session.execute_command("mkdir -p odd && ln -s /etc odd/etc")
        session.copy_from_runtime("odd/etc/passwd", str(tmp_path / "passwd"))
    session.execute_command("ln -s /etc/passwd copied/out")
    session.copy_from_runtime("copied", str(tmp_path / "again"))
    assert not (tmp_path / "again" / "out").exists()

    with pytest.raises(FileNotFoundError):
        session.copy_to_runtime(str(tmp_path / "nothing"), "there")
    for call in (session.get_archive, lambda path: session.copy_from_runtime(path, str(tmp_path))):
        for path in ("nothing", "/tmp/nothing"):
            with pytest.raises(FileNotFoundError):
                call(path)
        with pytest.raises(exceptions.SecurityError):
            call("../etc/passwd")
    with pytest.raises(exceptions.SecurityError):
        session.copy_to_runtime(str(tree / "empty"), "/sandbox/../etc/passwd")
    with pytest.raises(exceptions.SecurityError):
        session.copy_from_runtime("copied/empty", f"{tmp_path}/../out")


def test_libraries(session: BaseSession) -> None:
    ran = session.run("import numpy; print(numpy.arange(2))", libraries=["numpy", "NumPy"])
    assert ran.stdout == "[0 1]\n"
    session.install([])
    with pytest.raises(exceptions.LibraryInstallationNotSupportedError, match="--package-index"):
        session.install(["warmcell-no-such-library"])


def test_languages(tmp_path: Path) -> None:
    programs = {
        "javascript": ("console.log(6 * 7); process.exit(3)", "42\n", 3),
        "cpp": ('#include <cstdio>\nint main() { std::puts("42"); return 4; }', "42\n", 4),
    }
    for lang, (code, stdout, exit_code) in programs.items():
        with SandboxSession(lang=lang) as session:
            ran = session.run(code)
            assert (ran.stdout, ran.exit_code) == (stdout, exit_code), ran.stderr
            assert session.execute_command("ls -A").stdout == ""
            if lang == "cpp":
                ran = session.run("int main() { return nothing; }")
                assert ran.exit_code == 1 and "nothing" in ran.stderr
            with pytest.raises(exceptions.LibraryInstallationNotSupportedError, match=lang):
                session.install(["left-pad"])
    # as if nothing were installed
    nowhere = {"environment": {"PATH": "/nowhere"}}
    packages = {
        "javascript": "nodejs",
        "java": "default-jdk-headless",
        "cpp": "g\\+\\+",
        "ruby": "ruby",
        "r": "r-base-core",
    }
    for lang, package in packages.items():
        with SandboxSession(lang=lang, runtime_configs=nowhere) as session:
            with pytest.raises(exceptions.MissingDependencyError, match=f"package {package}"):
                session.run("")

"""`cloud_sandbox` beyond its document's blocks: every method, field and error."""

from __future__ import annotations

import builtins
import pickle
import shutil
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import cloud_sandbox.exceptions
import cloud_sandbox.models
import pytest
from cloud_sandbox import (
    AuthError,
    ExecResult,
    FileInfo,
    NotFoundError,
    RateLimitError,
    Sandbox,
    SandboxClient,
    SandboxError,
    SandboxInfo,
    ServiceUnavailableError,
    Session,
    TimeoutError,  # noqa: A004 - the original's name
)
from support.gateway import Gateway
from support.scripted_http import DROP, Scripted, ScriptedHttp


def begin(place: Gateway, user: str) -> Iterator[SandboxClient]:
    with SandboxClient(place.url) as client:
        client.set_token(client.get_token(user)["access_token"])
        yield client
        for session in client.list_sessions():
            client.delete_session(session.id)


@pytest.fixture(scope="module")
def cloud(place: Gateway) -> Iterator[SandboxClient]:
    yield from begin(place, "cloud")


@pytest.fixture(scope="module")
def box(place: Gateway) -> Iterator[Sandbox]:
    """For tests that leave nothing in it that others would mind."""
    with Sandbox.create(place.url, "box", cpu_count=1, memory_mb=512) as sandbox:
        yield sandbox


def owned(place: Gateway, user: str) -> list[str]:
    found = place.get("/v1/sandboxes").json()["sandboxes"]
    return [one["id"] for one in found if one["owner"] == f"open.{user}"]


# --- the client


def test_tokens(place: Gateway, cloud: SandboxClient) -> None:
    told = cloud.get_token("cloud", role="user")
    assert (told["token_type"], told["expires_in"]) == ("Bearer", "86400")
    assert told["access_token"] != told["refresh_token"]
    with SandboxClient(place.url, token=told["refresh_token"]) as other:
        with pytest.raises(AuthError) as raised:
            other.list_sessions()
        assert raised.value.status_code == 401
        assert "token" in raised.value.message
        other.set_token(told["access_token"])
        assert other.list_sessions() == []
    with pytest.raises(SandboxError) as refused:
        cloud.get_token("cloud", role="admin")
    assert refused.value.status_code == 403


def test_sessions(cloud: SandboxClient) -> None:
    session = cloud.create_session(
        image="python:3.12", cpu_count=1, memory_mb=256, ttl_hours=2, metadata={"team": "blue"}
    )
    assert isinstance(session, Session)
    assert (session.user_id, session.status, session.sandbox_id) == ("cloud", "active", "")
    assert (session.image, session.cpu_count, session.memory_mb) == ("python:3.12", 1, 256)
    assert session.metadata == {"team": "blue"}
    assert session.created_at and session.updated_at and session.expires_at
    assert session.last_active_at and session.last_active_at >= session.updated_at
    lasts = session.expires_at - session.updated_at
    assert abs(lasts - timedelta(hours=2)) < timedelta(seconds=1)
    assert session.workspace_url == f"/v1/sandboxes/{session.id}/files"
    assert cloud.get_session(session.id).id == session.id
    assert [one.id for one in cloud.list_sessions()] == [session.id]
    bound = cloud.bind_session(session.id, session.id)
    assert bound.sandbox_id == session.id
    assert cloud.touch_session(session.id).expires_at != session.expires_at
    assert cloud.execute(session.id, "x = 42").success
    assert cloud.pause_session(session.id).status == "paused"
    assert cloud.resume_session(session.id).status == "active"
    assert cloud.execute(session.id, "print(x)").stdout == "42\n"
    assert cloud.delete_session(session.id) is True
    for call in (cloud.get_session, cloud.delete_session, cloud.pause_session):
        with pytest.raises(NotFoundError) as raised:
            call(session.id)
        assert (raised.value.status_code, type(raised.value.response)) == (404, dict)
    with pytest.raises(SandboxError, match="neither python nor a template"):
        cloud.create_session(image="ubuntu")


def test_sandboxes_of_the_pool(cloud: SandboxClient) -> None:
    info = cloud.acquire_sandbox()
    assert isinstance(info, SandboxInfo)
    assert info == SandboxInfo(info.sandbox_id, info.sandbox_id, "running", None)
    stats = cloud.get_sandbox_stats()
    assert stats["in_use"] == stats["active"] == 1
    assert set(stats) == {"total", "available", "in_use", "idle", "active", "creating", "max"}
    assert cloud.release_sandbox(info.sandbox_id) is True
    with pytest.raises(NotFoundError):
        cloud.execute(info.sandbox_id, "1")
    first, second = cloud.create_session(), cloud.create_session()
    assert cloud.acquire_sandbox(first.id).sandbox_id == first.id
    assert cloud.acquire_sandbox().sandbox_id == second.id
    for session in (first, second):
        cloud.delete_session(session.id)


# --- running


def test_code(box: Sandbox) -> None:
    result = box.run_code("import sys\nprint('out')\nprint('err', file=sys.stderr)")
    assert isinstance(result, ExecResult)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "out\n", "err\n")
    assert (result.success, result.timed_out, result.error) == (True, False, None)
    assert result.duration_ms >= 0 and result.run_id and not result.truncated
    failed = box.run_code("1 / 0")
    assert (failed.exit_code, failed.success) == (1, False)
    assert "ZeroDivisionError" in failed.stderr
    nul = box.run_code(r"raise ValueError('a\0b')")  # which JSON has, and many readers refuse
    assert nul.exit_code == 1 and "ValueError: a\0b" in nul.stderr
    assert box.run_code(r"raise SystemExit('3\0')").exit_code == 1
    assert box.run_code("raise SystemExit(3)").exit_code == 3
    assert box.run_code("import sys; sys.exit()").exit_code == 0
    late = box.run_code("while True: pass", timeout=1)
    assert (late.exit_code, late.timed_out, late.success) == (-1, True, False)
    for language in ("bash", "ruby", "node"):
        code = {"bash": "echo $((6*7))", "ruby": "puts 6*7", "node": "console.log(6*7)"}[language]
        result = box.run_code(code, language=language)
        if result.exit_code == 127:  # it is not installed here, which is said
            assert language in (result.error or ""), result
        else:
            assert result.stdout == "42\n"
    with pytest.raises(SandboxError, match="cobol"):
        box.run_code("x", language="cobol")


def test_a_language_without_its_program_says_what_to_install(
    box: Sandbox,
) -> None:
    """And one that is found in the PATH of the run is run: here a Go that shows its source."""
    made = box.run_command(
        "mkdir -p few && cd few && ln -sf /bin/sh /bin/cat /usr/bin/mktemp /bin/rm . &&"
        " mkdir -p ../go && printf '#!/bin/sh\\necho $1; cat $2; exit 3' >../go/go &&"
        " chmod +x ../go/go && pwd"
    )
    assert made.success, made
    few = made.stdout.strip()
    for language, package in (("go", "golang-go"), ("ruby", "ruby"), ("node", "nodejs")):
        result = run_with_path(box, language, few)
        assert result.exit_code == 127 and not result.success
        assert f"{language} is not installed" in str(result.error)
        assert str(result.error).endswith(f"; install {package}")
    result = run_with_path(box, "go", f"{few}/../go:{few}")
    assert (result.exit_code, result.stdout, result.error) == (3, "run\npackage main", None)
    ended = run_with_path(box, "bash", "/usr/bin:/bin", "echo said >&2; exit 127")
    assert (ended.exit_code, ended.stderr, ended.error) == (127, "said\n", None)


def run_with_path(box: Sandbox, language: str, path: str, code: str = "package main") -> ExecResult:
    return box.client.execute(str(box.sandbox_id), code, language, env={"PATH": path})


def test_commands(box: Sandbox) -> None:
    result = box.run_command("echo out; echo err >&2; exit 4")
    assert (result.exit_code, result.stdout, result.stderr) == (4, "out\n", "err\n")
    assert box.run_command(["printf", "%s|", "a b", "*"]).stdout == "a b|*|"
    late = box.run_command("sleep 600", timeout=1)
    assert (late.timed_out, late.success) == (True, False)
    missing = box.run_command(["no-such-program"])
    assert missing.exit_code == 127
    assert "no-such-program" in str(missing.error)
    much = box.run_command("head -c 5000000 /dev/zero | tr '\\0' x")
    assert (len(much.stdout), much.truncated, much.success) == (4 << 20, True, True)


def test_where_and_with_what(box: Sandbox) -> None:
    client, sandbox_id = box.client, str(box.sandbox_id)
    code = "import os\nprint(os.getcwd(), os.environ['A'])"
    for _ in range(2):
        ran = client.execute(sandbox_id, code, work_dir="/tmp", env={"A": "b"}, timeout=60)
        assert ran.stdout == "/tmp b\n"
    assert "KeyError" in client.execute(sandbox_id, code).stderr  # it was for that run alone
    words = ["sh", "-c", "pwd; echo $A"]
    ran = client.execute(sandbox_id, command=words, work_dir="/tmp", env={"A": "b"})
    assert ran.stdout == "/tmp\nb\n"
    with pytest.raises(SandboxError, match="code or command"):
        client.execute(sandbox_id)


# --- files


def test_files(box: Sandbox) -> None:
    assert box.write_file("/workspace/in/a.txt", "grüß\n") is True
    box.write_file("in/b.bin", b"\x00\xff")
    (folder,) = [one for one in box.list_files() if one.name == "in"]
    assert isinstance(folder, FileInfo)
    assert (folder.path, folder.is_dir) == ("/workspace/in", True)
    assert isinstance(folder.mod_time, datetime)
    listed = {one.name: one.size for one in box.list_files("/workspace/in")}
    assert listed == {"a.txt": len("grüß\n".encode()), "b.bin": 2}
    assert box.read_file("/workspace/in/a.txt") == "grüß\n"
    assert box.read_bytes("in/b.bin") == b"\x00\xff"
    assert box.run_code("print(open('/workspace/in/a.txt').read(), end='')").stdout == "grüß\n"
    assert box.delete_file("/workspace/in/a.txt") is True
    for call in (box.delete_file, box.read_file, box.list_files):
        with pytest.raises(NotFoundError):
            call("/workspace/in/a.txt")
    for path in ("/etc/passwd", "/workspace/../etc", "../x"):
        for call in (box.delete_file, box.read_file, box.list_files):
            with pytest.raises(SandboxError) as raised:
                call(path)
            assert raised.value.status_code == 400
    for path in ("/workspace", "/workspace/in"):
        with pytest.raises(SandboxError, match="folder"):
            box.read_file(path)
    with pytest.raises(SandboxError) as held:
        box.delete_file("in")
    assert held.value.status_code == 409
    assert box.delete_file("in", recursive=True) is True


# --- the life of a sandbox


def test_nothing_is_left_behind(place: Gateway) -> None:
    with pytest.raises(KeyError), Sandbox.create(place.url, "leaver"):
        assert len(owned(place, "leaver")) == 1
        raise KeyError
    assert owned(place, "leaver") == []
    with Sandbox.create(place.url, "leaver", auto_release=False) as kept:
        pass
    assert owned(place, "leaver") == [kept.session_id]
    kept.destroy()
    kept.destroy()  # what is gone is gone
    assert (owned(place, "leaver"), kept.session_id, kept.sandbox_id) == ([], None, None)
    with Sandbox.create(place.url, "leaver") as paused:
        paused.write_file("x", "y")
        session = paused.pause()
        with pytest.raises(SandboxError, match="paused"):
            paused.run_code("1")
        with pytest.raises(SandboxError, match="paused"):
            paused.list_files()
    assert owned(place, "leaver") == [session]
    with Sandbox.resume(session, place.url, user_id="leaver") as again:
        assert (again.session_id, again.read_file("x")) == (session, "y")
    assert owned(place, "leaver") == []
    with pytest.raises(SandboxError, match="no session"):
        again.pause()


def test_a_session_of_somebody_else(place: Gateway, box: Sandbox) -> None:
    with pytest.raises(NotFoundError):
        Sandbox.resume(str(box.session_id), place.url, user_id="thief")
    assert box.run_code("1").success


def test_one_that_was_not_begun_leaves_no_session(
    place: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: SandboxClient, session_id: str | None = None) -> SandboxInfo:
        raise ServiceUnavailableError("not now")

    monkeypatch.setattr(SandboxClient, "acquire_sandbox", refuse)
    with pytest.raises(ServiceUnavailableError):
        Sandbox.create(place.url, "unlucky")
    assert owned(place, "unlucky") == []


def test_with_a_token_of_the_gateway(place: Gateway) -> None:
    """Where tokens are not open: an administrator's, for whom it asks."""
    with SandboxClient(place.url, token=place.token) as chief:
        token = chief.get_token("maria")["access_token"]
    with Sandbox.create(place.url, token=token) as sandbox:
        assert sandbox.client.list_sessions()[0].user_id == "maria"


def test_a_gateway_that_gives_none() -> None:
    with Gateway(options=["--pool-max", "0"]) as gateway:
        with pytest.raises(AuthError, match="--open-tokens"):
            Sandbox.create(gateway.url, "nobody")
    shutil.rmtree(gateway.home, ignore_errors=True)


# --- errors and models


def test_errors() -> None:
    kinds = {AuthError, NotFoundError, RateLimitError, ServiceUnavailableError, TimeoutError}
    assert all(issubclass(one, SandboxError) for one in kinds)
    assert issubclass(TimeoutError, builtins.TimeoutError)
    assert cloud_sandbox.exceptions.SandboxError is SandboxError
    error = NotFoundError("gone", 404, {"error": "gone"})
    assert (error.message, error.status_code, error.response) == ("gone", 404, {"error": "gone"})
    assert (SandboxError("x").status_code, SandboxError("x").response) == (None, None)
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), again.message, again.status_code) == (NotFoundError, "gone", 404)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, AuthError),
        (404, NotFoundError),
        (429, RateLimitError),
        (502, ServiceUnavailableError),
        (503, ServiceUnavailableError),
        (409, SandboxError),
    ],
)
def test_errors_by_status(status: int, kind: type[SandboxError]) -> None:
    with ScriptedHttp(Scripted(status, {"error": "the sentence"})) as server:
        with pytest.raises(SandboxError) as raised, SandboxClient(server.url) as client:
            client.get_sandbox_stats()
    assert type(raised.value) is kind
    assert (raised.value.message, raised.value.status_code) == ("the sentence", status)


def test_what_is_sent_twice() -> None:
    """What happens once, however often it is sent; and nothing else."""
    session = {"id": "s", "user_id": "u", "status": "active"}
    with ScriptedHttp(Scripted(DROP), Scripted(201, session), Scripted(DROP)) as server:
        with SandboxClient(server.url) as client:
            assert client.create_session().id == "s"
            with pytest.raises(ServiceUnavailableError):
                client.execute("s", "x += 1")
    first, again, run = server.asked
    assert first.headers["idempotency-key"] == again.headers["idempotency-key"]
    assert "idempotency-key" not in run.headers


def test_an_answer_of_somebody_else() -> None:
    with ScriptedHttp(Scripted(500, b"<html>")) as server, SandboxClient(server.url) as client:
        with pytest.raises(SandboxError, match="the gateway answered 500") as raised:
            client.list_sessions()
    assert raised.value.response == {"raw": "<html>"}


def test_nobody_is_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as bound:
        port = bound.getsockname()[1]
        with SandboxClient(f"http://127.0.0.1:{port}", timeout=0.1) as client:
            with pytest.raises(TimeoutError):  # somebody is, and says nothing
                client.list_sessions()
    with pytest.raises(ServiceUnavailableError):
        Sandbox.create("unix:/nowhere/at/all", "me")
    with pytest.raises(SandboxError, match="neither"):
        SandboxClient("ftp://x")
    with pytest.raises(SandboxError, match="there is no sandbox"):
        Sandbox().run_code("1")


def test_models() -> None:
    assert Session.from_dict({}) == Session("", "", "")
    assert (Session("a", "b", "c").cpu_count, Session("a", "b", "c").memory_mb) == (2, 2048)
    session = cloud_sandbox.models.Session.from_dict({"created_at": "2024-01-02T03:04:05Z"})
    assert session.created_at == datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert Session.from_dict({"created_at": "soon"}).created_at is None
    assert ExecResult.from_dict({}) == ExecResult(-1, "", "", 0)
    assert ExecResult(0, "", "", 1).success
    for bad in ({"exit_code": 1}, {"timed_out": True}, {"error": "x"}):
        assert not ExecResult.from_dict({"exit_code": 0} | bad).success
    assert FileInfo.from_dict({"name": "a"}) == FileInfo("a", "", 0, False, None)
    assert SandboxInfo.from_dict({}) == SandboxInfo("", "", "")

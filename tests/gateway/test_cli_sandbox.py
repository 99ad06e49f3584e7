"""`warmcell sandbox ls|create|rm`, and how the tool finds its gateway."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import stat
import threading
from pathlib import Path

import pytest
from gateway.test_sandboxes import NOBODY, Place, create, remove
from support.cli import Tool, problem, refused, tool
from support.gateway import Gateway
from support.programs import ROOT


@pytest.fixture
def run(place: Place) -> Tool:
    return Tool(place[0])


@pytest.fixture
def servers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where gateways leave their records: none has yet."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return tmp_path / "warmcell" / "servers"


def ids(gateway: Gateway) -> list[str]:
    return [one["id"] for one in gateway.get("/v1/sandboxes").json()["sandboxes"]]


class TestSandboxes:
    def test_create_list_remove(self, place: Place, run: Tool) -> None:
        made = run.ok("sandbox", "create", "--limits", "memory_bytes=300000000,cpus=1.5").strip()
        assert ids(place[0]) == [made]
        limits = place[0].get(f"/v1/sandboxes/{made}").json()["limits"]
        assert (limits["memory_bytes"]["value"], limits["cpus"]["value"]) == (300000000, 1.5)
        head, row = run.ok("sandbox", "ls").splitlines()
        columns = ["STATE", "CREATED", "CONTEXTS", "MEMORY", "DISK", "NETWORK", "NAME"]
        assert head.split() == ["ID", *columns]
        assert row.split()[0] == made
        assert row.split()[3:] == ["1", "1000", "B", "4.0", "KiB", "none", "-"]
        for word in columns:
            assert row[head.index(word) - 1] == " " and row[head.index(word)] != " "
        assert run.ok("sandbox", "ls", "-q") == f"{made}\n"
        assert [one["id"] for one in json.loads(run.ok("sandbox", "ls", "--json"))] == [made]
        assert run.ok("sandbox", "rm", made) == ""
        assert ids(place[0]) == []
        assert run.ok("sandbox", "ls").count("\n") == 1
        assert json.loads(run.ok("sandbox", "ls", "--json")) == []

    def test_create_from_json(self, run: Tool, tmp_path: Path) -> None:
        body = tmp_path / "body.json"
        body.write_text('{"env": {"A": "b,c"}, "limits": {"processes": 50}}')
        for words, stdin in ([str(body)], b""), (["-"], body.read_bytes()):
            options = ["--from", *words, "--limits", "cpus=1", "--cold", "--json"]
            made = json.loads(run.ok("sandbox", "create", *options, stdin=stdin))
            assert made["cold"] is True
            values = {name: made["limits"][name]["value"] for name in ("processes", "cpus")}
            assert values == {"processes": 50, "cpus": 1}
            assert json.loads(run.ok("sandbox", "rm", made["id"], "--json")) == [made["id"]]

    @pytest.mark.parametrize(
        ("words", "status", "sentence"),
        [
            (["create", "--limits", "cpus"], 2, "--limits: cpus is not NAME=NUMBER"),
            (["create", "--limits", "cpus=many"], 2, "cpus=many is not NAME=NUMBER"),
            (["create", "--limits", "speed=1"], 1, 'there is no limit called "speed"'),
            (["create", "--limits", "cpus=-1"], 1, "cpus"),
            (["create", "--from", "/absent"], 2, "--from: /absent cannot be read"),
            (["create", "--from", "-"], 2, "-: not valid JSON"),
            (["create", "word"], 2, "too many words; use: warmcell sandbox create"),
            (["create", "--colour"], 2, "unknown option --colour"),
            (["rm"], 2, "too few words; use: warmcell sandbox rm SANDBOX..."),
            (["rm", "abc"], 2, "at least 4 characters"),
            (["rm", "zzzz"], 1, "no sandbox zzzz; `warmcell sandbox ls` shows"),
            (["rm", NOBODY], 1, NOBODY),
            (["ls", "--", "x"], 2, "-- is not expected here"),
            ([], 2, "sandbox is one of: warmcell sandbox ls, "),
            (["frob"], 2, "sandbox is one of: "),
        ],
    )
    def test_refused(self, run: Tool, words: list[str], status: int, sentence: str) -> None:
        refused(run("sandbox", *words), status, sentence)

    @pytest.mark.parametrize("words", [["ls"], ["ls", "--help"], ["create"]])
    def test_output_that_cannot_be_written(self, place: Place, run: Tool, words: list[str]) -> None:
        with Path("/dev/full").open("wb") as full:
            done = run("sandbox", *words, stdout=full)
        assert done.returncode == 1
        assert done.stderr == b"warmcell: cannot write the output: No space left on device\n"
        read, write = os.pipe()
        os.close(read)
        done = run("sandbox", *words, stdout=write)
        os.close(write)
        assert (done.returncode, done.stderr) == (-signal.SIGPIPE, b"")
        for made in ids(place[0]):
            run.ok("sandbox", "rm", made)

    def test_long_output_that_cannot_be_written(self, place: Place, run: Tool) -> None:
        """Longer than what stdio holds back, so that its last flush fails or has nothing to do."""
        for _ in range(8):
            create(place[0])
        assert len(run.ok("sandbox", "ls", "--json")) > 8192
        with Path("/dev/full").open("wb") as full:
            told = problem(run("sandbox", "ls", "--json", stdout=full), 1)
        assert "output" in told["detail"]
        read, write = os.pipe()
        os.close(read)
        done = run("sandbox", "ls", "--json", stdout=write)
        os.close(write)
        assert (done.returncode, done.stderr) == (-signal.SIGPIPE, b"")
        run.ok("sandbox", "rm", *ids(place[0]))

    @pytest.mark.parametrize(
        "words",
        [
            ["help"],
            ["version"],
            ["--version"],
            ["options"],
            ["completion", "bash"],
            ["kernelspec", "list"],
        ],
    )
    def test_text_that_cannot_be_written(self, words: list[str]) -> None:
        with Path("/dev/full").open("wb") as full:
            done = tool(*words, stdout=full)
        assert done.returncode == 1
        assert done.stderr == b"warmcell: cannot write the output: No space left on device\n"

    @pytest.mark.parametrize(
        ("words", "status", "detail"),
        [
            (["exec", "--json", "zzzz", "--", "ls"], 404, "no sandbox zzzz"),
            (["logs", "--json", "taken", "nope"], 404, "neither a command nor an execution nope"),
            (["sandbox", "rm", "zzzz", "--json"], 404, "no sandbox zzzz"),
            (["sandbox", "create", "--json", "--name", "taken"], 409, "taken"),
            (["token", "create", "--json", "--scopes", "bogus"], 400, "scopes"),
        ],
    )
    def test_refused_as_json(
        self, place: Place, run: Tool, words: list[str], status: int, detail: str
    ) -> None:
        made = create(place[0], {"name": "taken"})
        told = problem(run(*words), 1)
        remove(place[0], made)
        titles = {400: "Bad Request", 404: "Not Found", 409: "Conflict"}
        assert (told["title"], told["status"]) == (titles[status], status)
        assert set(told) == {"title", "status", "detail"}
        assert detail in told["detail"]

    @pytest.mark.parametrize(
        "words", [["ls", "word"], ["ls", "--colour"], ["rm"], ["frob"], ["create", "--limits", "x"]]
    )
    def test_wrong_usage_as_json(self, run: Tool, words: list[str]) -> None:
        told = problem(run("sandbox", *words, "--json"), 2)
        assert set(told) == {"title", "detail"}
        assert told["title"] == "Wrong usage"

    def test_what_follows_dashes_asks_for_no_json(self, run: Tool) -> None:
        refused(run("exec", "zzzz", "--", "ls", "--json"), 1, "no sandbox zzzz")

    @pytest.mark.usefixtures("servers")
    def test_no_gateway_as_json(self) -> None:
        told = problem(tool("sandbox", "ls", "--json"), 3)
        assert (told["title"], set(told)) == ("No gateway reached", {"title", "detail"})

    def test_a_wrong_token_as_json(self, place: Place, tmp_path: Path) -> None:
        token = tmp_path / "token"
        token.write_text("wrong\n")
        words = ["--url", place[0].url, "--token-file", str(token), "--json"]
        assert problem(tool("sandbox", "ls", *words), 1)["status"] == 401

    def test_what_was_removed_is_told_beside_an_error(self, place: Place, run: Tool) -> None:
        made = create(place[0])["id"]
        done = run("sandbox", "rm", "zzzz", made, "--json")
        assert (done.returncode, json.loads(done.stdout)) == (1, [made])
        assert json.loads(done.stderr)["status"] == 404

    @pytest.mark.parametrize(
        "name", ["doctor", "completion", "version", "options", "warm", "kernelspec"]
    )
    def test_help_of_one_command(self, name: str) -> None:
        done = tool(name, "--help")
        text = done.stdout.decode()
        assert (done.returncode, done.stderr) == (0, b"")
        assert text.startswith(f"Usage: warmcell {name} ")
        assert "sandbox create" not in text

    def test_version_as_json(self) -> None:
        version = tool("version").stdout.decode().removeprefix("warmcell ").strip()
        assert json.loads(tool("version", "--json").stdout) == {"version": version}

    def test_short_ids(self, place: Place, run: Tool) -> None:
        made = [create(place[0])["id"] for _ in range(2)]
        run.ok("sandbox", "rm", made[0][:14], made[1])
        assert ids(place[0]) == []

    def test_all_that_can_be_removed_are(self, place: Place, run: Tool) -> None:
        made = str(create(place[0])["id"])
        done = run("sandbox", "rm", NOBODY, made)
        refused(done, 1, NOBODY)
        assert ids(place[0]) == []

    def test_names_labels_and_filters(self, place: Place, run: Tool) -> None:
        blue = run.ok("sandbox", "create", "--name", "a1", "--label", "team=blue,draft").strip()
        red = run.ok("sandbox", "create", "--name", "a2", "--label", "team=red").strip()
        assert place[0].get("/v1/sandboxes/a1").json()["labels"] == {"team": "blue", "draft": ""}
        for words, found in [
            (["--label", "team"], [blue, red]),
            (["--label", "team=blue,draft"], [blue]),
            (["--name-prefix", "a"], [blue, red]),
            (["--state", "paused"], []),
            (["--template", "none"], []),
        ]:
            assert run.ok("sandbox", "ls", "-q", *words).split() == found
        assert run.ok("sandbox", "ls").splitlines()[1].split()[-1] == "a1"
        refused(run("sandbox", "ls", "--state", "happy"), 1, "state")
        refused(run("sandbox", "create", "--label", "=a"), 2, "--label: =a is not NAME=TEXT")
        refused(run("sandbox", "create", "--name", "a1"), 1, "a1")
        refused(run("sandbox", "rm", "a"), 2, "at least 4 characters")
        run.ok("sandbox", "rm", "a1", red)
        assert ids(place[0]) == []

    def test_templates(self, place: Place, run: Tool, tmp_path: Path) -> None:
        (tmp_path / "helper.py").write_text("x = 1")
        (tmp_path / "raw").write_bytes(b"\xff\x00")
        made = run.ok(
            "template", "create", "analysis", "--preload", "json,csv", "--limits", "processes=40",
            "--env", "A=b=c", "--description", "for numbers",
            "--files", f"lib/helper.py:{tmp_path}/helper.py,raw:{tmp_path}/raw",
        ).strip()  # fmt: skip
        shown = json.loads(run.ok("template", "show", "analysis"))
        assert (shown["id"], shown["preload"], shown["env"]) == (made, ["json", "csv"], ["A"])
        head, row = run.ok("template", "ls").splitlines()
        assert head.split() == ["NAME", "OWNER", "SHARED", "SANDBOXES", "DESCRIPTION"]
        assert row.split() == ["analysis", "owner", "no", "0", "for", "numbers"]
        assert run.ok("template", "ls", "-q") == "analysis\n"
        assert [one["id"] for one in json.loads(run.ok("template", "ls", "--json"))] == [made]
        words = ["--template", "analysis", "--limits", "cpus=1", "--json"]
        sandbox = json.loads(run.ok("sandbox", "create", *words))
        assert sandbox["limits"]["processes"]["value"] == 40
        folder = place[0].state / "sandboxes" / sandbox["id"] / "workspace"
        assert (folder / "lib" / "helper.py").read_text() == "x = 1"
        assert (folder / "raw").read_bytes() == b"\xff\x00"
        assert run.ok("sandbox", "ls", "-q", "--template", "analysis").split() == [sandbox["id"]]
        assert run.ok("template", "rm", "analysis") == ""
        refused(run("template", "show", "analysis"), 1, "there is no template analysis")
        refused(run("template", "rm", "analysis"), 1, "there is no template analysis")
        refused(run("template", "create"), 1, "name: is required")
        refused(run("template", "create", "a", "--files", "/absent"), 2, "cannot be read")
        run.ok("sandbox", "rm", sandbox["id"])


class TestFinding:
    def test_by_the_record(self, servers: Path) -> None:
        refused(tool("sandbox", "ls"), 3, "no gateway of this user runs; start one with")
        with Gateway() as gateway:
            (record,) = servers.iterdir()
            assert record.name == f"{gateway.pid}.json"
            assert stat.S_IMODE(record.stat().st_mode) == 0o600
            assert json.loads(record.read_text())["token"] == gateway.token
            assert tool("sandbox", "ls", "--json").stdout == b"[]\n"
            assert tool("sandbox", "ls", "--json", "--url", gateway.url).stdout == b"[]\n"
        assert list(servers.iterdir()) == []
        refused(tool("sandbox", "ls"), 3, "no gateway of this user runs")

    def test_below_a_base_url(self, servers: Path, tmp_path: Path) -> None:
        gateway = Gateway(options=["--base-url", "/deep"], unix=str(tmp_path / "socket"))
        gateway.start()
        assert tool("sandbox", "ls", "--json").stdout == b"[]\n"
        assert gateway.process is not None
        gateway.process.terminate()
        assert gateway.process.wait(30) == 0
        assert list(servers.iterdir()) == []

    @pytest.mark.usefixtures("servers")
    def test_of_several_one_is_chosen(self) -> None:
        with Gateway() as one, Gateway() as other:
            done = tool("sandbox", "ls")
            refused(done, 3, "2 gateways of this user run; choose one with --url: http://")
            assert one.url.encode() in done.stderr and other.url.encode() in done.stderr
            assert tool("sandbox", "ls", "--json", "--url", one.url).stdout == b"[]\n"

    def test_stale_and_strange_records_are_passed_over(self, servers: Path) -> None:
        with Gateway() as gateway:
            (record,) = servers.iterdir()
            whole = json.loads(record.read_text())
            gateway.kill()
            refused(tool("sandbox", "ls"), 3, "no gateway of this user runs")
            gateway.start()
            record.unlink()
            (record,) = servers.iterdir()
            right = json.loads(record.read_text())
            wrong = [
                json.dumps(right | {"start": right["start"] + 1}),
                json.dumps(right | {"pid": 0}),
                json.dumps({key: right[key] for key in right if key != "token"}),
                json.dumps(right | {"url": 5}),
                "[",
                "",
                json.dumps(right | {"more": "x" * 70000}),
            ]
            for number, text in enumerate(wrong):
                place = servers / f"{number}.json"
                place.write_text(text)
                place.chmod(0o600)
            (servers / "open.json").write_text(json.dumps(right))
            (servers / "open.json").chmod(0o644)
            (servers / "link.json").symlink_to(record)
            assert whole["pid"] != right["pid"]
            done = tool("sandbox", "ls", "--json")
            assert (done.returncode, done.stdout) == (0, b"[]\n"), done.stderr

    def test_a_folder_of_somebody_else_is_not_believed(self, servers: Path) -> None:
        if os.geteuid() != 0:
            pytest.fail("giving a folder away takes root")
        with Gateway():
            os.chown(servers, 65533, 65533)
            refused(tool("sandbox", "ls"), 3, "no gateway of this user runs")
            os.chown(servers, 0, 0)
            assert tool("sandbox", "ls", "--json").returncode == 0

    @pytest.mark.parametrize(
        ("url", "status", "sentence"),
        [
            ("http://127.0.0.1:1", 3, "no gateway answers at http://127.0.0.1:1: "),
            ("http://nowhere.invalid", 3, "nowhere.invalid was not found"),
            ("unix:/nowhere", 3, "no gateway answers at unix:/nowhere: "),
            (f"unix:/{'x' * 120}", 2, "at most 107 bytes"),
            ("http://127.0.0.1:8888/?token=abc", 2, "put the token into a file"),
            ("https://127.0.0.1", 2, "TLS is not spoken by this tool"),
            ("127.0.0.1:8888", 2, "http://HOST:PORT or unix:PATH"),
            ("unix:", 2, "http://HOST:PORT or unix:PATH"),
            ("http://", 2, "http://HOST:PORT or unix:PATH"),
            ("http://[::1", 2, "http://HOST:PORT or unix:PATH"),
            ("http://a:", 2, "http://HOST:PORT or unix:PATH"),
            ("http://u:p@a", 2, "http://HOST:PORT or unix:PATH"),
            ("http://a b/", 2, "must not hold blanks"),
        ],
    )
    def test_urls(self, url: str, status: int, sentence: str) -> None:
        refused(tool("sandbox", "ls", "--url", url), status, sentence)

    @pytest.mark.usefixtures("servers")
    def test_tokens(self, place: Place, tmp_path: Path) -> None:
        words = ["sandbox", "ls", "--url", place[0].url]
        refused(tool(*words), 1, "wants a token, or another one; name a file")
        token = tmp_path / "token"
        refused(tool(*words, "--token-file", str(token)), 2, "does not exist")
        for text, status, sentence in [
            ("\nx", 2, "empty first line"),
            ("a b", 2, "blanks"),
            ("wrong", 1, "wants a token, or another one"),
        ]:
            token.write_text(text)
            refused(tool(*words, "--token-file", str(token)), status, sentence)

    def test_a_socket_of_the_same_user_needs_no_token(self, tmp_path: Path) -> None:
        with Gateway(unix=str(tmp_path / "socket")) as gateway:
            url = f"unix:{gateway.unix}"
            assert tool("sandbox", "ls", "--json", "--url", url).stdout == b"[]\n"


def test_what_answers_is_no_gateway() -> None:
    """Replies that no gateway gives end the tool with a sentence, and soon."""
    for reply, sentence in [
        (b"SSH-2.0-x\r\n", "no gateway of ours"),
        (b"", "closed the connection before"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", "closed the connection before"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n[", "not valid JSON"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100000 + b"\r\n\r\n", "no gateway of ours"),
        (b"HTTP/1.1 500 Oh\r\nContent-Length: 2\r\n\r\nno", "refused with status 500"),
    ]:
        with Stranger(reply) as url:
            refused(tool("sandbox", "ls", "--url", url), 1, sentence)


class Stranger:
    """A server that answers whatever it is asked with the same bytes."""

    def __init__(self, reply: bytes) -> None:
        self.reply = reply
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.thread = threading.Thread(target=self.serve)

    def serve(self) -> None:
        connection, _ = self.listener.accept()
        with connection:
            while b"\r\n\r\n" not in connection.recv(65536):
                pass
            with contextlib.suppress(ConnectionError):
                connection.sendall(self.reply)
                connection.shutdown(socket.SHUT_WR)
                connection.recv(1)

    def __enter__(self) -> str:
        self.thread.start()
        return f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    def __exit__(self, *_: object) -> None:
        self.thread.join()
        self.listener.close()


def test_the_page_is_what_the_program_says() -> None:
    page = (ROOT / "docs" / "cli.md").read_text()
    assert tool("options", "--cli").stdout.decode() == page, "run: warmcell options --cli"


def test_help() -> None:
    whole = tool("help").stdout.decode()
    for verb in ("sandbox ls", "sandbox create", "sandbox rm SANDBOX..."):
        assert f"  {verb}\n" in whole
    own = tool("sandbox", "create", "--help").stdout.decode()
    assert own.startswith("Usage: warmcell sandbox create\n") and "  --limits A,B\n" in own

"""Programs run in a sandbox by /v1/sandboxes/{id}/commands, with a real keeper: what they get, how
they end, what ends with them, and that nothing of what they wrote is lost."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psutil
import pytest
from e2e.test_sandbox_life import create, remove
from support import processes
from support.files import end as end_gateway
from support.files import keeper_pids, make_gateway, sandbox_keepers
from support.gateway import Answer, Gateway
from support.service import Ended, Wire

WHOLE = ("stdout", "stderr", "encoding", "lossy", "truncated")
LINES = {"Accept": "application/x-ndjson"}


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    gateway = Gateway(options=["--pool-max", "0"])
    with gateway:
        yield gateway
        complaints = gateway.runtime / "commands" / "log"
    assert not processes.wait_gone(keeper_pids(gateway))
    assert complaints.read_text() == ""  # of supervisors, and of sanitizers
    shutil.rmtree(gateway.home, ignore_errors=True)


@pytest.fixture(scope="module")
def shared(gateway: Gateway) -> Iterator[dict[str, Any]]:
    made = create(gateway, env={"MINE": "yes"}, limits={"output_bytes": 100_000_000})
    yield made
    remove(gateway, made)


@pytest.fixture
def path(gateway: Gateway, shared: dict[str, Any]) -> Iterator[str]:
    yield f"/v1/sandboxes/{shared['id']}/commands"


Place = tuple[Gateway, dict[str, Any], str]


@pytest.fixture
def own() -> Iterator[Place]:
    """A gateway that may be killed, with a sandbox."""
    gateway = Gateway(options=["--pool-max", "0"])
    with gateway:
        sandbox = create(gateway)
        yield gateway, sandbox, f"/v1/sandboxes/{sandbox['id']}/commands"
        for pid in keeper_pids(gateway):
            processes.own(pid)
    assert not processes.wait_gone(keeper_pids(gateway))
    shutil.rmtree(gateway.home, ignore_errors=True)


def run(gateway: Gateway, path: str, **body: Any) -> dict[str, Any]:
    answer = gateway.request("POST", path, body)
    assert answer.status == (202 if body.get("background") else 200), answer
    model: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"{path}/{model['id']}"
    return model


def show(gateway: Gateway, path: str, model: dict[str, Any], query: str = "") -> dict[str, Any]:
    answer = gateway.get(f"{path}/{model['id']}{query}")
    assert answer.status == 200, answer
    found: dict[str, Any] = answer.json()
    return found


def events_of(answer: Answer) -> list[dict[str, Any]]:
    assert answer.status in (200, 202), answer
    assert answer.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in answer.body.splitlines()]


def events(gateway: Gateway, path: str, model: dict[str, Any], query: str = "") -> list[Any]:
    """All of them to the end of the command, unless the query says follow=0."""
    return events_of(gateway.get(f"{path}/{model['id']}/events{query}"))


def text_of(found: list[Any], kind: str = "stdout") -> str:
    return "".join(one["text"] for one in found if one["kind"] == kind)


class Stream:
    """The events of a command as they come."""

    def __init__(self, gateway: Gateway, path: str, model: dict[str, Any], after: int = 0) -> None:
        self.connection = gateway.connection()
        where = f"{path}/{model['id']}/events?after={after}"
        self.connection.request("GET", where, headers=gateway.authorization)
        self.reply = self.connection.getresponse()

    def next(self) -> dict[str, Any]:
        line = self.reply.readline()
        assert line, "the stream has ended"
        event: dict[str, Any] = json.loads(line)
        return event

    def until(self, text: str) -> list[dict[str, Any]]:
        """The events to the one after which stdout holds the text."""
        found = [self.next()]
        while text not in text_of(found):
            found.append(self.next())
        return found

    def close(self) -> None:
        self.connection.close()


def with_word(word: str) -> list[int]:
    """The processes of this machine that have it in their command line."""
    found = []
    for process in psutil.process_iter(["cmdline", "name"]):
        words = process.info["cmdline"] or []
        if word in words and process.info["name"] != "warmcell-command":
            found.append(process.pid)
    return found


def mark() -> str:
    """A time to sleep, of which there is no other."""
    return f"1000.{uuid.uuid4().int % 10**12:012}"


def supervisor(model: dict[str, Any]) -> int:
    for process in psutil.process_iter(["cmdline", "name"]):
        words = " ".join(process.info["cmdline"] or [])
        if process.info["name"] == "warmcell-command" and model["id"] in words:
            return int(process.pid)
    raise AssertionError("there is no supervisor")


def test_a_program_and_what_it_gets(gateway: Gateway, path: str) -> None:
    script = 'pwd; id -u; echo "$MINE $OWN $HOME"; cat; echo bad >&2; exit 3'
    found = run(gateway, path, shell=script, env={"OWN": "é"}, stdin="read\n", cwd="/tmp")
    assert found["stdout"] == "/tmp\n1000\nyes é /home/user\nread\n"
    assert (found["stderr"], found["exit_code"], found["status"]) == ("bad\n", 3, "exited")
    assert found["bytes"] == {"stdout": 33, "stderr": 4}
    assert (found["signal"], found["reason"], found["lossy"], found["truncated"]) == (
        None, None, False, False)  # fmt: skip
    assert found["created"] < found["started"] <= found["ended"]
    assert found["run_ms"] >= 0
    assert events(gateway, path, found, "?settled=1")[-1]["kind"] == "artifacts_settled"
    settled = show(gateway, path, found)
    assert {**settled, **found} == settled
    assert settled["files_changed"]["added"] == 0
    listed = gateway.get(path).json()["commands"][0]
    assert {**settled, **listed} == settled
    assert "stdout" not in listed


def test_words_are_not_a_shells(gateway: Gateway, path: str) -> None:
    found = run(gateway, path, argv=["printf", "%s|", "a b", "$HOME", "*", ""])
    assert found["stdout"] == "a b|$HOME|*||"


def test_it_is_confined(gateway: Gateway, shared: dict[str, Any], path: str) -> None:
    script = (
        "ls /proc | grep -c '^[0-9]'; ls /proc/self/fd | wc -l; echo x > /dev/stdout;"
        "echo hello > file; cat /proc/self/status | grep CapEff; ls /sys/class/net 2>&1;"
        f"ls {gateway.home} 2>&1"
    )
    lines = run(gateway, path, shell=script)["stdout"].splitlines()
    assert int(lines[0]) < 10
    assert lines[1:3] == ["4", "x"]  # 0, 1, 2, and the folder that ls has open
    assert lines[3].split() == ["CapEff:", "0000000000000000"]
    assert "No such file" in lines[-1]
    files = f"/v1/sandboxes/{shared['id']}/files"
    assert gateway.get(f"{files}/file").body == b"hello\n"


@pytest.mark.parametrize(
    ("body", "exit_code", "reason"),
    [
        ({"argv": ["no-such-program"]}, 127, "no-such-program: No such file or directory"),
        ({"argv": ["/etc/passwd"]}, 126, "/etc/passwd: Permission denied"),
        ({"argv": ["true"], "cwd": "none"}, 126, "/workspace/none: No such file or directory"),
        ({"argv": ["true"], "cwd": "/etc/passwd"}, 126, "/etc/passwd: Not a directory"),
        ({"shell": "no-such-program"}, 127, None),
    ],
)
def test_what_cannot_be_executed(
    gateway: Gateway, path: str, body: dict[str, Any], exit_code: int, reason: str | None
) -> None:
    found = run(gateway, path, **body)
    assert (found["status"], found["exit_code"]) == ("exited", exit_code)
    assert found["reason"] == reason
    assert (found["started"] is None) == (reason is not None)


def test_bytes_that_are_no_text(gateway: Gateway, path: str) -> None:
    every = bytes(range(256)) * 10
    body = {"argv": ["cat"], "stdin": {"base64": base64.b64encode(every).decode()}}
    found = run(gateway, path, **body)
    assert found["lossy"] is True
    assert found["stdout"].count("\ufffd") == 1280
    assert found["bytes"]["stdout"] == 2560
    for answer in (
        run(gateway, path, **body, encoding="base64"),
        show(gateway, path, found, "?encoding=base64"),
    ):
        assert base64.b64decode(answer["stdout"]) == every
        assert (answer["encoding"], answer["lossy"]) == ("base64", False)
    output = [one for one in events(gateway, path, found) if one["kind"] == "stdout"]
    assert b"".join(base64.b64decode(one["base64"]) for one in output) == every


def test_its_events_as_they_come(gateway: Gateway, path: str) -> None:
    body = {"shell": "echo one; read x; echo two >&2", "stdin_open": True}
    connection = gateway.connection()
    connection.request("POST", path, json.dumps(body), gateway.authorization | LINES)
    reply = connection.getresponse()
    assert (reply.status, reply.getheader("content-type")) == (200, "application/x-ndjson")
    where = reply.getheader("location")
    found = [json.loads(reply.readline()) for _ in range(2)]
    assert gateway.request("POST", f"{where}/stdin", b"go on\n").status == 204
    found += [json.loads(line) for line in reply.read().splitlines()]
    connection.close()
    assert [one["number"] for one in found] == [1, 2, 3, 4]
    assert [one["kind"] for one in found] == ["started", "stdout", "stderr", "end"]
    assert (found[1]["offset"], found[1]["bytes"], found[1]["text"]) == (0, 4, "one\n")
    assert (found[3]["status"], found[3]["exit_code"]) == ("exited", 0)
    assert found[3]["bytes"] == {"stdout": 4, "stderr": 4}


def test_server_sent_events(gateway: Gateway, path: str) -> None:
    made = run(gateway, path, shell="echo a; echo b >&2")
    head = {"Accept": "text/event-stream;q=1, */*"}
    answer = gateway.get(f"{path}/{made['id']}/events", headers=head)
    assert answer.headers["content-type"] == "text/event-stream"
    blocks = answer.body.decode().split("\n\n")[:-1]
    fields = [dict(line.split(": ", 1) for line in block.split("\n")) for block in blocks]
    assert [one["id"] for one in fields] == ["1", "2", "3", "4"]
    assert {one["event"] for one in fields} == {"started", "stdout", "stderr", "end"}
    assert all(json.loads(one["data"])["kind"] == one["event"] for one in fields)
    answer = gateway.get(f"{path}/{made['id']}/events", headers=head | {"Last-Event-ID": "3"})
    assert answer.body.startswith(b"id: 4\nevent: end\n")


def test_the_background_and_its_stdin(gateway: Gateway, path: str) -> None:
    made = run(gateway, path, shell="cat; echo done", background=True)
    assert (made["status"], made["background"], made["exit_code"]) == ("running", True, None)
    where = f"{path}/{made['id']}/stdin"
    for piece in (b"one\n", b"x" * 300_000, b"\n"):  # more than a pipe holds
        assert gateway.request("POST", where, piece).status == 204
    assert gateway.request("POST", f"{where}?eof=1", b"last\n").status == 204
    found = events(gateway, path, made)
    assert text_of(found) == "one\n" + "x" * 300_000 + "\nlast\ndone\n"
    answer = gateway.request("POST", where, b"more")
    assert (answer.status, answer.json()["detail"]) == (409, "the command has ended")


def test_stdin_that_is_closed(gateway: Gateway, path: str) -> None:
    made = run(gateway, path, shell="cat; sleep 1000", stdin="all of it", background=True)
    stream = Stream(gateway, path, made)
    stream.until("all of it")
    stream.close()
    answer = gateway.request("POST", f"{path}/{made['id']}/stdin", b"more")
    assert (answer.status, answer.json()["detail"]) == (409, "stdin: is closed")
    assert gateway.request("DELETE", f"{path}/{made['id']}").status == 204


def test_a_signal(gateway: Gateway, path: str) -> None:
    script = "trap 'echo caught; exit 5' TERM; echo ready; while :; do sleep 1000 & wait; done"
    made = run(gateway, path, shell=script, background=True)
    stream = Stream(gateway, path, made)
    stream.until("ready")
    where = f"{path}/{made['id']}/signal"
    assert gateway.request("POST", where, {"signal": "SIGTERM"}).status == 204
    assert stream.until("caught")
    end = stream.next()
    stream.close()
    assert (end["status"], end["exit_code"]) == ("exited", 5)
    assert gateway.request("POST", where, {"signal": "KILL"}).status == 409
    killed = run(gateway, path, shell="kill -SEGV $$")
    assert (killed["status"], killed["signal"]) == ("killed", "SIGSEGV")


TREE = "setsid sh -c 'sleep {0}' & sh -c 'sleep {0}' & sleep {0} & echo ready; {1}"


def test_a_deadline_ends_the_tree(gateway: Gateway, path: str) -> None:
    time = mark()
    found = run(gateway, path, shell=TREE.format(time, "wait"), deadline_ms=500)
    assert (found["status"], found["signal"]) == ("timeout", "SIGKILL")
    assert found["reason"] == "its deadline of 500 ms was over"
    assert with_word(time) == []


def test_what_it_leaves_ends_with_it(gateway: Gateway, path: str) -> None:
    time = mark()
    found = run(gateway, path, shell=TREE.format(time, "exit 0"))
    assert (found["status"], found["exit_code"]) == ("exited", 0)
    assert with_word(time) == []


def test_deleted_while_it_runs(gateway: Gateway, path: str) -> None:
    time = mark()
    made = run(gateway, path, shell=TREE.format(time, "wait"), background=True)
    stream = Stream(gateway, path, made)
    stream.until("ready")
    assert gateway.request("DELETE", f"{path}/{made['id']}").status == 204
    with contextlib.suppress(http.client.IncompleteRead):
        assert not stream.reply.read()  # it breaks off: there is no end to tell
    stream.close()
    assert with_word(time) == []
    for method, place in (("GET", ""), ("DELETE", ""), ("GET", "/events"), ("POST", "/stdin")):
        assert gateway.request(method, f"{path}/{made['id']}{place}").status == 404


def to_its_end(wire: Wire) -> bytes:
    with contextlib.suppress(Ended):
        while True:
            wire.more()
    return bytes(wire.received)


def test_deleted_behind_a_reply_that_its_end_brings(gateway: Gateway, path: str) -> None:
    """Who asks for it again by its key is told of its end, and at once deletes it, while another,
    who reads slowly, is still to be told of that end."""
    script = "head -c 12000000 /dev/zero | tr '\\0' x; read line"
    body = json.dumps({"shell": script, "stdin_open": True}).encode()
    key = {"Idempotency-Key": uuid.uuid4().hex}

    def command_with(written: int) -> str:
        listed = gateway.get(path).json()["commands"]
        return next((one["id"] for one in listed if one["bytes"]["stdout"] == written), "")

    first, again, slow = (Wire(socket.socket()) for _ in range(3))
    slow.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    with first, again, slow:
        for wire in (first, again, slow):
            wire.socket.settimeout(60)
            wire.socket.connect(("127.0.0.1", gateway.port))
        first.request(path, "POST", key, body, token=gateway.token)
        processes.until(lambda: command_with(12_000_000) != "", "all of its output")
        command = f"{path}/{command_with(12_000_000)}"
        slow.request(f"{command}/events", token=gateway.token)
        assert slow.reply(head=True).status == 200
        again.request(path, "POST", key, body, token=gateway.token)
        again.request(command, "DELETE", token=gateway.token)
        assert gateway.get(command).json()["status"] == "running"  # both are with the gateway
        assert gateway.request("POST", f"{command}/stdin", b"\n").status == 204
        assert first.reply().json()["status"] == "exited"
        assert [again.reply().status, again.reply().status] == [200, 204]
        assert not to_its_end(slow).endswith(b"0\r\n\r\n")  # it broke off
    assert gateway.get(command).status == 404


@pytest.mark.parametrize("place", ["", "/output?stream=stderr"])
def test_a_long_log_is_read_in_turns(gateway: Gateway, path: str, place: str) -> None:
    """Who reads it through for what is behind it does not keep others waiting: it is deleted while
    it is read."""
    script = "head -c 12000000 /dev/zero | tr '\\0' x; echo behind >&2"
    made = run(gateway, path, shell=script)
    assert (made["truncated"], made["stderr"]) == (True, "behind\n")
    command = f"{path}/{made['id']}"
    with contextlib.ExitStack() as stack:
        reader, other = (stack.enter_context(Wire(socket.socket())) for _ in range(2))
        for wire in (reader, other):
            wire.socket.settimeout(60)
            wire.socket.connect(("127.0.0.1", gateway.port))
            wire.request("/api", token=gateway.token)
            assert wire.reply().status == 200
        os.kill(gateway.pid, signal.SIGSTOP)  # so that both come together
        reader.request(command + place, token=gateway.token)
        other.request(command, "DELETE", token=gateway.token)
        os.kill(gateway.pid, signal.SIGCONT)
        assert other.reply().status == 204
        reader.more()
        if reader.received.startswith(b"HTTP/1.1 200"):
            assert place, "a whole reply begins when it is known"
            assert not to_its_end(reader).endswith(b"0\r\n\r\n")  # it broke off
        else:  # also where the other connection was served first
            assert reader.reply().status == 404


def test_what_was_just_being_made_leaves_nothing(own: Place) -> None:
    gateway, sandbox, _ = own
    made = str(uuid.uuid4())
    gateway.kill()
    folder = gateway.state / "sandboxes" / sandbox["id"] / "commands" / made
    plan = gateway.runtime / "commands" / f"{made}.json"
    folder.mkdir(parents=True)
    (folder / "log").touch()
    plan.parent.mkdir(exist_ok=True)
    plan.write_text('{"env": ["A=secret"]}')
    gateway.start()
    processes.until(lambda: not folder.exists(), "its folder is removed")
    assert not plan.exists()


def test_the_limit_of_output(gateway: Gateway) -> None:
    sandbox = create(gateway, limits={"output_bytes": 100_000})
    path = f"/v1/sandboxes/{sandbox['id']}/commands"
    found = run(gateway, path, shell="echo begin >&2; yes")
    assert (found["status"], found["exit_code"]) == ("output_limit", None)
    assert found["bytes"] == {"stdout": 99_994, "stderr": 6}
    assert len(found["stdout"]) == 99_994
    exact = run(gateway, path, shell="head -c 100000 /dev/zero | tr '\\0' x")
    assert (exact["status"], exact["bytes"]["stdout"]) == ("exited", 100_000)
    remove(gateway, sandbox)


def test_a_sandbox_takes_its_commands_along(gateway: Gateway) -> None:
    sandbox, time = create(gateway), mark()
    path = f"/v1/sandboxes/{sandbox['id']}/commands"
    made = run(gateway, path, shell=TREE.format(time, "wait"), background=True)
    Stream(gateway, path, made).until("ready")
    pid = supervisor(made)
    remove(gateway, sandbox)
    assert with_word(time) == []
    assert processes.wait_gone([pid]) == []
    assert gateway.get(path).status == 404
    assert not list((gateway.runtime / "commands").glob(f"{made['id']}*"))
    assert not (gateway.state / "sandboxes" / sandbox["id"]).exists()


def test_a_sandbox_that_is_paused(own: Place) -> None:
    gateway, sandbox, path = own
    one = f"/v1/sandboxes/{sandbox['id']}"
    made = run(gateway, path, shell="echo ready; sleep 1000", background=True)
    stream = Stream(gateway, path, made)
    stream.until("ready")
    assert gateway.request("POST", f"{one}/pause", {"force": True}).status == 200
    end = stream.next()
    stream.close()
    assert (end["status"], end["signal"]) == ("killed", "SIGKILL")
    assert end["reason"] == "its sandbox was ended"
    assert show(gateway, path, made)["stdout"] == "ready\n"
    assert gateway.request("POST", path, {"argv": ["true"]}).status == 409
    gateway.kill()
    gateway.start()
    assert [each["id"] for each in gateway.get(path).json()["commands"]] == [made["id"]]
    assert gateway.request("POST", f"{one}/resume", {"force": True}).status == 200
    assert run(gateway, path, argv=["true"])["exit_code"] == 0
    assert len(gateway.get(path).json()["commands"]) == 2


def test_a_gateway_that_is_killed_loses_nothing(own: Place) -> None:
    gateway, _, path = own
    script = "i=0; while read x; do echo $i; i=$((i+1)); done; echo end"
    made = run(gateway, path, shell=script, background=True)
    stream = Stream(gateway, path, made)
    where = f"{path}/{made['id']}/stdin"
    assert gateway.request("POST", where, b"a\n" * 1000).status == 204
    before = stream.until("\n999\n")
    assert gateway.request("POST", where, b"b\n" * 50_000).status == 204
    gateway.kill()
    stream.close()
    gateway.start()
    assert gateway.request("POST", f"{where}?eof=1", b"c\n" * 1000).status == 204
    after = events(gateway, path, made, f"?after={before[-1]['number']}")
    numbers = [one["number"] for one in before + after]
    assert numbers == list(range(1, len(numbers) + 1))
    whole = "".join(f"{i}\n" for i in range(52_000)) + "end\n"
    assert text_of(before + after) == whole
    assert text_of(events(gateway, path, made)) == whole
    assert next(one["offset"] for one in after if one["kind"] == "stdout") == len(text_of(before))


def test_what_ends_while_no_gateway_is_there(own: Place) -> None:
    gateway, sandbox, path = own
    script = "echo early; until test -e go; do sleep 0.01; done; echo late; exit 4"
    made = run(gateway, path, shell=script, background=True)
    pid = supervisor(made)
    gateway.kill()
    (gateway.state / "sandboxes" / sandbox["id"] / "workspace" / "go").touch()
    assert processes.wait_gone([pid]) == []
    gateway.start()
    assert events(gateway, path, made, "?settled=1")[-1]["kind"] == "artifacts_settled"
    found = show(gateway, path, made)
    assert (found["status"], found["exit_code"], found["stdout"]) == ("exited", 4, "early\nlate\n")
    assert gateway.get(path).json()["commands"] == [
        {name: found[name] for name in found.keys() - {*WHOLE}}
    ]


def test_a_supervisor_that_is_killed_while_no_gateway_is_there(own: Place) -> None:
    gateway, _, path = own
    time = mark()
    made = run(gateway, path, shell=TREE.format(time, "wait"), background=True)
    stream = Stream(gateway, path, made)
    before = stream.until("ready")
    pid = supervisor(made)
    gateway.kill()
    stream.close()
    os.kill(pid, signal.SIGKILL)
    gateway.start()
    (end,) = events(gateway, path, made, f"?after={before[-1]['number']}")
    assert (end["status"], end["number"]) == ("lost", before[-1]["number"] + 1)
    processes.until(lambda: with_word(time) == [], "the keeper has killed what was left")


def test_a_keeper_that_is_killed(own: Place) -> None:
    gateway, _, path = own
    made = run(gateway, path, shell="echo ready; sleep 1000", background=True)
    stream = Stream(gateway, path, made)
    stream.until("ready")
    keepers = keeper_pids(gateway)
    (keeper,) = sandbox_keepers(gateway)  # what is inside ends with it, and not before it
    os.kill(keeper, signal.SIGKILL)
    end = stream.next()
    stream.close()
    assert (end["kind"], end["status"]) == ("end", "lost")
    assert "the keeper of its sandbox was lost" in end["reason"]
    assert processes.wait_gone(keepers) == []


def test_the_lease_ends_a_command() -> None:
    gateway, time = Gateway(options=["--pool-max", "0"], lease_s=1), mark()
    with gateway:
        sandbox = create(gateway)
        path = f"/v1/sandboxes/{sandbox['id']}/commands"
        made = run(gateway, path, shell=TREE.format(time, "wait"), background=True)
        Stream(gateway, path, made).until("ready")
        pid = supervisor(made)
        gateway.kill()
        assert processes.wait_gone([pid]) == []
        processes.until(lambda: with_word(time) == [], "the keeper has killed what was left")
    shutil.rmtree(gateway.home, ignore_errors=True)


def test_a_gateway_that_is_told_to_end(own: Place) -> None:
    """Who waits is told, its readers break off, the command goes on."""
    gateway, _, path = own
    made = run(gateway, path, shell="echo ready; read x; echo $x", background=True)
    stream = Stream(gateway, path, made)
    before = stream.until("ready")
    connection = gateway.connection()
    body = json.dumps({"shell": "sleep 1000"})
    connection.request("POST", path, body, gateway.authorization)
    processes.until(lambda: len(gateway.get(path).json()["commands"]) == 2, "it runs")
    assert gateway.process is not None
    gateway.process.send_signal(signal.SIGTERM)
    reply = connection.getresponse()
    assert (reply.status, json.load(reply)["detail"].split(";")[0]) == (
        503, "the gateway is ending")  # fmt: skip
    connection.close()
    with pytest.raises(http.client.IncompleteRead):
        stream.reply.read()
    stream.close()
    assert gateway.process.wait(30) == 0
    processes.disown(gateway.pid)
    gateway.start()
    assert gateway.request("POST", f"{path}/{made['id']}/stdin", b"later\n").status == 204
    after = events(gateway, path, made, f"?after={before[-1]['number']}")
    assert (text_of(after), after[-1]["status"]) == ("later\n", "exited")
    assert [one["status"] for one in gateway.get(path).json()["commands"]] == ["running", "exited"]


def test_a_supervisor_that_is_killed(gateway: Gateway, path: str) -> None:
    time = mark()
    made = run(gateway, path, shell=TREE.format(time, "wait"), background=True)
    stream = Stream(gateway, path, made)
    stream.until("ready")
    os.kill(supervisor(made), signal.SIGKILL)
    end = stream.next()
    stream.close()
    assert (end["kind"], end["status"], end["exit_code"]) == ("end", "lost", None)
    assert show(gateway, path, made)["stdout"] == "ready\n"
    processes.until(lambda: with_word(time) == [], "the keeper has killed what was left")


def test_every_reader_gets_every_byte(gateway: Gateway, path: str) -> None:
    """Many at once, from different places, while it is written."""
    script = "seq 1 400000"
    made = run(gateway, path, shell=script, background=True)
    whole = "".join(f"{i}\n" for i in range(1, 400_001))
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: events(gateway, path, made), range(16)))
    assert all(text_of(one) == whole for one in found)
    part = found[0][len(found[0]) // 2 :]
    assert events(gateway, path, made, f"?after={part[0]['number'] - 1}") == part
    assert events(gateway, path, made, f"?follow=0&after={part[-1]['number']}") == []


def test_the_bytes_of_an_output(gateway: Gateway, path: str) -> None:
    """Also beyond what the model holds, and while it is written."""
    script = "head -c 6000000 /dev/zero; echo err >&2; read x; echo end"
    made = run(gateway, path, shell=script, background=True)
    where = f"{path}/{made['id']}/output"
    with ThreadPoolExecutor(2) as pool:
        out = pool.submit(gateway.get, where)
        err = pool.submit(gateway.get, f"{where}?stream=stderr")
        assert gateway.request("POST", f"{path}/{made['id']}/stdin", b"go\n").status == 204
        assert out.result().headers["content-type"] == "application/octet-stream"
        assert out.result().body == bytes(6_000_000) + b"end\n"
        assert err.result().body == b"err\n"
    found = show(gateway, path, made)
    assert (len(found["stdout"]), found["truncated"]) == (4 * 1024 * 1024, True)
    assert gateway.get(f"{where}?stream=stderr&follow=0").body == b"err\n"
    assert gateway.get(f"{where}?stream=both").status == 400


def test_without_following(gateway: Gateway, path: str) -> None:
    made = run(gateway, path, shell="read x", background=True)
    found = events(gateway, path, made, "?follow=0")
    assert [one["kind"] for one in found] == ["started"]
    where = f"{path}/{made['id']}/events"
    assert gateway.request("HEAD", where).status == 200  # and does not wait for more
    assert gateway.request("DELETE", f"{path}/{made['id']}").status == 204


BAD: list[tuple[dict[str, Any], str]] = [
    ({}, "argv: is required, or shell"),
    ({"argv": ["a"], "shell": "a"}, "argv, shell: only one of them may be there"),
    ({"argv": "ls"}, "argv: must be a list"),
    ({"argv": []}, "argv: must be a list of 1 to 4096 strings"),
    ({"argv": ["a", 1]}, "argv: must be a list of strings without NUL"),
    ({"argv": ["a\0b"]}, "argv: must be a list of strings without NUL"),
    ({"argv": [""]}, "argv: its first word must not be empty"),
    ({"argv": ["a"] * 4097}, "argv: must be a list of 1 to 4096 strings"),
    ({"argv": ["x" * 131072]}, "argv: a word is longer than 131071 bytes"),
    ({"argv": ["x" * 131000] * 9}, "argv: longer than 1048576 bytes"),
    ({"shell": 1}, "shell: must be a string"),
    ({"shell": "x" * 131072}, "shell: longer than 131071 bytes"),
    ({"argv": ["a"], "cwd": ""}, "cwd: must be 1 to 4095 bytes long"),
    ({"argv": ["a"], "cwd": "x" * 4096}, "cwd: must be 1 to 4095 bytes long"),
    ({"argv": ["a"], "env": {"A": 1}}, "env: A: must be a string"),
    ({"argv": ["a"], "env": ["A"]}, "env: must be an object"),
    ({"argv": ["a"], "stdin": 1}, "stdin: must be a string"),
    ({"argv": ["a"], "stdin": {"base64": "*"}}, "stdin: base64: is not base64"),
    ({"argv": ["a"], "stdin": {"base64": "YQ"}}, "stdin: base64: is not base64"),
    ({"argv": ["a"], "stdin_open": 1}, "stdin_open: must be true or false"),
    ({"argv": ["a"], "deadline_ms": 0}, "deadline_ms: out of range"),
    ({"argv": ["a"], "deadline_ms": "1"}, "deadline_ms: must be"),
    ({"argv": ["a"], "background": "yes"}, "background: must be"),
    ({"argv": ["a"], "encoding": "hex"}, 'encoding: must be "text" or "base64"'),
]


@pytest.mark.parametrize(("body", "detail"), BAD, ids=[str(n) for n in range(len(BAD))])
def test_bad_requests(gateway: Gateway, path: str, body: dict[str, Any], detail: str) -> None:
    before = len(gateway.get(path).json()["commands"])
    answer = gateway.request("POST", path, body)
    assert answer.status == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert detail in answer.json()["detail"]
    assert len(gateway.get(path).json()["commands"]) == before


def test_bad_questions(gateway: Gateway, path: str) -> None:
    made = run(gateway, path, argv=["true"])
    one = f"{path}/{made['id']}"
    for place, detail in (
        ("?encoding=x", "encoding: must be"),
        ("/events?after=x", "after: must be"),
        ("/events?after=-1", "after: must be"),
        ("/events?follow=2", "follow: must be"),
        ("/output?follow=2", "follow: must be"),
    ):
        answer = gateway.get(f"{one}{place}")
        assert (answer.status, detail in answer.json()["detail"]) == (400, True)
    for place, body, status in (
        ("stdin?eof=x", b"", 400),
        ("stdin", bytes(16 * 1024 * 1024 + 1), 413),
        ("signal", {"signal": "SIGNONE"}, 400),
        ("signal", {}, 400),
        ("signal", {"signal": 65}, 400),
        ("signal", {"signal": 1 - 2**32}, 400),
    ):
        assert gateway.request("POST", f"{one}/{place}", body).status == status
    assert gateway.request("POST", path, b"{").status == 400
    nobody = "/v1/sandboxes/8e3ae9b5-f4ce-4b3e-a9ba-d44d7b1f79b6/commands"
    assert gateway.get(nobody).status == 404
    assert gateway.request("POST", nobody, {"argv": ["true"]}).status == 404
    assert gateway.get(f"{path}/none").status == 404
    assert gateway.request("GET", path, auth=False).status == 401


def test_an_idempotency_key(gateway: Gateway, path: str) -> None:
    key = {"Idempotency-Key": f"k {uuid.uuid4()}"}

    def ask(body: dict[str, Any], **more: str) -> Answer:
        return gateway.request("POST", path, body, {**key, **more})

    script = {"shell": "echo once >> once; read x; wc -l < once", "stdin_open": True}
    with ThreadPoolExecutor(6) as pool:
        asked = [pool.submit(ask, script, **LINES) for _ in range(6)]
        processes.until(lambda: gateway.get(path).json()["commands"][0]["status"] == "running",
                        "it runs")  # fmt: skip
        made = gateway.get(path).json()["commands"][0]
        assert made["idempotency_key"] == key["Idempotency-Key"]
        assert ask(script | {"cwd": "."}).status == 422
        assert gateway.request("POST", f"{path}/{made['id']}/stdin", b"go\n").status == 204
        answers = [one.result() for one in asked]
    assert {one.headers["location"] for one in answers} == {f"{path}/{made['id']}"}
    assert all(text_of(events_of(one)) == "1\n" for one in answers)
    assert ask(script).json()["id"] == made["id"]
    for bad in ("", "x" * 256, "é"):  # http.client sends Latin-1
        answer = gateway.request("POST", path, script, {"Idempotency-Key": bad})
        assert (answer.status, "Idempotency-Key: must be" in answer.json()["detail"]) == (400, True)
    assert gateway.request("DELETE", f"{path}/{made['id']}").status == 204
    assert ask({"argv": ["true"]}).status == 200


def test_so_many_run(gateway: Gateway) -> None:
    sandbox = create(gateway)
    path = f"/v1/sandboxes/{sandbox['id']}/commands"
    for _ in range(64):
        run(gateway, path, argv=["sleep", "1000"], background=True)
    answer = gateway.request("POST", path, {"argv": ["true"]})
    assert (answer.status, "64 commands run" in answer.json()["detail"]) == (403, True)
    remove(gateway, sandbox)


def test_as_an_ordinary_user() -> None:
    gateway = make_gateway("user").start()
    sandbox, time = create(gateway), mark()
    path = f"/v1/sandboxes/{sandbox['id']}/commands"
    found = run(gateway, path, shell="id -u; cat; echo out > /dev/stderr", stdin="in")
    assert (found["stdout"], found["stderr"], found["exit_code"]) == ("1000\nin", "out\n", 0)
    found = run(gateway, path, shell=TREE.format(time, "wait"), deadline_ms=500)
    assert (found["status"], with_word(time)) == ("timeout", [])
    made = run(gateway, path, shell="trap 'exit 6' TERM; echo up; while :; do :; done",
               background=True)  # fmt: skip
    stream = Stream(gateway, path, made)
    stream.until("up")
    where = f"{path}/{made['id']}/signal"
    assert gateway.request("POST", where, {"signal": "TERM"}).status == 204
    assert stream.next()["exit_code"] == 6
    stream.close()
    assert run(gateway, path, argv=["nothing"])["exit_code"] == 127
    end_gateway(gateway)

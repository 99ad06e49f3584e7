"""Runs and commands of the client against real sandboxes: outputs, handlers and their order, input,
patience that ends, many sandboxes at once."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
import warmcell
from support import processes
from support.gateway import Gateway
from warmcell import events
from warmcell._core import stream

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVQI12NgAAAAAgAB4iG8MwAAAABJRU5ErkJggg=="
MIXED = f"""
from IPython.display import display, update_display
import sys
print("one")
display({{"text/plain": "picture", "image/png": "{PNG}"}}, raw=True, display_id="d")
print("two", file=sys.stderr)
update_display({{"text/plain": "newer"}}, raw=True, display_id="d")
print("three")
6 * 7
"""
AWAIT_FILE = """
import pathlib, time
print("first")
while not pathlib.Path(%r).exists():
    time.sleep(0.01)
print("second")
"""


def merged(told: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Pieces of one stream that follow each other as one: where they are cut says nothing."""
    found: list[tuple[str, str]] = []
    for kind, text in told:
        if found and found[-1][0] == kind and kind in {"out", "err"}:
            found[-1] = (kind, found[-1][1] + text)
        else:
            found.append((kind, text))
    return found


def test_outputs_and_the_order_of_handlers(sandbox: warmcell.Sandbox) -> None:
    told: list[tuple[str, str]] = []
    threads = set()

    def tell(kind: str) -> Any:
        def handler(value: Any) -> None:
            threads.add(threading.get_ident())
            told.append((kind, value if isinstance(value, str) else str(value.text)))

        return handler

    ran = sandbox.run(
        MIXED,
        on_stdout=tell("out"),
        on_stderr=tell("err"),
        on_display=tell("display"),
        on_result=tell("result"),
    )
    assert merged(told) == [
        ("out", "one\n"),
        ("display", "picture"),
        ("err", "two\n"),
        ("display", "newer"),
        ("out", "three\n"),
        ("result", "42"),
    ]
    assert threads == {threading.get_ident()}
    assert (ran.status, ran.ok, ran.ended, ran.text) == ("ok", True, True, "42")
    assert (ran.stdout, ran.stderr, ran.error) == ("one\nthree\n", "two\n", None)
    assert [one.text for one in ran.displays] == ["newer", "42"]
    assert ran.execution_count == ran.record["execution_count"]
    assert ran._repr_mimebundle_()[0]["text/plain"] == "42"
    numbers = [event.number for event in sandbox.attach(ran.id)]
    assert numbers == list(range(1, len(numbers) + 1)) and numbers[-1] == ran.after
    behind = list(sandbox.attach(ran.id, after=ran.after - 1))
    assert [type(event) for event in behind] == [events.End]


def test_a_failure(sandbox: warmcell.Sandbox) -> None:
    failures: list[events.Failure] = []
    ran = sandbox.run("print('before')\n1/0", on_error=failures.append)
    assert (ran.status, ran.stdout) == ("error", "before\n")
    assert [str(one) for one in failures] == ["ZeroDivisionError: division by zero"]
    assert ran.error == failures[0] and "1/0" in "".join(failures[0].traceback)
    with pytest.raises(warmcell.ExecutionFailedError, match="ZeroDivisionError") as raised:
        sandbox.run("1/0", check=True)
    assert raised.value.status == "error"
    assert isinstance(raised.value.execution, warmcell.Execution)
    assert sandbox.run("import time; time.sleep(60)", deadline=0.2).status == "timeout"


def test_what_a_handler_raises_is_raised_and_nothing_is_lost(sandbox: warmcell.Sandbox) -> None:
    def fail(text: str) -> None:
        raise KeyError(text)

    execution = sandbox.start("print('said')\n'value'")
    with pytest.raises(KeyError, match="said"):
        execution.wait(handlers=warmcell.Handlers(on_stdout=fail))
    execution.wait()
    assert (execution.stdout, execution.text) == ("said\n", "'value'")


def test_input(sandbox: warmcell.Sandbox) -> None:
    asked: list[tuple[str, bool]] = []

    def answer(request: events.InputRequest) -> str:
        asked.append((request.prompt, request.password))
        sandbox.files.write("asked", request.prompt)  # a handler may use the client
        return f"{len(asked)}!"

    code = "import getpass\ninput('a? ') + getpass.getpass('b? ')"
    assert sandbox.run(code, on_input=answer).text == "'1!2!'"
    assert asked == [("a? ", False), ("b? ", True)]
    execution = sandbox.start("input('c? ')", allow_input=True)
    request = next(event for event in execution if isinstance(event, events.InputRequest))
    assert request.prompt == "c? "
    execution.send_input("late")
    assert execution.wait().text == "'late'"
    with pytest.raises(warmcell.ConflictError):
        execution.send_input("too late")
    assert "StdinNotImplementedError" in str(sandbox.run("input()").error)


def test_patience_that_ends_loses_nothing(sandbox: warmcell.Sandbox) -> None:
    with pytest.raises(warmcell.WaitTimeoutError) as raised:
        sandbox.run(AWAIT_FILE % "go", timeout=0.05)
    assert isinstance(raised.value, TimeoutError)
    execution = raised.value.waited_for
    assert isinstance(execution, warmcell.Execution)
    assert (execution.ended, execution.status) == (False, "running")
    sandbox.files.write("go", b"")
    assert execution.wait().stdout == "first\nsecond\n"


def test_detached_and_attached_again(client: warmcell.Client, sandbox: warmcell.Sandbox) -> None:
    execution = sandbox.start(AWAIT_FILE % "on")
    said = ""
    for event in execution:
        if isinstance(event, events.Stdout):
            said += event.text
        if "first\n" in said:
            break
    after = execution.detach()
    sandbox.files.write("on", b"")
    again = client.sandboxes.get(sandbox.id).attach(execution.id, after=after)
    assert said + again.wait().stdout == "first\nsecond\n"
    assert sandbox.attach(execution.id).wait().stdout == "first\nsecond\n"


def test_cancelled_and_interrupted(sandbox: warmcell.Sandbox) -> None:
    execution = sandbox.start("print('on')\nimport time\ntime.sleep(600)")
    next(event for event in execution if isinstance(event, events.Stdout))
    execution.cancel()
    assert execution.wait().status == "interrupted"
    execution.cancel()  # it has ended: nothing to do
    context = sandbox.contexts.get("default")
    execution = context.start("print('on')\nimport time\ntime.sleep(600)")
    next(event for event in execution if isinstance(event, events.Stdout))
    context.interrupt()
    assert execution.wait().status == "interrupted"


def test_the_same_key_is_the_same_execution(sandbox: warmcell.Sandbox) -> None:
    sandbox.run("count = 0")
    first = sandbox.run("count += 1; count", key="once")
    again = sandbox.run("count += 1; count", key="once")
    assert (first.text, again.text, again.id) == ("1", "1", first.id)
    with pytest.raises(warmcell.UnprocessableError):
        sandbox.run("count", key="once")


def test_who_does_not_take_events_holds_nobody_up(
    sandbox: warmcell.Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "HIGH_BYTES", 100_000)
    execution = sandbox.start("for i in range(40000): print(i, 'and more of it')")
    feed = execution._inner._feed
    processes.until(lambda: feed._left and feed.id is None, "the feed was left")
    assert not execution.ended
    other = sandbox.contexts.create()
    assert other.run("1 + 1").text == "2"
    other.delete()
    said = "".join(event.text for event in execution if isinstance(event, events.Stdout))
    assert said == execution.stdout == "".join(f"{i} and more of it\n" for i in range(40000))


def test_commands(sandbox: warmcell.Sandbox) -> None:
    told: list[str] = []
    ran = sandbox.commands.run("cat; echo no >&2; exit 3", stdin="hello", on_stdout=told.append)
    assert (ran.stdout, ran.stderr, ran.exit_code, ran.ok) == ("hello", "no\n", 3, False)
    assert "".join(told) == "hello"
    with pytest.raises(warmcell.CommandFailedError) as raised:
        sandbox.commands.run(["false"], check=True)
    assert raised.value.command.exit_code == 1
    command = sandbox.commands.start(["cat"], stdin_open=True)
    command.send_stdin(b"\xff\x00one")
    command.send_stdin("two", eof=True)
    assert command.wait().stdout_bytes == b"\xff\x00onetwo"
    assert sandbox.commands.attach(command.id).wait().stdout_bytes == b"\xff\x00onetwo"
    command = sandbox.commands.start(["sleep", "600"])
    with pytest.raises(warmcell.WaitTimeoutError) as late:
        command.wait(timeout=0.01)
    assert late.value.waited_for is command
    command.kill()
    assert (command.wait().status, command.record["signal"]) == ("killed", "SIGKILL")
    assert command.id in [one["id"] for one in sandbox.commands.list()]
    command.delete()
    command.delete()
    env = sandbox.commands.run("echo $A; pwd", env={"A": "b"}, cwd="/tmp").stdout
    assert env == "b\n/tmp\n"


def test_contexts_pause_and_the_rest(client: warmcell.Client) -> None:
    with client.sandboxes.create(name="whole", labels={"team": "blue"}, env={"A": "b"}) as sandbox:
        assert [one.id for one in client.sandboxes.list(label="team=blue")] == [sandbox.id]
        assert client.sandboxes.get("whole").info.labels == {"team": "blue"}
        sandbox.run("import os; x = os.environ['A']")
        context = sandbox.contexts.get("default")
        branch = context.fork("branch")
        branch.run("x = 'other'")
        assert (context.run("x").text, branch.run("x").text) == ("'b'", "'other'")
        assert [one.name for one in sandbox.contexts.list()] == ["default", "branch"]
        assert branch.refresh().forked_from == context.id
        branch.delete()
        with pytest.raises(warmcell.NotFoundError, match="no context branch"):
            sandbox.contexts.get("branch")
        assert sandbox.change(labels={"team": None}, limits={"processes": 50}).labels == {}
        assert sandbox.info.limits["processes"]["value"] == 50
        assert sandbox.snapshot()["why"] == "asked"
        sandbox.pause()
        assert sandbox.state == "paused"
        with pytest.raises(warmcell.ConflictError, match="paused"):
            sandbox.run("1")
        back = sandbox.resume()
        assert sandbox.state == "running" and "x" in back.contexts[0]["restored"]
        assert sandbox.run("x").text == "'b'"
        assert len(list(sandbox.snapshots())) == 2
        sandbox.files.write("kept", "as it was")
        with sandbox.fork("copy", labels={}) as copy:
            assert copy.run("x, open('kept').read()").text == "('b', 'as it was')"
            copy.run("x = 'its own'")
            assert copy.forking and copy.forking.workspace and copy.forking.contexts
            assert copy.forking.workspace["files"] == 1
            assert "x" in copy.forking.contexts[0]["restored"]
        assert sandbox.run("x").text == "'b'"
        assert sandbox.metrics().executions["by_status"]["ok"] >= 1
        codes = [one["status"] for one in sandbox.executions(status="ok")]
        assert len(codes) >= 4 and set(codes) == {"ok"}
        sandbox.restart()
        assert sandbox.run("x").status == "error"
        assert sandbox.refresh().usage["processes"] >= 1
    with pytest.raises(warmcell.NotFoundError):
        client.sandboxes.get("whole")
    sandbox.delete()  # gone is gone


def test_fifty_sandboxes_of_one_asyncio_client(place: Gateway) -> None:
    async def one(client: warmcell.AsyncClient, number: int) -> str | None:
        async with await client.sandboxes.create() as sandbox:
            execution = await sandbox.start(f"print({number}); {number} * 2")
            said = [one.text async for one in execution if isinstance(one, events.Stdout)]
            assert "".join(said) == f"{number}\n"
            return execution.text

    async def all_of_them() -> list[str | None]:
        async with warmcell.AsyncClient(place.url, place.token) as client:
            return await asyncio.gather(*(one(client, number) for number in range(50)))

    assert asyncio.run(all_of_them()) == [str(number * 2) for number in range(50)]


def test_asyncio_handlers_may_be_coroutines(place: Gateway) -> None:
    told: list[str] = []

    async def slowly(text: str) -> None:
        await asyncio.sleep(0)
        told.append(text)

    async def answer(request: events.InputRequest) -> str:
        await asyncio.sleep(0)
        return request.prompt * 2

    async def use() -> None:
        async with warmcell.AsyncClient(place.url, place.token) as client:
            async with await client.sandboxes.create() as sandbox:
                ran = await sandbox.run(
                    "print('a'); print(input('b'))", on_stdout=slowly, on_input=answer
                )
                assert "".join(told) == ran.stdout == "a\nbb\n"
                listed = [entry async for entry in sandbox.files.list()]
                assert listed == []

    asyncio.run(use())

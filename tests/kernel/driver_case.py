"""What the tests of drivers of other languages share."""

from __future__ import annotations

from kernel.link_peer import Interpreter
from support.client import Run
from support.direct import DirectClient


def good(run: Run) -> Run:
    assert run.status == "ok", run.content
    return run


def interrupted(client: DirectClient, code: str) -> Run:
    """Of code that says "begun" and then never ends by itself."""
    msg_id = client.execute(code)
    client.await_output(msg_id, "begun")
    client.ask("interrupt_request", channel="control")
    run = client.collect(msg_id)
    assert (run.status, run.content["ename"]) == ("error", "Interrupted")
    assert run.reply is not None
    assert run.reply.metadata["warmcell"]["outcome"] == "interrupted"
    return run


def interrupted_while_input_is_awaited(client: DirectClient, code: str) -> None:
    msg_id = client.execute(code, allow_stdin=True)
    client.take(lambda m: m.msg_type == "input_request")
    client.ask("interrupt_request", channel="control")
    assert client.collect(msg_id, answers=["unused"]).content["ename"] == "Interrupted"


def interrupted_before_the_code_runs(interpreter: Interpreter, endless: str) -> None:
    """And once more where nothing runs, which a later run knows nothing of."""
    interpreter.wait_ready()
    interpreter.interrupt(interpreter.number + 2)
    interpreter.ask("complete_request", code="x", cursor_pos=1)  # the signal has come
    assert interpreter.run(endless).reply["ename"] == "Interrupted"
    interpreter.interrupt()
    interpreter.ask("complete_request", code="x", cursor_pos=1)

"""Executions that a limit ends: the ladder, the limit of output, what replies say of it."""

from __future__ import annotations

import json
import os
import signal
from typing import Any

import pytest
from kernel.host_process import ADOPT_KERNEL, Gateway, Host, v1_encode
from support import processes
from support.client import Run
from support.direct import DirectClient

# what is to happen without the next step's coming first
PATIENCE = ("--interrupt-grace", "60", "--dump-grace", "60")
TO_THE_STACKS = ("--interrupt-grace", "0.2", "--dump-grace", "60")
TO_THE_KILL = ("--interrupt-grace", "0.05", "--dump-grace", "0.05")
DUMPS = ("--dumps",)


def run(client: DirectClient, code: str, deadline_s: Any = None, **fields: Any) -> Run:
    metadata = {} if deadline_s is None else {"warmcell": {"deadline_s": deadline_s}}
    content = {"code": code, "silent": False, "allow_stdin": False, **fields}
    return client.collect(client.send("execute_request", content, metadata=metadata))


def verdict(of: Run) -> dict[str, Any]:
    assert of.reply is not None
    found: dict[str, Any] = of.reply.metadata["warmcell"]
    return found


def the_error(of: Run) -> dict[str, Any]:
    """The only `error` on iopub, which says what the reply says."""
    (error,) = of.of("error")
    assert of.status == "error"
    for member in ("ename", "evalue", "traceback"):
        assert error.content[member] == of.content[member]
    return error.content


def test_every_reply_says_how_it_ended() -> None:
    with Host() as host:
        client = host.client()
        good = verdict(run(client, "print abc"))
        assert (good["outcome"], good["state_retained"], good["generation"]) == ("ok", True, 1)
        assert good["out_bytes"] == 4
        assert good["run_s"] >= 0 and good["queue_s"] >= 0
        assert verdict(run(client, "fail on purpose"))["outcome"] == "error"
        first = client.execute("input ?\nfail", allow_stdin=True)
        second = client.execute("print never")
        client.ask("kernel_info_request")  # it has them
        assert verdict(client.collect(first, answers=["a"]))["outcome"] == "error"
        aborted = verdict(client.collect(second))
        assert (aborted["outcome"], aborted["run_s"], aborted["out_bytes"]) == ("aborted", 0, 0)
        lost = verdict(run(client, "print abc\ncrash 11"))
        assert (lost["outcome"], lost["state_retained"], lost["generation"]) == ("killed", False, 1)
        assert lost["out_bytes"] == 4
        again = run(client, "print a\ncrash 11")
        assert verdict(again)["generation"] == 2
        assert again.reply is not None
        usage = again.reply.metadata["usage"]  # as its process ended
        assert usage["cpu_s"] >= 0 and usage["memory_peak_bytes"] > 1 << 20
        other = client.ask("comm_info_request")
        assert other.reply is not None and other.reply.metadata == {}, "of executions alone"


@pytest.mark.parametrize("own", ["{}", "{ }", ' {"a": {"b": 1}} ', '{"a":1,"b":"}"}', ""])
def test_the_interpreters_own_metadata_stays(own: str) -> None:
    with Host() as host:
        reply = run(host.client(), f"metadata {own}").reply
        assert reply is not None
        assert reply.metadata.pop("warmcell")["outcome"] == "ok"
        assert reply.metadata == json.loads(own or "{}")


@pytest.mark.parametrize("own", ['{"a":1,"warmcell":{"outcome":"oom"}}', '{"warmcell":1}', '{"a":'])
def test_the_hosts_word_is_the_only_one_of_its_name(own: str) -> None:
    with Host() as host:
        reply = run(host.client(), f"metadata {own}").reply
        assert reply is not None and list(reply.metadata) == ["warmcell"]
        assert reply.metadata["warmcell"]["outcome"] == "ok"


def test_display_and_descriptors_are_output() -> None:
    with Host() as host:
        of = run(host.client(), "display 1000\nwrite 616263\nbuffers 50\nprint end")
        displays = sum(len(json.dumps(m.content, separators=(",", ":"))) for m in of.outputs
                       if m.msg_type in ("display_data", "comm_msg"))  # fmt: skip
        assert verdict(of)["out_bytes"] == displays + 3 + 50 + 4


def test_an_interrupt_that_somebody_asked_for() -> None:
    with Host("--execution-limit", "1000", driver=DUMPS) as host:
        client = host.client()
        cell = client.execute("print started\nblamed\nwait")
        client.await_output(cell, "started")
        client.ask("interrupt_request", channel="control")
        client.await_output(cell, "True")
        client.ask("interrupt_request", channel="control")
        of = client.collect(cell)
        assert of.content["ename"] == the_error(of)["ename"] == "KeyboardInterrupt"
        assert verdict(of)["outcome"] == "interrupted" and verdict(of)["state_retained"]
        assert verdict(of)["deadline_s"] == 1000 and "deadline_passed" not in verdict(of)


@pytest.mark.parametrize("driver", [DUMPS, ()])
def test_the_deadline_interrupts(driver: tuple[str, ...]) -> None:
    with Host(*PATIENCE, driver=driver) as host:
        client = host.client()
        of = run(client, "print before\nwait", 0.05)
        assert of.stdout == "before\n"
        assert the_error(of)["ename"] == "DeadlineExceeded"
        assert of.content["evalue"] == "the run passed its deadline of 0.05 s and was interrupted"
        assert of.content["traceback"][0] == "KeyboardInterrupt", "where it stood"
        assert of.content["traceback"][-1].startswith("DeadlineExceeded: the run passed")
        assert of.content["execution_count"] == 1
        found = verdict(of)
        assert found["outcome"] == "timeout" and found["ended_by"] == "interrupt"
        assert found["state_retained"] and not found["stack_dumped"]
        assert found["deadline_s"] == 0.05 and found["deadline_passed"]
        assert verdict(run(client, "print after")) | {"queue_s": 0, "run_s": 0} == {
            "outcome": "ok", "state_retained": True, "generation": 1, "queue_s": 0, "run_s": 0,
            "out_bytes": 6,
        }  # fmt: skip


def test_what_waits_behind_is_aborted() -> None:
    with Host(*PATIENCE) as host:
        client = host.client()
        content: dict[str, Any] = {"code": "wait", "silent": False}
        metadata = {"warmcell": {"deadline_s": 0.05}}
        before = client.execute("input ?", allow_stdin=True)
        first = client.send("execute_request", content, metadata=metadata)
        second = client.execute("print never")
        client.ask("kernel_info_request")  # it has them
        client.collect(before, answers=[""])
        assert client.collect(first).content["ename"] == "DeadlineExceeded"
        assert client.collect(second).status == "aborted"
        content["stop_on_error"] = False
        first = client.send("execute_request", content, metadata=metadata)
        second = client.execute("print runs")
        client.collect(first)
        assert client.collect(second).stdout == "runs\n"


def test_the_limit_of_the_host() -> None:
    """It is what holds without a deadline, and a deadline cannot go beyond it."""
    with Host("--execution-limit", "0.05", *PATIENCE, driver=DUMPS) as host:
        client = host.client()
        for asked in (None, 1000):
            found = verdict(run(client, "wait", asked))
            assert found["outcome"] == "timeout" and found["deadline_s"] == 0.05
        assert verdict(run(client, "print a", 0.04))["deadline_s"] == 0.04


@pytest.mark.parametrize("wrong", ["2", -1, 0, True, {}, 1e9])
def test_a_deadline_that_is_none(wrong: Any) -> None:
    with Host() as host:
        client = host.client()
        of = run(client, "print a", wrong)
        assert of.status == "error" and of.content["ename"] == "BadMessage"
        assert of.content["evalue"].startswith("metadata.warmcell.deadline_s: must be a number")
        assert of.outputs == [] and verdict(of)["outcome"] == "error"
        assert run(client, "print b").stdout == "b\n"


def test_code_that_catches_the_interrupt_and_ends() -> None:
    with Host(*PATIENCE, driver=DUMPS) as host:
        of = run(host.client(), "yielding caught", 0.05)
        assert of.status == "ok" and of.stdout == "caught\n" and of.of("error") == []
        found = verdict(of)
        assert found["outcome"] == "ok" and found["deadline_passed"]
        assert "ended_by" not in found


def test_code_that_fails_otherwise_after_the_interrupt() -> None:
    """Its own error stays, in its place."""
    with Host(*PATIENCE, driver=DUMPS) as host:
        of = run(host.client(), "yielding caught\nfail own", 0.05)
        assert the_error(of)["ename"] == "Failed"
        assert verdict(of)["outcome"] == "error" and verdict(of)["deadline_passed"]


def test_the_steps_before_the_kill() -> None:
    """An interrupt, then the stacks; the death that follows is not the ladder's."""
    with Host(*TO_THE_STACKS, driver=DUMPS) as host:
        client = host.client()
        pid = int(run(client, "pid").stdout.split()[0])
        cell = client.send("execute_request", {"code": "print a\nwrite 62\nstubborn"},
                           metadata={"warmcell": {"deadline_s": 0.1}})  # fmt: skip
        seen = {"stdout": "", "stderr": ""}
        while "no\n" not in seen["stdout"] or "the stacks\n" not in seen["stderr"]:
            message = client.take(lambda m: m.msg_type == "stream" and m.parent_id == cell)
            seen[message.content["name"]] += message.content["text"]
        assert seen["stdout"].replace("b", "") == "a\nno\n" and "b" in seen["stdout"]
        assert seen["stderr"] == (
            "warmcell: this still runs 0.2 s after it was interrupted; its stacks:\nthe stacks\n"
        )
        os.kill(pid, signal.SIGKILL)
        found = verdict(client.collect(cell))
        assert found["stack_dumped"] and found["deadline_passed"] and "ended_by" not in found


def test_the_whole_ladder() -> None:
    """To the kill of all that it started; and a new interpreter."""
    with Host(*TO_THE_KILL, driver=DUMPS) as host:
        client = host.client()
        started = run(client, "pid\ndaemon").stdout.split()
        pid, daemon = int(started[0]), int(started[3])
        before = client.execute("input ?", allow_stdin=True)
        cell = client.send("execute_request", {"code": "stubborn"},
                           metadata={"warmcell": {"deadline_s": 0.1}})  # fmt: skip
        queued = client.execute("print never")
        client.ask("kernel_info_request")  # it has them
        client.collect(before, answers=[""])
        of = client.collect(cell)
        assert the_error(of)["ename"] == "DeadlineExceeded"
        assert of.content["evalue"] == (
            "the run passed its deadline of 0.1 s, did not end when it was interrupted, and was"
            " killed; its variables are lost"
        )
        found = verdict(of)
        assert found["outcome"] == "timeout" and found["ended_by"] == "kill"
        assert not found["state_retained"] and found["generation"] == 1
        assert client.collect(queued).status == "aborted"
        assert processes.wait_gone([pid, daemon]) == []
        restarting = client.take(lambda m: m.state == "restarting")
        assert restarting.metadata["warmcell"]["cause"] == "deadline"
        assert "passed its deadline of 0.1 s" in restarting.metadata["warmcell"]["reason"]
        after = run(client, "count")
        assert after.stdout == "1\n" and verdict(after)["generation"] == 2


def test_a_driver_without_stacks_skips_that_step() -> None:
    with Host("--interrupt-grace", "0.05", "--dump-grace", "1000") as host:
        of = run(host.client(), "stubborn", 0.05)
        assert of.content["ename"] == "DeadlineExceeded" and of.stderr == ""
        assert verdict(of)["ended_by"] == "kill" and not verdict(of)["stack_dumped"]


def test_deadlines_are_no_crash_loop() -> None:
    with Host("--interrupt-grace", "0.001") as host:
        client = host.client()
        run(client, "print a")
        for _ in range(7):
            assert run(client, "stubborn", 0.001).content["ename"] == "DeadlineExceeded"
        assert run(client, "print b").stdout == "b\n"


def test_a_user_ends_it_before_the_ladder_does() -> None:
    """Shutdown and restart do not wait for a step, and no step hits what comes after."""
    with Host("--interrupt-grace", "1000") as host:
        client = host.client()
        cell = client.send("execute_request", {"code": "print started\nwait"},
                           metadata={"warmcell": {"deadline_s": 1000}})  # fmt: skip
        client.await_output(cell, "started")
        client.ask("shutdown_request", {}, channel="control")
        assert verdict(client.collect(cell))["state_retained"] is False
        assert host.wait() == 0


# --- output


def test_output_within_the_limit_is_whole() -> None:
    with Host("--output-limit", "1000") as host:
        of = run(host.client(), "raw " + "61" * 1000)
        assert of.stdout == "a" * 1000 and of.status == "ok"
        assert verdict(of)["out_bytes"] == 1000 and "withheld_bytes" not in verdict(of)


def test_output_past_the_limit_is_counted() -> None:
    with Host("--output-limit", "10", *PATIENCE) as host:
        client = host.client()
        of = run(client, "raw " + "61" * 8 + "c3a9" * 2 + "62" * 5 + "\nwait")
        assert of.stdout == "a" * 8 + "é", "whole characters"
        assert the_error(of)["ename"] == "OutputLimitExceeded"
        assert of.content["evalue"] == (
            "the run put out more than its limit of 10 bytes and was interrupted:"
            " 10 bytes were delivered, 7 were not"
        )
        found = verdict(of)
        assert found["outcome"] == "output_limit" and found["ended_by"] == "interrupt"
        assert (found["out_bytes"], found["withheld_bytes"]) == (10, 7)
        assert found["state_retained"]
        assert run(client, "print b").stdout == "b\n", "each execution has its own"


@pytest.mark.parametrize("order", ["raw", "write"])
def test_what_is_no_text_counts_as_what_takes_its_place(order: str) -> None:
    """On either way, that of the link and that of descriptor 1: a byte becomes three."""
    with Host("--output-limit", "20", *PATIENCE) as host:
        client = host.client()
        of = run(client, f"{order} {'ff' * 6}")
        assert (of.status, of.stdout) == ("ok", "\ufffd" * 6)
        assert verdict(of)["out_bytes"] == 18
        of = run(client, f"{order} 61{'ff' * 10}62")
        assert of.stdout == "a" + "\ufffd" * 6
        assert of.content["evalue"].endswith(": 19 bytes were delivered, 13 were not")
        found = verdict(of)
        assert (found["outcome"], found["out_bytes"]) == ("output_limit", 19)
        assert found["withheld_bytes"] == 13


def test_a_run_that_ends_before_it_is_stopped() -> None:
    """It is an error all the same: its output is not whole. What waits behind it is aborted."""
    with Host("--output-limit", "4", *PATIENCE) as host:
        client = host.client()
        own = '{"usage": {"cpu_s": 1.5}, "status": "ok"}'
        code = f"metadata {own}\ndeaf\ninput ?\nraw 616161616262\nraw 6363"
        first = client.execute(code, allow_stdin=True)
        second = client.execute("print no")
        client.ask("kernel_info_request")  # it has them
        of = client.collect(first, answers=[""])
        assert of.stdout == "got " and the_error(of)["ename"] == "OutputLimitExceeded"
        assert of.content["evalue"] == (
            "the run put out more than its limit of 4 bytes: 4 bytes were delivered, 9 were not"
        )
        assert of.reply is not None and list(of.reply.metadata) == ["usage", "warmcell"]
        assert of.reply.metadata["usage"] == {"cpu_s": 1.5}
        assert "ended_by" not in verdict(of)
        assert client.collect(second).status == "aborted"


def test_a_display_that_does_not_fit() -> None:
    with Host("--output-limit", "1000", *PATIENCE) as host:
        of = run(host.client(), "deaf\ndisplay 500\ndisplay 5000\ndisplay 10\nprint a")
        assert [m.msg_type for m in of.outputs] == ["display_data", "error"]
        (first,) = of.of("display_data")
        assert len(first.content["data"]["text/plain"]) == 500
        sizes = [len(json.dumps({"data": {"text/plain": "x" * n}, "metadata": {}},
                                separators=(",", ":"))) for n in (500, 5000, 10)]  # fmt: skip
        assert verdict(of)["out_bytes"] == sizes[0]
        assert verdict(of)["withheld_bytes"] == sizes[1] + sizes[2] + 2


def test_a_flood_that_does_not_stop_is_killed() -> None:
    with Host("--output-limit", "10000", *TO_THE_KILL, driver=DUMPS) as host:
        client = host.client()
        of = run(client, "deaf\nflood")
        assert len(of.stdout) == 10_000
        assert the_error(of)["ename"] == "OutputLimitExceeded"
        found = verdict(of)
        assert found["ended_by"] == "kill"
        dumped = "the stacks\n" if "the stacks\n" in of.stderr else ""
        assert found["out_bytes"] == 10_000 + len(dumped)
        assert found["withheld_bytes"] > 0
        assert f" {found['withheld_bytes']} were not" in of.content["evalue"]
        assert not found["state_retained"]
        assert run(client, "print b").stdout == "b\n"


def test_the_stacks_are_shown_beyond_the_limit() -> None:
    with Host("--output-limit", "10000", *TO_THE_STACKS, driver=DUMPS) as host:
        client = host.client()
        pid = int(run(client, "pid").stdout.split()[0])
        cell = client.execute("deaf\nlines 10000\nwrite 61\nwait")
        client.await_output(cell, "the stacks\n")
        os.kill(pid, signal.SIGKILL)
        found = verdict(client.collect(cell))
        assert found["stack_dumped"]
        written = sum(len(f"line {n}\n") for n in range(10_000)) + 1
        assert found["out_bytes"] == 10_000 + len("the stacks\n")
        assert found["withheld_bytes"] == written - 10_000


def test_an_error_is_told_beyond_the_limit() -> None:
    with Host("--output-limit", "3") as host:
        of = run(host.client(), "raw 616161\nfail at the end")
        assert the_error(of)["ename"] == "Failed" and verdict(of)["outcome"] == "error"


def test_an_execution_with_a_gateway() -> None:
    """The metadata is there over the uplink too, and a relief for those who ask no questions."""
    with Host(*PATIENCE, zmq=False, uplink=True) as host:
        gateway = host.gateway()
        gateway.state()
        replies = [m for m in gateway.until_idle(execute(gateway, "wait", 0.05))
                   if m.msg_type == "execute_reply"]  # fmt: skip
        assert replies[0].metadata["warmcell"]["outcome"] == "timeout"


def execute(gateway: Gateway, code: str, deadline_s: float | None) -> str:
    header = {"msg_id": "one", "msg_type": "execute_request", "session": "client"}
    metadata = {"warmcell": {"deadline_s": deadline_s}}
    gateway.send(v1_encode("shell", header, {"code": code}, metadata=metadata))
    return "one"


# --- the kernel's own time


def test_an_idle_kernel_ends() -> None:
    with Host("--idle-limit", "1", "--lease", "60", zmq=False, uplink=True) as host:
        death = host.gateway().death()
        assert death["cause"] == "idle"
        assert death["reason"] == "the kernel was idle for its limit of 1 s"
        assert host.wait() == 0


def begun(gateway: Gateway, deadline_s: float | None = None) -> None:
    """The execution "one" runs, and waits to be interrupted."""
    execute(gateway, "print begun\nwait", deadline_s)
    while gateway.message().msg_type != "stream":
        pass


def set_limits(gateway: Gateway, **limits: float) -> None:
    done, _ = gateway.command(ADOPT_KERNEL, json.dumps({"limits": limits}).encode())
    assert done["ok"], done


def test_work_is_not_idleness() -> None:
    """The limit passes several times while a cell runs; the cell ends as it would without."""
    with Host(*PATIENCE, zmq=False, uplink=True) as host:
        gateway = host.gateway()
        gateway.state()
        before = gateway.execute("input ?")  # so that it works when the limit is set
        while gateway.message().msg_type != "input_request":
            pass
        execute(gateway, "wait", 0.6)
        set_limits(gateway, idle_s=0.1)
        header = {"msg_id": "reply", "msg_type": "input_reply"}
        gateway.send(v1_encode("stdin", header, {"value": ""}))
        gateway.until_idle(before)
        messages = gateway.until_idle("one")
        (reply,) = (m for m in messages if m.msg_type == "execute_reply")
        assert reply.metadata["warmcell"]["outcome"] == "timeout"
        assert reply.metadata["warmcell"]["run_s"] >= 0.6
        assert gateway.death()["cause"] == "idle"


def test_the_end_of_a_life() -> None:
    with Host(zmq=False, uplink=True) as host:
        gateway = host.gateway()
        gateway.state()
        begun(gateway)
        set_limits(gateway, life_s=1)
        messages = gateway.until_idle("one")
        (reply,) = (m for m in messages if m.msg_type == "execute_reply")
        assert reply.content["status"] == "error"
        assert reply.metadata["warmcell"]["state_retained"] is False
        death = gateway.death()
        assert death["cause"] == "life"
        assert death["reason"] == "the kernel has lived for its limit of 1 s"
        assert host.wait() == 0


def test_who_takes_over_a_kernel_sets_its_limits() -> None:
    """The times begin anew; a limit that is none is refused and changes nothing."""
    with Host("--idle-limit", "1000", *PATIENCE, zmq=False, uplink=True) as host:
        gateway = host.gateway()
        gateway.state()
        wrong, _ = gateway.command(ADOPT_KERNEL, b'{"limits":{"execution_s":-1}}')
        assert not wrong["ok"] and wrong["status"] == 400 and "execution_s" in wrong["message"]
        limits = {"execution_s": 0.05, "output_bytes": 2048, "idle_s": 0.5, "memory_bytes": 0}
        orders = {"env": {"A": "b"}, "limits": limits}
        with gateway.at_once():  # it is not idle before it has something to do
            gateway.begin(ADOPT_KERNEL, json.dumps(orders).encode())
            msg_id = gateway.execute("env A\nwait")
        done, before = gateway.result()
        assert done["ok"], done
        messages = before + gateway.until_idle(msg_id)
        (reply,) = (m for m in messages if m.msg_type == "execute_reply")
        assert reply.metadata["warmcell"]["deadline_s"] == 0.05
        assert [m.content["text"] for m in messages if m.msg_type == "stream"] == ["A=b\n"]
        assert gateway.death()["cause"] == "idle"


def test_death_is_told_before_a_new_interpreter_comes() -> None:
    """`error`, the reply, `idle`, and then `restarting` with the reason."""
    with Host() as host:
        client = host.client()
        of = run(client, "crash 11")
        assert [m.msg_type for m in of.iopub][-2:] == ["error", "status"]
        restarting = client.take(lambda m: m.state == "restarting")
        assert restarting.metadata["warmcell"] == {
            "cause": "signal", "reason": "the interpreter was killed by signal 11 (SIGSEGV)"
        }  # fmt: skip

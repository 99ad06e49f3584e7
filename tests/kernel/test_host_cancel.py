"""CANCEL and what STATE says of executions: single ones by their msg_id."""

from __future__ import annotations

from kernel.fake_driver import dump
from kernel.host_process import CANCEL, Gateway, Host, Received, v1_encode


def cancel(gateway: Gateway, msg_id: str) -> list[Received]:
    """The messages that came before the result, which is good."""
    result, before = gateway.command(CANCEL, dump({"msg_id": msg_id}))
    assert result == {"ok": True, "status": 200, "message": ""}
    return before


def until_asked(gateway: Gateway) -> None:
    while gateway.message().msg_type != "input_request":
        pass


def answer(gateway: Gateway) -> None:
    header = {"msg_id": "reply", "msg_type": "input_reply"}
    gateway.send(v1_encode("stdin", header, {"value": "v"}))


def test_one_that_waits_is_not_run() -> None:
    with Host(zmq=False, uplink=True) as host:
        gateway = host.gateway()
        assert gateway.state()["executions"] == []
        first, second, third = (gateway.execute(code) for code in ("input x", "print 2", "count"))
        until_asked(gateway)
        told = cancel(gateway, second)
        own = [m for m in told if m.parent.get("msg_id") == second]
        assert [m.msg_type for m in own] == ["status", "execute_reply", "status"]
        assert own[1].content == {"status": "aborted"}
        assert own[1].metadata["warmcell"]["outcome"] == "cancelled"
        assert told[-1].is_state("busy") and told[-1].parent["msg_id"] == first
        assert cancel(gateway, second) == []
        assert cancel(gateway, "nobody") == []
        again = Gateway(host.socket, gateway.last)
        assert again.state()["executions"] == [first, third]
        answer(again)
        messages = again.until_idle(third)
        assert [m.content["text"] for m in messages if m.msg_type == "stream"] == ["got v\n", "2\n"]
        again.close()


def test_the_one_that_runs_is_interrupted() -> None:
    with Host(zmq=False, uplink=True) as host:
        gateway = host.gateway()
        gateway.state()
        msg_id = gateway.execute("print begun\nwait")
        while gateway.message().msg_type != "stream":
            pass
        before = cancel(gateway, msg_id)
        messages = before + ([] if before else gateway.until_idle(msg_id))
        if not messages[-1].is_idle_of(msg_id):
            messages += gateway.until_idle(msg_id)
        (reply,) = [m for m in messages if m.msg_type == "execute_reply"]
        assert reply.metadata["warmcell"]["outcome"] == "interrupted"


def test_what_is_no_order() -> None:
    with Host(zmq=False, uplink=True) as host:
        gateway = host.gateway()
        gateway.state()
        for body, text in ((b"[]", "CANCEL: must be an object"), (b"{}", "msg_id: is required")):
            result, _ = gateway.command(CANCEL, body)
            assert (result["ok"], result["status"], result["message"]) == (False, 400, text)

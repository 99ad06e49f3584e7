"""Comms, and ipywidgets on top of them."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from support.client import Run
from support.direct import DirectClient, Kernel

ECHO = """
from comm import get_comm_manager
def opened(comm, message):
    comm.on_msg(lambda m: comm.send({'echo': m['content']['data']}, m.get('metadata'),
                                    [bytes(b)[::-1] for b in m['buffers']]))
    comm.on_close(lambda m: print('closed', m['content']['data']))
    comm.send({'hello': message['content']['data'], 'sizes': [len(b) for b in message['buffers']]})
get_comm_manager().register_target('echo', opened)
"""


@pytest.fixture
def client(shared_kernel: Kernel) -> Iterator[DirectClient]:
    client = shared_kernel.client()
    client.run(ECHO)
    yield client


def tell(
    client: DirectClient, kind: str, comm: str, buffers: tuple[bytes, ...] = (), **more: Any
) -> Run:
    """Comm messages have no reply, but are busy and idle as all others."""
    metadata = more.pop("metadata", {})
    content = {"comm_id": comm, "data": {}} | more
    msg_id = client.send(kind, content, metadata=metadata, buffers=buffers)
    return client.collect(msg_id, reply=False)


def test_from_the_client(client: DirectClient) -> None:
    comm = uuid.uuid4().hex
    opened = tell(client, "comm_open", comm, (b"12345",), target_name="echo", data={"n": 1})
    (hello,) = opened.of("comm_msg")
    assert hello.content == {"comm_id": comm, "data": {"hello": {"n": 1}, "sizes": [5]}}
    assert client.ask("comm_info_request", {"target_name": "echo"}).content["comms"] == {
        comm: {"target_name": "echo"}
    }
    parts = (b"abc", b"", b"\x00\xff")
    (echo,) = tell(client, "comm_msg", comm, parts, data={"x": [1.5, None]}).of("comm_msg")
    assert echo.content["data"] == {"echo": {"x": [1.5, None]}}
    assert echo.buffers == [b"cba", b"", b"\xff\x00"]
    assert tell(client, "comm_close", comm, data={"why": "end"}).stdout == "closed {'why': 'end'}\n"
    assert comm not in client.ask("comm_info_request").content["comms"]


def test_unknown_target(client: DirectClient) -> None:
    comm = uuid.uuid4().hex
    run = tell(client, "comm_open", comm, target_name="no_such_target")
    (closed,) = run.of("comm_close")
    assert closed.content["comm_id"] == comm
    assert comm not in client.ask("comm_info_request").content["comms"]


def test_message_to_an_unknown_comm(client: DirectClient) -> None:
    for kind in ("comm_msg", "comm_close"):
        tell(client, kind, uuid.uuid4().hex)
    assert client.run("1").status == "ok"


def test_error_in_a_handler_is_seen(client: DirectClient) -> None:
    client.run("def bad(comm, message): raise ValueError('in the handler')\n"
               "get_comm_manager().register_target('bad', bad)")  # fmt: skip
    run = tell(client, "comm_open", uuid.uuid4().hex, target_name="bad")
    assert run.of("comm_close")
    assert client.run("1").status == "ok"


def test_from_the_kernel(client: DirectClient) -> None:
    run = client.run("from comm import create_comm\n"
                     "c = create_comm(target_name='front', data={'a': 1}, metadata={'m': 2},"
                     " buffers=[b'xyz', memoryview(bytearray(4))])\n"
                     "c.on_msg(lambda m: print('got', m['content']['data'],"
        " bytes(m['buffers'][0])))\n"
                     "c.send({'b': 2}, buffers=[b'q'])")  # fmt: skip
    opened, sent = run.of("comm_open", "comm_msg")
    assert opened.content["target_name"] == "front"
    assert opened.content["data"] == {"a": 1}
    assert opened.metadata["m"] == 2
    assert opened.buffers == [b"xyz", bytes(4)]
    assert (sent.content["data"], sent.buffers) == ({"b": 2}, [b"q"])
    comm = opened.content["comm_id"]
    assert tell(client, "comm_msg", comm, (b"buf",), data=7).stdout == "got 7 b'buf'\n"
    (closed,) = client.run("c.close({'z': 1})").of("comm_close")
    assert closed.content["data"] == {"z": 1}


def test_large_buffers(client: DirectClient) -> None:
    comm = uuid.uuid4().hex
    tell(client, "comm_open", comm, target_name="echo")
    data = bytes(range(256)) * 40_000
    (echo,) = tell(client, "comm_msg", comm, (data,)).of("comm_msg")
    assert echo.buffers == [data[::-1]]


def test_comms_run_in_a_queue_that_was_aborted(client: DirectClient) -> None:
    comm = uuid.uuid4().hex
    failing = client.execute("input(); 1 / 0", allow_stdin=True)
    opening = client.send("comm_open", {"comm_id": comm, "target_name": "echo", "data": {}})
    client.ask("kernel_info_request")  # the host has them
    prompt = client.take(lambda m: m.msg_type == "input_request" and m.parent_id == failing)
    client.send("input_reply", {"value": ""}, channel="stdin", parent=prompt.header)
    assert client.collect(failing).status == "error"
    assert client.collect(opening, reply=False).of("comm_msg")


def state_of(run: Run, model: str) -> tuple[str, dict[str, Any]]:
    for message in run.of("comm_open"):
        state: dict[str, Any] = message.content["data"]["state"]
        if state.get("_model_name") == model:
            assert message.content["target_name"] == "jupyter.widget"
            assert message.metadata["version"].startswith("2.")
            return message.content["comm_id"], state
    raise AssertionError(f"no {model} was opened")


def test_slider_updates_an_output(client: DirectClient) -> None:
    run = client.run(
        "import ipywidgets as w\nslider = w.IntSlider(value=3, max=10); out = w.Output()\n"
        "def changed(change):\n    with out:\n        print('value', change.new)\n"
        "slider.observe(changed, 'value')\ndisplay(slider, out)"
    )
    comm, state = state_of(run, "IntSliderModel")
    assert state["value"] == 3
    views = [m.content["data"] for m in run.of("display_data")]
    assert views[0]["application/vnd.jupyter.widget-view+json"]["model_id"] == comm
    output, _ = state_of(run, "OutputModel")
    moved = tell(client, "comm_msg", comm,
                 data={"method": "update", "state": {"value": 8}, "buffer_paths": []})  # fmt: skip
    updates = [m.content for m in moved.of("comm_msg")]
    # the Output widget says for which request the front end is to catch outputs, and lets go after
    caught = [u["data"]["state"]["msg_id"] for u in updates
              if u["comm_id"] == output and "msg_id" in u["data"].get("state", {})]  # fmt: skip
    assert caught == [moved.msg_id, ""]
    assert moved.stdout == "value 8\n"
    assert client.run("slider.value").result["text/plain"] == "8"


def test_widget_binary_state(client: DirectClient) -> None:
    run = client.run("w.Image(value=b'\\x89PNG', format='png')")
    (opened,) = [m for m in run.of("comm_open") if m.buffers]
    assert opened.content["data"]["buffer_paths"] == [["value"]]
    assert opened.buffers == [b"\x89PNG"]


def test_widgets_ask_for_all_states(client: DirectClient) -> None:
    client.run("import ipywidgets as w; some = w.IntSlider(value=5)")
    control = uuid.uuid4().hex
    tell(client, "comm_open", control, target_name="jupyter.widget.control",
         metadata={"version": "1.0.0"})  # fmt: skip
    run = tell(client, "comm_msg", control, data={"method": "request_states"})
    (answer,) = run.of("comm_msg")
    assert answer.content["data"]["method"] == "update_states"
    assert any(s["state"].get("value") == 5 for s in answer.content["data"]["states"].values())

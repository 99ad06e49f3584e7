"""Our kernel against ipykernel, and xeus-python where it is installed, over ZeroMQ on loopback.

Every round starts a kernel anew. History is on disk for all; the client is the same for all; each
answer is checked, and a wrong one ends the run.
"""

from __future__ import annotations

import functools
import hashlib
import os
import signal
import statistics
import time
from collections.abc import Callable, Mapping, Sequence

from harness import kernels, processes
from harness.home import Home
from harness.kernels import Contender, Kernel
from harness.message import Execution, Message
from harness.processes import BenchError
from harness.suite import Metric

Say = Callable[[str], None]

ROUND_TRIPS = 200
LINES = 150
PRINTS = 100_000
DISPLAY_BYTES = 20_000_000
INTERRUPTS = 10
IDLE_S = 1.5  # after the first cell, as long as a person takes to write the next

METRICS = (
    Metric("start_first_result", "ms", "process start to the first result of 1+1"),
    Metric("rtt_pass", "ms", "execute_request to reply and idle, history stored"),
    Metric("rtt_1plus1", "ms", "the same for 1+1"),
    Metric("print_100k", "ms", "100,000 prints until idle"),
    Metric("line_latency_p50", "ms", "one line per 7 ms: from print to receipt"),
    Metric("display_20mb", "ms", "display of 20 MB until idle"),
    Metric("interrupt_typical", "ms", "SIGINT to reply, busy loop"),
    Metric("interrupt_first", "ms", "the first SIGINT of a kernel to its reply"),
    Metric("interrupt_message", "ms", "interrupt_request to reply, busy loop"),
    Metric("death_told", "ms", "kill -9 of the interpreter to the reply owed; no peer gives one"),
    Metric("memory_idle", "MB", "proportional memory of all its processes after a first cell"),
)


def must_be_ok(execution: Execution, what: str) -> Execution:
    """The execution itself, when it ended well."""
    if execution.reply.get("status") != "ok":
        raise BenchError(f"{what} failed: {str(execution.reply)[:300]}")
    return execution


def first_result_ms(kernel: Kernel) -> float:
    """From the start of the process until the reply that holds 2.

    The value is asked for in the reply: whether iopub's subscription stands so early is luck.
    """
    client = kernel.client
    client.timeout_s = 30
    execution = client.send(
        "execute_request",
        {"code": "1+1", "silent": False, "store_history": True, "allow_stdin": False,
         "stop_on_error": True, "user_expressions": {"sum": "1+1"}},
    )  # fmt: skip
    while not (message := client.receive()).is_reply(execution):
        pass
    took = time.perf_counter() - kernel.started
    kernel.check_alive()
    reply = message.json()
    if reply["status"] != "ok" or reply["user_expressions"]["sum"]["data"]["text/plain"] != "2":
        raise BenchError(f"the first 1+1 gave {reply}")
    client.settle()
    return took * 1000


def round_trip_ms(kernel: Kernel, code: str, result: str | None) -> float:
    """The median time of a cell, another text each time, until both its reply and idle are in."""
    times = []
    for turn in range(ROUND_TRIPS + 20):
        cell = f"{code}  # {turn}"
        began = time.perf_counter()
        execution = kernel.client.execute(cell)
        times.append(time.perf_counter() - began)
        must_be_ok(execution, code)
        shown = [m.json() for m in execution.published if b'"execute_result"' in m.header]
        texts = [each["data"]["text/plain"] for each in shown]
        if texts != ([] if result is None else [result]):
            raise BenchError(f"{code} gave {texts} in turn {turn}")
    return statistics.median(times[20:]) * 1000


def print_ms(kernel: Kernel) -> float:
    """100,000 prints; every line must arrive."""
    began = time.perf_counter()
    execution = kernel.client.execute(f"for i in range({PRINTS}): print(i)")
    took = time.perf_counter() - began
    must_be_ok(execution, "print")
    if execution.text() != "".join(f"{i}\n" for i in range(PRINTS)):
        raise BenchError("the printed lines are not what was printed")
    return took * 1000


def line_latency_ms(kernel: Kernel) -> float:
    """The median age of a line at its receipt, one line every 7 ms."""
    ages: list[float] = []

    def on_message(message: Message) -> None:
        now = time.time_ns()
        if b'"stream"' in message.header:
            ages.extend((now - int(line)) / 1e6 for line in message.json()["text"].split())

    must_be_ok(
        kernel.client.execute(
            f"import time\nfor i in range({LINES}):\n    print(time.time_ns())\n"
            "    time.sleep(0.007)",
            on_message,
        ),
        "print one line at a time",
    )
    if len(ages) != LINES:
        raise BenchError(f"{len(ages)} of {LINES} lines arrived")
    return statistics.median(ages)


@functools.cache
def display_digest() -> str:
    """The SHA-256 of the text that `display_ms` shows."""
    return hashlib.sha256(("0123456789abcdef" * (DISPLAY_BYTES // 16)).encode()).hexdigest()


def display_ms(kernel: Kernel) -> float:
    """One display of 20 MB text; every byte must arrive."""
    client = kernel.client
    setup = f"from IPython.display import display\nbig = '0123456789abcdef' * {DISPLAY_BYTES // 16}"
    must_be_ok(client.execute(setup), "make 20 MB")
    began = time.perf_counter()
    execution = client.execute("display({'text/plain': big}, raw=True)")
    took = time.perf_counter() - began
    must_be_ok(execution, "display")
    shown = [m.json() for m in execution.published if b'"display_data"' in m.header]
    texts = [each["data"]["text/plain"] for each in shown]
    if [hashlib.sha256(text.encode()).hexdigest() for text in texts] != [display_digest()]:
        raise BenchError("the 20 MB display is not what was displayed")
    return took * 1000


def interrupt_ms(
    kernel: Kernel, interrupt: Callable[[], object], ename: str = "KeyboardInterrupt"
) -> float:
    """From an interrupt, or another blow, of a busy loop to the reply of its cell."""
    sent = 0.0

    def on_message(message: Message) -> None:
        nonlocal sent
        if b'"stream"' in message.header and not sent:
            time.sleep(0.02)  # well inside the loop
            sent = time.perf_counter()
            interrupt()

    replied = 0.0
    receive = kernel.client.receive

    def receive_and_note() -> Message:
        nonlocal replied
        message = receive()
        if message.channel == "shell":
            replied = time.perf_counter()
        return message

    kernel.client.receive = receive_and_note  # type: ignore[method-assign]
    try:
        execution = kernel.client.execute("print('go', flush=True)\nwhile True: pass", on_message)
    finally:
        kernel.client.receive = receive  # type: ignore[method-assign]
    if execution.reply.get("ename") != ename:
        raise BenchError(f"an interrupt gave {str(execution.reply)[:300]}")
    return (replied - sent) * 1000


def death_ms(kernel: Kernel) -> float:
    execution = kernel.client.execute("import os; print(os.getpid())")
    pid = int(execution.text())
    return interrupt_ms(kernel, lambda: os.kill(pid, signal.SIGKILL), "KernelDied")


class KernelSuite:
    """Each round: one kernel's life, from its start to its last interrupt."""

    name = "kernel"
    metrics = METRICS
    rounds = 5

    @functools.cached_property
    def _by_name(self) -> dict[str, Contender]:
        found = [kernels.ours(), kernels.ipykernel(), kernels.xeus_python()]
        return {each.name: each for each in found if each is not None}

    def contenders(self) -> Sequence[str]:
        return list(self._by_name)

    def measure(self, contender: str, say: Say) -> Mapping[str, float]:
        home = Home()
        kernel = Kernel(self._by_name[contender], home)
        try:
            return self._measure(kernel, contender, say)
        except BenchError as error:
            kernel.check_alive()
            raise BenchError(f"{contender}: {error}") from None
        finally:
            kernel.stop()
            home.close()

    def _measure(self, kernel: Kernel, contender: str, say: Say) -> Mapping[str, float]:
        numbers: dict[str, float] = {}
        say("start")
        numbers["start_first_result"] = first_result_ms(kernel)
        time.sleep(IDLE_S)
        numbers["memory_idle"] = processes.pss_bytes(kernel.process.pid) / 1e6
        if "xeus" not in contender:  # its SIGINT ends the kernel
            say("interrupts")
            numbers["interrupt_first"] = interrupt_ms(kernel, kernel.interrupt)
            typical = [interrupt_ms(kernel, kernel.interrupt) for _ in range(INTERRUPTS)]
            numbers["interrupt_typical"] = statistics.median(typical)

            def ask() -> object:
                return kernel.client.send("interrupt_request", {}, channel="control")

            asked = [interrupt_ms(kernel, ask) for _ in range(INTERRUPTS)]
            numbers["interrupt_message"] = statistics.median(asked)
        say("round trips")
        numbers["rtt_pass"] = round_trip_ms(kernel, "pass", None)
        numbers["rtt_1plus1"] = round_trip_ms(kernel, "1+1", "2")
        say("output")
        if "xeus" not in contender:  # it sends a message a write, which a slow client loses
            numbers["print_100k"] = print_ms(kernel)
        numbers["line_latency_p50"] = line_latency_ms(kernel)
        numbers["display_20mb"] = display_ms(kernel)
        if contender == self.contenders()[0]:
            numbers["death_told"] = death_ms(kernel)
        return numbers


SUITE = KernelSuite()

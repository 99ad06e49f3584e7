"""The driver of R behind a host: what a person at a notebook sees of it."""

from __future__ import annotations

import base64
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kernel.driver_case import (
    good,
    interrupted,
    interrupted_before_the_code_runs,
    interrupted_while_input_is_awaited,
)
from kernel.host_process import Host
from kernel.link_peer import Interpreter
from support import processes
from support.client import Run
from support.direct import DirectClient
from support.programs import programs

DRIVER = programs().build / "kernel/r/warmcell-r"
COMMAND = [str(DRIVER), "/usr/bin/R"]
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def shared() -> Iterator[Host]:
    with Host(command=COMMAND) as host:
        yield host


@pytest.fixture(scope="module")
def client(shared: Host) -> DirectClient:
    return shared.client()


def plots(run: Run) -> int:
    """How many; each is a picture."""
    shown = [m.content["data"] for m in run.of("display_data") if "image/png" in m.content["data"]]
    assert all(base64.b64decode(data["image/png"]).startswith(PNG) for data in shown)
    return len(shown)


def test_values(client: DirectClient) -> None:
    good(client.run("x <- 5; f <- function(a, b = 2) a * b"))
    for code, text in (
        ("6 * 7", "[1] 42"),
        ("f(x)", "[1] 10"),
        ("NULL", "NULL"),
        ("'é🎉'", '[1] "é🎉"'),
        ("matrix(1:4, 2)", "     [,1] [,2]\n[1,]    1    3\n[2,]    2    4"),
        ("factor(c('a', 'b'))", "[1] a b\nLevels: a b"),
        ("Sys.getlocale('LC_CTYPE') |> grepl(pattern = 'UTF-8')", "[1] TRUE"),
    ):
        assert good(client.run(code)).result == {"text/plain": text}
    assert good(client.run(".Last.value")).result == {"text/plain": "[1] TRUE"}
    run = good(client.run("1\ninvisible(2)\n'three'"))
    assert [m.content["data"]["text/plain"] for m in run.of("display_data")] == ["[1] 1"]
    assert run.result == {"text/plain": '[1] "three"'}
    assert good(client.run("invisible(3)")).outputs == []


def test_data_frames_are_tables(client: DirectClient) -> None:
    run = good(client.run("data.frame(a = 1:2, b = c('<x>', 'y'))"))
    assert run.result["text/plain"] == "  a   b\n1 1 <x>\n2 2   y"
    assert "<tr><th>1</th><td>1</td><td>&lt;x&gt;</td></tr>" in run.result["text/html"]
    big = good(client.run("data.frame(a = 1:1000)")).result["text/html"]
    assert "<td>60</td>" in big
    assert "<td>61</td>" not in big
    assert "1000 rows, 1 columns" in big


def test_streams_in_their_order(client: DirectClient) -> None:
    run = good(
        client.run("cat('one\\n'); system('echo two'); print(3); message('m'); warning('w')")
    )
    assert run.stdout == "one\ntwo\n[1] 3\n"
    assert run.stderr == "m\nWarning message:\nw\n"
    run = good(client.run("log(-1)"))
    assert (run.stderr, run.result["text/plain"]) == (
        "Warning message:\nIn log(-1) : NaNs produced\n", "[1] NaN",
    )  # fmt: skip
    assert good(client.run("suppressWarnings(log(-1)); invisible()")).stderr == ""


@pytest.mark.parametrize(
    ("code", "name", "value", "trace"),
    [
        ("g <- function(y) stop('boom'); h <- function(x) g(x); h(1)", "Error", "boom",
         "Error in g(x) : boom\nTraceback:\n1. h(1)\n2. g(x)"),
        ("log('a')", "Error", "non-numeric argument to mathematical function",
         'Error in log("a") : non-numeric argument to mathematical function'),
        ("stop('top')", "Error", "top", "Error: top"),
        ("stop(structure(class = c('mine', 'error', 'condition'), list(message = 'own')))",
         "mine", "own", "Error: own"),
        ("1\na b", "ParseError", "cell", "unexpected symbol"),
        ("options(warn = 2); log(-1)", "Error", "(converted from warning) NaNs produced",
         "Error in log(-1)"),
        ("display_mime(5)", "Error", "a bundle is list(", "Error: a bundle"),
        ("readline('? ')", "Error", "this client does not answer", "readline"),
    ],
)  # fmt: skip
def test_errors(client: DirectClient, code: str, name: str, value: str, trace: str) -> None:
    run = client.run(code)
    assert (run.status, run.content["ename"]) == ("error", name)
    assert run.content["evalue"].startswith(value)
    assert trace in run.traceback
    (told,) = run.of("error")
    assert told.content["traceback"] == run.content["traceback"]
    good(client.run("options(warn = 0)"))


def test_an_error_ends_the_queue(client: DirectClient) -> None:
    first = client.execute("readline('go? '); stop('x')", allow_stdin=True)
    client.take(lambda m: m.msg_type == "input_request")
    second = client.execute("1")
    client.ask("kernel_info_request")  # behind it: it is in the queue
    client.send("input_reply", {"value": ""}, channel="stdin")
    assert client.collect(first).status == "error"
    assert client.collect(second).status == "aborted"


def test_plots(client: DirectClient, tmp_path: Path) -> None:
    for code, pages in (
        ("plot(1:10)", 1),
        ("hist(rnorm(100))", 1),
        ("x <- 1", 0),
        ("lines(1:3)", 1),  # onto the page of the cell before
        ("plot(1)", 1),
        ("plot(1)", 1),
        ("plot(1); plot(2); plot(3)", 3),
        ("par(mfrow = c(1, 2)); plot(1); plot(2)", 1),
        ("par(mfrow = c(1, 1)); plot(1); dev.off()", 1),
        ("library(grid); grid.newpage(); grid.rect(); grid.newpage(); grid.circle()", 2),
        (f"png('{tmp_path}/own.png'); plot(1); invisible(dev.off())", 0),
    ):
        assert plots(good(client.run(code))) == pages, code
    assert (tmp_path / "own.png").read_bytes().startswith(PNG)
    failed = client.run("plot(1); stop('after it')")
    assert (failed.status, plots(failed)) == ("error", 1)


def test_a_page_is_shown_when_the_next_begins(client: DirectClient) -> None:
    run = good(client.run("plot(1); cat('between\\n'); plot(2)"))
    assert [m.msg_type for m in run.outputs] == ["stream", "display_data", "display_data"]


def test_the_size_of_plots(client: DirectClient) -> None:
    code = "options(repr.plot.width = 3, repr.plot.height = 2, repr.plot.res = 100); plot(1)"
    (shown,) = good(client.run(f"graphics.off(); {code}")).of("display_data")
    picture = base64.b64decode(shown.content["data"]["image/png"])
    assert (int.from_bytes(picture[16:20]), int.from_bytes(picture[20:24])) == (300, 200)


def test_displays(client: DirectClient, tmp_path: Path) -> None:
    (tmp_path / "p.png").write_bytes(PNG)
    run = good(
        client.run(
            "display_html('<b>x</b>', id = 'here'); display_html('<i>y</i>', 'here', TRUE)\n"
            f"display_png('{tmp_path}/p.png'); display_json('{{\"a\": [1]}}'); display(1:3)\n"
            "display_mime(list('text/markdown' = '*m*', 'text/plain' = 'm')); clear_output()"
        )
    )
    here = {"display_id": "here"}
    assert [(m.content.get("data"), m.content.get("transient")) for m in run.outputs] == [
        ({"text/html": "<b>x</b>"}, here),
        ({"text/html": "<i>y</i>"}, here),
        ({"image/png": base64.b64encode(PNG).decode()}, {}),
        ({"application/json": {"a": [1]}}, {}),
        ({"text/plain": "[1] 1 2 3"}, {}),
        ({"text/markdown": "*m*", "text/plain": "m"}, {}),
        (None, None),
    ]
    assert run.outputs[1].msg_type == "update_display_data"
    assert run.outputs[-1].content == {"wait": True}


def test_input(client: DirectClient) -> None:
    run = client.run("a <- readline('who? '); b <- scan(n = 1, quiet = TRUE); cat(a, b + 1)",
                     answers=["me π", "41"])  # fmt: skip
    assert run.prompts[0].content == {"prompt": "who? ", "password": False}
    assert run.stdout == "me π 42"


def test_counts_and_silence(client: DirectClient) -> None:
    before = client.run("1").content["execution_count"]
    silent = client.run("cat('seen'); 2", silent=True)
    assert (silent.stdout, silent.of("execute_result", "execute_input")) == ("seen", [])
    unstored = client.run("3", store_history=False)
    assert unstored.content["execution_count"] == before
    run = client.run("4", user_expressions={"a": "1 + 1", "b": "nowhere"})
    assert run.content["execution_count"] == before + 1
    assert run.content["user_expressions"]["a"]["data"] == {"text/plain": "[1] 2"}
    assert run.content["user_expressions"]["b"]["evalue"] == "object 'nowhere' not found"


def test_kernel_info(client: DirectClient) -> None:
    info = client.ask("kernel_info_request").content
    assert info["implementation"] == "warmcell-r"
    assert info["language_info"]["name"] == "R"


def test_tools(client: DirectClient) -> None:
    good(client.run("my_rare_list <- list(inside = 1); twice <- function(a) a * 2"))
    for code, match, start in (
        ("my_rare_l", "my_rare_list", 0),
        ("π <- 1; my_rare_list$in", "my_rare_list$inside", 8),
        ("x <- 1\nutils::hea", "utils::head", 7),
        ("twi", "twice", 0),
    ):
        ask = {"code": code, "cursor_pos": len(code)}
        content = client.ask("complete_request", ask).content
        assert match in content["matches"]
        assert (content["cursor_start"], content["cursor_end"]) == (start, len(code))
    for code, words in (
        ("twice(1)", "a * 2"),
        ("mean(x)", "Arithmetic Mean"),
        ("my_rare_list", "$ inside: num 1"),
    ):
        content = client.ask("inspect_request", {"code": code, "cursor_pos": 2}).content
        assert content["found"]
        assert words in content["data"]["text/plain"]
    content = client.ask("inspect_request", {"code": "nowhere", "cursor_pos": 2}).content
    assert (content["status"], content["found"]) == ("ok", False)
    for code, status in (
        ("1", "complete"),
        ("f <- function() {", "incomplete"),
        ("'abc", "incomplete"),
        ("1 +", "incomplete"),
        ("a b", "invalid"),
        ("}", "invalid"),
    ):
        assert client.ask("is_complete_request", {"code": code}).content["status"] == status


@pytest.mark.parametrize(
    "code",
    [
        "repeat {}",
        "Sys.sleep(1000)",
        "repeat tryCatch(Sys.sleep(1000), error = identity)",
        "f <- function() { on.exit(cat('left')); repeat {} }; f()",
    ],
)
def test_interrupts(client: DirectClient, code: str) -> None:
    interrupted(client, f"x <- 41; cat('begun'); {code}")
    assert good(client.run("x + 1")).result["text/plain"] == "[1] 42"


def test_an_interrupt_while_input_is_awaited(client: DirectClient) -> None:
    interrupted_while_input_is_awaited(client, "readline('never')")


def test_an_interrupt_that_comes_before_the_code_runs() -> None:
    interpreter = Interpreter(COMMAND)
    interrupted_before_the_code_runs(interpreter, "repeat {}")
    assert interpreter.run("1 + 1").result == "[1] 2"
    assert interpreter.run(".Last <- function() cat('bye')").reply["status"] == "ok"
    run = interpreter.run("tryCatch(q(status = 3), finally = cat('so ')); cat('no')")
    assert (run.reply["status"], run.stdout) == ("ok", "so bye")
    interpreter.send(4, 0, b'{"restart": false}')  # SHUTDOWN, as the host answers EXIT
    assert interpreter.process.wait() == 3
    interpreter.close()


def test_the_environment_and_folder_of_one_run(client: DirectClient, tmp_path: Path) -> None:
    def run(code: str, **ask: Any) -> Run:
        content = {"code": code, "silent": False, "allow_stdin": False}
        return client.collect(client.send("execute_request", content, metadata={"warmcell": ask}))

    good(run("Sys.setenv(GONE = 'here'); setwd('/')"))
    asked = run("cat(Sys.getenv('A_ONE'), Sys.getenv('GONE', 'none'), getwd())",
                env={"A_ONE": "1", "GONE": None}, cwd=str(tmp_path))  # fmt: skip
    assert asked.stdout == f"1 none {tmp_path}"
    assert run("cat(Sys.getenv('A_ONE', 'none'), Sys.getenv('GONE'), getwd())").stdout == (
        "none here /"
    )
    refused = run("1", cwd="/nowhere/at/all")
    assert refused.content["evalue"].startswith("cwd: /nowhere/at/all cannot be entered")


def test_history_usage_and_an_end_that_was_asked_for(tmp_path: Path) -> None:
    with Host(command=COMMAND, history=str(tmp_path / "history.sqlite")) as host:
        client = host.client()
        reply = good(client.run("kept <- sum(as.numeric(1:1e6))")).reply
        assert reply is not None
        assert reply.metadata["usage"]["cpu_s"] > 0
        before = reply.metadata["usage"]["memory_peak_bytes"]
        assert before > 1 << 20
        child = f"system('{sys.executable} -c \"x = bytearray(600 << 20)\"')"
        for code, least, most in (("big <- numeric(2e7); rm(big); invisible(gc())", 100, 400),
                                  ("1", 0, 50), (child, 300, 700),
                                  ("1", 0, 50)):  # fmt: skip
            reply = good(client.run(code)).reply
            assert reply is not None
            more = reply.metadata["usage"]["memory_peak_bytes"] - before
            assert least << 20 <= more <= most << 20, code
        ask = {"hist_access_type": "tail", "n": 5, "raw": True, "output": False}
        first, *_ = client.ask("history_request", ask).content["history"]
        assert first[1:] == [1, "kept <- sum(as.numeric(1:1e6))"]
        good(client.run("q()"))
        assert host.wait() == 0


def test_a_crash_and_what_was_written_before(client: DirectClient) -> None:
    run = client.run("cat('last'); tools::pskill(Sys.getpid(), 9); Sys.sleep(1000)")
    assert run.stdout == "last"
    assert run.content["ename"] == "KernelDied"
    assert good(client.run("exists('my_rare_list')")).result["text/plain"] == "[1] FALSE"


def test_nothing_is_left_when_the_host_is_killed() -> None:
    host = Host(command=COMMAND)
    client = host.client()
    msg_id = client.execute("system('sleep 1000', wait = FALSE); cat('.'); repeat {}")
    client.await_output(msg_id, ".")
    children = processes.named_below(host.pid, "warmcell-r")
    assert len(children) == 1
    os.kill(host.pid, signal.SIGKILL)
    host.wait()
    assert not processes.wait_gone(children)
    client.close()


def test_an_r_that_is_none() -> None:
    answer = subprocess.run(
        [DRIVER, "/no/where/R", "--link-fd", "3", "--pipes-fd", "4"],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert answer.returncode == 1
    assert answer.stderr == (
        "warmcell-r: cannot run /no/where/R; Debian's r-base-core has R: No such file or"
        " directory\n"
    )
    answer = subprocess.run([DRIVER], check=False, capture_output=True, text=True)
    assert (answer.returncode, "--link-fd" in answer.stderr) == (2, True)

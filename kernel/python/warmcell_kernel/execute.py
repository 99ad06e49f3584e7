"""execute_request: runs one cell and makes its reply."""

from __future__ import annotations

import sys
from collections.abc import Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import _warmcell
from IPython.core.async_helpers import _should_be_async
from IPython.core.interactiveshell import ExecutionInfo, ExecutionResult, _asyncio_runner

from warmcell_kernel.eventloop import AsyncCell, KernelLoop
from warmcell_kernel.place import Place
from warmcell_kernel.shell import ZMQInteractiveShell, safe_str


@dataclass(slots=True)
class Order:
    """The content of an execute_request, with the protocol's defaults."""

    code: str
    silent: bool
    store_history: bool
    user_expressions: dict[str, str]
    allow_stdin: bool
    stop_on_error: bool
    cell_meta: dict[str, Any]


def read_order(message: dict[str, Any]) -> Order:
    """ValueError names the member that is missing or of a wrong type."""
    content = message["content"]
    code = content.get("code")
    if not isinstance(code, str):
        raise ValueError("code: must be a string")
    expressions = content.get("user_expressions") or {}
    if not isinstance(expressions, dict):
        raise ValueError("user_expressions: must be an object")
    silent = bool(content.get("silent", False))
    metadata = message["metadata"]
    return Order(
        code=code,
        silent=silent,
        store_history=bool(content.get("store_history", not silent)),
        user_expressions=expressions,
        allow_stdin=bool(content.get("allow_stdin", False)),
        stop_on_error=bool(content.get("stop_on_error", True)),
        cell_meta=metadata if isinstance(metadata, dict) else {},
    )


def run_now(coroutine: Coroutine[Any, Any, ExecutionResult]) -> ExecutionResult:
    """Runs a coroutine that awaits nothing."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        result: ExecutionResult = stop.value
        return result
    coroutine.close()
    raise RuntimeError("a cell without await has awaited")


def needs_loop(shell: ZMQInteractiveShell, cell: str) -> bool:
    """Whether the transformed cell awaits at its top level; one of the words is in all that do."""
    return bool(shell.autoawait and ("await" in cell or "async" in cell) and _should_be_async(cell))


def run_cell(shell: ZMQInteractiveShell, loop: KernelLoop, order: Order) -> ExecutionResult:
    """What InteractiveShell.run_cell does, with each step done once."""
    cell_id = order.cell_meta.get("cellId")
    if "run_cell" in shell.__dict__:  # somebody has replaced it to see every cell
        return shell.run_cell(order.code, order.store_history, order.silent, cell_id=cell_id)
    shell.last_error = None
    shell.failed_in_display = False
    problem = None
    try:
        cell = shell.transform_cell(order.code)
    except Exception:
        cell = order.code
        problem = sys.exc_info()
    result = None
    try:
        coroutine = shell.run_cell_async(
            order.code,
            store_history=order.store_history,
            silent=order.silent,
            transformed_cell=cell,
            preprocessing_exc_tuple=problem,
            cell_id=cell_id,
            cell_meta=order.cell_meta,
        )
        if problem is not None or not needs_loop(shell, cell):
            result = run_now(coroutine)
        elif shell.loop_runner is _asyncio_runner:
            result = AsyncCell(loop, coroutine).run()
        else:
            result = shell.loop_runner(coroutine)
    except BaseException as error:
        result = failed_result(shell, order, error)
    finally:
        shell.events.trigger("post_execute")
        if not order.silent:
            shell.events.trigger("post_run_cell", result)
    return result


def failed_result(
    shell: ZMQInteractiveShell, order: Order, error: BaseException
) -> ExecutionResult:
    """The result of a cell that ended outside of its own code, for instance by an interrupt."""
    info = ExecutionInfo(
        order.code,
        order.store_history,
        order.silent,
        True,
        order.cell_meta.get("cellId"),
        order.cell_meta,
        transformed_cell=order.code,
    )
    result = ExecutionResult(info)
    result.error_in_exec = error
    shell.showtraceback(running_compiled_code=True)
    return result


def usage_since(before: tuple[float, int, float, int]) -> dict[str, float]:
    """What an execution used: docs/link.md, "How an execution ends"."""
    own_before, _, children_before, peak_before = before
    own, own_peak, children, children_peak = _warmcell.used()
    of_run = children_peak if children_peak > peak_before else 0
    return {
        "cpu_s": round(own - own_before + children - children_before, 6),
        "memory_peak_bytes": max(own_peak, of_run),
        "children_cpu_s": round(children, 6),
        "children_peak_bytes": children_peak,
    }


def error_content(error: BaseException, traceback: list[str] | None) -> dict[str, Any]:
    return {
        "status": "error",
        "ename": type(error).__name__,
        "evalue": safe_str(error),
        "traceback": traceback or [],
    }


class Executor:
    """Executes the orders of one shell, one at a time."""

    def __init__(self, shell: ZMQInteractiveShell, loop: KernelLoop) -> None:
        self._shell = shell
        self.loop = loop
        self.allow_stdin = False

    def execute(self, number: int, message: dict[str, Any]) -> None:
        started = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        try:
            order = read_order(message)
        except ValueError as error:
            content = error_content(error, None)
            content["execution_count"] = self._shell.execution_count - 1
            _warmcell.reply(number, False, {"started": started, "status": "error"}, content)
            return
        if not order.silent:
            count = self._shell.execution_count
            content = {"code": order.code, "execution_count": count}
            _warmcell.publish("execute_input", {}, content, None, True)
        cache = self._shell.code_cache
        hits, misses = cache.hits, cache.misses
        _warmcell.forget_memory_peak()
        before = _warmcell.used()
        content = self._run_there(order)
        status = content["status"]
        abort = status == "error" and order.stop_on_error and not order.silent
        usage = usage_since(before)
        compiled = cache.statistics()
        compiled["hit"] = cache.hits > hits and cache.misses == misses
        metadata = {"started": started, "status": status, "usage": usage, "code_cache": compiled}
        try:
            _warmcell.reply(number, abort, metadata, content)
        except Exception as error:  # a payload or an expression is not JSON
            count = content["execution_count"]
            content = {**error_content(error, None), "execution_count": count, "payload": []}
            _warmcell.reply(number, order.stop_on_error, {**metadata, "status": "error"}, content)

    def _run_there(self, order: Order) -> dict[str, Any]:
        """Runs it in the environment and folder that its request names for it alone."""
        wanted = order.cell_meta.get("warmcell")
        if not isinstance(wanted, dict) or not wanted.keys() & {"env", "cwd", "argv"}:
            return self._run(order)
        place = Place(self._shell)
        try:
            place.enter(wanted)
        except (OSError, TypeError, ValueError) as error:
            place.leave()
            content = error_content(error, [f"{type(error).__name__}: {safe_str(error)}"])
            _warmcell.publish(
                "error", {}, {key: content[key] for key in ("ename", "evalue", "traceback")}
            )
            count = self._shell.execution_count - 1
            return {**content, "execution_count": count, "user_expressions": {}, "payload": []}
        try:
            return self._run(order)
        finally:
            place.leave()

    def _run(self, order: Order) -> dict[str, Any]:
        self.allow_stdin = order.allow_stdin
        self.loop.show(True)
        first = self._shell.execution_count
        try:
            content: dict[str, Any] = _warmcell.interruptible(self._run_heard, order)
        except BaseException as error:  # an interrupt outside of the cell's own code
            content = error_content(error, [f"{type(error).__name__}: {safe_str(error)}"])
            _warmcell.publish(
                "error", {}, {key: content[key] for key in ("ename", "evalue", "traceback")}
            )
        finally:
            self.loop.show(False)
            self.allow_stdin = False
        content.setdefault("user_expressions", {})
        # the counter goes up also with a cell that failed before it ran, but not with an empty one
        counts = order.store_history and not order.silent and content["status"] == "error"
        if counts and self._shell.execution_count == first:
            self._shell.execution_count += 1
        content["execution_count"] = self._shell.execution_count - 1
        content["payload"] = self._shell.payload_manager.read_payload()
        if content["payload"]:
            self._shell.payload_manager.clear_payload()
        return content

    def _run_heard(self, order: Order) -> dict[str, Any]:
        shell = self._shell
        result = run_cell(shell, self.loop, order)
        error = result.error_before_exec or result.error_in_exec
        told = shell.last_error
        if told and (result.error_before_exec is not None or shell.failed_in_display):
            return {"status": "error", **told}
        if error is not None:
            return error_content(error, told["traceback"] if told else None)
        return {
            "status": "ok",
            "user_expressions": shell.user_expressions(order.user_expressions)
            if order.user_expressions
            else {},
        }

"""The kernel as its shell knows it: requests from the link, and the names others look for."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import _warmcell

from warmcell_kernel import answers, branching, frames, tracebacks
from warmcell_kernel.asking import Asker
from warmcell_kernel.eventloop import KernelLoop
from warmcell_kernel.execute import Executor, error_content
from warmcell_kernel.jsonable import read_json
from warmcell_kernel.parents import NOBODY, Message, last_parent, parent_message, set_parent
from warmcell_kernel.shell import ZMQInteractiveShell

Content = dict[str, Any]

QUIET_MS = 100  # without requests, before the next piece of work that can wait
REHEARSE_MS = 20  # from the start, without requests


class Kernel:
    """One interpreter behind one link. ``get_ipython().kernel`` is this object.

    Its public attributes are those of ipykernel's kernel that libraries use.
    """

    implementation = "warmcell"
    protocol_version = "5.4"
    iopub_socket = None
    stdin_socket = None
    shell_stream = None
    control_stream = None
    shell_streams: tuple[Any, ...] = ()
    iopub_thread = None
    eventloop: Any = None

    # whether what is done once in quiet times has been done
    warmed = False
    # in a fork that nobody has asked anything yet: makes its first cell faster
    rehearsal: Callable[[], None] | None = None

    def __init__(self, loop: KernelLoop) -> None:
        self.io_loop = self.loop = loop
        self.connection_file: str | None = None
        self.session = Session("")
        self.shell, self._complaints = make_shell(self)
        self.executor = Executor(self.shell, loop)
        self._asker = Asker(lambda: self.executor.allow_stdin)
        self._asker.install()
        self.raw_input = self._asker.raw_input
        self.getpass = self._asker.getpass
        self.ended = False
        self._answers: dict[str, Callable[[ZMQInteractiveShell, Content], Content]] = {
            "complete_request": answers.complete,
            "inspect_request": answers.inspect,
            "is_complete_request": answers.is_complete,
            "comm_info_request": lambda _, content: self._comms().comm_info(content),
        }

    def begin(self, hello: dict[str, Any], loop: KernelLoop) -> None:
        """Takes over what the host says of this interpreter, and its loop: once."""
        self.io_loop = self.loop = self.executor.loop = loop
        self.connection_file = hello.get("connection_file")
        self.session = Session(str(hello.get("session", "")))
        history = hello.get("history")
        self.shell.begin(history if isinstance(history, dict) else {})
        for complaint in self._complaints:
            print(complaint, file=sys.stderr)

    # --- frames from the host

    def handle_frame(self, kind: int, number: int, parts: list[bytes]) -> None:
        if kind == frames.REQUEST:
            try:
                self.handle_request(number, parts)
            except BaseException as error:  # a bug, or a request that is no JSON: still one answer
                traceback.print_exc()
                _warmcell.reply(number, False, {}, error_content(error, None))
        elif kind == frames.SHUTDOWN:
            self.ended = True
        elif kind == frames.ADOPT:
            adopt(json.loads(parts[0]))
        elif kind == frames.BRANCH:
            branching.branch(self, number, bool(json.loads(parts[0]).get("force")))
        elif kind in (frames.SAVE, frames.RESTORE):
            from warmcell_kernel import snapshot_wire

            snapshot_wire.answer(self.shell, kind, number)

    def handle_request(self, number: int, parts: list[bytes]) -> None:
        """Answers one request, by exactly one REPLY or DONE."""
        msg_type = parts[0].decode()
        try:
            header, metadata, content = map(read_json, parts[1:4])
        except (ValueError, RecursionError) as error:
            # valid JSON that Python does not read: thousands of digits, or of nested lists
            self._refuse(number, msg_type, error)
            return
        message: Message = {
            "header": header,
            "parent_header": {},
            "metadata": metadata,
            "content": content,
            "buffers": parts[4:],
            "msg_type": msg_type,
            "warmcell_number": number,
        }
        message["msg_id"] = message["header"].get("msg_id", "")
        set_parent((number, message))
        if msg_type == "execute_request":
            self.executor.execute(number, message)
        elif msg_type in self._answers:
            self._reply(number, self._answer(msg_type, message["content"]))
        else:
            if msg_type in ("comm_open", "comm_msg", "comm_close"):
                self._handle_comm(message)
            _warmcell.send(frames.DONE, number)
        if _warmcell.forked():
            # a child that came out of user code has nobody to serve
            _warmcell.flush()
            os._exit(0)

    def _refuse(self, number: int, msg_type: str, error: BaseException) -> None:
        content = error_content(error, traceback.format_exception_only(error))
        if msg_type == "execute_request":
            content["execution_count"] = self.shell.execution_count
        if msg_type == "execute_request" or msg_type in self._answers:
            self._reply(number, content)
        else:
            _warmcell.send(frames.DONE, number)

    @staticmethod
    def _reply(number: int, content: Content) -> None:
        try:
            _warmcell.reply(number, False, {}, content)
        except Exception as error:  # a completer or inspector gave what is not JSON
            _warmcell.reply(number, False, {}, error_content(error, None))

    def _answer(self, msg_type: str, content: Content) -> Content:
        function = self._answers[msg_type]
        try:
            return _warmcell.interruptible(function, self.shell, content)
        except BaseException as error:
            if msg_type == "complete_request" and isinstance(content.get("code"), str):
                return answers.no_completions(content)
            return error_content(error, traceback.format_exception_only(error))

    def _handle_comm(self, message: Message) -> None:
        self.loop.show(True)
        try:
            _warmcell.interruptible(self._comms().handle, message)
        except BaseException:
            traceback.print_exc()
        finally:
            self.loop.show(False)

    @staticmethod
    def _comms() -> Any:
        from warmcell_kernel import comms

        return comms

    def chores(self) -> Iterator[None]:
        """What makes later requests faster, in steps of some milliseconds."""
        return tracebacks.warm_up(self.shell)

    # --- the loop between requests

    def serve(self) -> None:
        """Until SHUTDOWN: waits for requests, while the user's asyncio tasks and GUI go on."""
        wake = _warmcell.wake_fd()
        chores = None if self.warmed else self.chores()
        while not self.ended:
            try:
                if not _warmcell.pending() and self.loop.busy():
                    self.loop.run_until_readable(wake)
                    if not _warmcell.pending():
                        continue
                elif self.eventloop is not None and not _warmcell.pending():
                    self.eventloop(self)
                idle_ms = QUIET_MS if chores and self.execution_count > 1 else -1
                if self.rehearsal is not None:
                    idle_ms = REHEARSE_MS
                frame = _warmcell.wait((self.loop.wake_descriptor(),), idle_ms)
                if frame is not None:
                    if frame[0] == frames.REQUEST:
                        self.rehearsal = None
                    self.handle_frame(*frame)
                    continue
                self.loop.run_soon()
                if self.rehearsal is not None:
                    rehearsal, self.rehearsal = self.rehearsal, None
                    rehearsal()
                    continue
                if chores is not None and idle_ms >= 0 and next(chores, self) is self:
                    chores = None
            except (SystemExit, branching.Branched):
                raise
            except BaseException:
                traceback.print_exc()

    # --- names that others look for

    @property
    def comm_manager(self) -> Any:
        return self._comms().manager()

    @property
    def user_ns(self) -> dict[str, Any]:
        namespace: dict[str, Any] = self.shell.user_ns
        return namespace

    @property
    def user_module(self) -> Any:
        return self.shell.user_module

    @property
    def execution_count(self) -> int:
        return int(self.shell.execution_count)

    @property
    def ident(self) -> str:
        return self.session.session

    @property
    def _parent_header(self) -> Message:
        message: Message = parent_message()
        return message

    @property
    def _parent_ident(self) -> dict[str, bytes]:
        return {"shell": self.session.bsession, "control": self.session.bsession}

    def get_parent(self, channel: str | None = None) -> Message:
        """The request that the running code belongs to."""
        return parent_message()

    def set_parent(self, ident: Any, parent: Message, channel: str = "shell") -> None:
        set_parent((self.number_of(parent), parent))

    @staticmethod
    def number_of(parent: Message) -> int:
        """The link's number of a request that get_parent() gave; 0 for anything else."""
        if "warmcell_number" in parent:
            return int(parent["warmcell_number"])
        number, last = last_parent()
        wanted = parent.get("header", parent)
        same = isinstance(wanted, dict) and wanted.get("msg_id") == last["header"].get("msg_id")
        return number if same else NOBODY[0]

    async def do_one_iteration(self) -> None:
        """Requests come one at a time; there is nothing to take while one runs."""

    def do_shutdown(self, restart: bool) -> Content:
        self.shell.ask_exit()
        return {"status": "ok", "restart": restart}

    def do_complete(self, code: str, cursor_pos: int | None) -> Content:
        return answers.complete(self.shell, {"code": code, "cursor_pos": cursor_pos})

    def do_inspect(
        self, code: str, cursor_pos: int, detail_level: int = 0, omit_sections: Any = ()
    ) -> Content:
        return answers.inspect(
            self.shell,
            {
                "code": code,
                "cursor_pos": cursor_pos,
                "detail_level": detail_level,
                "omit_sections": omit_sections,
            },
        )

    def do_is_complete(self, code: str) -> Content:
        return answers.is_complete(self.shell, {"code": code})

    def send_response(
        self,
        stream: Any,
        msg_or_type: Any,
        content: Content | None = None,
        ident: Any = None,
        buffers: Any = None,
        track: bool = False,
        header: Any = None,
        metadata: Content | None = None,
        channel: str | None = None,
    ) -> None:
        """Publishes a message with the running request as its parent."""
        _warmcell.publish(str(msg_or_type), metadata or {}, content or {}, buffers)


class Session:
    """The parts of jupyter_client's Session that code in a kernel asks for."""

    def __init__(self, session: str) -> None:
        self.session = session
        self.bsession = session.encode()
        self.username = os.environ.get("USER", "username")

    def msg(
        self,
        msg_type: str,
        content: Content | None = None,
        parent: Message | None = None,
        header: Content | None = None,
        metadata: Content | None = None,
    ) -> Message:
        parent_header = parent.get("header", parent) if parent else {}
        return {
            "header": header or {"msg_type": msg_type, "session": self.session},
            "msg_type": msg_type,
            "parent_header": parent_header,
            "content": content or {},
            "metadata": metadata or {},
        }

    def send(
        self,
        stream: Any,
        msg_or_type: Any,
        content: Content | None = None,
        parent: Message | None = None,
        ident: Any = None,
        buffers: Any = None,
        track: bool = False,
        header: Any = None,
        metadata: Content | None = None,
    ) -> Message:
        """Publishes on IOPub, whichever stream is named."""
        message = msg_or_type
        if not isinstance(message, dict):
            message = self.msg(str(msg_or_type), content, parent, header, metadata)
        flat = buffers if buffers is not None else message.get("buffers")
        _warmcell.publish(message["msg_type"], message["metadata"], message["content"], flat)
        return message  # type: ignore[no-any-return]


def adopt(orders: dict[str, Any]) -> None:
    """Takes over the environment and working directory of whoever the kernel is for."""
    for name, value in (orders.get("env") or {}).items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = str(value)
    cwd = orders.get("cwd")
    if cwd:
        os.chdir(cwd)


def make_shell(kernel: Kernel) -> tuple[ZMQInteractiveShell, list[str]]:
    """The shell, configured as ipykernel configures its own, with its module as __main__.

    Beside it: what is wrong with the configuration.
    """
    from warmcell_kernel import startup

    config, complaints = startup.load_config()
    shell: ZMQInteractiveShell = ZMQInteractiveShell.instance(config=config, kernel=kernel)
    sys.modules["__main__"] = shell.user_module
    return shell, complaints

"""A kernel under load: a cell that prints thousands of numbered lines, each counted in a file once
it is flushed, and a session that accounts for every one of them, also when it has to come back.
"""

from __future__ import annotations

import time
from pathlib import Path

from account import Account, Cell, Lost, run_cell
from harness.message import execute_content
from harness.processes import BenchError
from harness.servers import Server

LINES = 4000
TEXT = "".join(f"line {i:05d}\n" for i in range(LINES))
LINE_CHARS = len("line 00000\n")

# each line is flushed and then counted in a file that survives the process
CODE = """
import os, time
def count_lines(path):
    with open(path, "wb", 0) as done:
        for i in range({lines}):
            print(f"line {{i:05d}}", flush=True)
            os.pwrite(done.fileno(), b"%08d" % (i + 1), 0)
            if i % 100 == 99: time.sleep(0.005)
count_lines({path!r})
"""

PATIENCE_S = 20  # without any message, while something is owed


class Load:
    """One kernel, a session that comes back to it, and the cell that it runs now."""

    def __init__(self, server: Server, kernel_id: str, told: str, mark: Path) -> None:
        """told, mark: the file of counts as the kernel finds it, and as we do."""
        self.server = server
        self.kernel_id = kernel_id
        self.told = told
        self.mark = mark
        self.doubles = 0
        self.account = Account()
        self.request = b""
        self.client = server.open(kernel_id)
        self.client.socket.settimeout(PATIENCE_S)
        run_cell(self.client, "pass").check_whole("")

    def pid(self) -> int:
        """The interpreter's pid, as the interpreter counts: one that was forked is no child of its
        host."""
        said = run_cell(self.client, "import os\nprint(os.getpid())").text
        if not said.strip().isdigit():
            raise Lost(f"the interpreter says {said!r} when asked for its pid")
        return int(said)

    def begin(self) -> None:
        """Starts the cell; a request is owed an answer once busy says so."""
        self.mark.unlink(missing_ok=True)
        self.account = Account()
        code = CODE.format(lines=LINES, path=self.told)
        self.request = self.client.send("execute_request", execute_content(code))
        while not self.cell().states:
            self.account.add(self.client.receive())

    def cell(self) -> Cell:
        return self.account.of(self.request)

    def receive_for(self, seconds: float) -> None:
        """Receives for a while, so that the kill meets output on its way."""
        until = time.monotonic() + seconds
        try:
            while (left := until - time.monotonic()) > 0:
                self.client.socket.settimeout(max(0.001, left))
                self.account.add(self.client.receive())
        except BenchError:
            pass  # nothing more came in time
        finally:
            self.client.socket.settimeout(PATIENCE_S)

    def receive_rest(self) -> Cell:
        """Receives until the cell has ended."""
        while not self.account.has_ended(self.request):
            try:
                self.account.add(self.client.receive())
            except BenchError as error:
                so_far = self.cell()
                raise Lost(
                    f"{error}; so far {len(so_far.text)} characters, states {so_far.states}, "
                    f"reply {so_far.reply}"
                ) from None
        return self.cell()

    def drain(self) -> None:
        """Takes in what was on its way when the gateway died."""
        try:
            while True:
                self.account.add(self.client.receive())
        except (OSError, BenchError):
            pass

    def reconnect(self) -> None:
        """Comes back as the same session."""
        session = self.client.session
        self.client.close()
        self.client = self.server.open(self.kernel_id, session=session)
        self.client.socket.settimeout(PATIENCE_S)

    def check_whole(self) -> None:
        """Fails unless the cell ends with every line, as if nothing had happened."""
        self.receive_rest().check_whole(TEXT)
        self.doubles += self.account.doubles

    def check_broken(self) -> bool:
        """Fails unless all that was flushed is there, then an error that says why, reply and idle;
        or the whole. True: it had ended well before the kill."""
        cell = self.receive_rest()
        cell.check_prefix(TEXT, self.written())
        self.doubles += self.account.doubles
        if cell.reply.get("status") == "ok":
            cell.check_whole(TEXT)
            return True
        if cell.reply.get("status") != "error" or len(cell.errors) != 1:
            raise Lost(f"the reply is {cell.reply}, the errors are {cell.errors}")
        return False

    def check_again(self, ended_well: bool = False) -> None:
        """Fails unless the next cell runs; ended_well: the death may be told to this one."""
        again = run_cell(self.client, "print('again')")
        if again.reply.get("ename") == "KernelDied" and ended_well:
            again = run_cell(self.client, "print('again')")
        again.check_whole("again\n")

    def written(self) -> int:
        """How many characters were flushed for certain."""
        try:
            return int(self.mark.read_bytes() or b"0") * LINE_CHARS
        except FileNotFoundError:
            return 0

    def close(self) -> None:
        self.client.close()

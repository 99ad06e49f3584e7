"""In and Out as usual; the file of earlier sessions is only read here. The host writes it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import _warmcell
from IPython.core.history import DummyDB, HistoryManager, catch_corrupt_db

from warmcell_kernel import frames
from warmcell_kernel.parents import last_parent


class KernelHistory(HistoryManager):
    """Sends each input to the host, and opens the file for reading when it is first asked for."""

    db: Any
    _file: str | None = None
    # traits in IPython: all four are set in each cell
    _i00: Any = ""
    _i: Any = ""
    _ii: Any = ""
    _iii: Any = ""

    def __init__(self, shell: Any, **traits: Any) -> None:
        super().__init__(shell=shell, enabled=False, hist_file=":memory:", **traits)

    def begin(self, file: str | None, session: int) -> None:
        """Where earlier sessions are, and the number of this one."""
        self._file = file
        self.session_number = session
        self.enabled = file is not None
        self.dir_hist[:] = [Path.cwd()]

    def store_inputs(self, line_num: int, source: str, source_raw: str | None = None) -> None:
        """As IPython's, with the host in place of the database."""
        parsed = source.rstrip("\n")
        raw = parsed if source_raw is None else source_raw.rstrip("\n")
        if self._exit_re.match(raw.strip()):  # exit and quit
            return
        self.input_hist_parsed.append(parsed)
        self.input_hist_raw.append(raw)
        self._iii, self._ii, self._i, self._i00 = self._ii, self._i, self._i00, raw
        names = {"_i": self._i, "_ii": self._ii, "_iii": self._iii, f"_i{line_num}": raw}
        if self.shell is not None:
            self.shell.push(names, interactive=False)
        _warmcell.send(
            frames.HISTORY,
            last_parent()[0],
            str(line_num).encode(),
            parsed.encode("utf-8", "replace"),
            raw.encode("utf-8", "replace"),
        )

    def store_output(self, line_num: int) -> None:
        """Outputs are not part of the stored history."""

    def writeout_cache(self, conn: Any = None) -> None:
        """The host writes; nothing waits here."""

    def new_session(self, conn: Any = None) -> None:
        """Sessions are the host's."""

    def end_session(self) -> None:
        """Sessions are the host's."""

    def _connect(self) -> None:
        if not isinstance(self.db, DummyDB) or not self._file or not Path(self._file).exists():
            return
        import sqlite3

        uri = f"{Path(self._file).absolute().as_uri()}?mode=ro"
        types = sqlite3.PARSE_DECLTYPES | sqlite3.PARSE_COLNAMES
        self.db = sqlite3.connect(uri, uri=True, detect_types=types, check_same_thread=False)

    def _run_sql(self, *args: Any, **kwargs: Any) -> Iterable[Any]:
        self._connect()
        if isinstance(self.db, DummyDB):
            return []
        rows: Iterable[Any] = super()._run_sql(*args, **kwargs)
        return rows

    @catch_corrupt_db
    def get_session_info(self, session: int = 0) -> Any:
        self._connect()
        if isinstance(self.db, DummyDB):
            return None
        return super().get_session_info(session)

"""Saving the variables of a namespace and restoring them into another one."""

from __future__ import annotations

import hashlib
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
import pytest
from warmcell_kernel import snapshot


class Namespace:
    """What cells have run in: __main__ while they do."""

    def __init__(self) -> None:
        self.module = types.ModuleType("__main__")
        self.names = self.module.__dict__
        self.hidden = dict(self.names)

    @contextmanager
    def current(self) -> Iterator[None]:
        before, sys.modules["__main__"] = sys.modules["__main__"], self.module
        try:
            yield
        finally:
            sys.modules["__main__"] = before

    def run(self, code: str) -> Any:
        """Runs a cell; gives the value of its last line, an expression."""
        *lines, last = code.strip().split("\n")
        with self.current():
            exec(compile("\n".join(lines), "cell", "exec"), self.names)
            return eval(last, self.names)

    def save(self, marks: snapshot.Marks | None = None) -> snapshot.Snapshot:
        with self.current():
            return snapshot.save(self.names, self.hidden, marks)

    def restore(self, saved: snapshot.Snapshot) -> dict[str, Any]:
        buffers = [bytearray(buffer) for buffer in saved.buffers]
        with self.current():
            return snapshot.restore(self.names, saved.head, bytes(saved.pickle), buffers)


def moved(code: str) -> tuple[Namespace, dict[str, Any]]:
    """Another namespace with what a cell had made, and what was said of it."""
    first, second = Namespace(), Namespace()
    first.run(code + "\nNone")
    saved = first.save()
    first.names.clear()
    return second, second.restore(saved)


def mark(key: bytes, data: Any) -> bytes:
    """As one of a gateway does, it tells whether data are the same."""
    return hashlib.blake2b(data, key=key, digest_size=16).digest()


def reasons(answer: dict[str, Any]) -> dict[str, str]:
    return {one["name"]: one["reason"] for one in answer["not_restored"]}


WHOLE = [
    ("x = 1; s = 'ü'; d = {'a': [1.5, None]}", "(x, s, d)", (1, "ü", {"a": [1.5, None]})),
    ("import math as m, os.path", "(m.floor(2.5), os.path.join('a', 'b'))", (2, "a/b")),
    ("def f(a, b=2, *, c=3): return a + b + c", "(f(1), f(1, c=0), f.__defaults__)", (6, 3, (2,))),
    ("def f(n): return 1 if n < 2 else n * f(n - 1)", "f(5)", 120),
    ("f = lambda x: y + x\ny = 10", "f(5)", 15),
    ("def outer():\n n = 5\n def inner(k): return n + k\n return inner\ng = outer()", "g(2)", 7),
    ("def outer():\n def up(n): return n and 1 + up(n - 1)\n return up\nup = outer()", "up(4)", 4),
    ("def f(): 'words'\nf.mark = 3", "(f.__doc__, f.mark, f.__qualname__)", ("words", 3, "f")),
    ("class A:\n x = 1\n def f(self): return self.x\na = A(); a.x = 7", "(a.f(), type(a) is A)",
     (7, True)),
    ("class A:\n def f(self): return 'A'\nclass B(A):\n def f(self): return super().f() + 'B'\n"
     "b = B()", "(b.f(), B.__mro__[1] is A)", ("AB", True)),
    ("class P:\n __slots__ = ('x', '__y')\n def __init__(self): self.x = 1; self.__y = 2\n"
     " def y(self): return self.__y\np = P()", "(p.x, p.y())", (1, 2)),
    ("class T:\n @property\n def p(self): return 4\n @staticmethod\n def s(): return 5\n"
     " @classmethod\n def c(cls): return cls.__name__\nt = T()", "(t.p, t.s(), t.c())", (4, 5, "T")),
    ("import functools\nclass C:\n @functools.cached_property\n def v(self): return [1]\n"
     "@functools.lru_cache(maxsize=7)\ndef f(n): return n * 2\nc = C()",
     "(c.v is c.v, f(4), f.cache_parameters()['maxsize'])", (True, 8, 7)),
    ("import dataclasses as dc\n@dc.dataclass(order=True)\nclass D:\n a: int\n"
     " b: list = dc.field(default_factory=list)\nd = D(1)",
     "(d, D(2) > d, dc.replace(d, a=9).a, [f.name for f in dc.fields(D)])", None),
    ("import enum\nclass E(enum.Enum):\n A = 1\n B = 2\n C = 1\n def twice(self): return self.value * 2"
     "\ne = E.B", "(e is E.B, E(1) is E.A is E.C, e.twice(), list(E.__members__))",
     (True, True, 4, ["A", "B", "C"])),
    ("import enum\nclass F(enum.IntFlag):\n R = 1\n W = 2\nf = F.R | F.W", "(f == 3, F.R in f)",
     (True, True)),
    ("from collections import namedtuple\nN = namedtuple('N', 'a b')\nn = N(1, b=2)",
     "(n.b, N(3, 4)._replace(a=5))", (2, (5, 4))),
    ("from typing import NamedTuple, Generic, TypeVar\nT = TypeVar('T')\nclass G(Generic[T]):\n"
     " def __init__(self, v: T): self.v = v\nclass Q(NamedTuple):\n k: int = 3\ng = G[int](4)",
     "(g.v, Q().k, G[str]('x').v, G.__parameters__ == (T,))", (4, 3, "x", True)),
    ("import abc\nclass A(abc.ABC):\n @abc.abstractmethod\n def f(self): ...\nclass B(A):\n"
     " def f(self): return 1\nb = B()", "(b.f(), isinstance(b, A), A.__abstractmethods__)",
     (1, True, frozenset({"f"}))),
    ("made = []\nclass Base:\n def __init_subclass__(cls, *, tag): made.append(tag)\n"
     "class Sub(Base, tag='t'): pass\nclass I(int, Base, tag='i'): pass", "(made, I(4) + 1)",
     (["t", "i"], 5)),
    ("class M(type):\n def __new__(m, n, b, d, **k): raise_if(n); return super().__new__(m, n, b, d)\n"
     "raise_if = lambda n: None\nclass A(metaclass=M): z = 1", "(type(A) is M, A.z)", (True, 1)),
    ("class X(Exception):\n def __init__(self, a): super().__init__(a); self.a = a\nx = X(3)",
     "(x.a, isinstance(x, X), x.args)", (3, True, (3,))),
    ("def g():\n yield 1\n yield 2\nasync def h(): return 1", "(list(g()), h.__name__)", ([1, 2], "h")),
    ("ns = {}\nexec('def f(): return k', ns); ns['k'] = 6; f = ns['f']",
     "(f(), f.__globals__ is ns)", (6, True)),
    ("import sys\nme = sys.modules['__main__']; here = globals(); x = 3", "(me.x, here is globals())",
     (3, True)),
    ("import re, datetime, decimal, fractions, pathlib, collections\n"
     "v = [re.compile('a+'), datetime.date(2024, 1, 2), decimal.Decimal('1.5'), pathlib.Path('a'),"
     " fractions.Fraction(1, 3), collections.Counter('aab'), range(3), 1j, slice(1, 2), print, len]",
     "(v[0].match('aa').group(), v[1].year, v[5]['a'], v[-1]([1]))", ("aa", 2024, 2, 1)),
    ("_mine = 5\n_ = 6\n_i1 = 'x'\nIn = []", "(_mine, '_' in globals(), 'In' in globals())",
     (5, False, False)),
]  # fmt: skip


@pytest.mark.parametrize(("code", "look", "expected"), WHOLE)
def test_what_cells_make_comes_back(code: str, look: str, expected: Any) -> None:
    first = Namespace()
    if expected is None:
        expected = eval(repr(first.run(f"{code}\n{look}")), first.names)
    space, answer = moved(code)
    assert answer["not_restored"] == []
    found = space.run(look)
    assert found == expected or repr(found) == repr(expected)


def test_a_function_lives_in_the_namespace_that_it_comes_into() -> None:
    space, _ = moved(
        "x = 1\ndef f(): return x\ndef set(): \n global x\n x = 5\nclass A:\n v = lambda s: f()"
    )
    assert space.run("x = 2\nf()") == 2
    assert space.run("f.__globals__ is globals()")
    assert space.run("set()\n(x, A().v())") == (5, 5)


def test_what_variables_share_stays_shared() -> None:
    space, _ = moved(
        "import numpy as np\na = [1]; b = {'a': a}; a.append(b)\nbig = np.zeros(10**6); view = big[:10]\n"
        "also = big\ndef f(): return a\nf.kept = big"
    )
    assert (
        space.run("(b['a'] is a, a[1] is b, also is big, f.kept is big, f() is a)") == (True,) * 5
    )


VIEWS = """
import numpy as np, pandas as pd
big = np.arange(10**6); view = big[:10]; back = big[::-2]
square = big.reshape(1000, 1000).T; rows = [square[:, 3], big[7:8]]
days = np.array(["2026-01-01", "2026-01-02"], "datetime64[D]"); day = days[1:]
still = big[100:200]; still.flags.writeable = False
lonely = np.zeros(10**6)[5:8]; first, *_ = pair = [np.ones(4)[1:]] * 2
broad = np.broadcast_to(big[:3], (2, 3)); bits = big.view("u1")[8:16]; none = big[:0]
words = np.array(["a", [1]], object); word = words[1:]
class Own(np.ndarray): pass
own = big.view(Own)
frame = pd.DataFrame({"a": [1, 2]}); mask = frame["a"].to_numpy() > 1
None"""


def test_arrays_that_have_their_memory_in_common_still_have() -> None:
    first, second, third = Namespace(), Namespace(), Namespace()
    first.run(VIEWS)
    saved = first.save()
    assert sum(buffer.nbytes for buffer in saved.buffers) < 2.1 * first.names["big"].nbytes
    assert second.restore(saved)["not_restored"] == []
    assert third.restore(second.save())["not_restored"] == [], "what was restored is saved again"
    for name in ("view", "back", "square", "still", "lonely", "broad", "bits", "none", "day"):
        for space in (second, third):
            assert np.array_equal(space.names[name], first.names[name]), name
    assert third.run(
        "big[0] = big[3] = 99; big[105] = big[7] = -1; days[1] = '1999-09-09'; words[1] = 5\n"
        "(view[0], back[-1], square[3, 0], still[5], rows[0][0], rows[1][0], broad[1, 0],"
        " still.flags.writeable, str(day[0]), pair[0] is pair[1], back.strides)"
    ) == (99, first.names["back"][-1], 99, -1, 3000, -1, 99, False, "1999-09-09", True, (-16,))
    assert third.run("view[1] = 7\n(big[1], bits[0], int(big[1]))") == (7, 7, 7)
    assert third.names["lonely"].base is None or third.names["lonely"].base.nbytes < 100


def test_arrays_and_frames_are_buffers_beside_the_pickle() -> None:
    first, second = Namespace(), Namespace()
    first.run(
        "import numpy as np, pandas as pd\na = np.arange(10**6); small = np.arange(3)\n"
        "f = np.asfortranarray(a.reshape(1000, -1)); s = a[:1000:2]\nr = a.copy(); r.flags.writeable = False\n"
        "df = pd.DataFrame({'x': np.arange(50000.0), 'y': ['t'] * 50000})\nNone"
    )
    saved = first.save()
    assert {8 * 10**6, 4 * 10**5} <= {buffer.nbytes for buffer in saved.buffers}
    assert saved.pickle.nbytes < 10**6
    mine = first.names["a"]
    assert any(np.shares_memory(np.frombuffer(b, np.int64), mine) for b in saved.buffers
               if b.nbytes == mine.nbytes), "an array was copied"  # fmt: skip
    assert second.restore(saved)["not_restored"] == []
    for name in ("a", "small", "f", "s", "r"):
        assert np.array_equal(second.names[name], first.names[name])
    pd.testing.assert_frame_equal(second.names["df"], first.names["df"])
    look = "a[0] = 9\n(a[0], f.flags.f_contiguous, r.flags.writeable)"
    assert second.run(look) == (9, True, False)


def test_an_unchanged_buffer_is_named_and_not_sent() -> None:
    space = Namespace()
    space.run("import numpy as np\na = np.zeros(10**6); b = np.ones(10**6)\nNone")
    known = [(b.nbytes, f"k:{mark(b'k', b).hex()}") for b in space.save().buffers]
    again = space.save(snapshot.Marks(known, mark))
    assert again.buffers == []
    assert [(one["bytes"], one["same"]) for one in again.head["buffers"]] == known
    space.run("b[5] = 7\nNone")
    older = [(8 * 10**6, "0" * 128), (8 * 10**6, f"other:{'0' * 32}")]
    changed = space.save(snapshot.Marks(known + older, mark))
    assert [one["same"] is None for one in changed.head["buffers"]] == [False, True]
    assert len(changed.buffers) == 1


def test_without_marks_all_is_sent() -> None:
    def fails(key: bytes, data: Any) -> bytes:
        raise OSError("there is no libcrypto")

    space = Namespace()
    space.run("import numpy as np\na = np.zeros(10**6)\nNone")
    known = [(8 * 10**6, f"k:{'0' * 32}")]
    assert len(space.save(snapshot.Marks(known, fails)).buffers) == 1


def test_what_cannot_be_saved_is_named_and_spoils_nothing() -> None:
    space, answer = moved(
        "import threading, sys, types\nlock = threading.Lock(); x = [1]; y = {'x': x}\n"
        "gen = (i for i in x); f = open('/dev/null')\nclass Bad:\n def __reduce__(self): raise KeyError('no')\n"
        "bad = Bad(); holder = [x, bad]\nmade = types.ModuleType('made')\ndeep = []\n"
        "for _ in range(10**5): deep = [deep]"
    )
    assert space.run("(y['x'] is x, Bad.__name__)") == (True, "Bad")
    found = reasons(answer)
    assert set(found) == {"lock", "gen", "f", "bad", "holder", "made", "deep"}
    assert found["lock"] == "TypeError: cannot pickle '_thread.lock' object"
    assert found["bad"] == found["holder"] == "KeyError: 'no'"
    assert found["made"].endswith("module 'made' cannot be imported by its name")
    assert found["deep"].startswith("RecursionError")


def test_what_cannot_be_restored_is_named_and_spoils_nothing(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "gone_soon.py").write_text("class A: pass\n")
    first, second = Namespace(), Namespace()
    first.run(
        "import gone_soon, builtins\nx = [1]; a = gone_soon.A(); both = (x, a); y = {'x': x}\n"
        "class Picky:\n def __getstate__(self): return {'k': 1}\n"
        " def __setstate__(self, s): raise ValueError('not today')\np = Picky(); q = [p]\n"
        "def f(): return a\ndef g(z=a): return z\nf.n = {1: 2}; t = {3}\nNone"
    )
    saved = first.save()
    assert saved.head["not_saved"] == []
    del sys.modules["gone_soon"]
    (tmp_path / "gone_soon.py").unlink()
    answer = second.restore(saved)
    found = reasons(answer)
    gone = "ModuleNotFoundError: No module named 'gone_soon'"
    assert {n: found[n] for n in ("gone_soon", "a", "both", "g")} == dict.fromkeys(
        ("gone_soon", "a", "both", "g"), gone
    )
    assert found["p"] == found["q"] == "ValueError: not today"
    assert set(answer["restored"]) == {"builtins", "x", "y", "Picky", "f", "t"}
    assert second.run("(y['x'] is x, f.n, t)") == (True, {1: 2}, {3})


def test_the_head_says_what_there_is() -> None:
    space = Namespace()
    space.run("x = 1; s = 'a'\nNone")
    head = space.save().head
    assert head["variables"] == [{"name": "x", "type": "int"}, {"name": "s", "type": "str"}]
    assert (head["version"], head["not_saved"], head["buffers"]) == (1, [], [])
    with pytest.raises(ValueError, match="of version 2, not 1"):
        space.restore(snapshot.Snapshot(head | {"version": 2}, memoryview(b""), []))

"""The proof that a cell needs no transformation, held against IPython's own transformer: whatever
the proof lets pass, IPython leaves as it is."""

from __future__ import annotations

import ast
import inspect
import random
import sys
from collections.abc import Iterator
from types import ModuleType

import pytest
from IPython.core.autocall import IPyAutocall
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.macro import Macro
from support.programs import ROOT
from traitlets.config import Config

sys.path.insert(0, str(ROOT / "kernel" / "python"))
from warmcell_kernel import transform

# what the generator strings together: every character and word that one of IPython's steps looks
# at, the ends of lines and blanks that its cleaning changes, and plain Python around them
FRAGMENTS: list[str] = [
    *"?!%,;/=()[]{}:.\\'\"#@*-+<>&|~`$ \t\n\r\x0b\x0c\x1c\x85\u2028\u00a0",
    *("\n", "\n", "\n\n", "\r\n", "    ", "  ", "\\\n", '"""', "'''", "!!", "??", "%%"),
    *("%%bash",),
    *(">>>", ">>> ", "... ", "...:", "   ...: ", "In [1]: ", "[ins] In [2]: ", "Out[1]: ", "..."),
    *("x", "y = ", "a = %", "b = !", "c==", "!=", "%s", "%time", "ls", "cd ..", "exit", "quit"),
    *(
        "mac",
        "print",
        "print(1)",
        "f(x)",
        "os.path",
        "x?",
        "x??",
        "?x",
        "d['k']",
        "1",
        "2.5",
        "'s'",
    ),
    *("f'{x!r}'", "if x:", "for i in y:", "def f():", "class A:", "return", "pass", "lambda: 0"),
    *("await z", "async", "import os", "from a import b", "@dec", "x: int = 3", "x := 4", "x %= 2"),
    *("x /= 2", "[1,\n2]", "# comment", "#?", "'?'", "'%d' % 3", "x%y", "x /y", "*args", "/f x"),
    *(",f a b", ";f a b", "é", "名"),
]
PLAIN = [
    "random",
    "textwrap",
    "json.decoder",
    "dataclasses",
    "statistics",
    "heapq",
    "csv",
    "fractions",
]


@pytest.fixture(scope="module")
def shell() -> Iterator[InteractiveShell]:
    shell = InteractiveShell(config=Config(HistoryManager={"enabled": False}))

    class Auto(IPyAutocall):  # type: ignore[misc]
        def __call__(self, *args: object) -> None: ...

    shell.user_ns.update(mac=Macro("x = 1"), auto=Auto(), x=1, os=1)
    yield shell
    InteractiveShell.clear_instance()


def check(shell: InteractiveShell, cell: str) -> bool:
    """Whether the cell passed the proof, which must then be true."""
    proved = transform.unchanged(shell, cell)
    if proved is None:
        return False
    try:
        transformed = shell.transform_cell(cell)
    except IndentationError:
        # the tokenizer's refusal; the compiler refuses too, and the shell then shows the former
        with pytest.raises(SyntaxError):
            compile(cell, "cell", "exec")
        return True
    assert proved == transformed, repr(cell)
    return True


def generated(count: int) -> Iterator[str]:
    rng = random.Random(20260101)
    for _ in range(count):
        yield "".join(rng.choices(FRAGMENTS, k=rng.randrange(1, 9)))


def test_generated_cells(shell: InteractiveShell) -> None:
    passed = sum(check(shell, cell) for cell in generated(30_000))
    assert passed > 1500  # enough to mean something; most fragments are suspicious


def mutated(source: str, rng: random.Random) -> str:
    at = rng.randrange(len(source) + 1)
    put_in: str = rng.choice(FRAGMENTS)
    return source[:at] + put_in + source[at + rng.randrange(3) :]


def statements(module: ModuleType) -> list[str]:
    source = inspect.getsource(module)
    segments = [ast.get_source_segment(source, node) for node in ast.parse(source).body]
    return [segment for segment in segments if segment]


@pytest.mark.parametrize("name", PLAIN)
def test_plain_python(shell: InteractiveShell, name: str) -> None:
    """Real code, whole and with something put into it, passes often, and rightly."""
    cells = statements(__import__(name, fromlist=["_"]))
    rng = random.Random(name)
    whole = [check(shell, cell) for cell in cells]
    assert sum(whole) >= len(whole) * 0.5
    for cell in cells:
        for _ in range(4):
            check(shell, mutated(cell[:2000], rng))


@pytest.mark.parametrize(
    "cell",
    [
        "%time 1",
        "  %time 1",
        "!ls",
        "x = !ls",
        "x = \\\n  %pwd",
        "print?",
        "?print",
        "a\nprint?\n",
        "%%bash\nls",
        ">>> 1 + 1",
        "In [3]: 1 + 1",
        "   ...: x",
        "/f x",
        ",f a b",
        "ls",
        "exit",
        "quit",
        "mac",
        "auto 3",
        "  x = 1",
        "\nx = 1",
        "x = '''\n   \n'''",
        "cd ..",
        "who",
        "f(\n%x)",
    ],
)
def test_what_is_changed_never_passes(shell: InteractiveShell, cell: str) -> None:
    assert transform.unchanged(shell, cell) is None


@pytest.mark.parametrize(
    "cell",
    [
        "1 + 1",
        "pass",
        "x = 1\ny = 2\n",
        "print('a', 5 % 3)",
        "for i in range(3):\n    print(i)\n\nx != 3",
        "import os",
        "df.head()",
        "def f(a=1):\n    '''doc'''\n    return a / 2",
        "@decorator\nclass A:\n    pass",
        "who = 1\nwho",
        "'é' + '名'",
        "x if x else y",
    ],
)
def test_everyday_cells_pass(shell: InteractiveShell, cell: str) -> None:
    assert check(shell, cell)


def test_changes_of_the_transformers_are_noticed(shell: InteractiveShell) -> None:
    assert check(shell, "1 + 1")
    shell.input_transformers_post.append(lambda _: ["2\n"])
    assert transform.unchanged(shell, "1 + 1") is None
    shell.input_transformers_post.clear()
    manager = shell.input_transformer_manager
    for transforms in (manager.cleanup_transforms, manager.line_transforms):
        transforms.append(lambda _: ["3\n"])
        assert transform.unchanged(shell, "1 + 1") is None
        transforms.pop()
    shell.autocall = 1
    assert transform.unchanged(shell, "f 1") is None
    shell.autocall = 0
    assert check(shell, "1 + 1")

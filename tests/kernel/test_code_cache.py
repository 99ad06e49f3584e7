"""Cells that run again: what is kept of them, that it is counted truly, and that nobody can tell
but by the time it takes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from kernel.interpreters import start
from kernel.link_peer import Answer, Interpreter
from support.programs import Programs


@pytest.fixture
def plain(programs: Programs) -> Iterator[Interpreter]:
    """The entries differ in how they begin alone."""
    interpreter = start("embedded", programs)
    yield interpreter
    interpreter.close()


def cached(answer: Answer) -> tuple[int, int, int, bool]:
    found = answer.metadata["code_cache"]
    return found["cached"], found["hits"], found["misses"], found["hit"]


SPY = """
import builtins, sys
seen = []
def spy(event, args):
    if event == "compile" and watched:
        seen.append(args)
watched = False
sys.addaudithook(spy)
"""


def test_a_hit_compiles_nothing(plain: Interpreter) -> None:
    """Python itself is asked: every compilation is an event of its audit."""
    plain.run(SPY)
    cell = "watched = True\nx = [n * n for n in range(9)]\ny: int = 1\nx[2] += y\nsum(x)"
    first, second, third = (plain.run(cell) for _ in range(3))
    assert (first.result, second.result, third.result) == ("205", "205", "205")
    assert [cached(answer) for answer in (first, second, third)] == [
        (2, 0, 2, False), (2, 1, 2, True), (2, 2, 2, True),
    ]  # fmt: skip
    again = plain.run("watched = False\nlen(seen)")
    # four statements of the first, and of this cell its tree and its first statement
    assert again.result == "6"
    assert first.reply["execution_count"] + 2 == third.reply["execution_count"]


def test_tracebacks_and_names_stay(plain: Interpreter) -> None:
    cell = "def f(n):\n    return 1 // n\nprint(f.__code__.co_filename, f(2))\nf(0)"
    answers = [plain.run(cell) for _ in range(3)]
    assert [answer.metadata["code_cache"]["hit"] for answer in answers] == [False, True, True]
    names = {answer.stdout for answer in answers}
    assert len(names) == 1
    tracebacks = ["".join(answer.error["traceback"]) for answer in answers]
    for number, text in enumerate(tracebacks, 1):
        assert f"In[{number}]" in text.replace("\x1b[39m", "") or f"[{number}]" in text
        assert "return" in text and "ZeroDivisionError" in text
    plain.run("import linecache; linecache.clearcache()")
    assert "return" in "".join(plain.run(cell).error["traceback"])


def test_the_same_text_with_other_flags(plain: Interpreter) -> None:
    cell = "def f(a: nowhere = 1): pass\nf.__annotations__"
    assert plain.run(cell).error["ename"] == "NameError"
    plain.run("from __future__ import annotations")
    answer = plain.run(cell)
    assert answer.result == "{'a': 'nowhere'}"
    assert not answer.metadata["code_cache"]["hit"]
    again = plain.run("from __future__ import annotations")  # it has an effect from a cache, too
    assert plain.run(cell).result == "{'a': 'nowhere'}"
    assert again.reply["status"] == "ok"


def test_a_future_from_the_cache(plain: Interpreter) -> None:
    cell = "from __future__ import annotations"
    plain.run(cell)
    plain.run("get_ipython().compile.reset_compiler_flags()")
    plain.run(cell)
    assert plain.run("def f(a: nowhere): pass\nf.__annotations__").result == "{'a': 'nowhere'}"


def test_what_shows_the_last_expression(plain: Interpreter) -> None:
    assert plain.run("a = 5").result is None
    plain.run("get_ipython().ast_node_interactivity = 'last_expr_or_assign'")
    assert plain.run("a = 5").result == "5"
    assert plain.run("a += 1").result == "6"
    assert plain.run("a += 1").result == "7"
    plain.run("get_ipython().ast_node_interactivity = 'last_expr'")
    assert plain.run("a += 1").result is None
    silent = plain.run("a", silent=True)
    assert silent.result is None
    assert plain.run("a").result == "8"  # another mode: compiled anew
    assert plain.run("a", silent=True).result is None


def test_await(plain: Interpreter) -> None:
    cell = "import asyncio\nawait asyncio.sleep(0)\n'done'"
    answers = [plain.run(cell) for _ in range(2)]
    assert [answer.result for answer in answers] == ["'done'", "'done'"]
    assert answers[1].metadata["code_cache"]["hit"]


def test_a_warning_is_given_every_time(plain: Interpreter) -> None:
    for _ in range(3):
        answer = plain.run("1 is 1")
        assert "SyntaxWarning" in answer.stderr
        assert not answer.metadata["code_cache"]["hit"]
    plain.run("import warnings; warnings.simplefilter('ignore')")
    assert plain.run("2 is 2").stderr == ""
    plain.run("warnings.simplefilter('error')")
    assert plain.run("2 is 2").error["ename"] == "SyntaxError"
    plain.run("warnings.simplefilter('default')")
    assert plain.run("len([f for f in warnings.filters if 'Witness' in repr(f)])").result == "0"


def test_errors_are_not_kept(plain: Interpreter) -> None:
    for _ in range(2):
        assert plain.run("def f(:").error["ename"] == "SyntaxError"
        assert plain.run("return 5").error["ename"] == "SyntaxError"
    stopped = "go\nx = 1\nx"
    assert plain.run(stopped).error["ename"] == "NameError"
    plain.run("go = 0")
    answer = plain.run(stopped)  # the rest of it is compiled for the first time
    assert (answer.result, answer.metadata["code_cache"]["hit"]) == ("1", False)
    assert plain.run(stopped).metadata["code_cache"]["hit"]


TRANSFORMER = """
import ast
class Add(ast.NodeTransformer):
    def visit_Constant(self, node):
        return ast.Constant(node.value + 1) if type(node.value) is int else node
add = Add()
"""


def test_transformers_of_trees(plain: Interpreter) -> None:
    assert [plain.run("40 + 1").result for _ in range(2)] == ["41", "41"]
    plain.run(TRANSFORMER)
    plain.run("get_ipython().ast_transformers.append(add)")
    for _ in range(2):
        answer = plain.run("40 + 1")
        assert (answer.result, answer.metadata["code_cache"]["hit"]) == ("43", False)
    plain.run("get_ipython().ast_transformers.clear()")
    answer = plain.run("40 + 1")
    assert (answer.result, answer.metadata["code_cache"]["hit"]) == ("41", True)


def test_cells_in_cells_and_other_compilers(plain: Interpreter) -> None:
    inner = "get_ipython().run_cell('7 * 6').result"
    assert [plain.run(inner).result for _ in range(2)] == ["42", "42"]
    plain.run("import ast; compiler = get_ipython().compile")
    parsed = "tree = compiler.ast_parse('1 + 1', 'a'); type(tree.body[0]) is ast.Expr"
    assert plain.run(parsed).result == "True"
    assert plain.run("%timeit -n1 -r1 pass").reply["status"] == "ok"
    assert plain.run("%%time\nx = 5\nx").result == "5"
    assert plain.run("%%time\nx = 5\nx").result == "5"
    plain.run("from IPython.core.compilerop import CachingCompiler as C")
    plain.run("get_ipython().compile = C()")
    assert [plain.run("3 + 4").result for _ in range(2)] == ["7", "7"]


def test_it_is_bounded(plain: Interpreter) -> None:
    for number in range(300):
        plain.run(f"x = {number}")
    found = plain.run("x").metadata["code_cache"]
    assert found["cached"] == 256
    assert plain.run("x = 299").metadata["code_cache"]["hit"]
    assert not plain.run("x = 0").metadata["code_cache"]["hit"]  # the oldest went first
    long = "y = '" + "z" * 70_000 + "'"
    for _ in range(2):
        found = plain.run(long).metadata["code_cache"]
        assert (found["cached"], found["hit"]) == (256, False)
    assert found["bytes"] < 8 << 20


def test_it_begins_empty(fresh: Interpreter) -> None:
    """What a fork server rehearsed is not counted."""
    assert cached(fresh.run("1 + 1")) == (1, 0, 1, False)
    assert cached(fresh.run("1 + 1")) == (1, 1, 1, True)

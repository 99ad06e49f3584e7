"""jupyter_kernel_test, whole: every sample is filled in, so that no test of it can skip."""

from __future__ import annotations

import subprocess
import unittest
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, ClassVar
from unittest import mock

import jupyter_kernel_test as jkt  # type: ignore[import-untyped]
import pytest
from jupyter_client.manager import KernelManager
from support import processes
from support.programs import KERNEL_NAME, Programs

LONG_S = 60.0
PNG = "from matplotlib import pyplot; pyplot.plot([1, 4, 2]); pyplot.show()"


def patient(get: Callable[..., Any], timeout: float | None = None) -> Any:
    return get(timeout=LONG_S)


def is_idle_of(message: dict[str, Any], msg_id: str) -> bool:
    own = bool(message["parent_header"].get("msg_id") == msg_id)
    return own and bool(message["content"].get("execution_state") == "idle")


class Patient(jkt.KernelTests):  # type: ignore[misc]
    """Takes its time: jupyter_kernel_test gives a message 0.1 s, which says nothing of a kernel."""

    __test__ = False

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        for channel in (cls.kc.shell_channel, cls.kc.iopub_channel):
            channel.get_msg = partial(patient, channel.get_msg)
        begun = cls.kc.execute("1")  # behind what the kernel says when its Python is there
        while not is_idle_of(cls.kc.get_iopub_msg(), begun):
            pass

    def flush_channels(self) -> None:
        """It takes 0.1 s without a message for the last; what a marker follows is the last."""
        marker = self.kc.kernel_info()
        while self.kc.get_shell_msg()["parent_header"].get("msg_id") != marker:
            pass
        while not is_idle_of(self.kc.get_iopub_msg(), marker):
            pass


class Conformance(Patient):
    __test__ = False
    kernel_name = KERNEL_NAME
    language_name = "python"
    file_extension = ".py"
    code_hello_world = "print('hello, world')"
    code_stderr = "import sys; print('test', file=sys.stderr)"
    code_page_something = "zip?"
    code_generate_error = "raise ValueError('made for the test')"
    code_inspect_sample = "zip"
    code_clear_output = "from IPython.display import clear_output; clear_output()"
    completion_samples: ClassVar = [
        {"text": "zi", "matches": {"zip"}},
        {"text": "isins", "matches": {"isinstance"}},
        {"text": "import itertools; itertools.accum", "matches": {"accumulate"}},
    ]
    complete_code_samples: ClassVar = [
        "1",
        "print('hello, world')",
        "def f(x):\n  return x*2\n\n\n",
        "%time 1",
    ]
    incomplete_code_samples: ClassVar = ["print('''hello", "def f(x):\n  x*2", "for i in range(3):"]
    invalid_code_samples: ClassVar = ["import = 7q", "x = )", "a b"]
    code_execute_result: ClassVar = [
        {"code": "6*7", "result": "42"},
        {"code": "'a' + 'b'", "result": "'ab'"},
        {"code": "1+2+3", "result": "6"},
        {"code": "from IPython.display import HTML; HTML('<b>x</b>')", "mime": "text/html"},
    ]
    code_display_data: ClassVar = [
        {"code": "from IPython.display import HTML, display; display(HTML('<b>x</b>'))",
         "mime": "text/html"},
        {"code": "from IPython.display import display_svg; display_svg('<svg/>', raw=True)",
         "mime": "image/svg+xml"},
        {"code": PNG, "mime": "image/png"},
    ]  # fmt: skip
    code_history_pattern = "1?2*"
    supported_history_operations = ("tail", "range", "search")


class JavaScript(Patient):
    __test__ = False
    kernel_name = "warmcell-javascript"
    language_name = "javascript"
    file_extension = ".js"
    code_hello_world = "console.log('hello, world')"
    code_stderr = "console.error('test')"
    code_generate_error = "throw new RangeError('made for the test')"
    code_inspect_sample = "Math.max"
    code_clear_output = "display.clear()"
    completion_samples: ClassVar = [
        {"text": "Math.flo", "matches": {"floor"}},
        {"text": "JSON.str", "matches": {"stringify"}},
    ]
    complete_code_samples: ClassVar = ["1", "console.log('x')", "function f(x) {\n  return x\n}"]
    incomplete_code_samples: ClassVar = ["console.log(`hello", "function f(x) {", "[1, "]
    invalid_code_samples: ClassVar = ["import = 7q", "x = )", "a b"]
    code_execute_result: ClassVar = [
        {"code": "6*7", "result": "42"},
        {"code": "'a' + 'b'", "result": "'ab'"},
        {"code": "1+2+3", "result": "6"},
        {"code": "({[Symbol.for('Jupyter.display')]: () => ({'text/html': '<b>x</b>'})})",
         "mime": "text/html"},
    ]  # fmt: skip
    code_display_data: ClassVar = [
        {"code": "display.html('<b>x</b>')", "mime": "text/html"},
        {"code": "display.svg('<svg/>')", "mime": "image/svg+xml"},
    ]
    code_history_pattern = "1?2*"
    supported_history_operations = ("tail", "range", "search")


class Bash(Patient):
    __test__ = False
    kernel_name = "warmcell-bash"
    language_name = "bash"
    file_extension = ".sh"
    code_hello_world = "echo 'hello, world'"
    code_stderr = "echo test >&2"
    code_generate_error = "false"
    code_inspect_sample = "echo"
    code_clear_output = "clear_output"
    completion_samples: ClassVar = [
        {"text": "compge", "matches": {"compgen"}},
        {"text": "echo $BASH_VERSI", "matches": {"BASH_VERSINFO", "BASH_VERSION"}},
    ]
    complete_code_samples: ClassVar = ["echo 1", "for i in 1 2; do\n  echo $i\ndone"]
    incomplete_code_samples: ClassVar = ["echo 'hello", "for i in 1; do", "cat <<END\nx"]
    invalid_code_samples: ClassVar = ["fi", "echo )", "if then"]
    code_display_data: ClassVar = [
        {"code": "echo '<svg/>' | display", "mime": "image/svg+xml"},
        {"code": "display -m text/html <<< '<b>x</b>'", "mime": "text/html"},
    ]


class R(Patient):
    __test__ = False
    kernel_name = "warmcell-r"
    language_name = "R"
    file_extension = ".r"
    code_hello_world = "cat('hello, world\\n')"
    code_stderr = "message('test')"
    code_generate_error = "stop('made for the test')"
    code_inspect_sample = "mean"
    code_clear_output = "clear_output()"
    completion_samples: ClassVar = [
        {"text": "capabilit", "matches": {"capabilities"}},
        {"text": "utils::capture.out", "matches": {"utils::capture.output"}},
    ]
    complete_code_samples: ClassVar = ["1", "cat('x')", "f <- function(x) {\n  x\n}"]
    incomplete_code_samples: ClassVar = ["cat('hello", "f <- function(x) {", "c(1, "]
    invalid_code_samples: ClassVar = ["import = 7q", "x = )", "a b"]
    code_execute_result: ClassVar = [
        {"code": "6*7", "result": "[1] 42"},
        {"code": "paste0('a', 'b')", "result": '[1] "ab"'},
        {"code": "1+2+3", "result": "[1] 6"},
        {"code": "data.frame(a = 1)", "mime": "text/html"},
    ]
    code_display_data: ClassVar = [
        {"code": "display_html('<b>x</b>')", "mime": "text/html"},
        {"code": "plot(1:3)", "mime": "image/png"},
    ]
    code_history_pattern = "1?2*"
    supported_history_operations = ("tail", "range", "search")


class Welcome(jkt.IopubWelcomeTests):  # type: ignore[misc]
    __test__ = False
    kernel_name = KERNEL_NAME
    support_iopub_welcome = True


def names(case: type[unittest.TestCase]) -> list[str]:
    return list(unittest.TestLoader().getTestCaseNames(case))


def test_all_of_it_is_here() -> None:
    """The number of tests in the release that is pinned: a new one must not go unnoticed."""
    assert len(names(Conformance)) == 12
    assert len(names(Welcome)) == 1


class Counter(unittest.TestResult):
    def __init__(self) -> None:
        super().__init__()
        self.passed = 0

    def addSuccess(  # noqa: N802
        self, test: unittest.TestCase
    ) -> None:
        self.passed += 1
        super().addSuccess(test)

    def report(self) -> str:
        return "\n".join(f"{case}: {text}" for case, text in [*self.errors, *self.failures])


def outcome_of(case: type[unittest.TestCase]) -> Counter:
    result = Counter()
    unittest.defaultTestLoader.loadTestsFromTestCase(case).run(result)
    assert result.wasSuccessful(), result.report()
    return result


@pytest.fixture(autouse=True)
def known_to_the_leftovers_rule() -> Iterator[None]:
    """jupyter_kernel_test starts its kernels itself; they end with the test class."""
    start = KernelManager.start_kernel

    def start_and_own(manager: KernelManager, **options: object) -> None:
        start(manager, **options)
        processes.own(manager.provisioner.pid)  # type: ignore[union-attr]

    with mock.patch.object(KernelManager, "start_kernel", start_and_own):
        yield


# What a driver's language has nothing for: Bash has no values, so none in its history either.
DRIVERS = {
    JavaScript: ["test_pager"],
    R: ["test_pager"],
    Bash: ["test_execute_result", "test_history", "test_pager"],
}


@pytest.mark.parametrize("case", DRIVERS)
def test_conformance_of_drivers(case: type[Patient], home: Path, programs: Programs) -> None:
    subprocess.run(
        [programs.gateway, "kernelspec", "install", "--prefix", home / "prefix",
         "--language", case.language_name.lower()],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    result = outcome_of(case)
    assert [case.id().split(".")[-1] for case, _why in result.skipped] == DRIVERS[case]
    assert result.passed == result.testsRun - len(DRIVERS[case])


@pytest.mark.parametrize("case", [Conformance, Welcome])
def test_conformance(case: type[unittest.TestCase], kernelspec: str) -> None:
    result = outcome_of(case)
    assert not result.skipped, result.skipped
    assert result.passed == result.testsRun == len(names(case))

"""jupyter_kernel_test, whole: every sample is filled in, so that no test of it can skip."""

from __future__ import annotations

import unittest
from collections.abc import Iterator
from typing import ClassVar
from unittest import mock

import jupyter_kernel_test as jkt  # type: ignore[import-untyped]
import pytest
from jupyter_client.manager import KernelManager
from support import processes
from support.programs import KERNEL_NAME

PNG = "from matplotlib import pyplot; pyplot.plot([1, 4, 2]); pyplot.show()"


class Conformance(jkt.KernelTests):  # type: ignore[misc]
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


@pytest.fixture(autouse=True)
def known_to_the_leftovers_rule() -> Iterator[None]:
    """jupyter_kernel_test starts its kernels itself; they end with the test class."""
    start = KernelManager.start_kernel

    def start_and_own(manager: KernelManager, **options: object) -> None:
        start(manager, **options)
        processes.own(manager.provisioner.pid)  # type: ignore[union-attr]

    with mock.patch.object(KernelManager, "start_kernel", start_and_own):
        yield


@pytest.mark.parametrize("case", [Conformance, Welcome])
def test_conformance(case: type[unittest.TestCase], kernelspec: str) -> None:
    result = Counter()
    unittest.defaultTestLoader.loadTestsFromTestCase(case).run(result)
    assert result.wasSuccessful(), result.report()
    assert not result.skipped, result.skipped
    assert result.passed == result.testsRun == len(names(case))

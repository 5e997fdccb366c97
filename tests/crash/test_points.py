"""The matrix itself: a point after which the stores differed is counted as one."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from tests.crash import points


def report_of(matrix: points.Matrix, *, failed: bool) -> None:
    """What pytest does with a test that has just ended."""
    report: Any = SimpleNamespace(failed=failed, when="call", user_properties=[])
    hook = matrix.pytest_runtest_makereport(cast(Any, None))
    next(hook)
    try:
        hook.send(report)
    except StopIteration:
        matrix.pytest_runtest_logreport(report)


def printed(matrix: points.Matrix) -> str:
    lines: list[str] = []
    matrix.pytest_terminal_summary(SimpleNamespace(write_line=lines.append))
    return "\n".join(lines)


def test_a_point_that_differed_is_counted() -> None:
    matrix = points.Matrix()
    points.tried("push", "intended tag 0")
    points.survived("push", "intended tag 0")
    points.tried("push", "done tag 0")
    points.told("the fakes", 3, 1)
    report_of(matrix, failed=True)
    points.tried("load", "done name 0")
    report_of(matrix, failed=False)  # a test that kills for another reason
    text = printed(matrix)
    assert "stores that differed: 1)" in text and "2 points" in text and "load" not in text, text
    assert "DIFFERED: push, killed at done (1)" in text, text
    assert "began: 3, that did not: 1" in text, text


def test_none_differed() -> None:
    matrix = points.Matrix()
    points.tried("push", "done tag 0")
    points.survived("push", "done tag 0")
    points.told("the fakes", 3, 0)
    report_of(matrix, failed=False)
    report_of(matrix, failed=True)
    text = printed(matrix)
    assert "stores that differed: 0)" in text and "1 points" in text and "DIFFERED" not in text, text

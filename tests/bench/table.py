"""Measurements, and the table that they are printed as."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One measured thing beside what it is compared to. Times in seconds; `other` is None where nothing compares."""

    what: str
    ours: float
    budget: str = ""
    other: float | None = None
    other_is: str = ""


def seconds(action: Callable[[], object], *, times: int = 7) -> float:
    """The median time of an action, after one run that does not count (it warms the caches)."""
    action()
    taken = []
    for _ in range(times):
        begin = time.perf_counter()
        action()
        taken.append(time.perf_counter() - begin)
    return statistics.median(taken)


def print_table(rows: Sequence[Row]) -> None:
    head = ("what", "kfold", "budget", "beside", "seconds", "ratio")
    cells = [
        (
            row.what,
            f"{row.ours:.3f} s",
            row.budget,
            row.other_is,
            "" if row.other is None else f"{row.other:.3f} s",
            "" if not row.other else f"{row.ours / row.other:.2f}",
        )
        for row in rows
    ]
    widths = [max(len(line[column]) for line in (head, *cells)) for column in range(len(head))]
    for line in (head, tuple("-" * width for width in widths), *cells):
        print("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip(), flush=True)

"""Several calls at a time, their results in order."""

from __future__ import annotations

import functools
import threading

import pytest

from ptlive.verify.in_turn import in_turn


@pytest.fixture(autouse=True)
def two_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 2)


def test_results_come_in_order_and_two_calls_run_at_a_time() -> None:
    both = threading.Barrier(2, timeout=10)

    def call(number: int) -> int:
        both.wait()  # fails if the other does not run meanwhile
        return number * number

    calls = [(n, functools.partial(call, n)) for n in range(6)]
    assert list(in_turn(calls)) == [(n, n * n) for n in range(6)]


def test_a_single_call_is_made_in_the_callers_thread() -> None:
    assert list(in_turn([("one", threading.current_thread)])) == [
        ("one", threading.current_thread())
    ]
    assert list(in_turn([])) == []


def test_what_a_call_raises_is_raised_in_its_turn() -> None:
    def fail() -> int:
        raise ValueError("so it is")

    results = in_turn([(0, lambda: 0), (1, fail), (2, lambda: 2)])
    assert next(results) == (0, 0)
    with pytest.raises(ValueError, match="so it is"):
        next(results)

"""Ways are timed by turns, and ratios are taken within a turn."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from ptlive.errors import PtliveError
from scripts.benchmark.timing import Times, Way, WrongResultError, measure

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scripts.benchmark.timing import Run


class Clock:
    """A clock that goes on when work is done."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def way(self, name: str, seconds: list[float], takes: float, log: list[str]) -> Way:
        """Return a way that claims these seconds, one after the other, and takes so long."""
        claims = iter(seconds)

        @contextmanager
        def opened() -> Iterator[Run]:
            def run() -> dict[str, float]:
                log.append(name)
                self.now += takes
                return {name: next(claims)}

            yield run

        return Way(name, opened)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("scripts.benchmark.timing.time", made)
    return made


def test_the_ways_take_turns(clock: Clock) -> None:
    log: list[str] = []
    ways = [clock.way("a", [1, 2], 1, log), clock.way("b", [4, 4], 1, log)]
    times = measure(ways, turns=2, seconds=10)
    assert log == ["a", "b", "a", "b"]
    assert times.turns == [{"a": 1, "b": 4}, {"a": 2, "b": 4}]


def test_a_ratio_is_taken_within_one_turn() -> None:
    # The machine is twice as slow in the second turn: that is no part of the ratio.
    times = Times([{"a": 1, "b": 4}, {"a": 2, "b": 8}, {"a": 1, "b": 2}, {"a": 9}])
    ratio = times.ratio("a", "b")
    assert ratio is not None
    assert (ratio.median, ratio.least, ratio.greatest, ratio.count) == (0.25, 0.25, 0.5, 3)
    assert times.ratio("a", "c") is None


def test_a_slow_way_takes_part_in_the_first_turns_only(clock: Clock) -> None:
    log: list[str] = []
    ways = [clock.way("slow", [1] * 9, 4, log), clock.way("fast", [1] * 9, 1, log)]
    measure(ways, turns=5, seconds=10)
    assert log == ["slow", "fast", "slow", "fast", "fast", "fast", "fast"]
    log.clear()
    measure([clock.way("slow", [1] * 9, 99, log)], turns=5, seconds=10)
    assert log == ["slow"]


def test_short_work_is_done_again_and_the_least_time_counts(clock: Clock) -> None:
    log: list[str] = []
    short = clock.way("short", [3, 1, 2, 9], 0.15, log)
    assert measure([short], turns=1, seconds=1).turns == [{"short": 1}]
    assert len(log) == 3


def test_a_way_that_cannot_be_gone_is_told_and_not_tried_again(clock: Clock) -> None:
    tried: list[int] = []

    def opened() -> object:
        tried.append(1)
        raise PtliveError("there is none")

    closed = Way("closed", opened)  # type: ignore[arg-type]  # it never returns
    times = measure([closed, clock.way("open", [1, 1], 1, [])], turns=2, seconds=10)
    assert times.skipped == {"closed": "there is none"}
    assert times.series == ["open"]
    assert len(tried) == 1


def test_a_wrong_result_ends_it() -> None:
    @contextmanager
    def opened() -> Iterator[Run]:
        yield lambda: {"wrong": 0.001}
        raise WrongResultError("one leaf is another")

    with pytest.raises(WrongResultError, match="one leaf"):
        measure([Way("wrong", opened)], turns=1, seconds=1)

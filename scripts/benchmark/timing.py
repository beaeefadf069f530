"""Several ways to do one thing, timed by turns in one run.

What else the machine does changes from second to second. So the ways take turns (A B C, A B C,
...), each ratio is taken within one turn, and of the ratios median, least and greatest are told.
"""

from __future__ import annotations

import gc
import statistics
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ptlive.errors import PtliveError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    #: Does the work once; returns the seconds of each series that it measures.
    Run = Callable[[], Mapping[str, float]]

# Short work is done again at once, and the least time counts: up to so often, for so long.
_AGAIN, _AGAIN_SECONDS = 7, 0.4


class WrongResultError(PtliveError):
    """Two ways that must agree do not: whatever they took, it is no measurement."""


@dataclass(frozen=True)
class Way:
    """One way to do the work.

    open: what has to be there first (a connection), not timed; it gives the work itself and
    raises PtliveError where the way cannot be gone
    """

    name: str
    open: Callable[[], AbstractContextManager[Run]]


@dataclass(frozen=True)
class Spread:
    """Median, least and greatest of some values."""

    median: float
    least: float
    greatest: float
    count: int

    @staticmethod
    def of(values: Sequence[float]) -> Spread:
        """Take them of at least one value."""
        return Spread(statistics.median(values), min(values), max(values), len(values))

    def as_json(self) -> dict[str, float]:
        """Return them by name."""
        return {
            "median": self.median,
            "min": self.least,
            "max": self.greatest,
            "repeats": self.count,
        }


@dataclass
class Times:
    """Seconds by series and turn, and why some ways were not gone."""

    turns: list[dict[str, float]] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)

    @property
    def series(self) -> list[str]:
        """All that was measured, in order."""
        return list(dict.fromkeys(name for turn in self.turns for name in turn))

    def spread(self, name: str) -> Spread | None:
        """Return the seconds of a series, None if it was not measured."""
        values = [turn[name] for turn in self.turns if name in turn]
        return Spread.of(values) if values else None

    def ratio(self, ours: str, other: str) -> Spread | None:
        """Return time of `ours` over time of `other`, None if they never stood in one turn."""
        both = [turn for turn in self.turns if ours in turn and other in turn]
        return Spread.of([turn[ours] / turn[other] for turn in both]) if both else None


def measure(
    ways: Sequence[Way],
    *,
    turns: int,
    seconds: float,
    progress: Callable[[str], None] = lambda _: None,
) -> Times:
    """Time these ways by turns.

    turns: how often; a way that would take more than `seconds` in all takes part in the
    first turns only, at least in one. A way that cannot be gone is told with its reason. Raises
    WrongResultError if one gives a result that it must not.
    """
    times = Times()
    left = {way.name: turns for way in ways}
    for turn in range(turns):
        measured: dict[str, float] = {}
        for way in ways:
            if left[way.name] <= turn:
                continue
            progress(f"{way.name}, {turn + 1} of {left[way.name]}")
            begun = time.monotonic()
            try:
                measured |= _least(way)
            except WrongResultError:
                raise
            except PtliveError as error:
                times.skipped[way.name] = str(error)
                left[way.name] = 0
                continue
            if turn == 0:
                took = time.monotonic() - begun
                left[way.name] = max(1, min(turns, int(seconds / took)))
        times.turns.append(measured)
    return times


def _least(way: Way) -> dict[str, float]:
    """Do the work of one turn; short work several times, of which the least time counts."""
    least: dict[str, float] = {}
    with way.open() as run, _no_collection():
        begun = time.monotonic()
        for _ in range(_AGAIN):
            for name, seconds in run().items():
                least[name] = min(seconds, least.get(name, seconds))
            if time.monotonic() - begun > _AGAIN_SECONDS:
                break
    return least


@contextmanager
def _no_collection() -> Iterator[None]:
    """Keep Python's garbage collector out of the measurement, as timeit does."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def since(begun: float) -> float:
    """Return the seconds since perf_counter() was `begun`."""
    return time.perf_counter() - begun

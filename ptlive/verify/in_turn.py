"""Several slow calls at a time, their results one after the other."""

from __future__ import annotations

import os
from collections import deque
from threading import Thread
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

T = TypeVar("T")
R = TypeVar("R")


class _Call(Generic[R]):
    """A call in a thread of its own.

    A daemon: if the program ends early it is not waited for, and with the thread ends the
    twin that it started (see `oracle.twin.run`).
    """

    def __init__(self, function: Callable[[], R]) -> None:
        self._function = function
        self._results: list[R] = []
        self._error: BaseException | None = None
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._results.append(self._function())
        except BaseException as error:  # to be raised where the result is wanted
            self._error = error

    def result(self) -> R:
        """Wait for the result, or raise what the call raised."""
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._results[0]


def in_turn(calls: Iterable[tuple[T, Callable[[], R]]]) -> Iterator[tuple[T, R]]:
    """Make calls, as many at a time as there are CPUs but two at most; yield their results.

    They come in the order of the calls, each with what stands beside it. A single call
    is made in the caller's own thread. Raises what a call raises.
    """
    source = iter(calls)
    first = next(source, None)
    if first is None:
        return
    second = next(source, None)
    if second is None or (os.cpu_count() or 1) < 2:
        yield first[0], first[1]()
        for item, function in (second, *source) if second else ():
            yield item, function()
        return
    running = deque([(first[0], _Call(first[1])), (second[0], _Call(second[1]))])
    while running:
        item, call = running.popleft()
        result = call.result()
        following = next(source, None)
        if following:
            running.append((following[0], _Call(following[1])))
        yield item, result

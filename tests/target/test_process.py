"""Signals end the program whenever they come."""

from __future__ import annotations

import os
import signal
import threading
import time
import weakref
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ptlive.paging.format import Kind
from ptlive.target.process import orderly_signals

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize(
    ("number", "raised"),
    [(signal.SIGTERM, SystemExit), (signal.SIGHUP, SystemExit), (signal.SIGINT, KeyboardInterrupt)],
    ids=["SIGTERM", "SIGHUP", "SIGINT"],
)
def test_no_signal_is_lost_where_arrays_are_compared_with_enums(
    number: signal.Signals, raised: type[BaseException]
) -> None:
    before = signal.getsignal(number)
    for _ in range(20):
        with pytest.raises(raised):
            _compare_until(number)
    assert signal.getsignal(number) == before


class _SignalsWhenDeleted:
    def __del__(self) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        sum(range(10))


def _signal(_: object) -> None:
    os.kill(os.getpid(), signal.SIGINT)
    sum(range(10))


class _Thing:
    """Something that weak references may refer to."""


def test_no_signal_is_lost_where_something_is_deleted() -> None:
    with pytest.raises(KeyboardInterrupt):
        _delete(_SignalsWhenDeleted)


def test_no_signal_is_lost_where_a_weak_reference_is_called() -> None:
    def make() -> _Thing:
        thing = _Thing()
        weakref.finalize(thing, _signal, None)
        return thing

    with pytest.raises(KeyboardInterrupt):
        _delete(make)


def _delete(make: Callable[[], object]) -> None:
    """Make something, delete it, and wait for the signal that this sends."""
    with orderly_signals():
        thing = make()
        del thing
        time.sleep(10)


def _compare_until(number: int) -> None:
    """Compare until the signal comes, or a second is over since it was sent."""
    kinds = np.zeros(1, dtype=np.uint8)
    sent = threading.Event()

    def send() -> None:
        os.kill(os.getpid(), number)
        sent.set()

    with orderly_signals():
        threading.Timer(0.002, send).start()
        end = None
        while end is None or time.monotonic() < end:
            if end is None and sent.is_set():
                end = time.monotonic() + 1
            for _ in range(100):
                _ = kinds == Kind.LEAF

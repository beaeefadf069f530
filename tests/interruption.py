"""Interrupting what a test does, as Ctrl-C would."""

from __future__ import annotations

import gc
import os
import signal
import threading
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable


def for_ever(call: Callable[[], object]) -> None:
    """Do it again and again."""
    while True:
        call()


def interrupt(delay: float, work: Callable[[], object]) -> None:
    """Interrupt a piece of work after some seconds, and fail if it ends before."""
    timer = threading.Timer(delay, os.kill, (os.getpid(), signal.SIGINT))
    # An interrupt that comes in hypothesis's callback of the collector would be dropped.
    gc.disable()
    try:
        timer.start()
        work()
    except KeyboardInterrupt:
        timer.join()
    else:
        pytest.fail("it was not interrupted")
    finally:
        gc.enable()

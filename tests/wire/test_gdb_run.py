"""How gdb tells a stop (gdb manual, "GDB/MI Async Records"), without a gdb."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from ptlive.errors import PtliveError
from ptlive.wire.gdb_run import GdbRun, Stopped

FRAME = {"addr": "0xffffffff81000000", "func": "start", "args": []}


def run(told: dict[str, Any], **gdb: Any) -> GdbRun:
    def await_stop(_stops: int, _patience: float) -> bool:
        return False

    made = SimpleNamespace(last_stop=told, running=False, stops=1, await_stop=await_stop, **gdb)
    stub = SimpleNamespace(
        gdb=made, vcpus=lambda: (1, 2), vcpu_of=lambda thread: {"5": 2}.get(thread, 1)
    )
    return GdbRun(stub)  # type: ignore[arg-type]  # as much of it as is needed


@pytest.mark.parametrize(
    ("told", "reason", "point"),
    [
        ({"reason": "breakpoint-hit", "bkptno": "3"}, "breakpoint", 3),
        ({"reason": "watchpoint-trigger", "wpt": {"number": "2"}}, "watchpoint", 2),
        ({"reason": "read-watchpoint-trigger", "hw-rwpt": {"number": "7"}}, "watchpoint", 7),
        ({"reason": "access-watchpoint-trigger", "hw-awpt": {"number": "8"}}, "watchpoint", 8),
        ({"reason": "end-stepping-range"}, "step", None),
        ({"reason": "function-finished"}, "finished", None),
        ({"reason": "signal-received", "signal-name": "SIGINT"}, "interrupted", None),
        ({"reason": "signal-received", "signal-name": "SIGSEGV"}, "signal SIGSEGV", None),
        ({}, "stopped", None),
    ],
)
def test_a_stop_is_told_in_our_words(told: dict[str, Any], reason: str, point: int | None) -> None:
    found = run({**told, "frame": FRAME, "thread-id": "5"}).stopped()
    assert found == Stopped(reason, 2, 0xFFFFFFFF81000000, "start", point)


def test_a_place_without_a_name_has_none() -> None:
    assert run({"frame": {"addr": "0x1000", "func": "??"}}).stopped().function is None


def test_while_the_guest_runs_nothing_is_asked() -> None:
    running = run({})
    running._gdb.running = True
    with pytest.raises(PtliveError, match="the guest runs"):
        running.evaluate("1")

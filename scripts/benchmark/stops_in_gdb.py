"""Runs inside gdb: many stops, with something asked at each; prints what each took, as JSON.

The guest stands in a loop. $stops, $asked and $report are set before: how often, a command of
gdb's (or nothing), and the file to write.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import gdb


def _resident() -> int:
    """Return gdb's memory in bytes (proc(5), statm)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def _text(name: str) -> str:
    value = gdb.convenience_variable(name)
    assert value is not None
    return value.string()


def main() -> None:
    """Stop, ask, and go on."""
    stops, asked, report = int(_text("stops")), _text("asked"), Path(_text("report"))
    # A breakpoint of the stub: with one in memory gdb would step over it each time.
    gdb.execute("hbreak *$rip", to_string=True)
    found: dict[str, list[float]] = {"stopped": [], "answered": [], "gdb": [], "memory": []}
    for _ in range(stops):
        begun, own = time.perf_counter(), time.process_time()
        gdb.execute("continue", to_string=True)
        there = time.perf_counter()
        if asked:
            gdb.execute(asked, to_string=True)
        found["answered"].append(time.perf_counter() - there)
        found["stopped"].append(there - begun)
        found["gdb"].append(time.process_time() - own)
        found["memory"].append(_resident())
    report.write_text(json.dumps(found))


main()

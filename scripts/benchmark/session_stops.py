"""Does a scripted session stay as fast and as small as it began? `ptlive.Session`, stop by stop.

    python -m scripts.benchmark.session_stops [--stops N] [--memory gdb]

The bundled menu guest ends in a loop; a breakpoint there stops it again and again, and at each
stop an address is translated. Told are the medians of the first and of the last tenth, in seconds
and in CPU time of this process and gdb, and by how much both have grown from the end of the first
tenth to the beginning of the last. Seconds mean something on an idle machine alone, so the last
tenth also takes turns with the first stops of a fresh session, in a process of its own with
another such guest: whatever else the machine does slows both alike. By that it is judged: it exits
with 1 if the old session takes more than MOST_TIMES the fresh one's time, or has grown by
MOST_BYTES.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import ptlive
from scripts.benchmark.stops import MOST_BYTES, MOST_TIMES

if TYPE_CHECKING:
    from collections.abc import Iterator


def resident(pid: int | str) -> int:
    """Return how much memory a process has, in KB (proc(5), VmRSS)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


@contextmanager
def looping(memory: str) -> Iterator[ptlive.Session]:
    """Yield a session with a guest that comes to a breakpoint again and again."""
    with ptlive.launch("menu") as guest, ptlive.Session(guest.gdb, memory=memory) as session:
        session.breakpoint(session.evaluate("$rip"))
        yield session


def cpu(session: ptlive.Session) -> float:
    """Return the CPU seconds of this process and of gdb (proc(5), utime and stime)."""
    fields = Path(f"/proc/{session.gdb_pid}/stat").read_text().rpartition(")")[2].split()
    return time.process_time() + (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def one_stop(session: ptlive.Session) -> float:
    """Let the guest run to its next stop and translate an address; return the seconds."""
    begun = time.perf_counter()
    stop = session.continue_(timeout=60)
    found = session.space().translate(stop.rip)
    seconds = time.perf_counter() - begun
    assert found.pa is not None
    return seconds


def some_stops(session: ptlive.Session, stops: int) -> tuple[float, float]:
    """Return the median of the stops' seconds, and the mean CPU seconds of one."""
    begun = cpu(session)
    seconds = statistics.median(one_stop(session) for _ in range(stops))
    return seconds, (cpu(session) - begun) / stops


def answer_turns(memory: str) -> None:
    """Make a stop for each line of the input, and print its seconds."""
    with looping(memory) as session:
        for _ in sys.stdin:
            print(one_stop(session), flush=True)


def turns(session: ptlive.Session, memory: str, stops: int) -> list[tuple[float, float]]:
    """Return the seconds of each stop of a fresh session, and of this one's that followed it."""
    command = [sys.executable, "-m", __spec__.name, "--turns", "--memory", memory]
    pairs = []
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as fresh:
        assert fresh.stdin is not None
        assert fresh.stdout is not None
        for _ in range(stops):
            fresh.stdin.write("\n")
            pairs.append((float(fresh.stdout.readline()), one_stop(session)))
        fresh.stdin.close()
    return pairs


def main() -> None:
    """Measure, print what it came to, and exit with 1 if a session grows or slows down."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--stops", type=int, default=10_000)
    parser.add_argument("--memory", default="auto", help="what memory is read through")
    parser.add_argument("--turns", action="store_true", help="a stop for each line of the input")
    asked = parser.parse_args()
    if asked.turns:
        answer_turns(asked.memory)
        return
    tenth = max(asked.stops // 10, 1)
    with looping(asked.memory) as session:
        first = some_stops(session, tenth)
        before = resident("self"), resident(session.gdb_pid)
        for _ in range(asked.stops - 2 * tenth):
            one_stop(session)
        grown = resident("self") - before[0], resident(session.gdb_pid) - before[1]
        last = some_stops(session, tenth)
        pairs = turns(session, asked.memory, tenth)
    for what, one, other in zip(("seconds", "CPU"), first, last, strict=True):
        told = f"{one * 1e3:.2f} ms, of the last: {other * 1e3:.2f} ms; ratio {other / one:.3f}"
        print(f"{what} per stop, of the first {tenth}: {told}")
    new, old = (statistics.median(some) for some in zip(*pairs, strict=True))
    print(f"by turns with a fresh session's first: ratio {old / new:.3f}")
    print(f"grown by {grown[0]} KB, gdb by {grown[1]} KB")
    sys.exit(old / new > MOST_TIMES or max(grown) * 1024 >= MOST_BYTES)


if __name__ == "__main__":
    main()

"""Does a scripted session stay as fast and as small as it began? `ptlive.Session`, stop by stop.

    python -m scripts.benchmark.session_stops [--stops N] [--memory gdb]

The bundled menu guest ends in a loop; a breakpoint there stops it again and again, and at each
stop an address is translated. The last tenth of the stops takes turns with the first ones of a
fresh session with another such guest: whatever else the machine does slows both alike. Told are
the medians of both and their ratio, and by how much this process and gdb have grown from the end
of the first tenth to the beginning of the last.
"""

from __future__ import annotations

import argparse
import statistics
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import ptlive

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


def one_stop(session: ptlive.Session) -> float:
    """Let the guest run to its next stop and translate an address; return the seconds."""
    begun = time.perf_counter()
    stop = session.continue_(timeout=60)
    found = session.space().translate(stop.rip)
    seconds = time.perf_counter() - begun
    assert found.pa is not None
    return seconds


def main() -> None:
    """Measure, and print what it came to."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--stops", type=int, default=10_000)
    parser.add_argument("--memory", default="auto", help="what memory is read through")
    asked = parser.parse_args()
    tenth = max(asked.stops // 10, 1)
    with looping(asked.memory) as session:
        for _ in range(tenth):
            one_stop(session)
        before = resident("self"), resident(session.gdb_pid)
        for _ in range(asked.stops - 2 * tenth):
            one_stop(session)
        grown = resident("self") - before[0], resident(session.gdb_pid) - before[1]
        with looping(asked.memory) as fresh:
            pairs = [(one_stop(fresh), one_stop(session)) for _ in range(tenth)]
    first, last = (statistics.median(some) for some in zip(*pairs, strict=True))
    print(f"median of {tenth} stops of a fresh session: {first * 1e3:.2f} ms")
    print(f"of one after {asked.stops - tenth}, by turns: {last * 1e3:.2f} ms")
    print(f"ratio {last / first:.3f}; grown by {grown[0]} KB, gdb by {grown[1]} KB")


if __name__ == "__main__":
    main()

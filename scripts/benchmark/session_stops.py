"""Does a scripted session stay as fast and as small as it began? `ptlive.Session`, stop by stop.

    python -m scripts.benchmark.session_stops [--stops N] [--memory gdb]

The bundled menu guest ends in a loop; a breakpoint there stops it again and again, and at each
stop an address is translated. Told are the medians of the first and the last tenth of the stops,
their ratio, and by how much this process and gdb have grown from the end of the first tenth on.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import ptlive


def resident(pid: int | str) -> int:
    """Return how much memory a process has, in KB (proc(5), VmRSS)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


def measure(stops: int, memory: str) -> tuple[list[float], int, int]:
    """Return the seconds of each stop, and the growth of this process and of gdb, in KB."""
    seconds = []
    with ptlive.launch("menu") as guest, ptlive.Session(guest.gdb, memory=memory) as session:
        gdb = session.gdb_pid
        session.breakpoint(session.evaluate("$rip"))
        before = (0, 0)
        for number in range(stops):
            if number == max(stops // 10, 1):
                before = (resident("self"), resident(gdb))
            begun = time.perf_counter()
            stop = session.continue_(timeout=30)
            found = session.space().translate(stop.rip)
            seconds.append(time.perf_counter() - begun)
            assert found.pa is not None
        return seconds, resident("self") - before[0], resident(gdb) - before[1]


def main() -> None:
    """Measure, and print what it came to."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--stops", type=int, default=10_000)
    parser.add_argument("--memory", default="auto", help="what memory is read through")
    asked = parser.parse_args()
    seconds, ours, gdbs = measure(asked.stops, asked.memory)
    tenth = max(asked.stops // 10, 1)
    first, last = (statistics.median(some) for some in (seconds[:tenth], seconds[-tenth:]))
    print(f"{asked.stops} stops in {sum(seconds):.1f} s")
    print(f"median of the first {tenth}: {first * 1e3:.2f} ms, of the last: {last * 1e3:.2f} ms")
    print(f"ratio {last / first:.3f}; grown by {ours} KB, gdb by {gdbs} KB")


if __name__ == "__main__":
    main()

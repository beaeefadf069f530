"""Does a scripted session stay as fast and as small as it began? `ptlive.Session`, stop by stop.

    python -m scripts.benchmark.session_stops [--stops N] [--memory gdb]

The bundled menu guest ends in a loop; a breakpoint there stops it again and again, and at each
stop an address is translated. Told are the medians of the first and the last tenth of the stops,
the CPU time of this process and gdb in both, which other work on the machine changes less, their
ratios, and by how much both processes have grown from the end of the first tenth on.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from pathlib import Path

import ptlive


def resident(pid: int | str) -> int:
    """Return how much memory a process has, in KB (proc(5), VmRSS)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


def used(pid: int) -> float:
    """Return the CPU time of a process so far, in seconds (proc(5): fields 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(stops: int, memory: str) -> tuple[list[float], list[float], int, int]:
    """Return of each stop the seconds, and the CPU time at its end; how both grew, in KB."""
    seconds, spent = [], []
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
            spent.append(time.process_time() + used(gdb))
            assert found.pa is not None
        return seconds, spent, resident("self") - before[0], resident(gdb) - before[1]


def main() -> None:
    """Measure, and print what it came to."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--stops", type=int, default=10_000)
    parser.add_argument("--memory", default="auto", help="what memory is read through")
    asked = parser.parse_args()
    seconds, spent, ours, gdbs = measure(asked.stops, asked.memory)
    tenth = max(asked.stops // 10, 1)
    first, last = (statistics.median(some) for some in (seconds[:tenth], seconds[-tenth:]))
    print(f"{asked.stops} stops in {sum(seconds):.1f} s")
    print(f"median of the first {tenth}: {first * 1e3:.2f} ms, of the last: {last * 1e3:.2f} ms")
    cpu = [spent[at] - spent[at - tenth] for at in (2 * tenth - 1, -1)]
    print(f"CPU time of the second {tenth}: {cpu[0]:.2f} s, of the last: {cpu[1]:.2f} s")
    print(f"ratios {last / first:.3f}, {cpu[1] / cpu[0]:.3f} of CPU time")
    print(f"grown by {ours} KB, gdb by {gdbs} KB")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Break on a function, let it return, and tell what it changed in the address space.

    break_and_diff.py                              the bundled menu guest, and its tables_load
    break_and_diff.py KERNEL FUNCTION              a kernel of yours, an ELF file with symbols
    break_and_diff.py --guest ADDRESS [--symbols FILE] FUNCTION
                                                   a guest that runs: HOST:PORT or unix:PATH of its
                                                   gdb stub, and its vmlinux, System.map or kallsyms

gdb and ptlive share the guest's one connection; at the end the guest is as it was found.
"""

from __future__ import annotations

import argparse
from contextlib import contextmanager
from typing import TYPE_CHECKING

import ptlive
from ptlive.guests import recipe

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ptlive.api.differences import Side


SHOWN = 10


def open_to_code(side: Side | None) -> bool:
    """Return whether code can be written there, and then executed."""
    return side is not None and side.rights.allows("write", "execute")


def bundled() -> Path:
    """Return the file of the menu guest."""
    symbols = recipe("menu").prepare(print).symbols
    assert symbols is not None
    return symbols


@contextmanager
def session(asked: argparse.Namespace) -> Iterator[ptlive.Session]:
    """Yield a session with the guest that is meant, its symbols loaded."""
    if asked.guest:
        with ptlive.Session(asked.guest) as opened:
            if asked.symbols:
                moved = opened.load(asked.symbols)
                print(f"the kernel was moved by {moved:#x}")
            yield opened
        return
    kernel = asked.kernel or bundled()
    # Frozen before its first instruction, so that no function was called yet.
    with (
        ptlive.launch(kernel, ready="now", extra=["-S"]) as guest,
        ptlive.Session(guest.gdb) as opened,
    ):
        opened.load(kernel, slide=0)
        yield opened


def arguments() -> argparse.Namespace:
    """Return what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--guest", metavar="ADDRESS", help="a guest that runs: its gdb stub")
    parser.add_argument("--symbols", metavar="FILE", help="its vmlinux, System.map or kallsyms")
    parser.add_argument(
        "--timeout", type=float, default=60.0, help="seconds, %(default)g if not given"
    )
    parser.add_argument("words", metavar="[KERNEL] FUNCTION", nargs="*")
    asked = parser.parse_args()
    *kernel, asked.function = asked.words or ["tables_load"]
    asked.kernel = kernel[0] if kernel else None
    if len(kernel) > 1 or (asked.guest and kernel):
        parser.error("one function, of one guest")
    return asked


def main() -> None:
    """Break, let it return, compare."""
    asked = arguments()
    with session(asked) as opened:
        opened.breakpoint(asked.function, hardware=True)
        stop = opened.continue_(timeout=asked.timeout)
        print(f"vCPU {stop.vcpu} is at {opened.name_of(stop.rip)}")
        before = opened.space().freeze()  # a copy of the tables: the guest goes on from here
        opened.delete()
        stop = opened.finish(timeout=asked.timeout)
        print(f"{asked.function} has returned to {opened.name_of(stop.rip) or hex(stop.rip)}")
        changes = before.diff(opened.space())
    print(changes)
    became = [one for one in changes if open_to_code(one.after) and not open_to_code(one.before)]
    for one in became[:SHOWN]:
        print(f"became writable and executable: {one.va:#x}..{one.last_va:#x}")
    if len(became) > SHOWN:
        print(f"... {len(became) - SHOWN} more")


if __name__ == "__main__":
    main()

"""POWER's radix tree translation, one effective address at a time.

Written from the Power ISA, version 3.1, book III, 6.7.6 (in-memory tables), 6.7.11 (radix tree
translation) and 6.7.12 (access authority), and the POWER9 Processor User's Manual, 4.10.4.1
(which trees there are). Bits are the manual's: bit 0 is the leftmost of 64. Imports nothing
of ptlive.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

# Level 0 is the root page directory: bits of its index, and of those of the tables below.
SUPPORTED = ((13,), (9,), (9,), (9, 5))


class Step(NamedTuple):
    level: int
    at: int
    entry: int


@dataclass(frozen=True)
class Result:
    kind: Literal["leaf", "absent", "unsupported", "unreadable", "outside"]
    path: tuple[Step, ...] = ()
    pa: int = 0
    size: int = 0
    read: bool = False
    write: bool = False
    execute: bool = False
    problem_state: bool = False
    guarded: bool = False


def bits(value: int, first: int, last: int) -> int:
    """Take bits first:last, as the manual counts."""
    return value >> (63 - last) & ((1 << (last - first + 1)) - 1)


def translate(read: Callable[[int], int | None], roots: tuple[int, int], ea: int) -> Result:
    """Translate an address; roots: of the process's tree (quadrant 0), of PID 0's (quadrant 3)."""
    quadrant = bits(ea, 0, 1)
    if bits(ea, 2, 11) or quadrant in (1, 2):
        return Result("outside")
    table = roots[0] if quadrant == 0 else roots[1]
    width, left = 13, 52
    path: list[Step] = []
    level = 0
    while True:
        if level == len(SUPPORTED) or width not in SUPPORTED[level]:
            return Result("unsupported", tuple(path))
        left -= width
        at = table + 8 * ((ea >> left) % (1 << width))
        entry = read(at)
        if entry is None:
            return Result("unreadable", tuple(path))
        path.append(Step(level, at, entry))
        if not bits(entry, 0, 0):  # V
            return Result("absent", tuple(path))
        if bits(entry, 1, 1):  # L: it is a page table entry
            break
        # A page directory entry: NLB (4:55) and NLS (59:63).
        table, width = bits(entry, 4, 55) << 8, bits(entry, 59, 63)
        level += 1
    if level == 0:
        return Result("unsupported", tuple(path))  # pages of 512G
    # The RPN's bits below the page's size are not of its address.
    frame = bits(entry, 7, 51) << 12
    eaa_privilege, eaa_read, eaa_write, eaa_execute = (bits(entry, n, n) for n in (60, 61, 62, 63))
    return Result(
        "leaf",
        tuple(path),
        pa=frame - frame % (1 << left) + ea % (1 << left),
        size=1 << left,
        read=bool(eaa_read or eaa_write),
        write=bool(eaa_write),
        execute=bool(eaa_execute),
        problem_state=not eaa_privilege,
        guarded=bits(entry, 58, 59) == 2,  # ATT: non-idempotent I/O
    )


def allowed(
    found: Result,
    access: Literal["read", "write", "fetch"],
    *,
    problem_state: bool,
    amr: int,
    iamr: int,
) -> bool:
    """Tell whether a mapped page may be accessed so (6.7.12)."""
    if problem_state and not found.problem_state:
        return False
    # Key 0 of AMR and IAMR keeps privileged state from pages of problem state.
    keyed = not problem_state and found.problem_state
    if access == "read":
        return found.read and not (keyed and bits(amr, 1, 1))
    if access == "write":
        return found.write and not (keyed and bits(amr, 0, 0))
    return found.execute and not found.guarded and not (keyed and bits(iamr, 1, 1))

"""AArch64's stage 1 translation at EL1 and EL0, one address at a time.

Written from the Arm Architecture Reference Manual for A-profile, issue J.a: D8.2 (translation
process), D8.3 (descriptor formats: figures D8-12 to D8-15), D8.4 (permissions), D8.7.1
(contiguous). Levels are the manual's: 3 is the last one. Imports nothing of ptlive.

A group of contiguous descriptors is taken as software must make it: where its descriptors
disagree, the manual allows several answers, and none is given here ("unpredictable").
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

from .bits import field

PAGE_SHIFT = {"4k": 12, "16k": 14, "64k": 16}
# Table D8-97: how many descriptors are contiguous, by granule and level.
CONTIGUOUS = {
    ("4k", 1): 16,
    ("4k", 2): 16,
    ("4k", 3): 16,
    ("16k", 2): 32,
    ("16k", 3): 128,
    ("64k", 2): 32,
    ("64k", 3): 32,
}


class Step(NamedTuple):
    level: int
    at: int
    descriptor: int


@dataclass(frozen=True)
class Regime:
    """What TCR_EL1 and the CPU say, the same for both halves.

    lpa2: TCR_EL1.DS; pa_bits: the lesser of IPS and PARange; hd: TCR_EL1.HD; hpd: HPDn
    """

    granule: str
    va_bits: int
    pa_bits: int = 48
    lpa2: bool = False
    hd: bool = False
    hpd: bool = False

    @property
    def lpa(self) -> bool:
        """Whether descriptors of 64K hold addresses of 52 bits (FEAT_LPA)."""
        return self.granule == "64k" and self.pa_bits == 52


@dataclass(frozen=True)
class Result:
    """kind "size" is an address size fault; the rest of the faults are translation faults.

    write, user: AP[2]=0 and AP[1]=1, after the tables' APTable; xn, pxn likewise.
    """

    kind: Literal["leaf", "absent", "reserved", "size", "unreadable", "outside", "unpredictable"]
    path: tuple[Step, ...] = ()
    pa: int = 0
    size: int = 0
    write: bool = False
    user: bool = False
    uxn: bool = False
    pxn: bool = False
    af: bool = False


def output_address(regime: Regime, descriptor: int, low: int) -> int:
    """Take the address from a descriptor: bits `low` and up of it."""
    if regime.lpa:
        return field(descriptor, 15, 12) << 48 | field(descriptor, 47, low) << low
    if regime.lpa2:
        return field(descriptor, 9, 8) << 50 | field(descriptor, 49, low) << low
    return field(descriptor, 47, low) << low


def blocks(regime: Regime, level: int) -> bool:
    """Tell whether a level has block descriptors (table D8-21)."""
    if regime.granule == "4k":
        return level in (1, 2) or (level == 0 and regime.lpa2)
    if regime.granule == "16k":
        return level == 2 or (level == 1 and regime.lpa2)
    return level == 2 or (level == 1 and regime.lpa)


def translate(
    regime: Regime, read: Callable[[int], int | None], roots: tuple[int, int], va: int
) -> Result:
    """Translate an address; roots: the tables that TTBR0_EL1 and TTBR1_EL1 name."""
    # Bit 55 chooses the half, and all bits above the input address must be as it is (D8.2.4).
    upper = bool(va >> 55 & 1)
    above = field(va, 63, regime.va_bits) if regime.va_bits < 64 else 0
    all_ones = (1 << (64 - regime.va_bits)) - 1
    if above != (all_ones if upper else 0):
        return Result("outside")
    page = PAGE_SHIFT[regime.granule]
    stride = page - 3
    # The first level is the highest that the input address needs (D8.2.5 to D8.2.7).
    level = 3
    while page + stride * (4 - level) < regime.va_bits:
        level -= 1
    table = roots[upper]
    first = level
    path: list[Step] = []
    no_write = no_user = uxn = pxn = False
    while True:
        low = page + stride * (3 - level)
        high = regime.va_bits - 1 if level == first else low + stride - 1
        at = table + 8 * field(va, high, low)
        descriptor = read(at)
        if descriptor is None:
            return Result("unreadable", tuple(path))
        path.append(Step(level, at, descriptor))
        if not descriptor & 1:
            return Result("absent", tuple(path))
        is_block = not descriptor & 2
        if is_block and (level == 3 or not blocks(regime, level)):
            return Result("reserved", tuple(path))
        is_leaf = is_block or level == 3
        address = output_address(regime, descriptor, low if is_leaf else page)
        # "the address size fault": any bit above the implemented ones (D8.2.9). Bits that a
        # block's address has below its size are RES0, and no address.
        if address >> regime.pa_bits:
            return Result("size", tuple(path))
        if is_leaf:
            break
        if not regime.hpd:
            no_write |= bool(field(descriptor, 62, 62))  # APTable[1]
            no_user |= bool(field(descriptor, 61, 61))  # APTable[0]
            uxn |= bool(field(descriptor, 60, 60))
            pxn |= bool(field(descriptor, 59, 59))
        table, level = address, level + 1
    read_only = bool(field(descriptor, 7, 7))
    if regime.hd and field(descriptor, 51, 51):
        read_only = False  # AP[2] is "clean": hardware clears it at the first write
    size = 1 << low
    if field(descriptor, 52, 52) and (regime.granule, level) in CONTIGUOUS:
        count = CONTIGUOUS[regime.granule, level]
        begin = at - 8 * (field(va, high, low) % count)
        for number in range(count):
            other = read(begin + 8 * number)
            if other is None or not alike(regime, descriptor, other, low, count, number):
                return Result("unpredictable", tuple(path))
        size *= count
    return Result(
        "leaf",
        tuple(path),
        pa=address + va % (1 << low),
        size=size,
        write=not (read_only or no_write),
        user=bool(field(descriptor, 6, 6)) and not no_user,
        uxn=uxn or bool(field(descriptor, 54, 54)),
        pxn=pxn or bool(field(descriptor, 53, 53)),
        af=bool(field(descriptor, 10, 10)),
    )


def alike(regime: Regime, one: int, other: int, low: int, count: int, number: int) -> bool:
    """Tell whether a descriptor is as software must make number `number` of a group."""
    address, base = (output_address(regime, each, low) for each in (other, one))
    span = count << low
    if base // span != address // span or address % span != number << low:
        return False
    mask = (1 << 64) - 1
    for bit in range(low, 50):
        mask &= ~(1 << bit)
    if regime.lpa:
        mask &= ~(15 << 12)
    if regime.lpa2:
        mask &= ~(3 << 8)
    return one & mask == other & mask


def fault(
    found: Result,
    access: Literal["read", "write", "fetch"],
    *,
    user: bool,
    pan: bool,
    wxn: bool,
    ha: bool,
) -> str | None:
    """Return the kind of fault that an access gets, None if it is allowed (D8.4, D8.14)."""
    if found.kind == "size":
        return "address size"
    if found.kind != "leaf":
        return "translation"
    if not found.af and not ha:
        return "access flag"
    el0_writes = found.user and found.write
    writes = el0_writes if user else found.write
    reads = found.user if user else not (pan and found.user)
    executes = not found.uxn if user else not found.pxn and not el0_writes
    if wxn and writes:
        executes = False
    if access == "read":
        allowed = reads
    elif access == "write":
        allowed = reads and writes
    else:
        allowed = executes
    return None if allowed else "permission"

"""A page walk with any number of levels: section 4.5 with one paragraph for all.

No processor has three levels of 9 bits with entries of 8 bytes, and none has six; what this walks
is what they would be, and so no manual has the last word on it. With four and five levels it is
held against `walk`, which has the manual's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from .bits import PS, P, bits, field

if TYPE_CHECKING:
    from .terms import ReadQword


class Found(NamedTuple):
    """A page: the physical address that was asked for, the page's size, and its entry."""

    pa: int
    page_size: int
    entry_pa: int
    entry: int


def software_walk(levels: int, read_qword: ReadQword, root: int, va: int) -> Found | None:
    """Translate one canonical address; None if nothing is mapped there.

    Raises:
        LookupError: an entry says what it must not.
    """
    table = root
    for level in range(levels, 0, -1):
        low = 12 + 9 * (level - 1)
        high = min(low + 8, 63)
        entry_pa = table | field(va, high, low) << 3
        entry = read_qword(entry_pa)
        if entry is None:
            raise LookupError(f"the table at {table:#x} lies in no memory")
        if not entry & P:
            return None
        if level == 1 or (entry & PS and level <= 3):
            # Between PAT, bit 12, and the address are reserved bits.
            if level > 1 and entry & bits(low - 1, 13):
                raise LookupError(f"reserved bits in the entry at {entry_pa:#x}: {entry:#x}")
            pa = (entry & bits(51, low)) | (va & bits(low - 1, 0))
            return Found(pa, 1 << low, entry_pa, entry)
        if entry & PS:
            raise LookupError(f"a page at level {level}: {entry:#x} at {entry_pa:#x}")
        table = entry & bits(51, 12)
    return None

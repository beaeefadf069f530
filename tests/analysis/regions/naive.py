"""Regions as a merge of every single leaf makes them, and tables that regions are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ptlive.arrays import u64
from ptlive.paging import fields, rights
from tests.paging.builder import Builder
from tests.paging.plain_ram import FRAME, PlainRam
from tests.paging.tables import PWU, RW, P
from tests.reference.terms import Leaf

if TYPE_CHECKING:
    from ptlive.analysis.regions.build import Regions, TargetOf
    from ptlive.arrays import U8, U64

LAST = (1 << 64) - 1


def target(pa: U64, size_bits: U64) -> U8:
    """Call what pages lie in by something that changes every other page."""
    return ((pa >> np.uint64(13)) % np.uint64(3) + size_bits % np.uint64(2)).astype(np.uint8)


def alike(pa: U64, size_bits: U64) -> U8:
    """Call all that pages lie in the same."""
    return np.zeros(pa.size, dtype=np.uint8)


def attributes(level: int, entry: int) -> dict[str, int]:
    """SDM vol. 3A tables 4-16, 4-18 and 4-20: the memory type, G, and the key."""
    pat = 7 if level == 1 else 12
    return {
        "PWT": entry >> 3 & 1,
        "PCD": entry >> 4 & 1,
        "PAT": entry >> pat & 1,
        "G": entry >> 8 & 1,
        "PK": entry >> 59 & 15,
    }


def merged(
    leaves: list[Any], *, split_pa: bool, owner: int = 0, lies_in: TargetOf = target
) -> list[tuple[Any, ...]]:
    """Merge leaves in address order, one by one."""
    found: list[dict[str, Any]] = []
    for row in leaves:
        leaf = Leaf(*row)
        size = leaf.last_va - leaf.va + 1
        bits = size.bit_length() - 1
        alike = (
            (leaf.write, leaf.user, leaf.execute),
            attributes(leaf.level, leaf.entry),
            int(lies_in(u64(leaf.pa), u64(bits))[0]),
        )
        last = found[-1] if found else None
        follows = last is not None and last["next_pa"] == leaf.pa
        neighbours = last is not None and last["last_va"] + 1 == leaf.va
        if last and neighbours and last["alike"] == alike and (follows or not split_pa):
            last["contiguous"] &= follows
        else:
            last = {"va": leaf.va, "alike": alike, "pa": leaf.pa, "contiguous": True, "pages": {}}
            found.append(last)
        last["last_va"], last["next_pa"] = leaf.last_va, leaf.pa + size
        last["pages"][bits] = last["pages"].get(bits, 0) + 1
    keys = ("va", "last_va", "alike", "pa", "contiguous", "pages")
    return [(owner, *(each[key] for key in keys)) for each in found]


def listed(found: Regions) -> list[tuple[Any, ...]]:
    """Return regions in the shape of `merged`."""
    rows = []
    for at in range(len(found)):
        granted = rights.names(found.fmt, int(found.rights[at]))
        alike = (
            (granted["write"], granted["user"], granted["execute"]),
            fields.unpack_attributes(found.fmt, int(found.attributes[at])),
            int(found.target[at]),
        )
        counts = zip(found.page_bits, found.pages[at].tolist(), strict=True)
        rows.append(
            (
                int(found.owner[at]),
                int(found.va[at]),
                int(found.last_va[at]),
                alike,
                int(found.pa[at]),
                bool(found.contiguous[at]),
                {bits: count for bits, count in counts if count},
            )
        )
    return rows


def each(found: Regions) -> list[tuple[Any, ...]]:
    """Return every single region, in the shape of `merged`."""
    rows = []
    for at, (owner, va, last_va, like, pa, contiguous, pages) in enumerate(listed(found)):
        starts = [0]
        for times, stride in found.repeats[found.repeat[at]]:
            starts = [by + n * stride for n in range(times) for by in starts]
        assert len(starts) == int(found.times[at])
        one = {bits: count // len(starts) for bits, count in pages.items()}
        assert {bits: count * len(starts) for bits, count in one.items()} == pages
        rows += [(owner, va + by, last_va + by, like, pa, contiguous, one) for by in starts]
    return sorted(rows, key=lambda row: row[:2])


def linear(ram: PlainRam, top: int, flags: int = PWU) -> None:
    """Chain the tables at 0, 0x1000, ... by their entries 0 and 511 down to level 1."""
    for n in range(top - 1):
        for slot in (0, 511):
            ram.write(n * FRAME + 8 * slot, (n + 1) * FRAME | flags)


def espfix() -> Builder:
    """A page as Linux has it for IRET to 16-bit stacks (arch/x86/kernel/espfix_64.c).

    One frame in every 16th entry of a table, that one in all of the table above, and that
    in four entries: at 65,536 addresses, 64K apart.
    """
    made = Builder(levels=4)
    va = 0xFFFF_FF00_0000_0000
    for slot in range(32):
        made.map(va + (slot << 16), 0x1000 | P | RW)
    pdpt = made.ram.value(made.root + 8 * (va >> 39 & 511)) & ~0xFFF
    directory = made.ram.value(pdpt) & ~0xFFF
    made.ram.table(directory)[:] = made.ram.value(directory)
    for slot in range(4):
        made.ram.write(pdpt + 8 * slot, directory | PWU)
    return made


def alternating(slots: list[int]) -> PlainRam:
    """Draw three levels of tables in which these slots refer to the one table below."""
    ram = PlainRam(4 * FRAME)
    for level in range(3):
        for slot in slots:
            ram.write(level * FRAME + 8 * slot, (level + 1) * FRAME | PWU)
    for slot in (2, 3, 7):
        ram.write(3 * FRAME + 8 * slot, (slot + 0x100) << 12 | PWU)
    return ram

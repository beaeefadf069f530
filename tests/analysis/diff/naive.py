"""Two address spaces compared place by place, as plain scalar code over the reference's lists."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.paging.tables import PS, RW, US, XD, A, D, G, P

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Set as AbstractSet

    from tests.paging.listing import Row
    from tests.paging.tables import Case

# A bit of a leaf that SDM vol. 3A tables 4-16, 4-18 and 4-20 do not give a meaning.
IGNORED = 7 << 9 | 0x7F << 52


@dataclass
class Place:
    """One place as one side has it: a slot of the tables, or the part of one."""

    va: int
    last_va: int
    kind: str
    pa: int = 0
    size: int = 0
    rights: tuple[bool, ...] = ()
    attributes: tuple[int, ...] = ()
    marks: tuple[int, ...] = ()
    software: int = 0

    def part(self, va: int, last_va: int) -> Place:
        if (va, last_va) == (self.va, self.last_va):
            return self
        return Place(**{**vars(self), "va": va, "last_va": last_va, "pa": self.pa + va - self.va})


@dataclass
class Difference:
    """Neighbouring places with the same differences."""

    va: int
    last_va: int
    kinds: AbstractSet[str]
    alike: tuple[Any, ...]
    pa: list[int]
    next_pa: list[int]
    contiguous: list[bool]
    pages: dict[int, int] = field(default_factory=dict)


def places(case: Case) -> list[Place]:
    """Return all that there is on one side, in the order of addresses."""
    found = [Place(int(hole[0]), int(hole[1]), str(hole[5])) for hole in case.holes]
    found.extend(map(_page, case.leaves))
    return sorted(found, key=lambda place: place.va)


def _page(row: Row) -> Place:
    va, last_va, level, pa, _, entry, *rights = row
    pat = 7 if level == 1 else 12
    bits = (entry >> 3, entry >> 4, entry >> pat, entry >> 8)
    return Place(
        va,
        last_va,
        "leaf",
        pa,
        last_va - va + 1,
        tuple(rights),
        (*(bit & 1 for bit in bits), entry >> 59 & 15),
        (entry >> 5 & 1, entry >> 6 & 1),
        entry & IGNORED,
    )


def side_by_side(one: list[Place], other: list[Place]) -> Iterator[tuple[Place, Place]]:
    """Yield the smaller of the two places everywhere, as both sides have it."""
    m = n = 0
    while m < len(one):
        a, b = one[m], other[n]
        va, last_va = max(a.va, b.va), min(a.last_va, b.last_va)
        assert va <= last_va, "both sides tile the same addresses"
        yield a.part(va, last_va), b.part(va, last_va)
        m += a.last_va == last_va
        n += b.last_va == last_va


def kinds(a: Place, b: Place) -> frozenset[str]:
    """Return what is different about a place."""
    if a.kind != "leaf" or b.kind != "leaf":
        if "leaf" in (a.kind, b.kind):
            return frozenset({"added" if b.kind == "leaf" else "removed"})
        return frozenset({"fault"} if a.kind != b.kind else ())
    found = {
        "moved": a.pa != b.pa,
        "size": a.size != b.size,
        "rights": a.rights != b.rights,
        "attributes": a.attributes != b.attributes,
        "ad": a.marks != b.marks,
        "software": a.software != b.software,
    }
    return frozenset(name for name, yes in found.items() if yes)


def differences(
    one: list[Place], other: list[Place], chosen: frozenset[str] | None = None
) -> list[Difference]:
    """Return the differences, neighbours merged where they are alike."""
    found: list[Difference] = []
    for a, b in side_by_side(one, other):
        if a.kind == b.kind == "absent":
            continue
        changed = kinds(a, b)
        if chosen is not None:
            changed &= chosen
        if not changed:
            continue
        size = a.last_va - a.va + 1
        told: tuple[Any, ...] = ()
        if "ad" in changed:  # of what the MMU writes, only what changed
            told = tuple(
                tuple(x if x != y else None for x, y in zip(p, q, strict=True))
                for p, q in ((a.marks, b.marks), (b.marks, a.marks))
            )
        bits: tuple[int, ...] = (
            (a.software & ~b.software, b.software & ~a.software) if "software" in changed else ()
        )
        sizes = tuple(place.size if place.size != size else 0 for place in (a, b))
        alike = (a.rights, b.rights, a.attributes, b.attributes, sizes, told, bits)
        last = found[-1] if found else None
        if last is None or last.last_va + 1 != a.va or (last.kinds, last.alike) != (changed, alike):
            last = Difference(
                a.va, a.va - 1, changed, alike, [a.pa, b.pa], [a.pa, b.pa], [True, True]
            )
            found.append(last)
        for n, place in enumerate((a, b)):
            # What is not there has no frames.
            last.contiguous[n] &= place.kind != "leaf" or last.next_pa[n] == place.pa
            last.next_pa[n] = place.pa + size
        last.last_va = a.last_va
        bits_of_size = size.bit_length() - 1
        last.pages[bits_of_size] = last.pages.get(bits_of_size, 0) + 1
    return found


FLIPS = (
    A,
    D,
    A | D,
    RW,
    US,
    XD,
    G,
    PS,
    P,
    1 << 3,
    1 << 9,
    1 << 52,
    1 << 59,
    1 << 12,
    1 << 21,
    1 << 13,
)

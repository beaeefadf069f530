"""Every leaf and every hole of a whole address space, one function per kind of table.

In address order, lower half first; together they tile both canonical halves, and the gap between
the halves is neither. A hole is one entry: neighbours are never merged, nothing is left out, and
what several paths reach is listed once for each of them. Only for small tables.
"""

from collections.abc import Iterator

from .bits import PS, RW, US, XD, P, bits
from .formats import (
    reserved_in_pde,
    reserved_in_pdpte,
    reserved_in_pml4e,
    reserved_in_pml5e,
    reserved_in_pte,
)
from .terms import Hole, Leaf, Machine, ReadQword
from .walk import root_table


def enumerate_leaves(machine: Machine, read_qword: ReadQword, cr3: int) -> list[Leaf]:
    """List all entries that map a page, with the rights folded over the path to each.

    Raises:
        ValueError: CR3 references no memory.
    """
    return [slot for slot in _slots(machine, read_qword, cr3) if isinstance(slot, Leaf)]


def enumerate_holes(machine: Machine, read_qword: ReadQword, cr3: int) -> list[Hole]:
    """List all entries that translate nothing: absent, malformed, or with an unreadable table.

    Raises:
        ValueError: CR3 references no memory.
    """
    return [slot for slot in _slots(machine, read_qword, cr3) if isinstance(slot, Hole)]


def _slots(machine: Machine, read_qword: ReadQword, cr3: int) -> Iterator[Leaf | Hole]:
    root = root_table(machine, cr3)
    if read_qword(root) is None:
        raise ValueError(f"the root table at {root:#x} is no memory")
    if machine.levels == 5:
        yield from _pml5_table(machine, read_qword, root)
    else:
        yield from _pml4_table(machine, read_qword, root, 0, ())


def _pml5_table(machine: Machine, read_qword: ReadQword, table: int) -> Iterator[Leaf | Hole]:
    for index in range(512):  # bits 56:48 of the linear address; bit 56 fills bits 63:57
        va = index << 48 if index < 256 else bits(63, 57) | index << 48
        last = va | bits(47, 0)
        entry_pa = table + 8 * index
        entry = _read(read_qword, entry_pa)
        if not entry & P:
            yield Hole(va, last, 5, entry_pa, entry, "absent")
        elif reserved_in_pml5e(machine, entry):
            yield Hole(va, last, 5, entry_pa, entry, "malformed")
        elif read_qword(entry & bits(51, 12)) is None:
            yield Hole(va, last, 5, entry_pa, entry, "unreadable")
        else:
            yield from _pml4_table(machine, read_qword, entry & bits(51, 12), va, (entry,))


def _pml4_table(
    machine: Machine, read_qword: ReadQword, table: int, base: int, above: tuple[int, ...]
) -> Iterator[Leaf | Hole]:
    for index in range(512):  # bits 47:39 of the linear address
        va = base | index << 39
        if machine.levels == 4 and index >= 256:  # bit 47 fills bits 63:48
            va |= bits(63, 48)
        last = va | bits(38, 0)
        entry_pa = table + 8 * index
        entry = _read(read_qword, entry_pa)
        if not entry & P:
            yield Hole(va, last, 4, entry_pa, entry, "absent")
        elif reserved_in_pml4e(machine, entry):
            yield Hole(va, last, 4, entry_pa, entry, "malformed")
        elif read_qword(entry & bits(51, 12)) is None:
            yield Hole(va, last, 4, entry_pa, entry, "unreadable")
        else:
            pointers = entry & bits(51, 12)
            yield from _pointer_table(machine, read_qword, pointers, va, (*above, entry))


def _pointer_table(
    machine: Machine, read_qword: ReadQword, table: int, base: int, above: tuple[int, ...]
) -> Iterator[Leaf | Hole]:
    for index in range(512):  # bits 38:30 of the linear address
        va = base | index << 30
        last = va | bits(29, 0)
        entry_pa = table + 8 * index
        entry = _read(read_qword, entry_pa)
        if not entry & P:
            yield Hole(va, last, 3, entry_pa, entry, "absent")
        elif reserved_in_pdpte(machine, entry):
            yield Hole(va, last, 3, entry_pa, entry, "malformed")
        elif entry & PS:
            rights = _rights((*above, entry))
            yield Leaf(va, last, 3, entry & bits(51, 30), entry_pa, entry, *rights)
        elif read_qword(entry & bits(51, 12)) is None:
            yield Hole(va, last, 3, entry_pa, entry, "unreadable")
        else:
            directory = entry & bits(51, 12)
            yield from _directory(machine, read_qword, directory, va, (*above, entry))


def _directory(
    machine: Machine, read_qword: ReadQword, table: int, base: int, above: tuple[int, ...]
) -> Iterator[Leaf | Hole]:
    for index in range(512):  # bits 29:21 of the linear address
        va = base | index << 21
        last = va | bits(20, 0)
        entry_pa = table + 8 * index
        entry = _read(read_qword, entry_pa)
        if not entry & P:
            yield Hole(va, last, 2, entry_pa, entry, "absent")
        elif reserved_in_pde(machine, entry):
            yield Hole(va, last, 2, entry_pa, entry, "malformed")
        elif entry & PS:
            rights = _rights((*above, entry))
            yield Leaf(va, last, 2, entry & bits(51, 21), entry_pa, entry, *rights)
        elif read_qword(entry & bits(51, 12)) is None:
            yield Hole(va, last, 2, entry_pa, entry, "unreadable")
        else:
            page_table = entry & bits(51, 12)
            yield from _page_table(machine, read_qword, page_table, va, (*above, entry))


def _page_table(
    machine: Machine, read_qword: ReadQword, table: int, base: int, above: tuple[int, ...]
) -> Iterator[Leaf | Hole]:
    for index in range(512):  # bits 20:12 of the linear address
        va = base | index << 12
        last = va | bits(11, 0)
        entry_pa = table + 8 * index
        entry = _read(read_qword, entry_pa)
        if not entry & P:
            yield Hole(va, last, 1, entry_pa, entry, "absent")
        elif reserved_in_pte(machine, entry):
            yield Hole(va, last, 1, entry_pa, entry, "malformed")
        else:
            rights = _rights((*above, entry))
            yield Leaf(va, last, 1, entry & bits(51, 12), entry_pa, entry, *rights)


# Of a table that is memory: its first entry could be read, and frames are whole.
def _read(read_qword: ReadQword, entry_pa: int) -> int:
    entry = read_qword(entry_pa)
    if entry is None:
        raise ValueError(f"half a table: the entry at {entry_pa:#x} is no memory")
    return entry


# 4.6.1: write, user, execute, each by "every paging-structure entry controlling the translation".
def _rights(entries: tuple[int, ...]) -> tuple[bool, bool, bool]:
    return (
        all(entry & RW for entry in entries),
        all(entry & US for entry in entries),
        not any(entry & XD for entry in entries),
    )

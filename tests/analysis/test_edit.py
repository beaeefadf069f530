"""The five operations held against a model that knows no tables: address -> (frame, rights).

What the tables say before and after is read by the tests' own scalar walks.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ptlive.analysis.edit import Edit
from ptlive.analysis.edit_frames import Frames
from ptlive.arrays import u64
from ptlive.errors import PtliveError
from ptlive.paging.formats import x86_64
from tests.paging.builder import Builder
from tests.paging.mock_format import MOCK, slots
from tests.paging.plain_ram import FRAME, PlainRam
from tests.paging.tables import PS, PWU, RW, XD, Case, G, P, cases, machine
from tests.paging.test_walk_mock import ROOTS, rams

if TYPE_CHECKING:
    from collections.abc import Callable

    from ptlive.paging.format import Format

FREE = 12  # frames behind the tables that nothing refers to
MOST = 500  # ends of pages that are looked at
TOP = 0xFFFF_FFFF_8000_0000


class Page(NamedTuple):
    """What a model holds of a leaf: rights are (write, user, execute), in the reference's words."""

    va: int
    last_va: int
    pa: int
    rights: tuple[bool, ...]


class Model:
    """Where each address leads."""

    def __init__(self, pages: list[Page]) -> None:
        self.pages = sorted(pages)
        self._starts = [page.va for page in self.pages]

    def at(self, va: int) -> tuple[int, tuple[bool, ...]] | None:
        row = bisect_right(self._starts, va) - 1
        if row < 0 or va > self.pages[row].last_va:
            return None
        return self.pages[row].pa + va - self.pages[row].va, self.pages[row].rights

    def ends(self) -> set[int]:
        return {end for page in self.pages for end in (page.va, page.last_va)}


def of_case(case: Case) -> Model:
    return Model([Page(row[0], row[1], row[3], tuple(row[6:])) for row in case.leaves])


def of_mock(ram: PlainRam) -> Model:
    found = slots(ram, ROOTS)
    return Model([Page(s.va, s.last_va, s.pa, s.rights) for s in found if s.kind == "leaf"])


def roomy(ram: PlainRam) -> tuple[PlainRam, tuple[int, int]]:
    """Return the same RAM with free frames behind it, and where these are."""
    size = -(-ram.data.size // FRAME) * FRAME
    more = PlainRam(size + FREE * FRAME, ram.base)
    more.data[: ram.data.size] = ram.data
    return more, (ram.base + size, ram.base + size + FREE * FRAME - 1)


def apply(edit: Edit, ram: PlainRam) -> None:
    """Write what an edit would, which must be over what it saw."""
    for made in edit.tables():
        entry = edit.fmt.level(made.lvl).entry
        ram.table(made.table, made.entries.size, entry)[:] = made.entries
    for write in edit.changed():
        ram.apply([write], edit.fmt.level(write.lvl).entry)


def samples(before: Model, after: Model, va: int, last_va: int) -> list[int]:
    some = sorted(after.ends())
    few = some[:: max(len(some) // MOST, 1)]
    ends = before.ends() | {*few, va, last_va, (va + last_va) // 2}
    near = {end + step for end in ends for step in (-1, 0, 1)}
    return sorted(one for one in near if 0 <= one < 1 << 64)


def edit_of(
    fmt: Format, ram: PlainRam, roots: Any, va: int, last_va: int, free: tuple[int, int]
) -> Edit:
    return Edit(fmt, ram, roots, va, last_va, Frames([free]))


def held(before: Model, after: Model, edit: Edit, expected: Callable[[int, Any], Any]) -> None:
    """Hold what the tables say now against the model."""
    for va in samples(before, after, edit.va, edit.last_va):
        was = before.at(va)
        inside = edit.va <= va <= edit.last_va
        wanted = expected(va, was) if inside and was is not None else was
        assert after.at(va) == wanted, hex(va)


def ranges(model: Model, data: st.DataObject, unit: int) -> tuple[int, int]:
    """Draw a range that touches pages, whole or not, in units of base pages."""
    assume(model.pages)
    first, last = (data.draw(st.sampled_from(model.pages)) for _ in range(2))
    low, high = min(first.va, last.va), max(first.last_va, last.last_va)
    if data.draw(st.booleans()):  # a part of the first page, and of the last
        pages = (first.last_va - first.va) // unit
        low = min(first.va, last.va) + unit * data.draw(st.integers(0, min(pages, 600)))
    if data.draw(st.booleans()):
        high -= unit * data.draw(st.integers(0, 3))
    assume(low <= high)
    return low, high


OPERATIONS = ("unmap", "cut", "protect", "split")


@settings(max_examples=25, deadline=None)
@given(cases(), st.sampled_from(OPERATIONS), st.data())
def test_operations_do_to_random_tables_what_a_model_says(
    case: Case, operation: str, data: st.DataObject
) -> None:
    ram, free = roomy(case.ram)
    case = Case(case.machine, ram, case.root)
    before = of_case(case)
    va, last_va = ranges(before, data, FRAME)
    edit = edit_of(case.fmt, ram, case.roots, va, last_va, free)
    image = ram.data.copy()
    try:
        done = _do(edit, operation, case.machine.nxe)
    except PtliveError:
        assert (ram.data == image).all()
        return
    assert (ram.data == image).all()  # a plan writes nothing
    apply(edit, ram)
    held(before, of_case(Case(case.machine, ram, case.root)), edit, done)


def _do(edit: Edit, operation: str, nxe: bool) -> Callable[[int, Any], Any]:
    """Do an operation, and return what it makes of a page."""
    if operation in ("unmap", "cut"):
        edit.unmap(tables=operation == "cut")
        return lambda _va, _was: None
    if operation == "protect":
        edit.protect(("execute",) if nxe else (), ("write",), {})
        # A right that a table above denies stays denied.
        return lambda _va, was: _Without(was)
    edit.split(12)
    return lambda _va, was: was


class _Without:
    """Equal to a page that lacks write, and is else where it was."""

    def __init__(self, was: tuple[int, tuple[bool, ...]]) -> None:
        self._was = was

    def __eq__(self, other: object) -> bool:
        assert isinstance(other, tuple)
        (pa, rights), (old_pa, old) = other, self._was
        return pa == old_pa and not rights[0] and rights[1] == old[1] and rights[2] >= old[2]

    __hash__ = None  # type: ignore[assignment]  # nobody keeps these in a set


@settings(max_examples=15, deadline=None)
@given(rams(), st.sampled_from(("unmap", "protect", "split")), st.data())
def test_operations_on_the_mock_format(ram: PlainRam, operation: str, data: st.DataObject) -> None:
    ram, free = roomy(ram)
    before = of_mock(ram)
    # What some entries of a group say is no model's business if another of its places says less.
    assume(all(one.last_va < other.va for one, other in pairwise(before.pages)))
    va, last_va = ranges(before, data, 1 << 12)
    edit = edit_of(MOCK, ram, u64(*ROOTS), va, last_va, free)
    image = ram.data.copy()
    try:
        if operation == "unmap":
            edit.unmap()
        elif operation == "protect":
            edit.protect((), ("write",), {})
        else:
            edit.split(20)
    except PtliveError:
        return
    finally:
        assert (ram.data == image).all()
    apply(edit, ram)
    made = {
        "unmap": lambda _va, _was: None,
        "protect": lambda _va, was: (was[0], (False, *was[1][1:])),
        "split": lambda _va, was: was,
    }
    held(before, of_mock(ram), edit, made[operation])


def rich(levels: int = 5) -> tuple[Builder, tuple[int, int]]:
    """Build pages of every size, and free frames.

    TOP: 16 pages of 4K; TOP + 1G: a page of 1G; TOP + 4M: a page of 2M
    """
    built = Builder(levels, frames=96)
    for page in range(16):
        built.map(TOP + (page << 12), 0x5000_0000 | page << 12 | PWU)
    built.map(TOP + (1 << 30), 0x4000_0000 | P | RW | PS | G | XD | 1 << 12 | 5 << 59, level=3)
    built.map(TOP + (4 << 20), 0x6000_0000 | PWU | PS | 1 << 52, level=2)
    return built, (built.root + 64 * FRAME, built.root + 96 * FRAME - 1)


def model_of(built: Builder) -> Model:
    return of_case(Case(_machine(built.levels), built.ram, built.root))


def _machine(levels: int) -> Any:
    return machine(levels, maxphyaddr=52)


@pytest.mark.parametrize("levels", [4, 5])
def test_a_split_keeps_every_field_where_its_level_has_it(levels: int) -> None:
    built, free = rich(levels)
    edit = edit_of(built.fmt, built.ram, built.roots, TOP + (1 << 30), TOP + (1 << 30) + 4095, free)
    edit.split(12)
    large, small = edit.tables()
    # PAT is bit 12 of a 1G and of a 2M page, bit 7 of a 4K page, where a large one has PS.
    kept = P | RW | G | XD | 5 << 59
    assert int(large.entries[1]) == 0x4020_0000 | kept | PS | 1 << 12
    assert int(small.entries[3]) == 0x4000_3000 | kept | 1 << 7
    (entry,) = edit.changed()
    assert int(entry.new[0]) == large.table | PWU  # the table denies nothing
    assert int(large.entries[0]) == small.table | PWU


def test_bits_of_software_stay_when_a_page_is_split() -> None:
    built, free = rich()
    edit = edit_of(built.fmt, built.ram, built.roots, TOP + (4 << 20), TOP + (4 << 20) + 4095, free)
    edit.unmap()
    (made,) = edit.tables()
    assert int(made.entries[0]) == 0
    assert int(made.entries[511]) == 0x601F_F000 | PWU | 1 << 52


def test_without_frames_it_is_said_how_many_are_needed() -> None:
    built, _ = rich()
    everywhere = (built.root, built.root + 96 * FRAME - 1)
    frames = Frames([], [everywhere], frozenset(range(built.root, built.free, FRAME)))
    edit = Edit(built.fmt, built.ram, built.roots, TOP + (1 << 30), TOP + (1 << 30) + 4095, frames)
    edit.unmap()
    with pytest.raises(PtliveError, match=r"needs 2 new tables of 4096 bytes, .* room for 0"):
        frames.check()


def test_remap_moves_pages_of_each_size() -> None:
    built, free = rich()
    before = model_of(built)
    edit = edit_of(built.fmt, built.ram, built.roots, TOP + (4 << 20), TOP + (6 << 20) - 1, free)
    edit.remap(0x8000_0000)
    assert edit.tables() == []
    apply(edit, built.ram)
    held(before, model_of(built), edit, lambda va, was: (0x8000_0000 + va - edit.va, was[1]))


def test_remap_to_frames_that_no_large_page_can_have_is_refused_unless_in_smaller_ones() -> None:
    built, free = rich()
    edit = edit_of(built.fmt, built.ram, built.roots, TOP + (4 << 20), TOP + (6 << 20) - 1, free)
    with pytest.raises(PtliveError, match="cannot stand in a PDE"):
        edit.remap(0x8000_1000)
    before = model_of(built)
    edit = edit_of(built.fmt, built.ram, built.roots, TOP + (4 << 20), TOP + (6 << 20) - 1, free)
    edit.remap(0x8000_1000, 12)
    apply(edit, built.ram)
    held(before, model_of(built), edit, lambda va, was: (0x8000_1000 + va - edit.va, was[1]))


def test_remap_of_what_is_not_mapped_takes_the_flags_of_another_page() -> None:
    built, free = rich()
    edit = edit_of(built.fmt, built.ram, built.roots, 0x7000, 0x7000 + (1 << 21) - 1, free)
    with pytest.raises(PtliveError, match="--like"):
        edit.remap(0x8000_0000)
    edit = edit_of(built.fmt, built.ram, built.roots, 0x7000, 0x7000 + (1 << 21) - 1, free)
    edit.remap(0x8000_0000, like=TOP)
    apply(edit, built.ram)
    after = model_of(built)
    rights = (True, True, True)
    assert after.at(0x7000) == (0x8000_0000, rights)
    assert after.at(0x7000 + (1 << 21) - 1) == (0x8000_0000 + (1 << 21) - 1, rights)
    assert after.at(0x6FFF) is None
    assert after.at(0x7000 + (1 << 21)) is None


def test_copy_maps_what_another_root_maps() -> None:
    built, free = rich()
    other = built.table()
    edit = edit_of(built.fmt, built.ram, u64(other), TOP + 0x3000, TOP + (4 << 20) + 0x4FFF, free)
    edit.copy(built.ram, built.roots)
    apply(edit, built.ram)
    source = model_of(built)
    copied = of_case(Case(_machine(5), built.ram, other))
    for va in samples(source, copied, edit.va, edit.last_va):
        wanted = source.at(va) if edit.va <= va <= edit.last_va else None
        assert copied.at(va) == wanted, hex(va)
    again = edit_of(built.fmt, built.ram, u64(other), TOP + 0x3000, TOP + 0x3FFF, free)
    with pytest.raises(PtliveError, match="mapped there already"):
        again.copy(built.ram, built.roots)


def test_a_table_that_is_reached_from_elsewhere_is_not_changed() -> None:
    _, free = rich()
    shared = Builder(5, frames=96)
    shared.map(TOP, 0x5000_0000 | PWU)
    table = shared.free - FRAME
    shared.map(TOP + (1 << 30), table | PWU, level=2)
    edit = edit_of(shared.fmt, shared.ram, shared.roots, TOP, TOP + 4095, free)
    with pytest.raises(PtliveError, match="also reached from outside"):
        edit.unmap()


def test_rights_that_would_set_a_reserved_bit_are_refused() -> None:
    built, free = rich(4)
    old = x86_64.make_levels(4, nxe=False)
    edit = edit_of(old, built.ram, built.roots, TOP, TOP + 4095, free)
    with pytest.raises(PtliveError, match="would map no page"):
        edit.protect((), ("execute",), {})


def test_a_field_that_does_not_exist_or_fit_is_refused() -> None:
    built, free = rich()
    for values, why in (({"PK": 16}, "does not fit"), ({"XY": 1}, "has no XY")):
        edit = edit_of(built.fmt, built.ram, built.roots, TOP, TOP + 4095, free)
        with pytest.raises(PtliveError, match=why):
            edit.protect((), (), values)


@pytest.mark.parametrize(("va", "last_va"), [(TOP + 1, TOP + 4095), (TOP, TOP + 100)])
def test_a_part_of_a_base_page_is_refused(va: int, last_va: int) -> None:
    built, free = rich()
    edit = edit_of(built.fmt, built.ram, built.roots, va, last_va, free)
    with pytest.raises(PtliveError, match="a base page cannot be split"):
        edit.unmap()


def test_what_is_copied_keeps_its_tables_though_they_are_named_as_free() -> None:
    built, _ = rich()
    other = built.table()
    everything = (built.root, built.root + 96 * FRAME - 1)
    edit = edit_of(built.fmt, built.ram, u64(other), TOP, TOP + 0xFFFF, everything)
    edit.frames.tables = frozenset([other])
    edit.copy(built.ram, built.roots)
    assert min(one.table for one in edit.tables()) >= built.free
    source = model_of(built)
    apply(edit, built.ram)
    assert model_of(built).pages == source.pages
    copied = of_case(Case(_machine(5), built.ram, other))
    assert [page for page in source.pages if page.va < TOP + (1 << 20)] == copied.pages


def test_a_hole_is_filled_in_pages_of_at_most_the_size_that_is_asked() -> None:
    built, free = rich()
    edit = edit_of(built.fmt, built.ram, built.roots, 8 << 20, (10 << 20) - 1, free)
    edit.remap(0x8000_1000, 12, like=TOP + (4 << 20))
    apply(edit, built.ram)
    pages = [page for page in model_of(built).pages if page.va < TOP]
    assert pages == [
        Page(va, va + 0xFFF, 0x8000_1000 + va - (8 << 20), (True, True, True))
        for va in range(8 << 20, 10 << 20, FRAME)
    ]


def test_a_range_of_too_many_pages_is_refused_before_any_is_made() -> None:
    built, free = rich()
    edit = edit_of(built.fmt, built.ram, built.roots, 0, (1 << 46) - 1, free)
    with pytest.raises(PtliveError, match=r"more than 1,048,576 pages"):
        edit.remap(0, like=TOP)
    assert edit.tables() == []


def test_flags_of_what_is_not_mapped_are_no_flags() -> None:
    built, free = rich()
    edit = edit_of(built.fmt, built.ram, built.roots, 0, 0xFFF, free)
    with pytest.raises(PtliveError, match=r"--like 0x5000: nothing is mapped there"):
        edit.remap(0, like=0x5000)

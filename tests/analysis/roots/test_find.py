"""Roots in the RAM of a made-up system: all of its address spaces, and no other."""

from __future__ import annotations

import numpy as np
import pytest

from ptlive.analysis.roots import judge
from tests.analysis.roots.system import DIRECT_AT, HALF, IMAGE_AT, TABLE, USER, System
from tests.paging.plain_ram import FRAME
from tests.paging.tables import PS, XD, A, D

LEVELS = pytest.mark.parametrize("levels", [4, 5])


@LEVELS
def test_every_address_space_is_found_and_nothing_else(levels: int) -> None:
    system = System(levels)
    processes = [system.root(pages) for pages in (3, 1, 5, 2)]
    for _ in range(60):
        system.noise()
    found = system.shown(processes[2])
    assert set(found) == {system.init, *processes}
    assert [found[root].kind for root in processes] == [judge.PROCESS] * 4
    assert found[system.init].kind == judge.KERNEL
    for root, pages in zip(processes, (3, 1, 5, 2), strict=True):
        below = found[root].below
        assert below is not None
        assert (below.leaves, below.user, below.bytes) == (pages, pages, pages * FRAME)
        assert (below.bad, below.junk) == (0, 0)
        # A table at each level for all of its pages, but one at the last for each 2 MB.
        assert below.tables == levels - 2 + pages


def test_numbers_begin_with_those_in_use_and_end_with_the_unsure() -> None:
    system = System()
    first, second, third = (system.root() for _ in range(3))
    lone = _stranger(system)
    numbered = system.search(third, first).roots
    assert [one.number for one in numbered] == [0, 1, 2, 3, 4]
    assert [one.root for one in numbered] == [third, first, system.init, second, lone]
    assert [one.vcpus for one in numbered[:3]] == [(1,), (2,), ()]
    assert [one.shown for one in numbered] == [True] * 4 + [False]
    assert numbered == system.search(third, first).roots


def test_freed_roots_are_copies_of_the_kernels_own() -> None:
    system = System()
    process = system.root()
    freed = [system.root(pages=0) for _ in range(3)]
    found = system.shown(process)
    assert set(found) == {process, system.init}
    assert found[system.init].copies == tuple(freed)
    assert "its frame is mapped 2 times, as the kernel's image" in found[system.init].evidence


def test_a_root_that_was_freed_between_the_images_sections_is_a_copy_too() -> None:
    """It is mapped as often, and lies before; but its large page was split when it was freed."""
    system = System(free=520 * FRAME)
    system.map(system.init, DIRECT_AT, 0, level=2)
    for at in range(0, 1 << 21, FRAME):
        system.map(system.init, DIRECT_AT + at, at | TABLE | XD, upper=TABLE)
    process = system.root()
    gap = 5 * FRAME
    system.ram.table(gap)[HALF:] = system.ram.table(system.init)[HALF:]
    found = system.shown(process)
    assert set(found) == {process, system.init}
    assert found[system.init].copies == (gap,)


def test_a_freed_root_alone_is_less_sure() -> None:
    system = System()
    process, freed = system.root(), system.root(pages=0)
    system.ram.table(freed)[HALF + 99] = system.frame() | TABLE  # it had an LDT
    (one,) = (one for one in system.search(process).roots if one.root == freed)
    assert not one.shown
    assert "may have been freed" in one.evidence


def test_marks_of_the_mmu_and_entries_that_are_still_missing_make_no_difference() -> None:
    system = System()
    process, marked, lazy = (system.root() for _ in range(3))
    table = system.ram.table(marked)
    table[HALF:][table[HALF:] != 0] &= ~np.uint64(A | D)
    missing = int(np.flatnonzero(system.ram.table(lazy)[HALF:])[0]) + HALF
    system.ram.write(lazy + 8 * missing, 0)
    found = system.shown(process)
    assert found[marked].confidence == 0.95
    assert judge.DEFAULT < found[lazy].confidence < 0.95


def test_a_copy_of_a_table_is_told_and_not_counted() -> None:
    system = System()
    process, other = system.root(), system.root()
    copy = system.frame()
    system.ram.table(copy)[:] = system.ram.table(other)
    found = system.shown(process)
    assert set(found) == {process, other, system.init}
    assert found[other].copies == (copy,)


def test_a_copy_of_a_table_that_maps_itself_is_no_other_root() -> None:
    system = System()
    process = system.root()
    system.ram.write(process + 8 * 400, process | TABLE | XD)
    copy = system.frame()
    system.ram.table(copy)[:] = system.ram.table(process)
    found = system.shown(process)
    assert copy not in found
    assert found[process].copies == (copy,)


def test_a_lower_half_that_user_mode_cannot_reach_is_no_process() -> None:
    system = System()
    process = system.root()
    trampoline = system.root(pages=2, flags=TABLE)
    emptied = system.root(pages=1)
    system.map(emptied, 0x40_0000, 0)
    found = system.shown(process)
    assert {found[trampoline].kind, found[emptied].kind} == {judge.OTHER}
    assert "no page for user mode" in found[trampoline].evidence
    assert "no page in the lower half" in found[emptied].evidence


@LEVELS
def test_forgotten_tables_of_lower_levels_are_no_roots(levels: int) -> None:
    system = System(levels)
    process = system.root()
    gone = [system.root(pages) for pages in (1, 4)]
    for root in gone:  # the tables below stay as they are
        system.ram.table(root)[:] = 0
    assert set(system.shown(process)) == {process, system.init}


def test_a_broken_entry_makes_a_root_less_sure_and_does_not_hide_it() -> None:
    system = System()
    process, broken = system.root(), system.root()
    system.ram.write(broken + 8 * 7, system.frame() | USER | 1 << 45)
    one = system.shown(process)[broken]
    assert one.confidence < 0.95
    assert one.below is not None
    assert one.below.bad == 1


@pytest.mark.parametrize("in_user_mode", [False, True])
def test_both_halves_of_isolated_page_tables(in_user_mode: bool) -> None:
    system = System()
    kernels = [system.root(pages) for pages in (2, 3, 1)]
    users = [system.entrance(root) for root in kernels]
    own = system.entrance(system.init)
    found = system.shown(users[1] if in_user_mode else kernels[1])
    assert set(found) == {*kernels, *users, system.init, own}
    for kernel, user in zip(kernels, users, strict=True):
        assert (found[kernel].kind, found[user].kind) == (judge.PROCESS, judge.USER_HALF)
        assert (found[kernel].partner, found[user].partner) == (user, kernel)
        assert "not executable there" in found[kernel].evidence
    assert (found[own].kind, found[own].partner) == (judge.USER_HALF, system.init)


def test_an_idle_cpu_leads_to_the_pairs_too() -> None:
    system = System()
    kernels = [system.root(pages) for pages in (2, 3)]
    users = [system.entrance(root) for root in kernels]
    own = system.entrance(system.init)
    found = system.shown(system.init)
    assert set(found) == {system.init, own, *kernels, *users}


def test_two_processes_with_the_same_empty_neighbours_are_no_pair() -> None:
    system = System()
    process, one = system.root(), system.root(pages=0)
    system.ram.table(one | FRAME)[:] = system.ram.table(one)
    assert all(found.partner is None for found in system.search(process).roots)


def _stranger(system: System, upper: int = 0) -> int:
    """Make a root of another system, with an identity map; upper: a table it shares."""
    root = system.frame()
    for at in range(0, system.frames * FRAME, 1 << 21):
        system.map(root, at, at | TABLE | PS, level=2, upper=TABLE)
    if upper:
        system.ram.write(root + 8 * 300, upper | TABLE)
    return root


def test_a_root_to_which_nothing_leads_is_unsure_and_a_family_is_not() -> None:
    system = System()
    process = system.root()
    lone = _stranger(system)
    assert lone not in system.shown(process)
    assert lone in {one.root for one in system.search(process).roots}
    shared = system.frame()
    family = [_stranger(system, shared) for _ in range(3)]
    assert set(system.shown(process)) == {process, system.init, *family}
    assert "3 with this upper half" in system.shown(process)[family[0]].evidence


def test_without_a_known_root_families_are_found() -> None:
    system = System()
    processes = [system.root() for _ in range(2)]
    assert set(system.shown()) == {*processes, system.init}


def test_a_root_that_maps_itself_is_one() -> None:
    system = System()
    process, other = system.root(), system.root()
    for root in (process, other):
        system.ram.write(root + 8 * 400, root | TABLE | XD)
    found = system.shown(process)
    assert {process, other} <= set(found)
    assert found[other].confidence == found[process].confidence - 0.05
    assert not any("differ" in text for text in found[other].evidence)


def test_a_root_in_use_is_listed_whatever_it_holds() -> None:
    system = System()
    empty = system.frame()
    system.ram.write(empty + 8 * 3, 1 << 45 | TABLE)
    found = system.shown(empty)
    assert found[empty].confidence == 1.0
    assert found[empty].below is not None


def test_the_address_of_the_kernels_image_plays_no_part() -> None:
    assert IMAGE_AT >> 31 == (1 << 33) - 1  # as Linux has it, so that these tests are of its kind

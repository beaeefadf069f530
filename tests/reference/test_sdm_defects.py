"""What is right where other tools were seen to go wrong: one named test per defect."""

from dataclasses import replace

from . import machines
from .defects import DEFECTS
from .ram import ram
from .sdm import Access, Leaf, Machine, Walk, access, enumerate_holes, enumerate_leaves, translate

FIVE = replace(machines.FIVE, maxphyaddr=52)
FOUR = replace(FIVE, levels=4)


def walk(name: str, va: int, machine: Machine = FIVE) -> Walk:
    cr3 = 0x1000 if machine.levels == 5 else 0x2000
    return translate(machine, ram(DEFECTS[name]), cr3, va)


def test_an_address_above_2_47_under_la57_is_in_the_lower_half() -> None:
    assert walk("lower half above 2^47", 0x0000_8000_0000_0123).pa == 0xABC123
    assert walk("lower half above 2^47", 0xFFFF_8000_0000_0123).kind == "absent"
    leaves = enumerate_leaves(FIVE, ram(DEFECTS["lower half above 2^47"]), 0x1000)
    assert leaves == [
        Leaf(
            0x0000_8000_0000_0000,
            0x0000_8000_0000_0FFF,
            1,
            0xABC000,
            0x5000,
            0xABC067,
            True,
            True,
            True,
        )
    ]


def test_rights_come_from_every_level() -> None:
    page = walk("restrictive entry above a permissive leaf", 0)
    assert (page.write, page.user, page.execute) == (False, False, False)
    assert (page.write_denied_by, page.user_denied_by, page.execute_denied_by) == (4, 4, 4)


def test_equal_entries_and_tables_seen_before_are_all_listed() -> None:
    tables = ram(DEFECTS["equal entries in a shared table"])
    leaves = enumerate_leaves(FIVE, tables, 0x1000)
    assert len(leaves) == 1024
    assert {leaf.pa for leaf in leaves} == {0xABC000}
    assert [leaf.va for leaf in leaves[510:514]] == [0x1F_E000, 0x1F_F000, 0x20_0000, 0x20_1000]


def test_accessed_and_dirty_are_the_entrys_own() -> None:
    tables = ram(DEFECTS["accessed and dirty differ from the upper entries"])
    write = Access("write", False, False)
    neither = access(FIVE, tables, 0x1000, 0x0000, write)
    assert (neither.accessed, neither.dirty) == ((0x5000,), (0x5000,))
    accessed = access(FIVE, tables, 0x1000, 0x1000, write)
    assert (accessed.accessed, accessed.dirty) == ((), (0x5008,))
    both = access(FIVE, tables, 0x1000, 0x2000, write)
    assert (both.accessed, both.dirty) == ((), ())


def test_what_is_not_present_is_absent_whatever_its_other_bits() -> None:
    name = "not present but not zero"
    assert [
        (step.kind, step.path[-1].level, step.path[-1].entry_pa)
        for step in (
            walk(name, 0x0000_0000_0000_0000),
            walk(name, 0x0000_0000_0000_1000),
            walk(name, 0x0000_0000_0020_0000),
            walk(name, 0x0000_0000_4000_0000),
            walk(name, 0x0000_0080_0000_0000),
            walk(name, 0x0001_0000_0000_0000),
        )
    ] == [
        ("absent", 1, 0x5000),
        ("absent", 1, 0x5008),
        ("absent", 2, 0x4008),
        ("absent", 3, 0x3008),
        ("absent", 4, 0x2008),
        ("absent", 5, 0x1008),
    ]
    assert enumerate_leaves(FIVE, ram(DEFECTS[name]), 0x1000) == []
    assert {hole.kind for hole in enumerate_holes(FIVE, ram(DEFECTS[name]), 0x1000)} == {"absent"}


def test_level_numbers_go_from_5_at_the_root_to_1() -> None:
    five = walk("five levels, each with its own index", 0x0001_0100_C080_5678)
    assert [(step.level, step.entry_pa) for step in five.path] == [
        (5, 0x1008),
        (4, 0x2010),
        (3, 0x3018),
        (2, 0x4020),
        (1, 0x5028),
    ]
    four = walk("four levels, each with its own index", 0x0000_0100_C080_5678, FOUR)
    assert [(step.level, step.entry_pa) for step in four.path] == [
        (4, 0x2010),
        (3, 0x3018),
        (2, 0x4020),
        (1, 0x5028),
    ]


def test_physical_addresses_keep_all_52_bits() -> None:
    name = "physical addresses of 52 bits"
    assert walk(name, 0x0000_0678).pa == 0x000F_8000_00AB_C678
    assert walk(name, 0x0020_0678).pa == 0x000F_8000_0020_0678
    assert walk(name, 0x4000_0678).pa == 0x000F_8000_4000_0678
    narrow = replace(FIVE, maxphyaddr=51)
    assert walk(name, 0x0000_0678, narrow).reserved == 0x0008_0000_0000_0000
    assert walk(name, 0x0020_0678, narrow).reserved == 0x0008_0000_0000_0000
    assert walk(name, 0x4000_0678, narrow).reserved == 0x0008_0000_0000_0000


def test_tables_above_2_51_are_found() -> None:
    high = {
        0x0008_0000_0000_1000: 0x0008_0000_0000_2007,
        0x0008_0000_0000_2000: 0x0008_0000_0000_3007,
        0x0008_0000_0000_3000: 0x0008_0000_0000_4007,
        0x0008_0000_0000_4000: 0x0008_0000_0000_5007,
        0x0008_0000_0000_5000: 0x0008_0000_00AB_C007,
    }
    page = translate(FIVE, ram(high), 0x0008_0000_0000_1000, 0x123)
    assert page.pa == 0x0008_0000_00AB_C123


def test_bit_7_is_reserved_in_a_pml5e_and_a_pml4e_and_pat_in_a_pte() -> None:
    name = "bit 7 where it is not PS"
    pml5e = walk(name, 0x0001_0000_0000_0000)
    assert (pml5e.kind, pml5e.reserved, pml5e.path[-1].level) == ("malformed", 0x80, 5)
    pml4e = walk(name, 0x0000_0080_0000_0000)
    assert (pml4e.kind, pml4e.reserved, pml4e.path[-1].level) == ("malformed", 0x80, 4)
    pte = walk(name, 0x678)
    assert (pte.kind, pte.pa, pte.page_size) == ("leaf", 0xABC678, 4096)

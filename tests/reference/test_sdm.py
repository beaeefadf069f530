"""The formats of the entries and the translation: SDM vol. 3A section 4.5, vol. 1 3.3.7.1.

Every expectation is a literal worked out by hand from the manual. The tables used by most:

    VA 0x00010100C0805678 = indexes 1, 2, 3, 4, 5 and offset 0x678
    PML5 0x1000 -> PML4 0x2000 -> PDPT 0x3000 -> PD 0x4000 -> PT 0x5000 -> frame 0xabc000
"""

from dataclasses import replace

import pytest

from .machines import FIVE, FOUR
from .ram import ram
from .sdm import (
    Machine,
    Step,
    Walk,
    canonical,
    reserved_in_pde,
    reserved_in_pdpte,
    reserved_in_pml4e,
    reserved_in_pml5e,
    reserved_in_pte,
    root_table,
    translate,
)

VA5 = 0x0001_0100_C080_5678
VA4 = 0x0000_0100_C080_5678
CHAIN = {
    0x1008: 0x2007,
    0x2010: 0x3007,
    0x3018: 0x4007,
    0x4020: 0x5007,
    0x5028: 0xABC007,
}
ZEROTH = {0x1000: 0x2007, 0x2000: 0x3007, 0x3000: 0x4007, 0x4000: 0x5007, 0x5000: 0xABC007}


def walk5(changed: dict[int, int], machine: Machine = FIVE) -> Walk:
    return translate(machine, ram(CHAIN | changed), 0x1000, VA5)


def test_five_levels_select_their_entries_by_bits_56_to_12() -> None:
    walk = walk5({})
    assert walk.kind == "leaf"
    assert walk.path == (
        Step(5, 0x1008, 0x2007),
        Step(4, 0x2010, 0x3007),
        Step(3, 0x3018, 0x4007),
        Step(2, 0x4020, 0x5007),
        Step(1, 0x5028, 0xABC007),
    )
    assert walk.leaf == Step(1, 0x5028, 0xABC007)
    assert (walk.pa, walk.page_size) == (0xABC678, 4096)


def test_four_levels_start_at_the_pml4_table() -> None:
    walk = translate(FOUR, ram(CHAIN), 0x2000, VA4)
    assert walk.path == (
        Step(4, 0x2010, 0x3007),
        Step(3, 0x3018, 0x4007),
        Step(2, 0x4020, 0x5007),
        Step(1, 0x5028, 0xABC007),
    )
    assert (walk.pa, walk.page_size) == (0xABC678, 4096)


@pytest.mark.parametrize(
    ("va", "level", "entry_pa"),
    [
        (0x0000_0000_0000_1000, 1, 0x5008),
        (0x0000_0000_0010_0000, 1, 0x5800),
        (0x0000_0000_0020_0000, 2, 0x4008),
        (0x0000_0000_2000_0000, 2, 0x4800),
        (0x0000_0000_4000_0000, 3, 0x3008),
        (0x0000_0040_0000_0000, 3, 0x3800),
        (0x0000_0080_0000_0000, 4, 0x2008),
        (0x0000_8000_0000_0000, 4, 0x2800),
        (0x0001_0000_0000_0000, 5, 0x1008),
        (0x0080_0000_0000_0000, 5, 0x1400),
        (0xFF00_0000_0000_0000, 5, 0x1800),
    ],
)
def test_first_and_last_bit_of_each_index(va: int, level: int, entry_pa: int) -> None:
    walk = translate(FIVE, ram(ZEROTH), 0x1000, va)
    assert walk.kind == "absent"
    assert walk.path[-1] == Step(level, entry_pa, 0)


def test_a_2m_page_takes_bits_20_to_0_of_the_linear_address() -> None:
    walk = walk5({0x4020: 0x4060_0087})
    assert walk.leaf == Step(2, 0x4020, 0x4060_0087)
    assert (walk.pa, walk.page_size) == (0x4060_5678, 0x20_0000)


def test_a_1g_page_takes_bits_29_to_0_of_the_linear_address() -> None:
    walk = walk5({0x3018: 0x4_4000_0087})
    assert walk.leaf == Step(3, 0x3018, 0x4_4000_0087)
    assert (walk.pa, walk.page_size) == (0x4_4080_5678, 0x4000_0000)


def test_the_last_byte_of_a_large_page() -> None:
    two = translate(FIVE, ram(ZEROTH | {0x4008: 0x4040_0087}), 0x1000, 0x003F_FFFF)
    assert two.pa == 0x405F_FFFF
    one = translate(FIVE, ram(ZEROTH | {0x3008: 0x4_0000_0087}), 0x1000, 0x7FFF_FFFF)
    assert one.pa == 0x4_3FFF_FFFF


def test_the_sign_is_no_part_of_the_index() -> None:
    five = translate(FIVE, ram({}), 0x6000, 0xFF00_0000_0000_0000)
    assert five.path == (Step(5, 0x6800, 0),)
    four = translate(FOUR, ram({}), 0x6000, 0xFFFF_8000_0000_0000)
    assert four.path == (Step(4, 0x6800, 0),)


def test_pat_is_bit_12_of_large_pages_and_no_address() -> None:
    assert walk5({0x4020: 0x4060_1087}).pa == 0x4060_5678
    assert walk5({0x3018: 0x4_4000_1087}).pa == 0x4_4080_5678


def test_pat_is_bit_7_of_a_pte_and_no_page_size() -> None:
    walk = walk5({0x5028: 0xABC087})
    assert (walk.kind, walk.pa, walk.page_size) == ("leaf", 0xABC678, 4096)


@pytest.mark.parametrize(
    "changed",
    [
        {0x1008: 0x7FF0_0000_0000_2F7F},
        {0x2010: 0x7FF0_0000_0000_3F7F},
        {0x3018: 0x7FF0_0000_0000_4F7F},
        {0x4020: 0x7FF0_0000_0000_5F7F},
        {0x5028: 0x7FF0_0000_00AB_CFFF},
    ],
)
def test_bits_62_to_52_and_the_ignored_low_bits_are_neither_reserved_nor_address(
    changed: dict[int, int],
) -> None:
    walk = walk5(changed)
    assert (walk.kind, walk.pa) == ("leaf", 0xABC678)


def test_bits_62_to_52_of_large_pages_are_no_address() -> None:
    assert walk5({0x4020: 0x7FF0_0000_4060_1FFF}).pa == 0x4060_5678
    assert walk5({0x3018: 0x7FF0_0004_4000_1FFF}).pa == 0x4_4080_5678


@pytest.mark.parametrize(
    ("changed", "reserved", "level"),
    [
        # Bits 51:M at every level, the lowest and the highest of them, with M = 46.
        ({0x1008: 0x0000_4000_0000_2007}, 0x0000_4000_0000_0000, 5),
        ({0x1008: 0x0008_0000_0000_2007}, 0x0008_0000_0000_0000, 5),
        ({0x2010: 0x0000_4000_0000_3007}, 0x0000_4000_0000_0000, 4),
        ({0x2010: 0x0008_0000_0000_3007}, 0x0008_0000_0000_0000, 4),
        ({0x3018: 0x0000_4000_0000_4007}, 0x0000_4000_0000_0000, 3),
        ({0x3018: 0x0008_0000_0000_4007}, 0x0008_0000_0000_0000, 3),
        ({0x4020: 0x0000_4000_0000_5007}, 0x0000_4000_0000_0000, 2),
        ({0x4020: 0x0008_0000_0000_5007}, 0x0008_0000_0000_0000, 2),
        ({0x5028: 0x0000_4000_00AB_C007}, 0x0000_4000_0000_0000, 1),
        ({0x5028: 0x0008_0000_00AB_C007}, 0x0008_0000_0000_0000, 1),
        ({0x4020: 0x0000_4000_4060_0087}, 0x0000_4000_0000_0000, 2),
        ({0x3018: 0x0000_4004_4000_0087}, 0x0000_4000_0000_0000, 3),
        ({0x5028: 0x000F_C000_00AB_C007}, 0x000F_C000_0000_0000, 1),
        # PS where no page can be mapped.
        ({0x1008: 0x2087}, 0x80, 5),
        ({0x2010: 0x3087}, 0x80, 4),
        # The low bits of a large page, the lowest and the highest.
        ({0x3018: 0x4_4000_2087}, 0x2000, 3),
        ({0x3018: 0x4_6000_0087}, 0x2000_0000, 3),
        ({0x3018: 0x4_7FFF_F087}, 0x3FFF_E000, 3),
        ({0x4020: 0x4060_2087}, 0x2000, 2),
        ({0x4020: 0x4070_0087}, 0x10_0000, 2),
        ({0x4020: 0x407F_F087}, 0x1F_E000, 2),
    ],
)
def test_reserved_bits(changed: dict[int, int], reserved: int, level: int) -> None:
    walk = walk5(changed)
    assert (walk.kind, walk.reserved, walk.path[-1].level) == ("malformed", reserved, level)
    assert (walk.pa, walk.write, walk.user, walk.execute, walk.leaf) == (None,) * 5


def test_the_highest_address_bit_below_maxphyaddr_is_not_reserved() -> None:
    walk = walk5({0x5028: 0x0000_2000_00AB_C007})
    assert (walk.kind, walk.pa) == ("leaf", 0x2000_00AB_C678)


def test_with_maxphyaddr_52_no_address_bit_is_reserved() -> None:
    walk = walk5({0x5028: 0x000F_FFFF_FFFF_F007}, replace(FIVE, maxphyaddr=52))
    assert (walk.kind, walk.pa) == ("leaf", 0x000F_FFFF_FFFF_F678)


@pytest.mark.parametrize(
    ("changed", "level"),
    [
        ({0x1008: 0x8000_0000_0000_2007}, 5),
        ({0x2010: 0x8000_0000_0000_3007}, 4),
        ({0x3018: 0x8000_0000_0000_4007}, 3),
        ({0x4020: 0x8000_0000_0000_5007}, 2),
        ({0x5028: 0x8000_0000_00AB_C007}, 1),
        ({0x3018: 0x8000_0004_4000_0087}, 3),
        ({0x4020: 0x8000_0000_4060_0087}, 2),
    ],
)
def test_xd_is_reserved_at_every_level_without_nxe(changed: dict[int, int], level: int) -> None:
    walk = walk5(changed, replace(FIVE, nxe=False))
    assert (walk.kind, walk.reserved) == ("malformed", 0x8000_0000_0000_0000)
    assert walk.path[-1].level == level
    assert walk5(changed).kind == "leaf"


def test_ps_is_reserved_in_a_pdpte_without_1g_pages() -> None:
    walk = walk5({0x3018: 0x4_4000_0087}, replace(FIVE, gbpages=False))
    assert (walk.kind, walk.reserved, walk.path[-1].level) == ("malformed", 0x80, 3)


def test_without_1g_pages_2m_pages_and_tables_are_as_always() -> None:
    assert walk5({}, replace(FIVE, gbpages=False)).pa == 0xABC678
    assert walk5({0x4020: 0x4060_0087}, replace(FIVE, gbpages=False)).pa == 0x4060_5678


@pytest.mark.parametrize(
    ("changed", "level"),
    [
        ({0x1008: 0xFFFF_FFFF_FFFF_FFFE}, 5),
        ({0x2010: 0xFFFF_FFFF_FFFF_FFFE}, 4),
        ({0x3018: 0xFFFF_FFFF_FFFF_FFFE}, 3),
        ({0x4020: 0xFFFF_FFFF_FFFF_FFFE}, 2),
        ({0x5028: 0xFFFF_FFFF_FFFF_FFFE}, 1),
    ],
)
def test_an_entry_with_p_0_has_no_reserved_bits(changed: dict[int, int], level: int) -> None:
    walk = walk5(changed, replace(FIVE, nxe=False, gbpages=False))
    assert (walk.kind, walk.reserved, walk.path[-1].level) == ("absent", 0, level)


def test_all_reserved_bits_of_each_format() -> None:
    poor = replace(FIVE, nxe=False, gbpages=False)
    assert reserved_in_pml5e(poor, 0xFFFF_FFFF_FFFF_FFFF) == 0x800F_C000_0000_0080
    assert reserved_in_pml4e(poor, 0xFFFF_FFFF_FFFF_FFFF) == 0x800F_C000_0000_0080
    assert reserved_in_pdpte(poor, 0xFFFF_FFFF_FFFF_FFFF) == 0x800F_C000_3FFF_E080
    assert reserved_in_pdpte(poor, 0xFFFF_FFFF_FFFF_FF7F) == 0x800F_C000_0000_0000
    assert reserved_in_pde(poor, 0xFFFF_FFFF_FFFF_FFFF) == 0x800F_C000_001F_E000
    assert reserved_in_pde(poor, 0xFFFF_FFFF_FFFF_FF7F) == 0x800F_C000_0000_0000
    assert reserved_in_pte(poor, 0xFFFF_FFFF_FFFF_FFFF) == 0x800F_C000_0000_0000
    assert reserved_in_pml5e(poor, 0xFFFF_FFFF_FFFF_FFFE) == 0
    assert reserved_in_pml4e(poor, 0xFFFF_FFFF_FFFF_FFFE) == 0
    assert reserved_in_pdpte(poor, 0xFFFF_FFFF_FFFF_FFFE) == 0
    assert reserved_in_pde(poor, 0xFFFF_FFFF_FFFF_FFFE) == 0
    assert reserved_in_pte(poor, 0xFFFF_FFFF_FFFF_FFFE) == 0


def test_the_first_entry_from_the_root_that_fails_ends_the_walk() -> None:
    walk = walk5({0x3018: 0, 0x4020: 0x5087, 0x2010: 0x3087})
    assert (walk.kind, walk.path[-1].level) == ("malformed", 4)


def test_only_bits_m_minus_1_to_12_of_cr3_are_address() -> None:
    assert root_table(FIVE, 0x8000_0000_0000_1FFF) == 0x1000
    assert root_table(FIVE, 0x6000_4000_0000_1000) == 0x1000
    assert root_table(FIVE, 0x0000_2000_0000_1018) == 0x2000_0000_1000
    assert translate(FIVE, ram(CHAIN), 0x8000_0000_0000_1FFF, VA5).pa == 0xABC678


@pytest.mark.parametrize(
    ("level", "entry_pa"), [(5, 0x1008), (4, 0x2010), (3, 0x3018), (2, 0x4020)]
)
def test_a_table_outside_memory_is_unreadable_at_the_entry_that_references_it(
    level: int, entry_pa: int
) -> None:
    walk = walk5({entry_pa: 0xFF00_0007})
    assert (walk.kind, walk.path[-1]) == ("unreadable", Step(level, entry_pa, 0xFF00_0007))


def test_a_leaf_outside_memory_is_a_leaf() -> None:
    assert walk5({0x5028: 0xFF00_0007}).pa == 0xFF00_0678


def test_a_root_outside_memory_is_unreadable_with_no_entry() -> None:
    assert translate(FIVE, ram(CHAIN), 0xFF00_0000, VA5) == Walk("unreadable", ())
    assert translate(FOUR, ram(CHAIN), 0xFF00_0000, VA4) == Walk("unreadable", ())


@pytest.mark.parametrize(
    ("changed", "write", "user", "execute"),
    [
        ({}, None, None, None),
        ({0x1008: 0x2005}, 5, None, None),
        ({0x1008: 0x2003}, None, 5, None),
        ({0x1008: 0x8000_0000_0000_2007}, None, None, 5),
        ({0x2010: 0x3005}, 4, None, None),
        ({0x2010: 0x3003}, None, 4, None),
        ({0x2010: 0x8000_0000_0000_3007}, None, None, 4),
        ({0x3018: 0x4005}, 3, None, None),
        ({0x3018: 0x4003}, None, 3, None),
        ({0x3018: 0x8000_0000_0000_4007}, None, None, 3),
        ({0x4020: 0x5005}, 2, None, None),
        ({0x4020: 0x5003}, None, 2, None),
        ({0x4020: 0x8000_0000_0000_5007}, None, None, 2),
        ({0x5028: 0xABC005}, 1, None, None),
        ({0x5028: 0xABC003}, None, 1, None),
        ({0x5028: 0x8000_0000_00AB_C007}, None, None, 1),
        # Several levels deny: the first from the root is named.
        ({0x2010: 0x3001, 0x4020: 0x5001}, 4, 4, None),
        ({0x3018: 0x8000_0000_0000_4007, 0x5028: 0x8000_0000_00AB_C001}, 1, 1, 3),
    ],
)
def test_a_right_needs_every_entry(
    changed: dict[int, int], write: int | None, user: int | None, execute: int | None
) -> None:
    walk = walk5(changed)
    assert (walk.write_denied_by, walk.user_denied_by, walk.execute_denied_by) == (
        write,
        user,
        execute,
    )
    assert (walk.write, walk.user, walk.execute) == (write is None, user is None, execute is None)


def test_the_protection_key_is_bits_62_to_59_of_the_leaf_alone() -> None:
    with_keys = replace(FIVE, pke=True)
    assert walk5({0x5028: 0x2800_0000_00AB_C007}, with_keys).protection_key == 5
    assert walk5({0x5028: 0x7800_0000_00AB_C007}, with_keys).protection_key == 15
    assert walk5({0x5028: 0xA800_0000_00AB_C007}, with_keys).protection_key == 5
    assert walk5({0x4020: 0x4800_0000_4060_0087}, with_keys).protection_key == 9
    assert walk5({0x3018: 0x4000_0004_4000_0087}, with_keys).protection_key == 8
    assert walk5({0x4020: 0x7800_0000_0000_5007}, with_keys).protection_key == 0


def test_without_pke_no_address_has_a_protection_key() -> None:
    assert walk5({0x5028: 0x2800_0000_00AB_C007}).protection_key is None


@pytest.mark.parametrize(
    ("va", "with_4_levels", "with_5_levels"),
    [
        (0x0000_0000_0000_0000, True, True),
        (0x0000_7FFF_FFFF_FFFF, True, True),
        (0x0000_8000_0000_0000, False, True),
        (0x00FF_FFFF_FFFF_FFFF, False, True),
        (0x0100_0000_0000_0000, False, False),
        (0x8000_0000_0000_0000, False, False),
        (0x7FFF_FFFF_FFFF_FFFF, False, False),
        (0xFEFF_FFFF_FFFF_FFFF, False, False),
        (0xFF00_0000_0000_0000, False, True),
        (0xFFFF_7FFF_FFFF_FFFF, False, True),
        (0xFFFF_8000_0000_0000, True, True),
        (0xFFFF_FFFF_FFFF_FFFF, True, True),
    ],
)
def test_canonical_edges(va: int, with_4_levels: bool, with_5_levels: bool) -> None:
    assert canonical(FOUR, va) is with_4_levels
    assert canonical(FIVE, va) is with_5_levels


@pytest.mark.parametrize("va", [0x0100_0000_0000_0000, -1, 1 << 64])
def test_what_is_not_canonical_is_not_translated(va: int) -> None:
    with pytest.raises(ValueError, match="is not canonical"):
        translate(FIVE, ram(CHAIN), 0x1000, va)


@pytest.mark.parametrize(
    ("levels", "maxphyaddr", "pkru"),
    [(3, 46, 0), (6, 46, 0), (5, 53, 0), (5, 31, 0), (5, 46, -1), (5, 46, 0x1_0000_0000)],
)
def test_a_machine_that_cannot_be(levels: int, maxphyaddr: int, pkru: int) -> None:
    with pytest.raises(ValueError, match=r"levels|MAXPHYADDR|PKRU"):
        replace(FIVE, levels=levels, maxphyaddr=maxphyaddr, pkru=pkru)


def test_the_machines_at_the_edges_can_be() -> None:
    assert walk5({}, replace(FIVE, maxphyaddr=32, pkru=0xFFFF_FFFF)).pa == 0xABC678

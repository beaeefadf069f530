"""32-bit paging: names, geometry, 4M pages (SDM vol. 3A 4.3, tables 4-3 to 4-6)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptlive.arrays import u64
from ptlive.paging import fields, rights
from ptlive.paging.format import Kind
from ptlive.paging.formats import bits32
from ptlive.paging.translate import translate
from tests.paging.plain_ram import FRAME, PlainRam
from tests.paging.tables import PS, PWU, P
from tests.reference import narrow

FMT = bits32.make(maxphyaddr=40)


def test_names_and_indexes() -> None:
    assert [(level.spec, level.linux, level.shift, level.index_bits) for level in FMT.levels] == [
        ("PTE", "pte", 12, 10),
        ("PDE", "pgd", 22, 10),
    ]
    assert [level.entry_size << level.index_bits for level in FMT.levels] == [FRAME, FRAME]
    assert FMT.address_bits == 32
    assert 0xFFFF_FFFF_FFFF_FFFF & FMT.root_mask == 0xFFFF_F000


@pytest.mark.parametrize(
    ("width", "pse36", "entry", "address"),
    [
        # By hand: bits 20:13 are bits 39:32 of the address.
        (40, True, 0x8040_0087 | 1 << 13, 0x1_8040_0000),
        (40, True, 0x8040_0087 | 0xFF << 13, 0xFF_8040_0000),
        (36, True, 0x8040_0087 | 0xF << 13, 0xF_8040_0000),
        (52, True, 0x8040_0087 | 1 << 20, 0x80_8040_0000),
        (32, True, 0x8040_0087, 0x8040_0000),
        (40, False, 0x8040_1087, 0x8040_0000),  # bit 12 is PAT
    ],
)
def test_a_4m_page_may_lie_above_4g(width: int, pse36: bool, entry: int, address: int) -> None:
    fmt = bits32.make(pse36=pse36, maxphyaddr=width)
    assert fields.classify(fmt, 2, entry) is Kind.LEAF
    assert fields.refers_to(fmt, 2, entry) == address


@given(st.sampled_from([32, 36, 38, 40, 46]), st.booleans(), st.booleans(), st.integers(0, 31))
def test_each_bit_alone_is_reserved_where_the_manual_says(
    width: int, pse: bool, pse36: bool, bit: int
) -> None:
    fmt = bits32.make(pse=pse, pse36=pse36, maxphyaddr=width)
    machine = narrow.Narrow(pae=False, pse=pse, pse36=pse36, nxe=False, maxphyaddr=width)
    for page in (0, PS):
        entry = P | page | 1 << bit
        found = sum(1 << n for n in fields.reserved_bits(fmt, 2, entry))
        assert found == narrow.reserved_in_pde_32(machine, entry)
        assert fields.reserved_bits(fmt, 1, entry) == []


def test_without_pse_bit_7_of_a_pde_is_ignored() -> None:
    fmt = bits32.make(pse=False)
    assert fields.classify(fmt, 2, 0x3F_F000 | PWU | PS) is Kind.TABLE
    assert fields.refers_to(fmt, 2, 0x3F_F000 | PWU | PS) == 0x3F_F000
    assert "PS" not in fields.bits(fmt, 2, PWU | PS)


def test_nothing_denies_execution() -> None:
    assert rights.denied_by(FMT, [(2, PWU), (1, PWU)])["execute"] is None
    ram = PlainRam(FRAME)
    ram.write(0, 0xFFC0_0000 | PWU | PS, "<u4")
    ram.write(4, 0xFFFF_FFFE, "<u4")
    found = translate(FMT, ram, u64(0), u64(0, 0x40_0000))
    assert found.mapped.tolist() == [True, False]
    assert rights.granted(FMT, found.rights, "execute").tolist()[0]
    assert found.entry.tolist() == [0xFFC0_0000 | PWU | PS, 0xFFFF_FFFE]

"""PAE paging: names, geometry, reserved bits (SDM vol. 3A 4.4, tables 4-7 to 4-11)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptlive.arrays import u64
from ptlive.paging import fields, paths, rights
from ptlive.paging.format import Kind
from ptlive.paging.formats import pae
from ptlive.paging.walk import walk
from tests.paging.plain_ram import FRAME, PlainRam
from tests.paging.tables import PS, PWU, RW, US, XD, P
from tests.reference import narrow

FMT = pae.make(maxphyaddr=40)
RESERVED = {
    1: narrow.reserved_in_pae_pte,
    2: narrow.reserved_in_pae_pde,
    3: narrow.reserved_in_pae_pdpte,
}


def test_names_and_indexes() -> None:
    # Linux folds p4d and pud (arch/x86/include/asm/pgtable-3level_types.h).
    assert [(level.spec, level.linux, level.shift, level.index_bits) for level in FMT.levels] == [
        ("PTE", "pte", 12, 9),
        ("PDE", "pmd", 21, 9),
        ("PDPTE", "pgd", 30, 2),
    ]
    assert FMT.address_bits == 32


@given(st.sampled_from([32, 36, 40, 46, 52]), st.booleans(), st.integers(0, 63), st.booleans())
def test_each_bit_alone_is_reserved_where_the_manual_says(
    width: int, nxe: bool, bit: int, large: bool
) -> None:
    fmt = pae.make(maxphyaddr=width, nxe=nxe, accessed=False)
    machine = narrow.Narrow(pae=True, pse=True, pse36=True, nxe=nxe, maxphyaddr=width)
    for lvl in range(1, 4):
        entry = P | 1 << bit | (PS if large and lvl < 3 else 0)
        found = sum(1 << n for n in fields.reserved_bits(fmt, lvl, entry))
        assert found == RESERVED[lvl](machine, entry), (lvl, hex(entry))


def test_a_root_is_aligned_to_its_32_bytes() -> None:
    assert 0xFFFF_FFFF_FFFF_FFFF & FMT.root_mask == 0xFFFF_FFE0
    ram = PlainRam(3 * FRAME)
    ram.write(0x60, 2 * FRAME | P)
    ram.write(2 * FRAME, 0x40_0000 | PWU | PS)
    graph = walk(FMT, ram, u64(0x60))
    assert [chunk.va.tolist() for chunk in paths.leaves(graph)] == [[0]]
    graph = walk(FMT, ram, u64(0x40))  # 0x40..0x5f
    assert graph.reached(Kind.LEAF) == 0


def test_a_pdpte_denies_nothing() -> None:
    path = [(3, 0x1000 | P), (2, 0x2000 | PWU), (1, 0x3000 | PWU)]
    assert rights.denied_by(FMT, path) == {"write": None, "user": None, "execute": None}
    path = [(3, 0x1000 | P), (2, 0x2000 | P), (1, 0x3000 | PWU | XD)]
    assert rights.denied_by(FMT, path) == {"write": 2, "user": 2, "execute": 1}


@pytest.mark.parametrize("flag", [RW, US])
def test_what_a_pdpte_has_not_is_reserved(flag: int) -> None:
    assert fields.classify(FMT, 3, 0x1000 | P | flag) is Kind.MALFORMED


def test_a_pdpte_that_tcg_walked_is_none_the_worse_for_it() -> None:
    assert fields.classify(FMT, 3, 0x1000 | P | 1 << 5) is Kind.TABLE
    assert fields.bits(FMT, 3, 0x1000 | P | 1 << 5)["A"] == 1
    strict = pae.make(accessed=False)
    assert fields.classify(strict, 3, 0x1000 | P | 1 << 5) is Kind.MALFORMED


def test_no_page_has_a_protection_key() -> None:
    assert fields.reserved_bits(FMT, 1, P | 1 << 59) == [59]
    assert "PK" not in fields.bits(FMT, 1, P)

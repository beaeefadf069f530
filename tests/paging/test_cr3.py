"""CR3 taken apart, held against values written by hand (SDM vol. 3A 4.5)."""

from __future__ import annotations

from ptlive.paging.control import CR4
from ptlive.paging.cr3 import take_apart
from ptlive.paging.formats import pae


def test_with_pcids_the_low_bits_are_one() -> None:
    assert take_apart(0x1234_5FFF, CR4.PCIDE, 40) == (0x1234_5FFF, 0xFFF, ())


def test_without_pcids_the_low_bits_are_flags() -> None:
    plain = take_apart(0x1234_501D, 0, 40)
    assert (plain.pcid, plain.flags) == (None, ("bit 0", "bit 2", "PWT", "PCD"))


def test_with_pae_the_root_table_has_32_bytes() -> None:
    assert take_apart(0x24_D2E8, CR4.PAE, 40, pae.ROOT_MASK).flags == ("PWT",)


def test_high_bits_have_names_where_they_have_a_meaning() -> None:
    high = take_apart(1 << 63 | 1 << 62 | 1 << 61 | 1 << 45 | 0x1000, 0, 40).flags
    assert high == ("reserved bit 45", "LAM_U57", "LAM_U48", "no-flush (bit 63)")


def test_what_maxphyaddr_would_reserve_is_not_called_so_where_it_is_unknown() -> None:
    assert take_apart(1 << 51, 0, None).flags == ()

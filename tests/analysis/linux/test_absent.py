"""Entries that are not present, as arch/x86/include/asm/pgtable_64.h lays them out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptlive.analysis.linux.absent import NAMES, absent, explain, swap_fields
from ptlive.arrays import u64

# Of a kernel 6.1, with what its own /proc/PID/pagemap said of the page.
SEEN = [
    (0x07FF_FFFF_FFFB_FE0A, 0, 0x200),
    (0x07FF_FFFF_FFFB_F00A, 0, 0x207),
]
SEEN_NONE = [(0x000F_FFFF_FAA5_C960, 0x55A_3000), (0x000F_FFFF_FAA5_9960, 0x55A_6000)]


def made(kind: int, offset: int, flags: int = 0) -> int:
    """Make a swap entry as __swp_entry does: the offset inverted, in bits 58:9."""
    return kind << 59 | ((1 << 50) - 1 - offset) << 9 | flags


def name(lvl: int, entry: int, kernel: bool = False) -> str:
    """Return what an entry is by the naive reading of the header."""
    if entry == 0:
        return "never mapped"
    if lvl > 3:
        return "unexplained"
    if kernel:
        return "taken out by the kernel"
    if entry & 1 << 8:
        return "PROT_NONE"
    if entry & 1 << 7:
        return "page being split" if lvl > 1 else "unexplained"
    if entry >> 52 & 0x7F != 0x7F:
        return "taken out by the kernel"  # more than 2**43 pages of swap
    kind = entry >> 59
    if kind == 31:
        return "marker"
    return "migration, device or poison" if kind >= 22 else "swapped out"


# Half of them with the upper bits that an offset has.
ENTRIES = st.builds(
    lambda entry, high: (entry | (0x7F << 52 if high else 0)) & ~1,
    st.integers(0, (1 << 64) - 1),
    st.booleans(),
)


@given(st.integers(1, 5), st.lists(ENTRIES))
def test_many_are_explained_as_each_is(lvl: int, entries: list[int]) -> None:
    for kernel in (False, True):
        codes, names = absent(lvl, u64(*entries), kernel)
        assert codes.dtype == np.uint8
        assert [names[code] for code in codes] == [name(lvl, e, kernel) for e in entries]
        assert [explain(lvl, e, kernel).name for e in entries] == [names[c] for c in codes]


def test_the_kernels_may_be_some_of_them() -> None:
    codes, _ = absent(1, u64(made(0, 1), made(0, 1)), np.array([True, False]))
    assert [NAMES[code] for code in codes] == ["taken out by the kernel", "swapped out"]


@pytest.mark.parametrize(("entry", "kind", "offset"), SEEN)
def test_swap_entries_that_a_kernel_explained_itself(entry: int, kind: int, offset: int) -> None:
    assert swap_fields(entry) == (kind, offset)
    told = explain(1, entry)
    assert told.values == {"type": kind, "offset": offset}
    assert told.text == f"swapped out: area {kind}, page {offset:#x}, soft-dirty, exclusive"


@pytest.mark.parametrize(("entry", "frame"), SEEN_NONE)
def test_prot_none_pages_that_a_kernel_explained_itself(entry: int, frame: int) -> None:
    told = explain(1, entry)
    assert (told.name, told.values) == ("PROT_NONE", {"frame": frame})
    assert "inverted" in told.text


def test_a_frame_that_an_older_kernel_did_not_invert() -> None:
    told = explain(1, 0x55A_3000 | 1 << 8)
    assert told.values == {"frame": 0x55A_3000}
    assert "inverted" not in told.text


@given(st.integers(0, 31), st.integers(0, (1 << 43) - 1), st.integers(0, 7))
def test_type_and_offset_are_those_that_were_put_in(kind: int, offset: int, flags: int) -> None:
    entry = made(kind, offset, flags << 1)
    assert swap_fields(entry) == (kind, offset)
    assert explain(1, entry).values == {"type": kind, "offset": offset}


def test_what_the_last_types_mean_is_the_configurations() -> None:
    """6.12 of Debian's cloud has no DEVICE_PRIVATE: 28 is the first kind of migration."""
    told = explain(1, made(28, 0x1234)).text
    assert "migration, read" in told
    assert "device, read" in told
    assert "frame 0x1234000" in told
    # Only where neither devices nor swap-in errors have types is this one of a page.
    assert "poisoned page" in explain(1, made(27, 1)).text
    assert "area 22" in explain(1, made(22, 1)).text


def test_a_marker_tells_its_bits() -> None:
    told = explain(1, made(31, 0b101))
    assert told.name == "marker"
    assert "write-protected by userfaultfd, guard" in told.text
    assert "nothing" in explain(1, made(31, 0)).text


@pytest.mark.parametrize("entry", [0x800F_FFFF_FF6F_F060, 0x800F_FFFF_EB9F_D062])
@pytest.mark.parametrize("kernel", [True, False])
def test_what_lost_p_is_no_swap_entry_in_either_half(entry: int, kernel: bool) -> None:
    """Seen in efi_mm, whose lower half is the kernel's, and in freed parts of an image."""
    told = explain(1, entry, kernel)
    assert told.name == "taken out by the kernel"
    assert told.values == {"frame": ~entry & 0x000F_FFFF_FFFF_F000}


def test_a_large_page_that_is_being_split() -> None:
    told = explain(2, (~0x4000_0000 & 0x000F_FFFF_FFFF_F000) | 1 << 7)
    assert (told.name, told.values) == ("page being split", {"frame": 0x4000_0000})


def test_the_first_code_is_that_of_zeros() -> None:
    assert NAMES[int(absent(1, u64(0))[0][0])] == NAMES[0] == "never mapped"

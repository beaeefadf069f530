"""What `assert_mapped` and `assert_not_mapped` accept, and what they say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from ptlive.errors import PtliveError
from ptlive.pytest_plugin import assert_mapped, assert_not_mapped
from tests.pytest_plugin.tables import CODE, DATA, LARGE, USER

if TYPE_CHECKING:
    from ptlive import AddressSpace

PAGE = 0x1000
NOT_ALL = """\
0x0000000000400000..0x0000000000403fff: at 0x0000000000402000 it is not mapped
     start               last                size  pages   rights  attributes  in   physical
     0x0000000000400000  0x0000000000400fff    4K  1 x 4K  r-x-                RAM  0x200000
     0x0000000000401000  0x0000000000401fff    4K  1 x 4K  r-x-    G           RAM  0x201000
  !  0x0000000000403000  0x0000000000403fff    4K  1 x 4K  rw--                RAM  0x300000
  not mapped: 0x0000000000402000..0x0000000000402fff
  0x0000000000402000 -> no translation: the PTE (level 1) is not present
    level  SDM    Linux  index  table   entry at  entry               kind    bits
    4      PML4E  pgd        0  0x0     0x0       0x0000000000001007  table   P R/W U/S
    3      PDPTE  pud        0  0x1000  0x1000    0x0000000000002007  table   P R/W U/S
    2      PDE    pmd        2  0x2000  0x2010    0x0000000000003007  table   P R/W U/S
    1      PTE    pte        2  0x3000  0x3010    0x0000000000000000  absent"""


def test_what_is_mapped_as_is_said_passes(space: AddressSpace) -> None:
    assert_mapped(space, CODE)
    assert_mapped(space, CODE, CODE + 2 * PAGE - 1, pa=0x20_0000, rights="r-x-", size="4K")
    assert_mapped(space, CODE + 0x123, CODE + PAGE + 0x456, rights="r???", target="RAM")
    assert_mapped(space, CODE + PAGE, attributes={"G": 1, "PCD": 0})
    assert_mapped(space, LARGE + 0x12345, LARGE + 0x54321, pa=0x41_2345, size=1 << 21)


@pytest.mark.parametrize(
    ("va", "asked", "first"),
    [
        (CODE, {"rights": "rwx-"}, "rights are r-x-, not rwx-"),
        (CODE, {"size": "2M"}, "pages are 4K, not 2M"),
        (CODE, {"pa": 0x20_1000}, "it maps 0x200000, not 0x201000"),
        (LARGE + PAGE, {"pa": 0x40_0000}, "it maps 0x400000, not 0x3ff000"),
        (USER, {"target": "device"}, "it lies in RAM, not in device"),
        (USER, {"attributes": {"G": 1}}, "G is 0, not 1"),
        (
            DATA,
            {"rights": "r---", "size": 1 << 30},
            "rights are rw--, not r---; pages are 4K, not 1G",
        ),
        (0x1000, {}, "it is not mapped"),
    ],
)
def test_the_first_line_says_what_is_wrong(
    space: AddressSpace, va: int, asked: dict[str, Any], first: str
) -> None:
    with pytest.raises(AssertionError) as raised:
        assert_mapped(space, va, **asked)
    assert str(raised.value).split("\n")[0] == f"{va:#018x}: {first}"


def test_a_range_is_told_with_what_differs_and_what_is_missing(space: AddressSpace) -> None:
    with pytest.raises(AssertionError) as raised:
        assert_mapped(space, CODE, DATA + PAGE - 1, rights="r-x-")
    assert str(raised.value) == NOT_ALL


def test_frames_that_do_not_follow_each_other_are_told(space: AddressSpace) -> None:
    assert_mapped(space, USER, USER + 2 * PAGE - 1)
    with pytest.raises(AssertionError, match=r"at 0x0+700000001000 it maps 0x700000, not 0x601000"):
        assert_mapped(space, USER, USER + 2 * PAGE - 1, pa=0x60_0000)


def test_what_is_not_mapped_passes(space: AddressSpace) -> None:
    assert_not_mapped(space, 0)
    assert_not_mapped(space, 0, CODE - 1)
    assert_not_mapped(space, CODE + 2 * PAGE, DATA - 1)


def test_what_is_mapped_and_should_not_be_is_shown_with_its_path(space: AddressSpace) -> None:
    with pytest.raises(AssertionError) as raised:
        assert_not_mapped(space, CODE + 2 * PAGE, LARGE)
    said = str(raised.value).split("\n")
    assert said[0] == (
        "0x0000000000402000..0x0000000080000000: 0x0000000000403000 is mapped, and should not be"
    )
    assert [line.split()[0] for line in said[2:4]] == [f"{DATA:#018x}", f"{LARGE:#018x}"]
    assert said[4] == "  0x0000000000403000 -> 0x300000 (4K page, RAM), rw--"
    assert said[-2:] == [
        "  execute denied by the PTE (level 1)",
        "  user denied by the PTE (level 1)",
    ]


@pytest.mark.parametrize(
    ("va", "asked", "sentence"),
    [
        (2, {"last_va": 1}, "0x2..0x1 is no range of addresses: it ends before it begins"),
        (1 << 64, {}, "an address is from 0 to 0xffffffffffffffff"),
        (CODE, {"size": "2m"}, "'2m' is no size of pages: there are 4K, 2M, 4M, 1G"),
        (CODE, {"rights": "rx"}, "rights 'rx': of this format they are like 'r-x-'"),
    ],
)
def test_what_cannot_be_meant_is_told(
    space: AddressSpace, va: int, asked: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(PtliveError) as raised:
        assert_mapped(space, va, **asked)
    assert sentence in str(raised.value)

"""What is mapped, held against tables as people write them down."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from ptlive.errors import PtliveError
from ptlive.pytest_plugin import assert_regions
from ptlive.pytest_plugin.regions import compared
from tests.pytest_plugin.tables import CODE, DATA, LARGE, USER

if TYPE_CHECKING:
    from ptlive import AddressSpace

# As `ptlive map` prints it.
MAP = """\
start               last                size  pages   rights  attributes  in   physical
0x0000000000400000  0x0000000000400fff    4K  1 x 4K  r-x-                RAM  0x200000
0x0000000000401000  0x0000000000401fff    4K  1 x 4K  r-x-    G           RAM  0x201000
0x0000000000403000  0x0000000000403fff    4K  1 x 4K  rw--                RAM  0x300000
0x0000000080000000  0x00000000801fffff    2M  1 x 2M  r---                RAM  0x400000
0x0000700000000000  0x0000700000001fff    8K  2 x 4K  rw-u                RAM  0x600000 ...
5 regions, 6 leaf entries reached 6 times, 8 tables, x86-64-4level
"""
ROWS = [
    (CODE, CODE + 0xFFF, "r-x-"),
    (CODE + 0x1000, CODE + 0x1FFF, "r-x-"),
    (DATA, DATA + 0xFFF, "rw--"),
    (LARGE, LARGE + 0x1F_FFFF, "r---"),
    (USER, USER + 0x1FFF, "rw-u"),
]
SHORT = "\n".join(f"{va:#x} {last:#x} {rights}" for va, last, rights in ROWS)
OF_USER = "start last pages rights\n0x700000000000  0x700000001fff  2 x 4K  rw-u"
DIFFERENT = """\
regions are not as expected: 2 missing, 2 more
  - expected, and not there; + there, and not expected
     start               last                size  pages   rights  attributes  in   physical
     0x0000000000400000  0x0000000000400fff    4K  1 x 4K  r-x-                RAM  0x200000
  -  0x0000000000401000  0x0000000000401fff    4K  1 x 4K  r-x-    G           RAM  0x202000
  -  0x0000000000403000  0x0000000000403fff    4K  1 x 4K  rwx-                RAM  0x300000
  +  0x0000000000401000  0x0000000000401fff    4K  1 x 4K  r-x-    G           RAM  0x201000
  +  0x0000000000403000  0x0000000000403fff    4K  1 x 4K  rw--                RAM  0x300000
     0x0000000080000000  0x00000000801fffff    2M  1 x 2M  r---                RAM  0x400000
     0x0000700000000000  0x0000700000001fff    8K  2 x 4K  rw-u                RAM  0x600000 ..."""


@pytest.mark.parametrize(
    "expected",
    [
        pytest.param(MAP, id="what ptlive map prints"),
        pytest.param("\n".join(f"   {line}" for line in MAP.split("\n")), id="indented"),
        pytest.param(ROWS, id="tuples"),
        pytest.param([row[:2] for row in ROWS], id="ranges"),
        pytest.param(SHORT, id="short"),
        pytest.param(OF_USER, id="user"),
    ],
)
def test_what_is_as_written_passes(space: AddressSpace, expected: Any) -> None:
    rights = "u" if "pages" in expected and "size" not in expected else ()
    assert_regions(space, expected, rights=rights)


def test_regions_are_expectations_too(space: AddressSpace) -> None:
    assert_regions(space, space.freeze().regions())
    assert_regions(space, list(space.regions()))
    assert_regions(space, ROWS[:1], [(CODE, CODE + 0xFFF)])
    assert_regions(space, "", [(0, CODE - 1)])
    assert_regions(space, [], [(0, CODE - 1)])


def test_a_difference_is_a_table_with_marks(space: AddressSpace) -> None:
    expected = MAP.replace("rw--  ", "rwx-  ").replace("0x201000", "0x202000")
    with pytest.raises(AssertionError) as raised:
        assert_regions(space, expected)
    assert str(raised.value) == DIFFERENT


def test_what_is_far_from_a_difference_is_left_out(space: AddressSpace) -> None:
    with pytest.raises(AssertionError) as raised:
        assert_regions(space, ROWS[1:])
    assert str(raised.value).split("\n")[2:] == [
        "     start               last                rights",
        "  +  0x0000000000400000  0x0000000000400fff  r-x-",
        "     0x0000000000401000  0x0000000000401fff  r-x-",
        "     0x0000000000403000  0x0000000000403fff  rw--",
        "     ...",
    ]


@pytest.mark.parametrize(
    ("expected", "sentence"),
    [
        ("start last right\n0 1 r", "there is no column 'right': there are start, last, size,"),
        ("start last\n0x1000 0x1fff r---", "'0x1000 0x1fff r---' does not stand under start last"),
        ("0x1000", "a row without a header is start, last, rights, physical, the first two"),
        ("stack heap", "'stack heap' does not begin with two addresses"),
        ("0 0x10000000000000000", "does not begin with two addresses"),
    ],
)
def test_what_cannot_be_read_is_told(space: AddressSpace, expected: str, sentence: str) -> None:
    with pytest.raises(PtliveError) as raised:
        assert_regions(space, expected)
    assert sentence in str(raised.value)


def test_equality_of_regions_is_explained_and_nothing_else(space: AddressSpace) -> None:
    some = list(space.regions())
    told = compared(some, some[:-1])
    assert told
    assert told[0] == "regions == regions"
    assert told[-1].split()[:2] == ["+", f"{USER:#018x}"]
    assert compared(some, [1]) is None
    assert compared([], some) is None
    assert compared("a", "b") is None

"""Filters, held against the scalar reference's leaves one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ptlive.analysis.filters import Filter, filtered
from ptlive.arrays import u64
from ptlive.errors import PtliveError
from ptlive.paging.formats.x86_64 import make_levels
from ptlive.paging.walk import walk
from tests.analysis.regions.naive import attributes, target
from tests.paging import listing
from tests.paging.plain_ram import PlainRam
from tests.paging.tables import Case, cases
from tests.reference.terms import Leaf

if TYPE_CHECKING:
    from tests.paging.listing import Row

RIGHTS = ("write", "user", "execute")


def wanted(leaf: Leaf, one: Filter) -> bool:
    """Tell whether a leaf passes, as the options' help says it."""
    size = leaf.last_va - leaf.va + 1
    bits = size.bit_length() - 1
    values = attributes(leaf.level, leaf.entry)
    values |= {"A": leaf.entry >> 5 & 1, "D": leaf.entry >> 6 & 1}
    return (
        all(getattr(leaf, name) for name in one.granted)
        and not any(getattr(leaf, name) for name in one.denied)
        and (not one.sizes or bits in one.sizes)
        and (not one.targets or int(target(u64(leaf.pa), u64(bits))[0]) in one.targets)
        and all(values[n] != 0 if v is None else values[n] == v for n, v in one.fields)
        and (
            not one.frames
            or any(leaf.pa <= last and leaf.pa + size > first for first, last in one.frames)
        )
    )


def filters() -> st.SearchStrategy[Filter]:
    """Draw filters, most of few tests."""
    some = st.lists(st.sampled_from(RIGHTS), max_size=2, unique=True).map(tuple)
    ends = st.integers(0, (1 << 47) - 1)
    return st.builds(
        Filter,
        granted=some,
        denied=some,
        sizes=st.lists(st.sampled_from([12, 21, 30]), max_size=2, unique=True).map(tuple),
        targets=st.lists(st.integers(0, 3), max_size=2).map(tuple),
        fields=st.lists(
            st.tuples(
                st.sampled_from(["G", "PCD", "PAT", "A", "D", "PK"]),
                st.sampled_from([None, 0, 1]),
            ),
            max_size=2,
        ).map(tuple),
        frames=st.lists(st.tuples(ends, ends).map(lambda e: (min(e), max(e))), max_size=2).map(
            tuple
        ),
    )


@settings(max_examples=80, deadline=None)
@given(cases(), filters())
def test_those_pass_that_the_reference_finds_to_be_so(case: Case, one: Filter) -> None:
    assume(case.machine.gbpages or 30 not in one.sizes)  # refused, see below
    graph = walk(case.fmt, case.ram, case.roots)
    some, dropped = filtered(graph, one, target)
    expected: list[Row] = [row for row in case.leaves if wanted(Leaf(*row), one)]
    assert listing.leaves(case.fmt, some) == expected
    assert dropped.reached == len(case.leaves) - len(expected)
    # With other rights above it, one entry may pass on one path and not on another.
    assert dropped.leaves == len(entries(case.leaves)) - len(entries(expected))


def entries(leaves: list[Row]) -> set[tuple[int, int]]:
    """Return level and address: a table that is its own parent has entries of two levels."""
    return {(row[2], row[4]) for row in leaves}


@pytest.mark.parametrize(
    ("one", "sentence"),
    [
        (Filter(granted=("fly",)), "has no right 'fly', but execute, user, write"),
        (Filter(fields=(("ZZ", None),)), "no field 'ZZ'"),
        (Filter(fields=(("PK", 16),)), "PK is at most 15"),
        (Filter(sizes=(13,)), "no pages of 8K, but 4K, 2M, 1G"),
    ],
)
def test_what_the_format_does_not_have_is_said(one: Filter, sentence: str) -> None:
    graph = walk(make_levels(4), PlainRam(0x1000), u64(0))
    with pytest.raises(PtliveError, match=sentence):
        filtered(graph, one, target)

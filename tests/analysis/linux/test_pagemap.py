"""Entries that are not present held against what the kernel that wrote them says: its pagemap."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from ptlive.analysis.absent.counts import absent_counts
from ptlive.analysis.linux.absent import explain, swap_fields
from ptlive.analysis.systems import detect
from ptlive.arrays import u64
from ptlive.paging.walk import walk
from ptlive.space import AddressSpace, open_space
from ptlive.target.attach import attach
from tests.guests.test_witness import Booted, boot

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ptlive.analysis.profile import Profile
    from ptlive.guests.said.mapper import Page

pytestmark = pytest.mark.qemu

# Documentation/admin-guide/mm/pagemap.rst: of a swapped page, type in bits 4:0, offset above.
TYPE_BITS = 5


@pytest.fixture(scope="module")
def booted() -> Iterator[Booted]:
    with boot("swap=6,none=4,ro=2", 4, "pti=on") as made:
        yield made


@pytest.fixture(scope="module")
def space(booted: Booted) -> Iterator[AddressSpace]:
    with attach(booted.guest.gdb) as target:
        yield open_space(target.cpus[0], target.memory, target.ram_map)


@pytest.fixture(scope="module")
def profile(space: AddressSpace) -> Profile:
    found = detect(space.walk(), space.memory)
    assert found is not None
    return found


def entries(booted: Booted, space: AddressSpace, kind: str) -> list[tuple[Page, int]]:
    """Return the pages of a kind, as their pagemap has them, and the entry of each."""
    pages = [page for page in booted.own if page.kind == kind]
    found = space.translate(np.array([page.va for page in pages], dtype=np.uint64))
    last = [space.describe(found, row, []).path[-1].entry for row in range(len(pages))]
    return list(zip(pages, last, strict=True))


def test_swapped_pages_have_the_type_and_offset_that_their_pagemap_tells(
    booted: Booted, space: AddressSpace
) -> None:
    found = entries(booted, space, "swap")
    assert len(found) == 6
    for page, entry in found:
        kind, offset = swap_fields(entry)
        assert page.swapped
        assert kind | offset << TYPE_BITS == page.pfn
        assert explain(1, entry).name == "swapped out"


def test_prot_none_pages_have_the_frame_that_their_pagemap_tells(
    booted: Booted, space: AddressSpace
) -> None:
    names = set()
    for page, entry in entries(booted, space, "none"):
        told = explain(1, entry)
        names.add(told.name)
        assert told.values.get("frame", 0) == page.pfn << 12
    assert names == {"PROT_NONE", "never mapped"}, "half of them were touched before"


def test_all_of_them_are_counted_and_nothing_else(space: AddressSpace, profile: Profile) -> None:
    found = {
        (profile.areas[one.area].name, one.name): one.entries
        for one in absent_counts(space.walk(), profile)
        if one.example
    }
    assert found == {("user", "swapped out"): 6, ("user", "PROT_NONE"): 4}


def test_from_the_users_half_the_kernels_bases_are_known(
    booted: Booted, space: AddressSpace, profile: Profile
) -> None:
    assert int(space.root[0]) == profile.root + 0x1000
    assert "user half" in profile.evidence[0]
    kernel = walk(space.format, space.memory, u64(profile.root))
    other = detect(kernel, space.memory)
    assert other is not None
    assert [area[:3] for area in other.areas] == [area[:3] for area in profile.areas]

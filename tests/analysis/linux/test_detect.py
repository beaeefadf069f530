"""Whether an address space is Linux's, and where its areas are, on tables made for that."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ptlive.analysis.systems import detect
from ptlive.arrays import u64
from ptlive.paging.walk import walk
from tests.analysis.linux.made import (
    CODE,
    CONST,
    DATA,
    DEFAULTS,
    ENTRY_AREA,
    IMAGE,
    VMALLOC_SIZE,
    G,
    M,
    MadeLinux,
    T,
)
from tests.paging.tables import PS, RW, US, P

if TYPE_CHECKING:
    from ptlive.analysis.areas import Area
    from ptlive.analysis.profile import Profile

ALL = MadeLinux().has


def found(made: MadeLinux, insist: str | None = None) -> Profile | None:
    return detect(made.walk(), made.build.ram, made.ends, insist=insist)


def areas(made: MadeLinux) -> dict[str, Area]:
    profile = found(made)
    assert profile is not None
    named: dict[str, Area] = {}
    for area in profile.areas:
        named.setdefault(area.name, area)
    return named


@st.composite
def bases(draw: st.DrawFn) -> MadeLinux:
    """Draw bases as kernel_randomize_memory does: in order, with gaps, multiples of 1G."""
    levels = draw(st.sampled_from([4, 5]))
    ram = draw(st.sampled_from([64, 256, 512])) * M
    start, end = DEFAULTS[levels][0], ENTRY_AREA
    sizes = [11 * T, VMALLOC_SIZE[levels], T]
    spare = (end - start - sum(sizes)) // G - 3
    cuts = sorted(draw(st.lists(st.integers(0, spare), min_size=3, max_size=3)))
    places = [start + cut * G + sum(sizes[:n]) + n * G for n, cut in enumerate(cuts)]
    slide = draw(st.integers(0, 400)) * 2 * M
    direct, vmalloc, vmemmap = places
    return MadeLinux(levels, ram, direct, vmalloc, vmemmap, slide)


@given(bases())
@settings(max_examples=20, deadline=None)
def test_bases_are_found_wherever_they_were_moved(made: MadeLinux) -> None:
    named = areas(made)
    assert named["direct map"].va == made.direct
    assert (named["vmalloc"].va, named["vmemmap"].va) == (made.vmalloc, made.vmemmap)
    assert named["vmalloc"].last_va == made.vmalloc + VMALLOC_SIZE[made.levels] - 1
    text = named["kernel text"]
    assert (text.va, text.last_va) == (IMAGE + made.slide, IMAGE + made.slide + 4 * M - 1)
    rodata = named["kernel rodata"]
    assert (rodata.va, rodata.last_va) == (text.va + 6 * M, text.va + 10 * M - 1)
    assert named["kernel data"].last_va == text.va + 16 * M - 1


@given(bases())
@settings(max_examples=10, deadline=None)
def test_areas_are_sorted_and_disjoint(made: MadeLinux) -> None:
    profile = found(made)
    assert profile is not None
    assert all(area.va <= area.last_va for area in profile.areas)
    pairs = zip(profile.areas, profile.areas[1:], strict=False)
    assert all(one.last_va < other.va for one, other in pairs)
    assert all(area.name and area.evidence for area in profile.areas)


@pytest.mark.parametrize("levels", [4, 5])
def test_without_kaslr_that_is_said(levels: int) -> None:
    named = areas(MadeLinux(levels))
    for name, base in zip(("direct map", "vmalloc", "vmemmap"), DEFAULTS[levels], strict=True):
        assert named[name].va == base
        assert "where it is without KASLR" in named[name].evidence


def test_the_evidence_of_the_direct_map_is_how_much_ram_it_maps() -> None:
    assert "256.0M of 256.0M of RAM" in areas(MadeLinux())["direct map"].evidence


def test_a_fifth_level_has_user_addresses_above_2_47() -> None:
    assert areas(MadeLinux(5))["user, above 2^47"].va == 1 << 47
    assert "user, above 2^47" not in areas(MadeLinux(4))


@pytest.mark.parametrize("missing", ["direct", "image"])
def test_without_its_main_signs_nothing_is_called_linux(missing: str) -> None:
    assert found(MadeLinux(has=ALL - {missing})) is None


def test_one_of_the_signs_that_only_linux_has_is_enough() -> None:
    assert found(MadeLinux(has=ALL - {"vmemmap"})) is not None
    assert found(MadeLinux(has=ALL - {"entry"})) is not None
    assert found(MadeLinux(has=ALL - {"entry", "vmemmap"})) is None


def test_a_kernel_heap_where_the_entry_area_would_be_is_no_linux() -> None:
    """FreeBSD: a direct map and an image at the same places, a heap at 0xfffffe0000000000."""
    made = MadeLinux(4, has=frozenset({"direct", "image"}), direct=0xFFFF_F800_0000_0000)
    for at in range(16):
        made.map(ENTRY_AREA + at * 4096, (64 + at) << 12 | DATA)
    assert found(made) is None


def test_an_identity_map_is_no_linux() -> None:
    made = MadeLinux(4, has=frozenset())
    for pa in range(0, 1 << 30, 2 * M):
        made.map(pa, pa | P | RW | PS, 2)
    assert found(made) is None


def test_what_is_insisted_on_is_taken_and_the_evidence_says_so() -> None:
    made = MadeLinux(4, has=frozenset())
    made.map(0, P | RW | PS, 2)
    profile = found(made, insist="linux")
    assert profile is not None
    assert profile.evidence[0] == "asked for; the structure does not show it"
    assert {"user", "cpu entry area", "modules"} <= {area.name for area in profile.areas}


def test_nothing_in_vmalloc_is_a_base_that_was_not_seen() -> None:
    made = MadeLinux(4, has=ALL - {"vmalloc"}, vmalloc=0xFFFF_C940_0000_0000)
    for index in range(made.vmalloc >> 39, (made.vmalloc + 32 * T - 1 >> 39) + 1):
        made.build.ram.write(made.build.root + 8 * (index & 511), made.build.table() | P | RW)
    area = areas(made)["vmalloc"]
    assert "base not seen" in area.evidence
    assert area.va <= made.vmalloc < area.va + (1 << 39)


def test_a_full_vmalloc_area_at_1g_is_not_taken_for_the_memory_map() -> None:
    made = MadeLinux(4, ram=512 * M)
    made.map(made.vmalloc + 5 * G, 32 * M | DATA | PS, 2)  # only one of the four sections
    assert areas(made)["vmemmap"].va == made.vmemmap


def test_the_memory_map_may_be_of_small_pages_and_have_holes_where_no_ram_is() -> None:
    made = MadeLinux(4, ram=256 * M, has=ALL - {"vmemmap"}, frames=600)
    for pa in range(4 * G, 4 * G + 128 * M, 2 * M):  # RAM above a hole
        made.map(made.direct + pa, pa | DATA | PS, 2)
    for section in (0, 32):
        made.map(made.vmemmap + section * 2 * M, section << 22 | DATA | PS, 2)
    for page in range(512):
        made.map(made.vmemmap + 2 * M + page * 4096, page << 12 | DATA)
    area = areas(made)["vmemmap"]
    assert area.va == made.vmemmap
    assert "4K, 2M" in area.evidence
    assert "3 sections" in area.evidence


def test_modules_below_are_those_of_a_kernel_that_cannot_be_moved() -> None:
    made = MadeLinux(4, has=ALL - {"modules"})
    assert areas(made)["modules"].va == 0xFFFF_FFFF_C000_0000
    made.map(0xFFFF_FFFF_A000_5000, 0xA000 | CODE)
    assert areas(made)["modules"].va == 0xFFFF_FFFF_A000_0000


@pytest.mark.parametrize(("levels", "base"), [(4, 0xFFFF_EC00 << 32), (5, 0xFFDF << 48)])
def test_a_kasan_shadow_is_named_at_once(levels: int, base: int) -> None:
    """One page for terabytes: kasan_early_shadow_page and its tables."""
    made = MadeLinux(levels, has=ALL)
    build = made.build
    below = 0x6000 | CONST
    for _ in range(levels - 1):
        table = build.table()
        for index in range(512):
            build.ram.write(table + 8 * index, below)
        below = table | P | RW
    top = 12 + 9 * (levels - 1)
    last = 0xFFFF_FBFF_FFFF_FFFF
    for index in range(base >> top, (last >> top) + (levels == 4)):
        build.ram.write(build.root + 8 * (index & 511), below)
    shadow = areas(made)["KASAN shadow"]
    assert (shadow.va, shadow.last_va) == (base, last)
    assert areas(made)["vmemmap"].va == made.vmemmap


def test_the_users_half_of_an_isolated_pair_is_named_from_the_other() -> None:
    made = MadeLinux(4)
    build = made.build
    build.free = -(-build.free // 8192) * 8192
    kernel, user = build.table(), build.table()
    for index in range(512):
        build.ram.write(kernel + 8 * index, build.ram.value(build.root + 8 * index))
    shared = build.ram.value(build.root + 8 * (ENTRY_AREA >> 39 & 511))
    build.ram.write(user + 8 * (ENTRY_AREA >> 39 & 511), shared)
    graph = walk(build.fmt, build.ram, u64(user))
    profile = detect(graph, build.ram, made.ends)
    assert profile is not None
    assert profile.root == kernel
    assert "user half of an isolated pair" in profile.evidence[0]
    assert next(area for area in profile.areas if area.name == "direct map").va == made.direct
    # A root beside it with which it shares no table is another's.
    build.ram.write(user + 8 * (ENTRY_AREA >> 39 & 511), 0)
    assert detect(walk(build.fmt, build.ram, u64(user)), build.ram, made.ends) is None


def test_an_empty_root_and_a_root_alone_in_memory() -> None:
    made = MadeLinux(4, has=frozenset())
    assert found(made) is None
    made.build.root += 0x1000
    assert found(made) is None


def test_a_read_only_page_alone_is_no_image() -> None:
    made = MadeLinux(has=ALL - {"image"})
    made.map(IMAGE, IMAGE & 0xFFF000 | CONST)
    assert found(made) is None


def test_ram_that_is_not_known_is_not_told_about() -> None:
    made = MadeLinux()
    profile = detect(made.walk(), made.build.ram)
    assert profile is not None
    assert any("256M" in one for one in profile.evidence)


def test_a_hostile_direct_map_of_everything_ends() -> None:
    """1G leaves at all places of a table, to all of physical memory."""
    made = MadeLinux(5, has=frozenset({"image", "entry"}))
    for index in range(512):
        made.map(made.direct + index * G, index * G | DATA | PS, 3)
    assert areas(made)["direct map"].va == made.direct
    assert np.all([area.evidence for area in found(made).areas])  # type: ignore[union-attr]  # seen above


@pytest.mark.parametrize("levels", [4, 5])
@pytest.mark.parametrize(
    ("upper", "pa", "name"),
    [
        (P | RW, 0x9_9000, "identity map"),
        (P | RW, 0x8_8000, "kernel, lower half"),
        (P | RW | US, 0x9_9000, "user"),
    ],
)
def test_the_lower_half_is_users_only_if_its_root_grants_that(
    levels: int, upper: int, pa: int, name: str
) -> None:
    """As trampoline_pgd and efi_mm have it: physical memory at its own address (_KERNPG_TABLE)."""
    made = MadeLinux(levels)
    for at in (0x9_8000, 0x9_9000):
        made.build.map(at, (pa if at == 0x9_9000 else at) | DATA, upper=upper)
    profile = found(made)
    assert profile is not None
    low = [area for area in profile.areas if area.va < 1 << 63]
    assert low[0].name == name
    assert (low[0].va, low[-1].last_va) == (0, (1 << (9 * levels + 11)) - 1)
    if name != "user":
        assert len(low) == 1
        assert "not for user mode: 2 pages" in low[0].evidence

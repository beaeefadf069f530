"""An address space of the library, on a simulated guest."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import ptlive
from tests.api.simulated import PAGES, held, simulated
from tests.paging.plain_ram import FRAME
from tests.paging.tables import PWU, RW, P
from tests.simulated_guest import DATA, NOTHING_AT


@pytest.fixture
def space() -> ptlive.AddressSpace:
    return held(simulated())[0].space()


def test_a_translation_tells_where_and_what_is_allowed(space: ptlive.AddressSpace) -> None:
    found = space.translate(PAGES + 5)
    assert found
    assert (found.va, found.pa, found.page_size) == (PAGES + 5, DATA * FRAME + 5, FRAME)
    assert (found.target, found.rights) == ("RAM", "rwxu")
    assert [step.lvl for step in found.path] == [5, 4, 3, 2, 1]
    assert found.fault("user-write") is None


def test_a_fault_has_what_the_cpu_would_say(space: ptlive.AddressSpace) -> None:
    fault = space.translate(PAGES + 2 * FRAME).fault("user-write")
    assert fault is not None
    assert (fault.vector, fault.error_code, fault.cr2, fault.level) == (14, 7, PAGES + 2 * FRAME, 1)
    assert "writing is denied by the PTE" in fault.text == str(fault)
    absent = space.translate(PAGES + 4 * FRAME)
    assert not absent
    assert (absent.pa, absent.page_size, absent.rights, absent.target) == (None,) * 4
    fault = absent.fault()
    assert fault is not None
    assert (fault.vector, fault.error_code) == (14, 0)


def test_an_access_of_several_bytes_faults_in_the_page_that_is_not_there(
    space: ptlive.AddressSpace,
) -> None:
    end = PAGES + 4 * FRAME
    assert space.translate(end - 4, length=4).fault() is None
    fault = space.translate(end - 4, length=8).fault()
    assert fault is not None
    assert fault.cr2 == end


def test_many_addresses_are_one_question(space: ptlive.AddressSpace) -> None:
    found = space.translate_many([PAGES, PAGES + FRAME + 1, 0x1234])
    assert found.mapped.tolist() == [True, True, False]
    assert found.pa.tolist() == [DATA * FRAME, (DATA + 1) * FRAME + 1, 0]
    assert space.translate_many(np.array([PAGES], np.uint64)).pa.dtype == np.uint64
    high = (1 << 64) - 1
    assert int(space.translate_many([high]).va[0]) == high


@pytest.mark.parametrize("wrong", [-1, 1 << 64, "x", None, 1.5e300, 2.0, np.int64(-1), b"x"])
def test_what_is_no_address_is_refused(space: ptlive.AddressSpace, wrong: int) -> None:
    for question in (
        space.translate,
        lambda va: space.translate_many([0, va]),
        lambda va: space.read(va, 1),
        lambda va: space.regions([(0, va)]),
        space.find,
        space.regions().at,
    ):
        with pytest.raises(ptlive.PtliveError, match="an address is"):
            question(wrong)


@pytest.mark.parametrize("kind", [np.uint64, np.int64, np.int32])
def test_numbers_of_numpy_are_addresses(space: ptlive.AddressSpace, kind: Any) -> None:
    va = kind(PAGES + FRAME)
    assert space.translate(va).pa == (DATA + 1) * FRAME
    assert space.read(va, kind(6)) == b"second"
    assert space.translate_many(np.array([va])).pa.tolist() == [(DATA + 1) * FRAME]
    assert len(space.regions([(va, va)])) == 1
    assert space.find(kind((DATA + 1) * FRAME)).pages == 2


def test_the_length_of_an_access_has_an_end(space: ptlive.AddressSpace) -> None:
    for length in (0, 1 << 64):
        with pytest.raises(ptlive.PtliveError, match="the length of an access is from 1"):
            space.translate(PAGES, length=length)


def test_regions_are_a_sequence_and_columns(space: ptlive.AddressSpace) -> None:
    found = space.regions()
    first = found[0]
    assert (first.va, first.last_va, first.size) == (PAGES, PAGES + 2 * FRAME - 1, 2 * FRAME)
    assert (first.pa, first.contiguous, first.pages) == (DATA * FRAME, True, {FRAME: 2})
    assert (first.rights, first.target, first.area, first.times) == ("rwxu", "RAM", None, 1)
    assert first.rights.allows("write", "user")
    assert PAGES in first
    assert PAGES + 2 * FRAME not in first
    assert [one.va for one in found] == found.va.tolist()
    assert found[-1] == found[len(found) - 1]
    assert found[1:3] == [found[1], found[2]]
    assert found.at(PAGES + 1) == first
    assert found.at(0x1000) is None
    with pytest.raises(IndexError):
        found[len(found)]


def test_regions_are_chosen_as_asked(space: ptlive.AddressSpace) -> None:
    lower = [(0, (1 << 47) - 1)]
    assert [one.va for one in space.regions(lower, rights="-w")] == [PAGES + 2 * FRAME]
    assert [one.va for one in space.regions(lower, kinds=["nothing"])] == [PAGES + 3 * FRAME]
    assert [one.va for one in space.regions(lower, rights=["w", "-u"])] == [PAGES + 3 * FRAME]
    assert not space.regions(sizes=[1 << 21])
    data = (DATA + 1) * FRAME
    found = space.regions(frames=[(data, data)])
    assert [one.va for one in found] == [PAGES + FRAME, PAGES + 2 * FRAME]
    assert len(space.regions([(PAGES, PAGES)])) == 1
    with pytest.raises(ptlive.PtliveError, match="the letters of"):
        space.regions(rights="q")
    with pytest.raises(ptlive.PtliveError, match="no size of pages"):
        space.regions(sizes=[4097])
    with pytest.raises(ptlive.PtliveError, match="none of nothing, ram"):
        space.regions(kinds=["disk"])
    with pytest.raises(ptlive.PtliveError, match="system that is known"):
        space.regions(area="kernel text")


@pytest.mark.parametrize("wrong", [[], [(2, 1)], [(1, 2, 3)], (0, 1), 5])
def test_what_is_no_range_is_refused(
    space: ptlive.AddressSpace, wrong: list[tuple[int, int]]
) -> None:
    for question in (space.walk, space.regions, space.freeze):
        with pytest.raises(ptlive.PtliveError, match="range"):
            question(wrong)


def test_a_repeated_region_is_found_where_it_is_repeated() -> None:
    guest = simulated()
    for number in range(8):
        guest.map(0x5000_0000 + number * 0x10000, DATA * FRAME, PWU)
    # One table that eight entries refer to.
    found = held(guest)[0].space()
    table = found.translate(0x5000_0000).path[-1].table
    first = found.translate(0x5000_0000).path[-2]
    for number in range(1, 8):
        guest.write(first.entry_pa + 8 * number, (table | PWU).to_bytes(8, "little"))
    space = held(guest)[0].space()
    folded, single = space.regions(), space.regions(fold=False)
    assert len(folded) < len(single)
    assert max(one.times for one in folded) > 1
    for one in single:
        at = folded.at(one.va)
        assert at is not None
        assert at.rights == one.rights
    assert folded.at(0x5000_1000) is None


def test_memory_is_read_through_the_tables(space: ptlive.AddressSpace) -> None:
    assert space.read(PAGES + 3, 4) == bytes([3, 4, 5, 6])
    assert space.read(PAGES + FRAME - 2, 8) == b"\xfe\xffsecond"
    assert space.read(PAGES, 0) == b""
    for va, why in (
        (PAGES + 4 * FRAME - 4, "no RAM and no ROM|is not mapped"),
        (PAGES + 3 * FRAME, "no RAM and no ROM"),
        (0x1000, "0x1000 is not mapped"),
        ((1 << 64) - 1, "a length is from 0 to 0x1"),
        ((1 << 64) - 8, "is not mapped"),
    ):
        with pytest.raises(ptlive.PtliveError, match=why):
            space.read(va, 8)


def test_find_goes_back_to_the_addresses(space: ptlive.AddressSpace) -> None:
    found = space.find((DATA + 1) * FRAME + 8)
    assert [one.va for one in found] == [PAGES + FRAME + 8, PAGES + 2 * FRAME + 8]
    assert found.pages == 2
    assert found.target == "RAM"
    assert [one.rights for one in found] == ["rwxu", "r-xu"]
    assert not space.find((DATA + 5) * FRAME)
    assert len(space.find(DATA * FRAME, (DATA + 2) * FRAME - 1, limit=1)) == 1
    with pytest.raises(ptlive.PtliveError, match="ends before it begins"):
        space.find(5, 4)


def test_what_is_frozen_stays_while_the_guest_goes_on() -> None:
    guest = simulated()
    library, kept = held(guest)
    space = library.space()
    before = space.freeze()
    guest.map(PAGES + 8 * FRAME, DATA * FRAME, P | RW)
    kept.end("over")
    assert before.frozen
    assert not before.translate(PAGES + 8 * FRAME)
    assert len(before.regions()) == 6
    with pytest.raises(ptlive.PtliveError, match="over"):
        space.translate(PAGES)
    changes = before.diff(held(guest)[0].space())
    assert [(one.va, one.kinds, one.before) for one in changes] == [
        (PAGES + 8 * FRAME, ("added",), None)
    ]
    assert changes[0].after is not None
    assert (changes[0].after.pa, changes[0].after.rights) == (DATA * FRAME, "rwx-")
    assert changes.counts == {"added": FRAME}
    assert not before.diff(held(guest)[0].space(), only=["removed"])
    with pytest.raises(ptlive.PtliveError, match="none of added"):
        before.diff(before, only=["nothing"])


def test_what_was_frozen_in_ranges_is_asked_about_them_alone() -> None:
    guest = simulated()
    guest.map(0x5000_0000, DATA * FRAME, PWU)
    space = held(guest)[0].space()
    kept = (PAGES, PAGES + 2 * FRAME - 1)
    some = space.freeze([kept])
    assert some.translate(PAGES + FRAME).pa == (DATA + 1) * FRAME
    assert some.translate_many([PAGES, PAGES + FRAME]).mapped.all()
    assert [one.pages for one in some.regions([kept])] == [{FRAME: 2}]
    assert not some.diff(space, [kept])
    assert some.freeze([(PAGES, PAGES)]).translate(PAGES)
    for question in (
        lambda: some.translate(0x5000_0000),
        lambda: some.translate(kept[1], length=2),
        lambda: some.translate_many([PAGES, PAGES - 1]),
        lambda: some.read(kept[1] + 1, 1),
        some.walk,
        some.freeze,
        some.regions,
        lambda: some.regions([(kept[0], kept[1] + 1)]),
        lambda: some.find(DATA * FRAME),
        lambda: some.diff(space),
        lambda: space.diff(some),
    ):
        with pytest.raises(ptlive.PtliveError, match="not in the ranges of which the tables were"):
            question()


@pytest.mark.parametrize("what", ["verify", "audit"])
def test_a_frozen_one_has_no_mmu(space: ptlive.AddressSpace, what: str) -> None:
    with pytest.raises(ptlive.PtliveError, match=f"{what} needs the guest"):
        getattr(space.freeze(), what)()


def test_an_audit_has_findings_by_severity(space: ptlive.AddressSpace) -> None:
    found = space.audit()
    bad = found.at_least("high")
    assert [one.rule.id for one in bad] == ["wx-kernel"]
    assert found[0] == bad[0]
    assert [one.rule.id for one in space.audit(["outside-ram"])] == ["outside-ram"]
    with pytest.raises(ptlive.PtliveError, match="none of info"):
        found.at_least("worse")


def test_rights_are_letters_that_answer() -> None:
    rights = held(simulated())[0].space().translate(PAGES + 2 * FRAME).rights
    assert rights is not None
    assert rights.as_dict() == {"write": False, "user": True, "execute": True}
    assert rights.allows("user", "execute")
    assert not rights.allows("write")
    with pytest.raises(ptlive.PtliveError, match="no right 'read'"):
        rights.allows("read")


def test_other_roots_are_named(space: ptlive.AddressSpace) -> None:
    guest = held(simulated())[0]
    assert guest.space(root="vcpu:1").root == guest.space().root == space.root
    assert guest.space(root=0x7000).origin == "0x7000"
    assert [one.root for one in guest.spaces()] == [space.root]
    for root, why in (
        ("x", "is no root"),
        (1 << 60, "not the address"),
        ("vcpu:x", "no root"),
        ("#99", "no root #99"),
    ):
        with pytest.raises(ptlive.PtliveError, match=why):
            guest.space(root=root)
    with pytest.raises(ptlive.PtliveError, match="no vCPU 2"):
        guest.space(2)


def test_physical_memory_is_read_where_there_is_any() -> None:
    guest = held(simulated())[0]
    assert guest.read((DATA + 1) * FRAME, 6) == b"second"
    with pytest.raises(ptlive.PtliveError, match="no RAM and no ROM"):
        guest.read(NOTHING_AT, 8)
    with pytest.raises(ptlive.PtliveError, match="lies in no RAM"):
        guest.read(0, 1 << 63)
    with pytest.raises(ptlive.PtliveError, match="a physical address is from 0"):
        guest.read(-1, 8)

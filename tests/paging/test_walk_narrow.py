"""PAE and 32-bit paging: the walk of random tables, held against the scalar reference."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from ptlive.access_kind import ACCESS_KINDS
from ptlive.arrays import u64
from ptlive.paging.access import ALLOWED, UNPREDICTABLE, Controls, check
from ptlive.paging.format import Kind
from ptlive.paging.graph import HOLES
from ptlive.paging.translate import translate
from ptlive.paging.walk import walk
from tests.paging import listing
from tests.paging.narrow import NarrowCase, cases
from tests.paging.tables import controls_of, machine
from tests.reference import narrow, sdm
from tests.reference.rights import judge

LAST = (1 << 32) - 1
READ = ACCESS_KINDS["supervisor-read"]


@settings(max_examples=60)
@given(cases())
def test_leaves_and_holes_are_the_references_in_order(case: NarrowCase) -> None:
    graph = walk(case.fmt, case.ram, u64(case.root))
    assert listing.leaves(case.fmt, graph) == case.leaves
    assert listing.holes(graph) == case.holes
    assert graph.reached(Kind.LEAF) == len(case.leaves)
    assert graph.reached(*HOLES) == len(case.holes)
    assert graph.count(Kind.LEAF) == len({(row[2], row[4]) for row in case.leaves})
    tiles = sorted(row[:2] for row in case.leaves + case.holes)
    assert [va for va, _ in tiles] == [0, *(last_va + 1 for _, last_va in tiles[:-1])]
    assert tiles[-1][1] == LAST


@settings(max_examples=40)
@given(cases(), st.data())
def test_a_range_shows_what_touches_it(case: NarrowCase, data: st.DataObject) -> None:
    edges = st.sampled_from([edge for slot in case.slots for edge in slot[:2]])
    end = st.one_of(edges, st.integers(0, LAST))
    va, last_va = sorted((data.draw(end), data.draw(end)))
    graph = walk(case.fmt, case.ram, u64(case.root), (u64(va), u64(last_va)))
    assert listing.leaves(case.fmt, graph) == listing.touching(case.leaves, va, last_va)
    assert listing.holes(graph) == listing.touching(case.holes, va, last_va)


@settings(max_examples=60)
@given(cases(), st.data(), st.booleans(), st.booleans(), st.booleans())
def test_all_kinds_of_access_end_as_in_the_reference(
    case: NarrowCase, data: st.DataObject, wp: bool, smep: bool, smap: bool
) -> None:
    edges = [edge for slot in case.slots[:300] for edge in slot[:2]]
    mapped = [edge for row in case.leaves[:50] for edge in row[:2]] or edges
    end = st.one_of(st.sampled_from(mapped), st.sampled_from(edges), st.integers(0, LAST))
    addresses = data.draw(st.lists(end, min_size=1, max_size=12))
    result = translate(case.fmt, case.ram, u64(case.root), u64(*addresses))
    # XD, and the flag of the error code that tells of fetches, are PAE paging's alone (4.7).
    nxe = case.machine.pae and case.machine.nxe
    cpu = machine(levels=4, nxe=nxe, wp=wp, smep=smep, smap=smap)
    for kind in ACCESS_KINDS.values():
        verdict = check(result, controls_of(cpu), kind)
        asked = sdm.Access(kind.access.value, kind.user, kind.ac)
        for row, va in enumerate(addresses):
            path = narrow.translate(case.machine, case.ram.qword, case.root, va)
            outcome = judge(cpu, path, va, asked)
            assert int(result.pa[row]) == (path.pa or 0)
            if path.page_size:
                assert 1 << int(result.page_bits[row]) == path.page_size
            found = (int(verdict.vector[row]), int(verdict.error_code[row]))
            if outcome.vector is not None:
                assert found == (outcome.vector, outcome.error_code), outcome
            else:
                assert found == (UNPREDICTABLE if outcome.pa is None else ALLOWED, 0), outcome


@settings(max_examples=20)
@given(cases())
def test_no_address_beyond_32_bits_is_translated(case: NarrowCase) -> None:
    beyond = u64(1 << 32, 0xFFFF_8000_0000_0000, (1 << 64) - 1)
    assert not translate(case.fmt, case.ram, u64(case.root), beyond).mapped.any()
    verdict = check(translate(case.fmt, case.ram, u64(case.root), beyond), Controls(), READ)
    assert verdict.vector.tolist() == [UNPREDICTABLE] * 3  # no such access can be made
    graph = walk(case.fmt, case.ram, u64(case.root), (beyond[:1], beyond[-1:]))
    assert graph.reached(*Kind) == 0

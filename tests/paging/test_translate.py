"""Single addresses, held against the scalar reference: the place, the path, the rights."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ptlive.arrays import u64
from ptlive.paging import rights
from ptlive.paging.format import Kind
from ptlive.paging.formats import x86_64
from ptlive.paging.translate import NOT_TRANSLATED, Translations, translate
from tests.paging.builder import Builder
from tests.paging.tables import PS, PWU, XD, Case, P, cases
from tests.reference import sdm

TOP = 0xFFFF_FFFF_8000_0000


def addresses(case: Case) -> st.SearchStrategy[list[int]]:
    """Draw addresses: anywhere, not canonical, and at the edges of leaves and holes."""
    edges = [edge for row in case.leaves[:300] + case.holes[-300:] for edge in row[:2]]
    half = 1 << (56 if case.machine.levels == 5 else 47)
    limits = [0, half - 1, half, (1 << 64) - half - 1, (1 << 64) - half, (1 << 64) - 1]
    any_address = st.integers(0, (1 << 64) - 1)
    user = st.integers(0, half - 1)
    sources = [st.sampled_from(edges), st.sampled_from(limits), any_address, user]
    if case.leaves:
        rows = st.sampled_from([row[:2] for row in case.leaves])
        sources += [rows.flatmap(lambda row: st.integers(*row))] * 2
    return st.lists(st.one_of(sources), min_size=1, max_size=30)


def check_row(case: Case, result: Translations, row: int) -> None:
    """Hold one translation against the reference's."""
    va = int(result.va[row])
    if not sdm.canonical(case.machine, va):
        assert result.kind[row] == NOT_TRANSLATED
        assert (result.lvl[row], result.pa[row], result.page_bits[row]) == (0, 0, 0)
        assert result.path(row) == []
        return
    walked = sdm.translate(case.machine, case.ram.qword, case.root, va)
    assert Kind(int(result.kind[row])).name.lower() == walked.kind
    path = [(s.lvl, int(s.entry_pa[at]), int(s.entry[at])) for s, at in result.path(row)]
    assert path == [tuple(step) for step in walked.path]
    last = walked.path[-1]
    assert (result.lvl[row], result.entry_pa[row], result.entry[row]) == tuple(last)
    assert bool(result.mapped[row]) == (walked.kind == "leaf")
    if walked.pa is None or walked.page_size is None:
        assert (result.pa[row], result.page_bits[row]) == (0, 0)
        return
    assert result.pa[row] == walked.pa
    assert 1 << int(result.page_bits[row]) == walked.page_size
    granted = {
        name: bool(rights.granted(case.fmt, result.rights, name)[row])
        for name in ("write", "user", "execute")
    }
    assert granted == {"write": walked.write, "user": walked.user, "execute": walked.execute}
    assert rights.names(case.fmt, int(result.rights[row])) == granted
    denied = rights.denied_by(case.fmt, [(lvl, entry) for lvl, _, entry in path])
    assert denied == {
        "write": walked.write_denied_by,
        "user": walked.user_denied_by,
        "execute": walked.execute_denied_by,
    }


@settings(max_examples=60)
@given(cases(), st.data())
def test_translations_are_the_references(case: Case, data: st.DataObject) -> None:
    va = u64(*data.draw(addresses(case)))
    result = translate(case.fmt, case.ram, case.roots, va)
    for row in range(va.size):
        check_row(case, result, row)
    # Asked alone or with others, in whatever order, an answer is the same.
    order = np.array(data.draw(st.permutations(range(va.size))), dtype=np.intp)
    again = translate(case.fmt, case.ram, case.roots, va[order])
    for name in ("kind", "lvl", "entry", "entry_pa", "rights", "pa", "page_bits"):
        assert (getattr(again, name) == getattr(result, name)[order]).all()


@settings(max_examples=20)
@given(cases(), st.data())
def test_some_of_the_translations_are_as_if_only_they_were_asked(
    case: Case, data: st.DataObject
) -> None:
    va = u64(*data.draw(addresses(case)))
    rows = sorted(data.draw(st.sets(st.integers(0, va.size - 1))))
    kept = translate(case.fmt, case.ram, case.roots, va).take(np.array(rows, dtype=np.intp))
    assert kept.va.tolist() == va[rows].tolist()
    for row in range(len(rows)):
        check_row(case, kept, row)


def test_no_addresses_are_no_answers() -> None:
    built = Builder()
    result = translate(built.fmt, built.ram, built.roots, u64())
    assert result.va.size == result.mapped.size == 0


def test_an_address_asked_twice_is_answered_twice() -> None:
    built = Builder()
    built.map(TOP, 0x5000_0000 | PWU)
    result = translate(built.fmt, built.ram, built.roots, u64(TOP + 5, TOP + 5, TOP))
    assert result.pa.tolist() == [0x5000_0005, 0x5000_0005, 0x5000_0000]


def test_columns_keep_their_types() -> None:
    built = Builder()
    built.map(TOP, 0x000F_FFFF_FFFF_F000 | PWU | XD)
    built.map(TOP + (1 << 30), 0x000F_FFFF_C000_0000 | PWU | PS, level=3)
    result = translate(built.fmt, built.ram, built.roots, u64(TOP + 4095, (1 << 64) - 1, 1 << 60))
    assert result.pa.tolist() == [0x000F_FFFF_FFFF_FFFF, 0x000F_FFFF_FFFF_FFFF, 0]
    for name in ("va", "entry", "entry_pa", "rights", "pa"):
        assert getattr(result, name).dtype == np.uint64
    for name in ("kind", "lvl", "page_bits"):
        assert getattr(result, name).dtype == np.uint8
    for step in result.steps:
        assert {getattr(step, n).dtype for n in ("table", "index", "entry_pa", "entry")} == {
            np.dtype(np.uint64)
        }


def test_an_address_in_no_half_is_not_translated_even_without_ram() -> None:
    # Nothing is asked of the root, so it need not be readable.
    built = Builder(4)
    gap = u64(0x0000_8000_0000_0000, 0xFFFF_7FFF_FFFF_FFFF)
    result = translate(x86_64.make_levels(4), built.ram, u64(1 << 51), gap)
    assert result.kind.tolist() == [NOT_TRANSLATED] * 2


def test_a_path_ends_where_it_breaks() -> None:
    built = Builder()
    place = built.map(TOP, 0xDEAD_0000 | P << 1, level=3)
    result = translate(built.fmt, built.ram, built.roots, u64(TOP))
    assert [step.lvl for step, _ in result.path(0)] == [5, 4, 3]
    assert (result.kind[0], result.entry_pa[0]) == (Kind.ABSENT, place)

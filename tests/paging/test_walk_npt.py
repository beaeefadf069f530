"""NPT: tables of the hypervisor's mode, from addresses that nothing sign-extends.

AMD64 Architecture Programmer's Manual, vol. 2, 15.25.3 and 15.25.5: the reference is that of the
mode itself, asked as user mode, at the address whose index bits are the same.
"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from ptlive.access_kind import ACCESS_KINDS
from ptlive.arrays import u64
from ptlive.paging.access import ALLOWED, PAGE_FAULT, UNPREDICTABLE, check
from ptlive.paging.format import Kind
from ptlive.paging.formats import bits32, npt, pae, x86_64
from ptlive.paging.nested import NestedControls
from ptlive.paging.translate import translate
from ptlive.paging.walk import walk
from tests.paging import listing
from tests.paging.plain_ram import FRAME, PlainRam
from tests.paging.tables import PWU, Case, cases
from tests.reference import sdm


def canonical(case: Case, gpa: int) -> int:
    """Return the linear address with the same bits up to those of the root's index."""
    width = {4: 48, 5: 57}[case.machine.levels]
    return gpa | (1 << 64) - (1 << width) if gpa >> (width - 1) & 1 else gpa


def plain(case: Case, row: listing.Row) -> listing.Row:
    mask = (1 << {4: 48, 5: 57}[case.machine.levels]) - 1
    return (row[0] & mask, row[1] & mask, *row[2:])


@settings(max_examples=40)
@given(cases())
def test_leaves_and_holes_are_those_of_the_mode_without_sign_extension(case: Case) -> None:
    fmt = npt.nested(case.fmt)
    graph = walk(fmt, case.ram, case.roots)
    assert listing.leaves(fmt, graph) == [plain(case, row) for row in case.leaves]
    assert listing.holes(graph) == [plain(case, row) for row in case.holes]


@settings(max_examples=40)
@given(cases(), st.data())
def test_every_access_is_a_users(case: Case, data: st.DataObject) -> None:
    fmt = npt.nested(case.fmt)
    rows = (case.leaves[:60] + [hole for hole in case.holes if hole[-1] != "absent"][:60]) or (
        case.holes[:20]
    )
    edges = [int(edge) for row in rows for edge in plain(case, row)[:2]]
    addresses = data.draw(st.lists(st.sampled_from(edges), min_size=1, max_size=12))
    result = translate(fmt, case.ram, case.roots, u64(*addresses))
    host = sdm.Machine(
        **{**case.machine.__dict__, "pke": False, "smep": False, "smap": False, "wp": True}
    )
    for kind in ACCESS_KINDS.values():
        verdict = check(result, NestedControls(nxe=case.machine.nxe), kind)
        for row, gpa in enumerate(addresses):
            asked = sdm.Access(kind.access.value, user=True, ac=False)
            linear = canonical(case, gpa)
            outcome = sdm.access(host, case.ram.qword, case.root, linear, asked)
            found = (int(verdict.vector[row]), int(verdict.error_code[row]))
            if outcome.vector is not None:
                assert found == (PAGE_FAULT, outcome.error_code)
            else:
                assert found == (UNPREDICTABLE if outcome.pa is None else ALLOWED, 0)


def test_what_the_tables_do_not_span_is_not_mapped() -> None:
    ram = PlainRam(2 * FRAME)
    ram.write(0, FRAME | PWU)
    fmt = npt.nested(x86_64.make_levels(4))
    result = translate(fmt, ram, u64(0), u64(1 << 48, 1 << 47))
    codes = {"read": 4, "write": 6, "fetch": 0x14}
    for kind in ACCESS_KINDS.values():
        verdict = check(result, NestedControls(), kind)
        assert verdict.vector.tolist() == [PAGE_FAULT] * 2
        assert verdict.error_code.tolist() == [codes[kind.access.value]] * 2
    assert result.kind[1] == Kind.ABSENT


def test_a_hypervisor_may_be_in_any_mode() -> None:
    made = {
        "npt": x86_64.make_levels(4),
        "npt-5level": x86_64.make_levels(5),
        "npt-pae": pae.make(),
        "npt-32-bit": bits32.make(),
    }
    for name, own in made.items():
        fmt = npt.nested(own)
        assert fmt.name == name
        names = ["nPTE", "nPDE", "nPDPE", "nPML4E", "nPML5E"]  # APM vol. 2, 5.3
        assert [level.spec for level in fmt.levels] == names[: fmt.top]
        assert fmt.manual == "APM"
        assert [(w.va, w.last_va) for w in fmt.windows] == [
            (0, (1 << {"npt": 48, "npt-5level": 57}.get(name, 32)) - 1)
        ]


def test_outcomes_are_named_as_the_manual_does() -> None:
    rules = NestedControls()
    assert rules.words(PAGE_FAULT, 6) == "#VMEXIT(NPF 0x6: W/R U/S)"
    assert rules.words(ALLOWED, 0) == "allowed"

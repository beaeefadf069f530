"""One address told step by step: rights and who denies them, every way to fail, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from ptlive.access_kind import ACCESS_KINDS
from ptlive.analysis.translation import Outcome, Translation, describe, first_failure
from ptlive.arrays import u64
from ptlive.paging.access import Controls
from ptlive.paging.format import Kind
from ptlive.paging.formats.x86_64 import make_levels
from ptlive.paging.translate import translate
from tests.paging.plain_ram import FRAME, PlainRam
from tests.paging.tables import PS, PWU, RW, US, XD, A, D, P

if TYPE_CHECKING:
    from ptlive.arrays import U8, U64

NAMES = ("nothing", "RAM")
VA = 5 << 39 | 6 << 30 | 7 << 21 | 8 << 12 | 0x9A8
INDICES = {4: 5, 3: 6, 2: 7, 1: 8}
LEAF = 0x7000 | PWU | A | D


def tables(**entries: int) -> PlainRam:
    """Build the path to VA; entries by level: l4=..., l1=..."""
    ram = PlainRam(8 * FRAME)
    for n, level in enumerate((4, 3, 2)):
        ram.write(n * FRAME + 8 * INDICES[level], (n + 1) * FRAME | PWU | A)
    ram.write(3 * FRAME + 8 * INDICES[1], LEAF)
    for name, value in entries.items():
        level = int(name[1:])
        ram.write((4 - level) * FRAME + 8 * INDICES[level], value)
    return ram


def target(pa: U64, size_bits: U64) -> U8:
    """Call the first 32 KiB RAM; only single bytes are asked about."""
    assert (size_bits == 0).all()
    return (pa < np.uint64(8 * FRAME)).astype(np.uint8)


def told(
    ram: PlainRam,
    *kinds: str,
    va: int = VA,
    controls: Controls | None = None,
    maxphyaddr: int = 46,
    nxe: bool = True,
    gbpages: bool = True,
) -> Translation:
    fmt = make_levels(4, maxphyaddr=maxphyaddr, nxe=nxe, gbpages=gbpages)
    found = translate(fmt, ram, u64(0), u64(0, va))
    chosen = [ACCESS_KINDS[kind] for kind in kinds]
    return describe(found, 1, controls or Controls(), chosen, target, NAMES)


def the(ram: PlainRam, kind: str, **how: object) -> Outcome:
    (outcome,) = told(ram, kind, **how).outcomes  # type: ignore[arg-type]  # passed on by name
    return outcome


def test_the_path_names_every_entry_on_the_way() -> None:
    found = told(tables())
    assert [(s.lvl, s.level.spec, s.level.linux, s.index) for s in found.path] == [
        (4, "PML4E", "pgd", 5),
        (3, "PDPTE", "pud", 6),
        (2, "PDE", "pmd", 7),
        (1, "PTE", "pte", 8),
    ]
    assert [s.table for s in found.path] == [0, 0x1000, 0x2000, 0x3000]
    assert [s.entry_pa for s in found.path] == [0x28, 0x1030, 0x2038, 0x3040]
    assert [s.entry for s in found.path][-1] == LEAF
    assert [s.kind for s in found.path] == [Kind.TABLE] * 3 + [Kind.LEAF]
    bits = found.path[-1].bits
    assert (bits["P"], bits["R/W"], bits["U/S"], bits["XD"], bits["G"]) == (1, 1, 1, 0, 0)
    assert all(step.reserved == [] for step in found.path)


def test_a_mapped_address_has_place_size_and_target() -> None:
    found = told(tables())
    assert (found.va, found.pa, found.page_bits, found.target) == (VA, 0x79A8, 12, "RAM")
    outside = told(tables(l1=0x7777_7000 | PWU))
    assert (outside.pa, outside.target) == (0x7777_79A8, "nothing")


@pytest.mark.parametrize(("level", "bits"), [(2, 21), (3, 30)])
def test_a_large_page_ends_the_path_early(level: int, bits: int) -> None:
    found = told(tables(**{f"l{level}": PWU | PS}))
    assert (found.pa, found.page_bits) == (VA & ((1 << bits) - 1), bits)
    assert found.path[-1].lvl == level


@pytest.mark.parametrize("level", [4, 3, 2, 1])
@pytest.mark.parametrize(("right", "bit"), [("write", RW), ("user", US), ("execute", XD)])
def test_the_level_that_denies_is_the_first_from_the_root(level: int, right: str, bit: int) -> None:
    entry = {4: 0x1000, 3: 0x2000, 2: 0x3000, 1: 0x7000}
    # Deny it at this level, and again at the leaf, which does not decide any more.
    changed = {n: (entry[n] | PWU | A) ^ bit for n in {level, 1}}
    found = told(tables(**{f"l{n}": value for n, value in changed.items()}))
    assert found.rights == {"write": True, "user": True, "execute": True} | {right: False}
    assert found.decided_by == {"write": None, "user": None, "execute": None} | {right: level}


ABSENT = {4: "PML4E", 3: "PDPTE", 2: "PDE", 1: "PTE"}


@pytest.mark.parametrize("level", ABSENT)
@pytest.mark.parametrize("entry", [0, (1 << 64) - 2, PS])
def test_absent_at_each_level_with_zero_garbage_or_ps(level: int, entry: int) -> None:
    found = told(tables(**{f"l{level}": entry}), *ACCESS_KINDS)
    assert (found.pa, found.page_bits, found.target, found.rights) == (None, None, None, {})
    assert found.decided_by == {}
    assert found.path[-1].kind is Kind.ABSENT
    assert found.path[-1].entry == entry
    assert found.path[-1].bits == {}
    codes = [(o.vector, o.error_code, o.cr2, o.level) for o in found.outcomes]
    expected = [0, 2, 0x10, 0, 2, 4, 6, 0x14]
    assert codes == [(14, code, VA, level) for code in expected]
    assert {o.reason for o in found.outcomes} == {
        f"the {ABSENT[level]} (level {level}) is not present"
    }


@pytest.mark.parametrize(
    ("level", "entry", "bits"),
    [
        (4, 0x1000 | PWU | PS, [7]),
        (4, 0x1000 | PWU | 1 << 51, [51]),
        (3, 0x2000 | PWU | 1 << 46, [46]),
        (3, PWU | PS | 1 << 13 | 1 << 29, [13, 29]),
        (2, PWU | PS | 1 << 20, [20]),
        (1, 0x7000 | PWU | 1 << 47 | 1 << 51, [47, 51]),
    ],
)
def test_reserved_bits_are_named_with_their_level(level: int, entry: int, bits: list[int]) -> None:
    found = told(tables(**{f"l{level}": entry}), "user-write", "supervisor-fetch")
    assert found.pa is None
    assert found.path[-1].kind is Kind.MALFORMED
    assert found.path[-1].reserved == bits
    write, fetch = found.outcomes
    assert (write.vector, write.error_code, write.cr2, write.level) == (14, 0xF, VA, level)
    assert (fetch.vector, fetch.error_code) == (14, 0x19)
    plural = "s" if len(bits) > 1 else ""
    assert write.reason == (
        f"the {ABSENT[level]} (level {level}) has reserved bit{plural} "
        f"{', '.join(map(str, bits))} set"
    )


def test_xd_without_nxe_is_reserved() -> None:
    found = the(tables(l2=0x3000 | PWU | XD), "supervisor-read", nxe=False, controls=_no_nxe())
    assert (found.vector, found.error_code, found.level) == (14, 9, 2)
    assert found.reason == "the PDE (level 2) has reserved bit 63 set"


def _no_nxe() -> Controls:
    return Controls(nxe=False)


def test_a_1g_page_that_the_cpu_lacks_is_reserved() -> None:
    found = the(tables(l3=PWU | PS), "supervisor-read", gbpages=False)
    assert (found.vector, found.error_code, found.level) == (14, 9, 3)
    assert found.reason == "the PDPTE (level 3) has reserved bit 7 set"


def test_a_table_in_no_memory_leaves_the_outcome_open() -> None:
    found = told(tables(l3=0x7777_7000 | PWU), *ACCESS_KINDS)
    assert found.path[-1].kind is Kind.UNREADABLE
    for outcome in found.outcomes:
        assert (outcome.vector, outcome.cr2, outcome.level, outcome.allowed) == (
            None,
            None,
            3,
            False,
        )
        assert outcome.reason == (
            "the PDPTE (level 3) refers to a table at 0x77777000, which is in no RAM and no ROM"
        )


@pytest.mark.parametrize("va", [1 << 47, (1 << 64) - (1 << 47) - 1, 1 << 63])
def test_a_non_canonical_address_is_a_general_protection_fault(va: int) -> None:
    found = told(tables(), *ACCESS_KINDS, va=va)
    assert (found.pa, found.path, found.rights) == (None, [], {})
    for outcome in found.outcomes:
        assert (outcome.vector, outcome.error_code, outcome.cr2) == (13, 0, None)
        assert outcome.reason == "the address is not canonical"


@pytest.mark.parametrize(
    ("entry", "kind", "controls", "code", "level", "reason"),
    [
        (
            0x7000 | P | RW,
            "user-read",
            Controls(),
            0x5,
            1,
            "user-mode access is denied by the PTE (level 1)",
        ),
        (
            0x7000 | P | US,
            "user-write",
            Controls(),
            0x7,
            1,
            "writing is denied by the PTE (level 1)",
        ),
        (
            0x7000 | P,
            "supervisor-write",
            Controls(wp=True),
            0x3,
            1,
            "writing is denied by the PTE (level 1)",
        ),
        (
            LEAF | XD,
            "user-fetch",
            Controls(),
            0x15,
            1,
            "execution is denied by the PTE (level 1)",
        ),
        (
            0x7000 | P | RW | XD,
            "supervisor-fetch",
            Controls(),
            0x11,
            1,
            "execution is denied by the PTE (level 1)",
        ),
        (
            LEAF,
            "supervisor-fetch",
            Controls(smep=True),
            0x11,
            None,
            "supervisor fetch from a user-mode address, and CR4.SMEP=1",
        ),
        (
            LEAF,
            "supervisor-read",
            Controls(smap=True),
            0x1,
            None,
            "supervisor access to a user-mode address, CR4.SMAP=1 and RFLAGS.AC=0",
        ),
        (
            LEAF | 5 << 59,
            "user-read",
            Controls(pke=True, pkru=1 << 10),
            0x25,
            1,
            "protection key 5 forbids it (PKRU)",
        ),
        (
            LEAF | 5 << 59,
            "supervisor-write",
            Controls(pke=True, pkru=2 << 10),
            0x23,
            1,
            "protection key 5 forbids it (PKRU)",
        ),
    ],
)
def test_why_a_present_page_is_denied(
    entry: int, kind: str, controls: Controls, code: int, level: int | None, reason: str
) -> None:
    found = the(tables(l1=entry), kind, controls=controls)
    assert (found.vector, found.error_code, found.cr2) == (14, code, VA)
    assert (found.level, found.reason, found.allowed) == (level, reason, False)


@pytest.mark.parametrize(
    ("entry", "kind", "controls"),
    [
        (LEAF, "user-write", Controls(smep=True, smap=True)),
        (LEAF, "supervisor-read-ac", Controls(smap=True)),
        (LEAF, "supervisor-fetch", Controls(smep=False)),
        (0x7000 | P, "supervisor-write", Controls(wp=False)),
        (LEAF | 5 << 59, "user-read", Controls(pke=False, pkru=(1 << 32) - 1)),
        (LEAF | 5 << 59, "user-read", Controls(pke=True, pkru=2 << 10)),
        (0x7000 | P | RW | 5 << 59, "supervisor-read", Controls(pke=True, pkru=(1 << 32) - 1)),
    ],
)
def test_what_is_allowed(entry: int, kind: str, controls: Controls) -> None:
    found = the(tables(l1=entry), kind, controls=controls)
    assert (found.vector, found.error_code, found.cr2, found.level) == (0, 0, None, None)
    assert found.allowed
    assert found.reason == "allowed"


def test_an_unknown_pkru_decides_only_where_a_key_can() -> None:
    controls = Controls(pke=True, pkru=None)
    found = told(tables(l1=LEAF | 9 << 59), *ACCESS_KINDS, controls=controls)
    answers = {o.kind.name: (o.vector, o.reason) for o in found.outcomes}
    open_ = (None, "protection key 9 decides, and PKRU is not known (pkru tells it)")
    assert answers["user-read"] == answers["supervisor-write"] == open_
    assert answers["user-fetch"] == answers["supervisor-fetch"] == (0, "allowed")
    kernel = told(tables(l1=0x7000 | P | RW), "supervisor-read", controls=controls)
    assert kernel.outcomes[0].allowed


def outcome(vector: int | None, cr2: int | None = None) -> Outcome:
    return Outcome(ACCESS_KINDS["user-read"], vector, 0, cr2, None, "", "")


def test_of_several_pieces_the_first_that_fails_counts() -> None:
    good, first, second = outcome(0), outcome(14, 0x1000), outcome(14, 0x2000)
    unknown, general = outcome(None), outcome(13)
    assert first_failure([good]) is good
    assert first_failure([good, good]) is good
    assert first_failure([good, first, second]) is first
    assert first_failure([unknown, first]) is unknown
    # No byte is translated before all are known to be canonical.
    assert first_failure([first, second, general]) is general
    assert first_failure([unknown, general]) is general


def test_what_faults_whatever_pkru_is_is_told_although_pkru_is_not_known() -> None:
    """SMAP forbids it; only the PK bit of the error code is open."""
    controls = Controls(smap=True, pke=True, pkru=None)
    found = the(tables(l1=LEAF | 9 << 59), "supervisor-read", controls=controls)
    assert (found.vector, found.error_code, found.cr2) == (14, 1, VA)
    assert "SMAP" in found.reason
    assert found.reason.endswith("PK may be set as well, PKRU is not known (pkru tells it)")

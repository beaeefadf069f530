"""What control registers mean for paging: SDM vol. 3A 4.1, table 4-1."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ptlive.errors import PtliveError
from ptlive.paging.access import Controls
from ptlive.paging.control import (
    CR0,
    CR4,
    EFER,
    FORMAT_OF_MODE,
    NESTED,
    controls,
    format_for,
    format_named,
    mode,
    not_modelled,
    rules,
)
from ptlive.paging.formats import bits32, ept, npt, pae, x86_64
from ptlive.paging.nested import EptControls, NestedControls

if TYPE_CHECKING:
    from ptlive.paging.access import AccessRules
    from ptlive.paging.format import Format

ON = CR0.PE | CR0.PG
LONG = EFER.LME | EFER.LMA
# As a running Linux has them: 0x80050033, 0x751ef0 (with LA57, SMEP, SMAP, PKE), 0xd01.
LINUX = (0x8005_0033, 0x75_1EF0, 0xD01)


@pytest.mark.parametrize(
    ("cr0", "cr4", "efer", "expected"),
    [
        (CR0.PE, 0, 0, "paging off"),
        (CR0.PE, CR4.PAE | CR4.LA57, EFER.LME, "paging off"),
        (ON, 0, 0, "32-bit paging"),
        (ON, CR4.PSE, 0, "32-bit paging"),
        (ON, CR4.PAE, 0, "PAE paging"),
        (ON, CR4.PAE, EFER.NXE, "PAE paging"),
        (ON, CR4.PAE, LONG, "4-level paging"),
        (ON, CR4.PAE | CR4.LA57, LONG, "5-level paging"),
        (*LINUX, "5-level paging"),
    ],
)
def test_modes(cr0: int, cr4: int, efer: int, expected: str) -> None:
    assert mode(cr0, cr4, efer) == expected


def test_without_paging_there_is_no_format() -> None:
    with pytest.raises(PtliveError, match="paging is off"):
        format_for(CR0.PE, 0, 0, maxphyaddr=46, gbpages=True)


@pytest.mark.parametrize(
    ("cr4", "efer", "expected"),
    [
        (0, 0, bits32.make(pse=False, maxphyaddr=36)),
        (CR4.PSE, 0, bits32.make(maxphyaddr=36)),
        (CR4.PAE, 0, pae.make(maxphyaddr=36, nxe=False)),
        (CR4.PAE | CR4.PSE, EFER.NXE, pae.make(maxphyaddr=36)),
        # Without long mode LA57 means nothing (SDM vol. 3A 4.1.1).
        (CR4.PAE | CR4.LA57, EFER.NXE, pae.make(maxphyaddr=36)),
    ],
)
def test_the_modes_of_32_bits_have_formats(cr4: int, efer: int, expected: Format) -> None:
    assert format_for(ON, cr4, efer, maxphyaddr=36, gbpages=True) == expected
    assert FORMAT_OF_MODE[mode(ON, cr4, efer)] == expected.name


def test_of_tables_that_a_hypervisor_made_nothing_is_malformed_that_might_be_valid() -> None:
    made = format_named("npt", 0, maxphyaddr=46, gbpages=True)
    assert made == npt.nested(x86_64.make_levels(4, maxphyaddr=46))
    assert format_named("npt-pae", 0, maxphyaddr=46, gbpages=True).level(1).reserved_leaf >> 63 == 0
    assert format_named("ept", 0, maxphyaddr=46, gbpages=False) == ept.make(
        4, ept.Features(gbpages=False), maxphyaddr=46
    )
    assert set(NESTED) >= {"npt", "npt-5level", "ept", "ept-5level", "ept-mbe"}


def test_rules_are_those_of_the_format() -> None:
    def rules_of(name: str) -> AccessRules:
        fmt = format_named(name, EFER.NXE, maxphyaddr=46, gbpages=True)
        return rules(fmt, *LINUX, pkru=7)

    assert rules_of("x86-64-5level") == controls(*LINUX, pkru=7)
    assert isinstance(rules_of("pae"), Controls)
    assert isinstance(rules_of("npt"), NestedControls)
    assert rules_of("ept") == EptControls()
    assert rules_of("ept-mbe") == EptControls(mode_based=True)


def test_the_format_is_that_of_the_cpu() -> None:
    assert format_for(*LINUX, maxphyaddr=46, gbpages=True) == x86_64.make_levels(5, maxphyaddr=46)
    no_nx = format_for(ON, CR4.PAE, LONG, maxphyaddr=40, gbpages=False)
    assert no_nx == x86_64.make_levels(4, maxphyaddr=40, nxe=False, gbpages=False)


def test_what_is_not_known_makes_no_entry_malformed() -> None:
    unknown = format_for(*LINUX, maxphyaddr=None, gbpages=None)
    assert unknown == x86_64.make_levels(5, maxphyaddr=52, gbpages=True)


def test_formats_are_found_by_name() -> None:
    for levels in (4, 5):
        fmt = format_named(f"x86-64-{levels}level", EFER.NXE, maxphyaddr=46, gbpages=True)
        assert fmt == x86_64.make_levels(levels, maxphyaddr=46)
    with pytest.raises(PtliveError, match="no format 'x86-64-3level'"):
        format_named("x86-64-3level", 0, maxphyaddr=None, gbpages=None)


@pytest.mark.parametrize(
    ("name", "cr0", "cr4", "efer"),
    [
        ("wp", 1 << 16, 0, 0),
        ("smep", 0, 1 << 20, 0),
        ("smap", 0, 1 << 21, 0),
        ("pke", 0, 1 << 22, 0),
        ("nxe", 0, 0, 1 << 11),
    ],
)
def test_each_control_is_its_own_bit(name: str, cr0: int, cr4: int, efer: int) -> None:
    every = (1 << 64) - 1
    only = controls(cr0, cr4 | CR4.PAE, efer | EFER.LMA, pkru=7)
    others = controls(every ^ cr0, every ^ cr4, every ^ efer, pkru=None)
    for each in ("wp", "smep", "smap", "pke", "nxe"):
        assert getattr(only, each) == (each == name)
        assert getattr(others, each) == (each != name)
    assert (only.pkru, others.pkru) == (7, None)


def test_without_pae_there_is_no_xd_and_without_long_mode_no_key() -> None:
    every = (1 << 64) - 1
    assert not controls(every, every ^ CR4.PAE, every, pkru=0).nxe
    assert not controls(every, every, every ^ EFER.LMA, pkru=0).pke


def test_what_is_not_modelled_is_named_only_where_it_is_on() -> None:
    assert not_modelled(0x1000, LINUX[1]) == {}
    assert set(not_modelled(0, 1 << 23)) == {"CET"}
    assert set(not_modelled(0, 1 << 24)) == {"PKS"}
    for cr3, cr4 in ((0, 1 << 28), (1 << 61, 0), (1 << 62, 0)):
        assert set(not_modelled(cr3, cr4)) == {"LAM"}
    assert not_modelled(1 << 63 | 0xFFF, 0) == {}  # no flush, and a PCID

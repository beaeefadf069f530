"""What the control registers of an x86 vCPU mean, and what a user may insist on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ptlive.errors import PtliveError
from ptlive.paging.access import Controls
from ptlive.paging.architectures.facts import Facts, Wanted
from ptlive.paging.architectures.x86_64 import paging
from ptlive.paging.control import CR4
from ptlive.paging.nested import EptControls, NestedControls
from tests.paging.plain_ram import PlainRam

if TYPE_CHECKING:
    from collections.abc import Mapping

LINUX = {"cr0": 0x8005_0033, "cr3": 0x1234_5000, "cr4": 0x75_1EF0, "efer": 0xD01}
PAE = {"cr0": 0x8000_0011, "cr3": 0x24_D2E8, "cr4": 0x20, "efer": 0}


def facts(registers: Mapping[str, int | None]) -> Facts:
    return Facts(registers, {"maxphyaddr": 40, "gbpages": 1}, PlainRam(4096))


@pytest.mark.parametrize(
    ("changes", "name", "root"),
    [
        (LINUX, "x86-64-5level", 0x1234_5000),
        (PAE, "pae", 0x24_D2E0),
        (PAE | {"cr4": 0}, "32-bit", 0x24_D000),
    ],
)
def test_the_registers_name_format_and_root(
    changes: Mapping[str, int | None], name: str, root: int
) -> None:
    found = paging(facts(changes), Wanted())
    assert (found.format.name, found.roots, found.origin) == (name, (root,), "cr3")
    assert isinstance(found.rules, Controls)


def test_of_a_hypervisors_tables_the_root_must_be_said() -> None:
    for name, rules in (("npt", NestedControls), ("ept-5level", EptControls)):
        with pytest.raises(PtliveError, match=f"refers to tables of {name}: give --root"):
            paging(facts(LINUX), Wanted(format=name))
        # An EPTP has its memory type and its length in the low bits.
        found = paging(facts(LINUX), Wanted(root=0x20_B05E, format=name))
        assert (found.format.name, found.roots) == (name, (0x20_B000,))
        assert isinstance(found.rules, rules)
        assert found.not_modelled == {}


def test_tables_may_be_asked_for_while_paging_is_off() -> None:
    off = LINUX | {"cr0": 1}
    with pytest.raises(PtliveError, match="paging is off"):
        paging(facts(off), Wanted())
    assert paging(facts(off), Wanted(root=0x1000, format="ept")).format.name == "ept"


def test_what_is_on_and_not_modelled_is_of_the_vcpus_own_tables() -> None:
    on = LINUX | {"cr4": LINUX["cr4"] | CR4.CET}
    assert set(paging(facts(on), Wanted()).not_modelled) == {"CET"}
    assert paging(facts(on), Wanted(root=0x1000, format="npt")).not_modelled == {}

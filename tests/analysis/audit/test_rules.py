"""Each rule finds what is planted for it, and is silent where that is not."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ptlive.analysis.areas import Area
from ptlive.analysis.audit.context import Context, Registers, Root
from ptlive.analysis.audit.finding import Severity
from ptlive.analysis.audit.memory_type import MemoryTypes
from ptlive.analysis.audit.rules import RULES, named
from ptlive.analysis.audit.run import Ignored, audit
from ptlive.analysis.profile import Explained, Profile
from ptlive.arrays import u64
from ptlive.errors import PtliveError
from ptlive.paging.formats.x86_64 import make_levels
from ptlive.paging.walk import walk
from tests.paging.builder import Builder
from tests.paging.plain_ram import FRAME
from tests.paging.tables import PCD, PS, PWU, RW, US, XD, D, G, P

if TYPE_CHECKING:
    from collections.abc import Callable

    from ptlive.analysis.audit.finding import Finding
    from ptlive.arrays import U8, U64

KERNEL, DIRECT, USER = 0xFFFF_FFFF_8000_0000, 0xFFFF_8880_0000_0000, 0x40_0000
ENTRY_AREA = 0xFFFF_FE00_0000_0000
RAM_END, DEVICE, NOTHING = 0x4000_0000, 0xFE00_0000, 0xC000_0000
# The usual value of Linux: WB WC UC- UC WB WP UC- WT.
LINUX_PAT = 0x0407_0506_0007_0106
CPU = Registers(1, 0x8001_0001, 0x10_0000, 0x30_00A0, 0xD00, 46, smep=True, smap=True)


def target(pa: U64, bits: U64) -> U8:
    """RAM below 1 GB, a device's registers high up, nothing between."""
    kind = np.where(pa < np.uint64(RAM_END), 1, 0)
    return np.where((pa & np.uint64(0xFF00_0000)) == np.uint64(DEVICE), 3, kind).astype(np.uint8)


def linux() -> Profile:
    areas = (
        Area(0, (1 << 47) - 1, "user", ""),
        Area(DIRECT, DIRECT + (1 << 40) - 1, "direct map", ""),
        Area(ENTRY_AREA, ENTRY_AREA + (1 << 39) - 1, "cpu entry area", ""),
        Area(KERNEL, KERNEL + (1 << 30) - 1, "kernel text", ""),
        Area(0xFFFF_FFFF_FF60_0000, 0xFFFF_FFFF_FF60_0FFF, "vsyscall", ""),
    )
    return Profile(
        "linux",
        areas,
        (),
        lambda *_, **__: (np.zeros(0, np.uint8), ()),
        lambda *_, **__: Explained("", {}, ""),
    )


class Planted:
    """Tables of a well-behaved little system, and whatever a test plants into them."""

    def __init__(self) -> None:
        self.made = Builder(4, frames=64)
        self.roots = [Root(self.made.root, "cr3")]
        self.cpus = [CPU]
        self.types: MemoryTypes | None = MemoryTypes(LINUX_PAT)
        self.profile: Profile | None = linux()
        self.made.fmt = make_levels(4, maxphyaddr=46)
        self.map(KERNEL, 0x100_0000 | P)  # code
        self.map(KERNEL + FRAME, 0x100_1000 | P | RW | XD)  # data
        self.map(DIRECT + 0x100_0000, 0x100_0000 | P | XD)
        self.map(USER, 0x200_0000 | P | US)
        self.map(USER + FRAME, 0x200_1000 | PWU | XD)

    def map(self, va: int, entry: int, level: int = 1) -> int:
        return self.made.map(va, entry, level=level)

    def context(self) -> Context:
        graph = walk(self.made.fmt, self.made.ram, u64(*(root.address for root in self.roots)))
        return Context(
            graph,
            tuple(self.roots),
            tuple(self.cpus),
            target,
            ("nothing", "RAM", "ROM", "device", "mixed"),
            self.profile,
            self.types,
        )

    def found(self, *rules: str) -> list[Finding]:
        return audit(self.context(), [named(rule) for rule in rules] or RULES).findings

    def pair(self) -> int:
        """Make the root the kernel's half of a pair; return the user's root."""
        made = self.made
        kernel = made.free + (made.free & FRAME)  # an even frame: the user's half is odd
        made.free = kernel + 2 * FRAME
        made.ram.table(kernel)[:] = made.ram.table(made.root)
        lower = made.ram.table(kernel)[:256]
        made.ram.table(kernel + FRAME)[:256] = lower
        lower[lower != 0] |= np.uint64(XD)
        made.root = kernel
        self.roots = [Root(kernel, "cr3", "kernel", 1), Root(kernel + FRAME, "other", "user", 0)]
        return kernel + FRAME

    def in_user_root(self, va: int, entry: int) -> None:
        kernel, self.made.root = self.made.root, self.roots[1].address
        self.map(va, entry)
        self.made.root = kernel


def wx_kernel(one: Planted) -> None:
    one.map(KERNEL + 5 * FRAME, 0x100_5000 | P | RW)
    one.map(KERNEL + 6 * FRAME, 0x100_6000 | P | RW)


def wx_user(one: Planted) -> None:
    one.map(USER + 5 * FRAME, 0x200_5000 | PWU)


def kernel_text_alias(one: Planted) -> None:
    one.map(DIRECT + 0x300_0000, 0x100_0000 | P | RW | XD)


def user_writes_kernel_text(one: Planted) -> None:
    one.map(USER + 9 * FRAME, 0x100_0000 | PWU | XD)


def user_text_alias(one: Planted) -> None:
    one.map(USER + 5 * FRAME, 0x200_0000 | PWU | XD)


def user_kernel_half(one: Planted) -> None:
    one.map(KERNEL + 5 * FRAME, 0x200_5000 | P | US | XD)


def null_page(one: Planted) -> None:
    one.map(0, 0x200_5000 | PWU | XD)


def table_user(one: Planted) -> None:
    one.map(USER + 5 * FRAME, one.made.root | PWU | XD)


def table_user_reads(one: Planted) -> None:
    one.map(USER + 5 * FRAME, one.made.root | P | US | XD)


def table_kernel(one: Planted) -> None:
    one.map(DIRECT, 0 | P | RW | XD | PS, level=2)


def table_levels(one: Planted) -> None:
    ram, root = one.made.ram, one.made.root
    below = ram.value(root) & ~0xFFF  # a table of level 3, of level 2 too
    ram.write(below + 8 * 5, below | P | RW | XD)


def self_map(one: Planted) -> None:
    one.made.ram.write(one.made.root + 8 * 300, one.made.root | P | RW | XD)


def reserved_bits(one: Planted) -> None:
    one.map(KERNEL + 5 * FRAME, 0x100_5000 | P | XD | 1 << 51)


def table_outside(one: Planted) -> None:
    one.map(KERNEL + (1 << 30) - (1 << 21), NOTHING | P | RW, level=2)


def outside_ram(one: Planted) -> None:
    one.map(USER + 5 * FRAME, NOTHING | PWU | XD)


def device_cached(one: Planted) -> None:
    one.map(DIRECT + DEVICE, DEVICE | P | RW | XD)


def alias_types(one: Planted) -> None:
    one.map(DIRECT + 0x100_1000, 0x100_1000 | P | RW | XD | PCD)


def isolation_user_root(one: Planted) -> None:
    one.pair()
    one.in_user_root(DIRECT + 0x700_0000, 0x700_0000 | P | RW | XD)


def isolation_user_code(one: Planted) -> None:
    one.pair()
    ram, root = one.made.ram, one.made.root
    ram.write(root, ram.value(root) & ~XD)


def isolation_global(one: Planted) -> None:
    one.pair()
    one.map(KERNEL + 5 * FRAME, 0x100_5000 | P | XD | G)


def cr3_bits(one: Planted) -> None:
    one.cpus = [CPU._replace(cr3=CPU.cr3 | PCD)]


def control_wp(one: Planted) -> None:
    one.cpus = [CPU._replace(cr0=0x8000_0001)]


def control_nxe(one: Planted) -> None:
    one.cpus = [CPU._replace(efer=0x500)]


def control_smep(one: Planted) -> None:
    one.cpus = [CPU._replace(cr4=0x20_00A0)]


def control_smap(one: Planted) -> None:
    one.cpus = [CPU._replace(cr4=0x10_00A0)]


HIGH, MEDIUM, LOW, INFO, CRITICAL = (
    Severity[name] for name in ("HIGH", "MEDIUM", "LOW", "INFO", "CRITICAL")
)
# What is planted, and what then is found, worst first: rule, severity, where the first begins.
PLANTED: list[tuple[Callable[[Planted], None], list[tuple[str, Severity, int | None]]]] = [
    (wx_kernel, [("wx-kernel", HIGH, KERNEL + 5 * FRAME)]),
    (wx_user, [("wx-user", LOW, USER + 5 * FRAME)]),
    (kernel_text_alias, [("kernel-text-alias", MEDIUM, DIRECT + 0x300_0000)]),
    (user_writes_kernel_text, [("kernel-text-alias", CRITICAL, USER + 9 * FRAME)]),
    (user_text_alias, [("user-text-alias", LOW, USER + 5 * FRAME)]),
    (user_kernel_half, [("user-kernel-half", HIGH, KERNEL + 5 * FRAME)]),
    (null_page, [("null-page", MEDIUM, 0)]),
    (table_user, [("table-user", CRITICAL, USER + 5 * FRAME)]),
    (table_user_reads, [("table-user", HIGH, USER + 5 * FRAME)]),
    (table_kernel, [("table-kernel", INFO, DIRECT)]),
    (table_levels, [("table-levels", LOW, None)]),
    (self_map, [("table-levels", INFO, None)]),
    (reserved_bits, [("reserved-bits", MEDIUM, KERNEL + 5 * FRAME)]),
    (table_outside, [("table-outside", HIGH, KERNEL + (1 << 30) - (1 << 21))]),
    (outside_ram, [("outside-ram", MEDIUM, USER + 5 * FRAME)]),
    (device_cached, [("device-cached", MEDIUM, DIRECT + DEVICE)]),
    (alias_types, [("alias-types", LOW, DIRECT + 0x100_1000)]),
    (isolation_user_root, [("isolation-user-root", HIGH, DIRECT + 0x700_0000)]),
    (isolation_user_code, [("isolation-user-code", MEDIUM, USER)]),
    (isolation_global, [("isolation-global", MEDIUM, KERNEL + 5 * FRAME)]),
    (cr3_bits, [("cr3-bits", LOW, None)]),
    (control_wp, [("control-wp", LOW, None)]),
    (control_nxe, [("control-nxe", LOW, None)]),
    (control_smep, [("control-smep", INFO, None)]),
    (control_smap, [("control-smap", INFO, None)]),
]


def test_every_rule_has_something_planted_for_it() -> None:
    assert {rule for _, found in PLANTED for rule, *_ in found} == {rule.id for rule in RULES}


def test_where_nothing_is_planted_nothing_is_found() -> None:
    one = Planted()
    assert one.found() == []
    one.pair()
    assert one.found() == []


@pytest.mark.parametrize(
    ("plant", "expected"), PLANTED, ids=lambda one: getattr(one, "__name__", "")
)
def test_what_is_planted_is_found_by_its_rule(
    plant: Callable[[Planted], None], expected: list[tuple[str, Severity, int | None]]
) -> None:
    one = Planted()
    plant(one)
    (rule, severity, va), *_ = expected
    mine = [finding for finding in one.found(rule) if finding.severity == severity]
    assert len(mine) == 1
    assert mine[0].places[0].va == va
    # A root that refers to itself makes its tables pages, which the kernel writes.
    others = {finding.rule.id for finding in one.found()} - {rule}
    assert others <= ({"table-kernel"} if plant in (table_levels, self_map) else set())


def test_neighbouring_pages_are_one_place_with_their_evidence() -> None:
    one = Planted()
    wx_kernel(one)
    (finding,) = one.found("wx-kernel")
    (place,) = finding.places
    assert (place.va, place.last_va) == (KERNEL + 5 * FRAME, KERNEL + 7 * FRAME - 1)
    assert (finding.pages, finding.regions, finding.bytes) == (2, 1, 2 * FRAME)
    assert place.pages == {"4K": 2}
    assert (place.level, place.entry) == (1, 0x100_5000 | P | RW)
    assert one.made.ram.value(place.entry_pa or 0) == place.entry
    assert (place.area, place.target, place.roots) == ("kernel text", "RAM", (0,))


def test_what_linux_does_on_purpose_is_explained() -> None:
    one = Planted()
    one.map(0xFFFF_FFFF_FF60_0000, 0x100_7000 | P | US | XD)
    (finding,) = one.found("user-kernel-half")
    assert finding.severity is INFO
    assert "vsyscall" in (finding.explanation or "")
    one.profile = None
    (finding,) = one.found("user-kernel-half")
    assert (finding.severity, finding.explanation) == (MEDIUM, None)
    assert "not known" in finding.what


def test_a_page_of_the_entry_area_may_be_in_the_user_root_by_another_address_too() -> None:
    one = Planted()
    one.pair()
    one.map(ENTRY_AREA, 0x700_0000 | P | XD)
    one.in_user_root(ENTRY_AREA, 0x700_0000 | P | XD)
    one.in_user_root(DIRECT + 0x700_0000, 0x700_0000 | P | RW | XD)
    one.in_user_root(DIRECT + 0x701_0000, 0x701_0000 | P | RW | XD)
    found = one.found("isolation-user-root")
    assert {(one.severity, one.places[0].va) for one in found} == {
        (INFO, DIRECT + 0x700_0000),
        (INFO, ENTRY_AREA),
        (HIGH, DIRECT + 0x701_0000),
    }


def test_memory_types_are_told_only_where_the_register_is_known() -> None:
    one = Planted()
    device_cached(one)
    alias_types(one)
    one.types = None
    found = one.found("device-cached", "alias-types")
    assert [finding.severity for finding in found] == [INFO, INFO]
    assert all("known" in finding.what for finding in found)
    # A system whose index 0 is UC, and index 2 too.
    one.types = MemoryTypes(0)
    assert one.found("device-cached", "alias-types") == []


def test_mtrrs_may_forbid_what_the_tables_allow() -> None:
    one = Planted()
    device_cached(one)
    one.types = MemoryTypes(
        LINUX_PAT, default=0xC06, variable=((DEVICE, (1 << 46) - (1 << 24) | 1 << 11),)
    )
    assert one.found("device-cached") == []
    one.types = replace(one.types, variable=())
    assert len(one.found("device-cached")) == 1


def test_without_a_pair_isolation_is_not_judged() -> None:
    result = audit(Planted().context())
    assert set(result.skipped) == {
        "isolation-user-root",
        "isolation-user-code",
        "isolation-global",
    }


def test_what_is_to_be_ignored_is_counted() -> None:
    one = Planted()
    wx_kernel(one)
    one.map(KERNEL + 9 * FRAME, 0x100_9000 | P | RW)
    rule = [named("wx-kernel")]
    there = Ignored("wx-kernel", KERNEL + 5 * FRAME, KERNEL + 7 * FRAME - 1)
    result = audit(one.context(), rule, [there])
    assert [place.va for place in result.findings[0].places] == [KERNEL + 9 * FRAME]
    assert result.ignored == {"wx-kernel": 1}
    assert audit(one.context(), rule, [Ignored("wx-kernel")]).findings == []


def test_a_cpu_that_does_not_page_is_not_judged() -> None:
    one = Planted()
    one.cpus = [CPU, CPU._replace(vcpu=2, cr0=0x11, cr4=0, efer=0)]
    assert one.found() == []


def test_dirty_pages_that_are_read_only_are_nothing() -> None:
    one = Planted()
    one.map(USER + 3 * FRAME, 0x200_3000 | P | US | XD | D)  # after a fork
    assert one.found() == []


def test_tables_that_refer_to_themselves_are_bounded() -> None:
    one = Planted()
    one.profile = None
    random = np.random.default_rng(3)
    table = one.made.ram.table(one.made.root)
    table[:] = np.uint64(one.made.root | P)
    table |= random.integers(0, 4, 512).astype(np.uint64) << np.uint64(1)
    table |= random.integers(0, 2, 512).astype(np.uint64) << np.uint64(63)
    finding = next(one for one in one.found("table-user"))
    assert finding.cut
    assert finding.pages > 1 << 22
    assert len(finding.places) <= 1000


def test_there_is_no_rule_of_another_name() -> None:
    with pytest.raises(PtliveError, match="--rules"):
        named("nonsense")

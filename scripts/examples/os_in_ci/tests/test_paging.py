"""What tinyos maps, asked from outside: `make && pytest`.

The kernel is booted once, by ptlive's pytest plugin, as pytest.ini says. `ptlive_space` is its
address space, with the guest stopped for as long as a test takes.
"""

# ruff: noqa: D103 - the names of tests say what they are

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ptlive.pytest_plugin import (
    assert_audit_clean,
    assert_mapped,
    assert_no_wx,
    assert_not_mapped,
    assert_regions,
    assert_unchanged,
    assert_verified,
)

if TYPE_CHECKING:
    from ptlive import AddressSpace
    from ptlive.pytest_plugin import BootedGuest, Booter

# As in kernel.h.
PAGE, PAGE_2M = 1 << 12, 1 << 21
KERNEL_BASE, DIRECT_MAP, DEVICES = 0xFFFFFFFF80000000, 0xFFFF888000000000, 0xFFFFC90000000000
USER_CODE, USER_STACK = 0x400000, 0x7FFFFFFFE000
LOCAL_APIC = 0xFEE00000
RAM = 256 << 20


@pytest.mark.parametrize(
    ("first", "behind", "rights"),
    [
        ("text_start", "rodata_start", "r-x-"),
        ("rodata_start", "data_start", "r---"),
        ("data_start", "stack_guard", "rw--"),
        ("stack_bottom", "kernel_end", "rw--"),
    ],
)
def test_the_image_is_mapped_with_the_rights_of_its_sections(
    ptlive_guest: BootedGuest, ptlive_space: AddressSpace, first: str, behind: str, rights: str
) -> None:
    va, last_va = ptlive_guest.symbol(first), ptlive_guest.symbol(behind) - 1
    assert_mapped(ptlive_space, va, last_va, pa=va - KERNEL_BASE, rights=rights, size="4K")


def test_a_stack_that_grows_too_far_ends_in_a_fault(
    ptlive_guest: BootedGuest, ptlive_space: AddressSpace
) -> None:
    guard = ptlive_guest.symbol("stack_guard")
    assert_not_mapped(ptlive_space, guard, guard + PAGE - 1)


def test_a_null_pointer_is_no_address(ptlive_space: AddressSpace) -> None:
    assert_not_mapped(ptlive_space, 0, USER_CODE - 1)


def test_all_ram_is_in_the_direct_map(ptlive_space: AddressSpace) -> None:
    first = DIRECT_MAP + PAGE_2M
    assert_mapped(ptlive_space, first, DIRECT_MAP + RAM - 1, pa=PAGE_2M, rights="rw--", size="2M")


def test_registers_of_devices_are_not_cached(ptlive_space: AddressSpace) -> None:
    uncached = {"PCD": 1, "PWT": 1}
    assert_mapped(ptlive_space, DEVICES, pa=LOCAL_APIC, target="device", attributes=uncached)


def test_user_mode_reaches_its_two_pages_and_nothing_else(ptlive_space: AddressSpace) -> None:
    assert_regions(
        ptlive_space,
        """
        start               last                pages   rights
        0x0000000000400000  0x0000000000400fff  1 x 4K  r-xu
        0x00007fffffffe000  0x00007fffffffefff  1 x 4K  rw-u
        """,
        rights="u",
    )


def test_nothing_is_writable_and_executable(ptlive_space: AddressSpace) -> None:
    assert_no_wx(ptlive_space)


def test_nothing_known_to_be_weak_is_found(ptlive_space: AddressSpace) -> None:
    assert_audit_clean(ptlive_space)


def test_the_mmu_sees_what_the_tables_say(ptlive_space: AddressSpace) -> None:
    assert_verified(ptlive_space)


def test_what_the_kernel_tests_itself_passes(ptlive_boot: Booter) -> None:
    with ptlive_boot(append="selftest", ready="tinyos: booting", debug_exit=0xF4) as guest:
        assert guest.wait_end() == 0x10, guest.serial


def test_a_process_that_ends_leaves_nothing_mapped(ptlive_boot: Booter) -> None:
    with ptlive_boot(ready="at:process_made", fresh=True) as guest:
        with guest.attach() as held:
            assert_mapped(held.space(), USER_CODE, rights="r-xu")
            kernel_half = [(DIRECT_MAP, (1 << 64) - 1)]
            before = held.space().freeze()
        guest.run_to("process_gone")
        with guest.attach() as held:
            assert_not_mapped(held.space(), 0, USER_STACK + PAGE - 1)
            assert_unchanged(before, held.space(), kernel_half)

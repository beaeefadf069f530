"""The bundled guests, really booted."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.guests.prompt import at_the_prompt

if TYPE_CHECKING:
    from ptlive.target.running import Guest


@pytest.mark.qemu
def test_linux_runs_with_five_levels(linux_guest: Guest) -> None:
    assert linux_guest.levels == 5
    assert "la57" in at_the_prompt(linux_guest, "grep -o la57 /proc/cpuinfo").split("\n")


@pytest.mark.qemu
def test_linux_has_symbols_and_debugfs_at_the_prompt(linux_guest: Guest) -> None:
    said = at_the_prompt(linux_guest, "grep ' _text$' /proc/kallsyms; ls /sys/kernel/debug")
    address = re.search(r"^([0-9a-f]{16}) \S _text$", said, re.MULTILINE)
    assert address
    assert int(address[1], 16) > 0xFFFF_FFFF_8000_0000
    assert "page_tables" in said or "sched" in said


@pytest.mark.qemu
def test_menu_runs_with_five_levels(menu_guest_5: Guest) -> None:
    assert "menu: levels=5" in menu_guest_5.serial_log.read_text()


@pytest.mark.qemu
def test_menu_runs_with_four_levels(menu_guest_4: Guest) -> None:
    assert "menu: levels=4" in menu_guest_4.serial_log.read_text()

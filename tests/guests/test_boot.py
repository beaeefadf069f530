"""The bundled guests, really booted."""

from __future__ import annotations

import re
import socket
from typing import TYPE_CHECKING

import pytest

from ptlive.guests import recipe
from ptlive.target import launch
from ptlive.target.machine import Machine

if TYPE_CHECKING:
    from ptlive.target.running import Guest


def at_the_prompt(guest: Guest, command: str) -> str:
    """Type a command to the guest's serial port and return what it prints."""
    with socket.socket(socket.AF_UNIX) as serial:
        serial.settimeout(30)
        serial.connect(guest.serial.removeprefix("unix:"))
        # The echo of the line shows the quotes; the answer does not.
        serial.sendall(f"{command}; echo the''end\n".encode())
        said = b""
        while b"theend" not in said:
            said += serial.recv(4096)
    return said.decode().replace("\r", "")


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
def test_linux_runs_with_four_levels() -> None:
    with launch.temporary(recipe("linux"), Machine(levels=4)) as guest:
        said = at_the_prompt(guest, "grep -c la57 /proc/cpuinfo")
    assert "\n0\n" in said


@pytest.mark.qemu
def test_menu_runs_with_five_levels(menu_guest_5: Guest) -> None:
    assert "menu: levels=5" in menu_guest_5.serial_log.read_text()


@pytest.mark.qemu
def test_menu_runs_with_four_levels(menu_guest_4: Guest) -> None:
    assert "menu: levels=4" in menu_guest_4.serial_log.read_text()

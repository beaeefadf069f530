"""PKRU from the state that QEMU saves."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ptlive.target.saved_state import parse_pkru, read_pkru
from ptlive.wire.qmp import Qmp

if TYPE_CHECKING:
    from ptlive.target.running import Guest

# The menu guest's (guest/menu/cpu.c): key 1 denies access, key 2 writes.
MENU_PKRU = 1 << 2 | 1 << 5


def section(number: int, name: bytes, instance: int, body: bytes, *, footer: bool = True) -> bytes:
    """A full section as migration/savevm.c writes it."""
    head = b"\x04" + struct.pack(">I", number) + bytes([len(name)]) + name
    end = b"\x7e" + struct.pack(">I", number) if footer else b""
    return head + struct.pack(">II", instance, 12) + body + end


def pkru(value: int) -> bytes:
    return b"\x05\x08cpu/pkru" + struct.pack(">II", 1, value)


HEADER = b"QEVM" + struct.pack(">I", 3)
OTHER = section(0, b"timer", 0, bytes(24)) + section(3, b"cpu_common", 0, bytes(8))


def stream(*cpus: bytes) -> bytes:
    return HEADER + OTHER + b"".join(cpus) + section(90, b"acpi_build", 0, bytes(4)) + b"\x00"


def test_each_vcpu_has_its_own() -> None:
    found = stream(
        section(5, b"cpu", 0, b"fields" + pkru(0x55555554) + b"\x05\x07cpu/xss" + bytes(12)),
        section(9, b"cpu", 1, b"fields" * 9 + pkru(0x24)),
        section(13, b"cpu", 2, b"fields"),
    )
    assert [parse_pkru(found, vcpu) for vcpu in (1, 2, 3)] == [0x55555554, 0x24, 0]
    assert parse_pkru(found, 4) is None


@pytest.mark.parametrize(
    "found",
    [
        b"",
        b"no state at all",
        stream(),
        stream(section(5, b"cpu", 0, pkru(1), footer=False))[:-1],
        stream(section(5, b"cpu", 0, b"vectors" + pkru(1) + pkru(2))),
        stream(section(5, b"cpu", 0, pkru(1)), section(6, b"cpu", 0, pkru(1))),
    ],
    ids=["nothing", "no stream", "no vCPU", "cut off", "imitated", "two of one number"],
)
def test_what_is_not_clear_is_not_known(found: bytes) -> None:
    assert parse_pkru(found, 1) is None


@pytest.mark.qemu
def test_the_menu_guests_and_nothing_changes(menu_guest_5: Guest) -> None:
    with Qmp(menu_guest_5.qmp) as qmp:

        def state() -> tuple[object, str, str]:
            digest = hashlib.sha256(Path(menu_guest_5.ram).read_bytes()).hexdigest()
            return qmp.command("query-status"), qmp.human("info registers -a"), digest

        before, told = state(), list[str]()
        assert read_pkru(qmp, 1, told.append) == MENU_PKRU
        assert state() == before
        assert not any(Path(folder).exists() for folder in told)
        assert told
        assert read_pkru(qmp, 2, told.append) is None, "there is no second vCPU"
        qmp.command("cont")
        assert qmp.running()
        qmp.command("stop")

"""PKRU from the state that QEMU saves."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ptlive.target.attach import attach
from ptlive.target.cpu import CpuState
from ptlive.target.saved_state import (
    parse_memory_types,
    parse_pkru,
    read_memory_types,
    read_pkru,
)
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


CPU = CpuState(
    vcpu=1,
    cr0=0x8005_0033,
    cr2=0x1234,
    cr3=0x10_0000,
    cr4=0x75_1EB0,
    efer=0xD01,
    rip=0,
    rflags=2,
    cs=0x10,
    ss=0x18,
    maxphyaddr=40,
    gbpages=True,
    halted=False,
)
PAT, DEFAULT = 0x0407_0506_0007_0106, 0xC06
FIXED = tuple(0x0606_0606_0606_0600 + n for n in range(11))
VARIABLE = tuple((n << 32, 0xFF_8000_0800 + n) for n in range(8))


def fields(*, efer: int = CPU.efer, pat: int = PAT) -> bytes:
    """Fields of a vCPU in the order of target/i386/machine.c, vmstate_x86_cpu, all of QEMU 7.2."""
    segment = struct.pack(">IQII", 0, 0, 0, 0)
    return b"".join(
        [
            struct.pack(">16Q", *range(16)),  # regs
            struct.pack(">QQI", 1, 2, 3),  # eip, eflags, hflags
            struct.pack(">4H", 4, 5, 6, 7),  # fpuc, fpus, fptag, fpregs_format
            struct.pack(">QH", 8, 9) * 8,  # fpregs
            segment * 10,  # six segments, ldt, tr, gdt, idt
            struct.pack(">IQQ", 10, 11, 12),  # sysenter
            struct.pack(">4Q", CPU.cr0, CPU.cr2, CPU.cr3, CPU.cr4),
            struct.pack(">8Q", *range(8)),  # dr
            struct.pack(">iI", -1, 0x1F80),  # a20_mask, mxcsr
            struct.pack(">32Q", *range(32)),  # 16 XMM registers
            struct.pack(">6Q", efer, 20, 21, 22, 23, 24),  # star to kernelgsbase
            struct.pack(">IQI", 0x30000, pat, 25),  # smbase, pat, hflags2
            struct.pack(">4Q", 26, 27, 28, 29),  # vm_hsave, vm_vmcb, tsc_offset, intercept
            struct.pack(">4HIB", 30, 31, 32, 33, 34, 35),  # intercepts, v_tpr
            struct.pack(">11Q", *FIXED),
            struct.pack(">Q", DEFAULT),
            b"".join(struct.pack(">QQ", *pair) for pair in VARIABLE),
            struct.pack(">iI", 36, 37),
        ]
    )


def test_memory_types_stand_where_qemu_writes_them() -> None:
    found = parse_memory_types(stream(section(5, b"cpu", 0, fields())), CPU)
    assert found == (PAT, DEFAULT, FIXED, VARIABLE)


@pytest.mark.parametrize(
    "body",
    [
        fields(efer=0),
        fields(pat=0x0202_0202_0202_0202),
        fields() + fields(),
        fields()[:-200],
        b"",
    ],
    ids=["other fields", "no PAT", "twice", "cut off", "nothing"],
)
def test_memory_types_of_another_layout_are_not_known(body: bytes) -> None:
    assert parse_memory_types(stream(section(5, b"cpu", 0, body)), CPU) is None


@pytest.mark.qemu
def test_the_menu_guests_memory_types(menu_guest_5: Guest) -> None:
    with Qmp(menu_guest_5.qmp) as qmp, attach(menu_guest_5.gdb, qmp=qmp) as target:
        found = read_memory_types(qmp, target.cpus[0], lambda _: None)
    assert found is not None
    # It leaves the register as it is at power-up (SDM vol. 3A 11.12.4).
    assert found.pat == 0x0007_0406_0007_0406
    assert found.variable[0] == (0x8000_0000, 0xFF_8000_0800), "SeaBIOS: PCI is uncached"

"""The stub protocol over QMP: the same registers as the stub's, and one sentence for the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ptlive.arrays import u64
from ptlive.errors import PtliveError
from ptlive.memory.ram import PlainRam
from ptlive.wire.qmp_stub import QmpStub, parse_registers

if TYPE_CHECKING:
    from collections.abc import Callable

    from ptlive.wire.gdb_stub import GdbStub
    from tests.qemu_process import Qemu

# As QEMU 7.2 prints them, shortened: a vCPU in user mode, and one that was never started.
DUMP = """
CPU#0
RAX=0000000000000000 RBX=0000000000404036 RCX=00000000004027b8 RDX=0000000000000000
RSI=0000000000404032 RDI=0000000000404038 RBP=0000000000000000 RSP=00007ffee04e4de0
R8 =0000000000000000 R9 =0000000000000001 R10=0000000000000000 R11=0000000000000246
R12=00007ffee04e5fac R13=00007ffee04e4e68 R14=00007ffee04e4e68 R15=0000000000000005
RIP=00000000004010f2 RFL=00000246 [---Z-P-] CPL=3 II=0 A20=1 SMM=0 HLT=0
ES =0000 0000000000000000 00000000 00000000
CS =0033 0000000000000000 ffffffff 00affb00 DPL=3 CS64 [-RA]
SS =002b 0000000000000000 ffffffff 00cff300 DPL=3 DS   [-WA]
FS =0000 00007f0012345678 00000000 00000000
GS =0000 0000000000000000 00000000 00000000
LDT=0000 0000000000000000 00000000 00008200 DPL=0 LDT
GDT=     fffffe0000001000 0000007f
CR0=80050033 CR2=0000000032f57c88 CR3=0000000011004000 CR4=00751eb0
DR6=00000000ffff0ff0 DR7=0000000000000400
EFER=0000000000000d01

CPU#1
EAX=00000000 EBX=00000000 ECX=00000000 EDX=00060fb1
ESI=00000000 EDI=00000000 EBP=00000000 ESP=00000000
EIP=0000fff0 EFL=00000002 [-------] CPL=0 II=0 A20=1 SMM=0 HLT=1
ES =0000 00000000 0000ffff 00009300
CS =f000 ffff0000 0000ffff 00009b00
SS =0000 00000000 0000ffff 00009300
FS =0000 00000000 0000ffff 00009300
GS =0000 00000000 0000ffff 00009300
GDT=     00000000 0000ffff
CR0=60000010 CR2=00000000 CR3=00000000 CR4=00000000
EFER=0000000000000000
"""


def test_both_ways_of_printing_a_vcpu() -> None:
    found = parse_registers(DUMP.replace("\n", "\r\n"))
    assert sorted(found) == [1, 2]
    user, never = found[1], found[2]
    assert (user["rip"], user["eflags"], user["rsp"]) == (0x4010F2, 0x246, 0x7FFEE04E4DE0)
    assert (user["r9"], user["r15"], user["rdi"]) == (1, 5, 0x404038)
    assert (user["cs"], user["ss"], user["fs_base"]) == (0x33, 0x2B, 0x7F0012345678)
    assert [user[f"cr{n}"] for n in (0, 2, 3, 4)] == [0x80050033, 0x32F57C88, 0x11004000, 0x751EB0]
    assert (user["efer"], user["hlt"]) == (0xD01, 0)
    assert (never["rip"], never["eflags"], never["cs"], never["hlt"]) == (0xFFF0, 2, 0xF000, 1)
    assert (never["rdx"], never["cr0"], never["efer"]) == (0x60FB1, 0x60000010, 0)


@pytest.mark.parametrize("name", ["CR3", "EFER", "CS ", "EFL"])
def test_a_register_that_is_not_told_is_named(name: str) -> None:
    wanted = {"CR3": "cr3", "EFER": "efer", "CS ": "cs", "EFL": "eflags"}[name]
    vcpu = 2 if name == "EFL" else 1
    with pytest.raises(PtliveError, match=f"does not tell {wanted} of vCPU {vcpu}"):
        parse_registers(DUMP.replace(f"{name}=", "XYZ="))
    assert parse_registers("") == {}


class Asked:
    """A QMP session that notes what its monitor is asked."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []

    def command(self, name: str, **arguments: Any) -> str:
        assert name == "human-monitor-command"
        self.calls.append(arguments)
        va = int(arguments["command_line"].split()[1], 16)
        pa = va ^ 0x1000
        if va >> 32:
            return "Unmapped\r\n"
        return f"gpa: {pa:#x}\r\n" if pa else "gpa: 0\r\n"  # as C's %#x has it

    def human(self, line: str) -> str:
        assert line == "info registers -a"
        return DUMP


def stub() -> tuple[QmpStub, Asked]:
    asked = Asked()
    ram = np.arange(0x4000, dtype=np.uint64).astype(np.uint8)
    return QmpStub(asked, PlainRam({0: ram})), asked  # type: ignore[arg-type]  # as far as it is used


def test_which_cpu_the_monitor_means_goes_with_each_command() -> None:
    one, asked = stub()
    assert one.monitor_many(["cpu 1", "gva2gpa 0x10", "cpu 0", "gva2gpa 0x20"]) == [
        *("", "gpa: 0x1010\r\n", "", "gpa: 0x1020\r\n"),
    ]
    assert asked.calls == [
        {"command_line": "gva2gpa 0x10", "cpu_index": 1},
        {"command_line": "gva2gpa 0x20"},
    ]


def test_virtual_reads_go_page_by_page() -> None:
    one, _ = stub()
    expected = bytes(at & 255 for at in (*range(0x1FF0, 0x2000), *range(0x10)))
    assert one.read_virtual(0xFF0, 0x20) == expected
    assert one.read_virtual(0x1000, 8) == bytes(range(8)), "what is at physical address 0"
    assert one.read_virtual(1 << 32, 8) is None
    assert one.read_virtual(0x1_0000, 8) is None, "where no memory is"


def test_registers_and_vcpus() -> None:
    one, _ = stub()
    assert list(one.vcpus()) == [1, 2]
    assert (one.halted(1), one.halted(2)) == (False, True)
    assert one.registers(1)["cr3"] == 0x11004000
    assert "hlt" not in one.registers(1)
    with pytest.raises(PtliveError, match="the guest has no vCPU 3"):
        one.registers(3)
    data, valid = one.read_physical(u64(0x10), 2)
    assert (data.tobytes(), valid.tolist()) == (b"\x10\x11", [True])
    one.close(resume=True)


@pytest.mark.parametrize(
    ("work", "what"),
    [
        (lambda s: s.write_physical([(0, b"x")]), "writing memory"),
        (lambda s: s.write_registers(1, {"rip": 0}), "writing registers"),
        (lambda s: s.register_packets({"rip": 0}), "writing registers"),
        (lambda s: s.step(1), "stepping a vCPU"),
        (lambda s: s.run_to(1, 0, 1), "letting the guest run"),
    ],
)
def test_what_changes_the_guest_is_refused(work: Callable[[QmpStub], object], what: str) -> None:
    one, asked = stub()
    with pytest.raises(PtliveError, match=f"{what} needs the gdb stub"):
        work(one)
    assert asked.calls == []


@pytest.mark.qemu
def test_the_same_as_the_stub_says(guest: Qemu, gdb_stub: GdbStub) -> None:
    one = QmpStub(guest.qmp, PlainRam.zeros(8))
    assert list(one.vcpus()) == list(gdb_stub.vcpus())
    for vcpu in one.vcpus():
        ours, theirs = one.registers(vcpu), gdb_stub.registers(vcpu)
        assert len(ours) == 23, "of 16-bit code, without r8 to r15"
        assert ours == {name: theirs[name] for name in ours}
        assert one.halted(vcpu) == gdb_stub.halted(vcpu)
    assert one.monitor("info version").split() == gdb_stub.monitor("info version").split()

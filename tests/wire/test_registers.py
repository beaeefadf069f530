"""The register layout is looked up in gdb's table, never counted."""

from __future__ import annotations

from typing import Literal

import pytest

from ptlive.errors import PtliveError
from ptlive.wire.registers import Register, RegisterLayout

# Lines of gdb 13.1's `maint print remote-registers` at QEMU 7.2.22, many left out.
TABLE = """\
 Name         Nr  Rel Offset    Size  Type            Rmt Nr  g/G Offset
 rip          16   16    128       8 *1                   16         128
 eflags       17   17    136       4 x64_eflags           17         136
 cs           18   18    140       4 int32_t              18         140
 st0          24   24    164      10 _i387_ext            33         236
 ''           40   40    276       0 int0_t          \n\
 cr0         158  158    300       8 x64_cr0              27         188
 cr3         160  160    316       8 x64_cr3              29         204
 cr4         161  161    324       8 x64_cr4              30         212
 efer        163  163    340       8 x64_efer             32         228
 xmm0        164  164    348      16 vec128               49         348
 eax         217   36    660       4 int32_t         \n\
*1: Register type's name NULL.
"""


def test_finds_integer_registers_by_name() -> None:
    layout = RegisterLayout.from_gdb(TABLE)
    assert set(layout.registers) == {"rip", "eflags", "cs", "cr0", "cr3", "cr4", "efer"}
    assert layout.registers["cr3"] == Register(number=29, offset=204, size=8)


def test_decodes_little_endian_at_the_offsets() -> None:
    packet = bytearray(236)
    packet[204:212] = (0xFEDCBA9876543210).to_bytes(8, "little")
    packet[136:140] = (0x246).to_bytes(4, "little")
    values = RegisterLayout.from_gdb(TABLE).decode(packet.hex())
    assert values["cr3"] == 0xFEDCBA9876543210
    assert values["eflags"] == 0x246
    assert values["rip"] == 0


def test_leaves_out_what_the_stub_cannot_read() -> None:
    packet = "00" * 204 + "xx" * 8 + "00" * 24
    assert "cr3" not in RegisterLayout.from_gdb(TABLE).decode(packet)


def test_makes_packets_in_the_order_given() -> None:
    packets = RegisterLayout.from_gdb(TABLE).write_packets({"cr3": 0x1122334455667788, "eflags": 2})
    assert packets == ["P1d=8877665544332211", "P11=02000000"]


def test_refuses_a_register_that_is_not_there() -> None:
    with pytest.raises(PtliveError, match="the stub has no register pkru"):
        RegisterLayout.from_gdb(TABLE).write_packets({"pkru": 0})


def test_refuses_a_value_that_does_not_fit() -> None:
    with pytest.raises(OverflowError):
        RegisterLayout.from_gdb(TABLE).write_packets({"cs": 1 << 32})


def test_refuses_a_short_packet() -> None:
    with pytest.raises(PtliveError, match="registers end before"):
        RegisterLayout.from_gdb(TABLE).decode("00" * 210)


def test_refuses_what_gdb_does_not_know_as_an_x86() -> None:
    with pytest.raises(PtliveError, match="gdb finds no x86-64 registers"):
        RegisterLayout.from_gdb(" pc   0    0    0   8 *1   0   0\n")


def test_refuses_an_architecture_that_is_not_known() -> None:
    with pytest.raises(
        PtliveError, match="no architecture we know: x86-64, riscv64, aarch64, ppc64"
    ):
        RegisterLayout({"pc": Register(0, 0, 8)})


def test_registers_of_an_i386_have_the_names_of_those_that_they_are_half_of() -> None:
    names = ("eax", "esp", "eip", "eflags", "cs", "cr0", "cr3", "cr4", "efer")
    layout = RegisterLayout({name: Register(n, 4 * n, 4) for n, name in enumerate(names)})
    assert layout.architecture.name == "x86-64"
    values = layout.decode(b"".join(n.to_bytes(4, "little") for n in range(9)).hex())
    assert (values["rax"], values["rsp"], values["rip"], values["cr3"]) == (0, 1, 2, 6)
    assert not values.keys() & {"eax", "esp", "eip"}


RISCV = {
    "pc": Register(32, 256, 8),
    "satp": Register(450, 264, 8),
    "mstatus": Register(834, 272, 8),
    "priv": Register(65, 280, 8),
}


def test_what_stands_apart_is_asked_for_by_its_number() -> None:
    layout = RegisterLayout(RISCV)
    assert layout.architecture.name == "riscv64"
    assert layout.read_packets == ["g", "p1c2", "p342", "p41"]
    first = "00" * 256 + (0x80001234).to_bytes(8, "little").hex()
    satp = (9 << 60 | 0x80400).to_bytes(8, "little").hex()
    values = layout.decode(first, satp, "E14", "0100000000000000")
    assert values == {"pc": 0x80001234, "satp": 9 << 60 | 0x80400, "priv": 1}


def test_refuses_a_hart_of_32_bits() -> None:
    narrow = {name: Register(one.number, one.offset // 2, 4) for name, one in RISCV.items()}
    with pytest.raises(PtliveError, match="a CPU of 32 bits is no riscv64"):
        RegisterLayout(narrow)


POWER = {
    "pc": Register(33, 256, 8),
    "msr": Register(34, 264, 8),
    "ptcr": Register(234, 272, 8),
    "lpcr": Register(227, 280, 8),
    "pid": Register(184, 288, 8),
}
MSR_LE, MSR_SF = 1, 1 << 63


@pytest.mark.parametrize("order", ["little", "big"])
def test_the_state_of_a_power_tells_its_byte_order(order: Literal["little", "big"]) -> None:
    layout = RegisterLayout(POWER)
    msr = MSR_SF | (MSR_LE if order == "little" else 0)

    def sent(value: int) -> str:
        return value.to_bytes(8, order).hex()

    # 256 bytes of general registers, then pc and msr; the others stand apart.
    first = "00" * 256 + sent(0x1234) + sent(msr)
    assert layout.read_packets == ["g", "pea", "pe3", "pb8", "p22"]
    values = layout.decode(first, sent(0x10004), sent(1 << 20), sent(5), sent(msr))
    assert values == {"pc": 0x1234, "msr": msr, "ptcr": 0x10004, "lpcr": 1 << 20, "pid": 5}


def test_registers_of_a_power_are_not_written() -> None:
    with pytest.raises(PtliveError, match="registers of ppc64 are not written"):
        RegisterLayout(POWER).write_packets({"pid": 1})

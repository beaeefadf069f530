"""What QEMU's monitor prints of a vCPU, in each of its modes."""

from __future__ import annotations

from ptlive.target.dump import parse

# QEMU 7.2.22, -cpu max, two vCPUs; most lines left out. The first executes 64-bit code.
TEXT = """\

CPU#0
RAX=0000000000000010 RBX=0000000001d843a9 RCX=0000000000000004 RDX=00000000000003f8
RIP=000000000020009d RFL=00000006 [-----P-] CPL=0 II=0 A20=1 SMM=0 HLT=0
ES =0010 0000000000000000 ffffffff 00cf9300 DPL=0 DS   [-WA]
CS =0008 0000000000000000 ffffffff 00af9b00 DPL=0 CS64 [-RA]
FS =0000 00007f1234560000 00000000 00000000
LDT=0000 ffff800000000000 0000ffff 00008200 DPL=0 LDT
TR =0028 000000000022bc60 00000067 00008900 DPL=0 TSS64-avl
GDT=     fffffe0000001000 0000007f
IDT=     fffffe0000000000 00000fff
CR0=80010011 CR2=ff5a123456789ab8 CR3=000000000032f000 CR4=007010a0
Opmask00=00000000000000ff Opmask01=0000000000000000
YMM00=0000000000000004 0000000000000003 0000000000000002 0000000000000001
XMM01=0000000000000006 0000000000000005 XMM02=00000000000000000000000000000007

CPU#1
EAX=00000010 EBX=00000000 ECX=00000000 EDX=00000000
EIP=00101000 EFL=00000006 [-----P-] CPL=3 II=0 A20=1 SMM=0 HLT=0
CS =0023 00000000 ffffffff 00cffb00 DPL=3 CS32 [-RA]
LDT=0000 00000000 0000ffff 00008200 DPL=0 LDT
TR =0040 00003000 00004087 00008b00 DPL=0 TSS64-busy
GDT=     fffffe0000001000 0000007f
IDT=     fffffe0000000000 00100fff
"""


def test_code_of_64_bits() -> None:
    cpu = parse(TEXT.replace("\n", "\r\n"))[1]
    assert cpu.bits == 64
    assert cpu.idt == (0xFFFF_FE00_0000_0000, 0xFFF)
    assert cpu.bases == {
        "es": 0,
        "cs": 0,
        "fs": 0x7F12_3456_0000,
        "ldt": 0xFFFF_8000_0000_0000,
        "tr": 0x22BC60,
        "gdt": 0xFFFF_FE00_0000_1000,
    }
    assert cpu.masks == {0: 0xFF, 1: 0}


def test_vectors_have_the_bytes_that_are_printed() -> None:
    assert parse(TEXT)[1].vectors == {
        0: (4 << 192 | 3 << 128 | 2 << 64 | 1, 32),
        1: (6 << 64 | 5, 16),
        2: (7, 16),
    }


def test_code_of_32_bits_in_long_mode() -> None:
    """Of LDT and TSS only half of the address is printed, which is of no use."""
    cpu = parse(TEXT)[2]
    assert cpu.bits == 32
    assert cpu.bases == {"cs": 0, "gdt": 0xFFFF_FE00_0000_1000}
    assert cpu.idt == (0xFFFF_FE00_0000_0000, 0xFFFF)


def test_what_says_nothing_is_no_vcpu() -> None:
    assert parse("") == {}
    (cpu,) = parse("CPU#0\nnothing\n").values()
    assert (cpu.bits, cpu.idt, cpu.bases, cpu.vectors) == (None, None, {}, {})

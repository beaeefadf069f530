"""32-bit and 16-bit code, segments, what is not all known, bytes that are not all there."""

from __future__ import annotations

import pytest

from ptlive.access_kind import Access, AccessKind
from ptlive.analysis.instruction.touch import AC, Does, State, Vector
from ptlive.analysis.instruction.touches import Instruction, touches
from tests.analysis.instruction.assemble import assemble
from tests.analysis.instruction.cases import words

READ, WRITE = Does.READ, Does.WRITE
REGISTERS = {
    **dict.fromkeys([f"r{number}" for number in range(8, 16)], 0),
    "rax": 0xF0,
    "rbx": 0x5000,
    "rcx": 3,
    "rdx": 0,
    "rsi": 0x6000,
    "rdi": 0x7000,
    "rsp": 0x9000,
    "rbp": 0xA000,
    "eflags": 2,
}


def run(text: str, *, bits: int = 64, cpl: int = 0, **more: object) -> Instruction:
    registers = {name: value for name, value in more.items() if name in REGISTERS}
    rest = {name: value for name, value in more.items() if name not in REGISTERS}
    state = State({**REGISTERS, **registers}, bits, cpl, **rest)  # type: ignore[arg-type, dict-item]  # by name
    return touches(assemble([text], bits)[0] + bytes(15), 0x1000, state)


def data(found: Instruction) -> list[tuple[int, int, Does]]:
    return [(one.va, one.length, one.does) for one in found.touches[1:]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("push eax", [(0x8FFC, 4, WRITE)]),
        ("push ax", [(0x8FFE, 2, WRITE)]),
        ("pusha", [(0x8FE0, 32, WRITE)]),
        ("popaw", [(0x9000, 16, READ)]),
        ("call edx", [(0x8FFC, 4, WRITE)]),
        ("ret", [(0x9000, 4, READ)]),
        ("leave", [(0xA000, 4, READ)]),
        ("mov eax, [bx]", [(0x5000, 4, READ)]),
        ("mov al, [0x1234]", [(0x1234, 1, READ)]),
        ("rep movsb", [(0x6000, 3, READ), (0x7000, 3, WRITE)]),
        ("les eax, [edi]", [(0x7000, 6, READ)]),
        ("sgdt [edi]", [(0x7000, 6, WRITE)]),
        ("iretd", [(0x9000, 4, READ), (0x9004, 4, READ), (0x9008, 4, READ)]),
    ],
)
def test_code_of_32_bits(text: str, expected: list[tuple[int, int, Does]]) -> None:
    assert data(run(text, bits=32)) == expected


def test_segments_have_bases_and_addresses_wrap_at_32_bits() -> None:
    bases = {"ds": 0xFFFF_F000, "ss": 0x100, "es": 0x10_0000}
    assert data(run("mov eax, [edi]", bits=32, bases=bases)) == [(0x6000, 4, READ)]
    assert data(run("mov eax, [ebp]", bits=32, bases=bases)) == [(0xA100, 4, READ)]
    assert data(run("movsb", bits=32, bases=bases)) == [(0x5000, 1, READ), (0x10_7000, 1, WRITE)]


def test_in_64_bit_code_only_fs_and_gs_have_bases() -> None:
    bases = {"ds": 0x1000, "ss": 0x1000, "fs": 0x7F00_0000_0000}
    assert data(run("mov rax, [rdi]", bases=bases)) == [(0x7000, 8, READ)]
    assert data(run("mov rax, fs:[rdi]", bases=bases)) == [(0x7F00_0000_7000, 8, READ)]


def test_an_address_size_prefix_cuts_an_address_before_the_base_is_added() -> None:
    rdi = 0xFFFF_FFFF_0000_7000
    assert data(run("mov rax, [edi + 8]", rdi=rdi)) == [(0x7008, 8, READ)]
    found = run("mov rax, fs:[edi - 0x8000]", rdi=rdi, bases={"fs": 1 << 40})
    assert data(found) == [((1 << 40) + 0xFFFF_F000, 8, READ)]
    assert data(run("rep stosb es:[edi]", rdi=rdi, rcx=5 | 1 << 32)) == [(0x7000, 5, WRITE)]


def test_sixteen_bits() -> None:
    assert data(run("push ax", bits=16)) == [(0x8FFE, 2, WRITE)]
    assert data(run("mov ax, [bx + si]", bits=16)) == [(0xB000, 2, READ)]


def test_a_segment_register_reads_its_descriptor_whoever_runs() -> None:
    found = run("mov ds, ax", cpl=3, rax=0x2B, bases={"gdt": 0xFFFF_FE00_0000_1000})
    (descriptor,) = found.touches[1:]
    assert (descriptor.va, descriptor.length) == (0xFFFF_FE00_0000_1028, 8)
    state = State({"eflags": AC}, cpl=3)
    assert descriptor.kinds(state) == (AccessKind(Access.READ, user=False, ac=False),)
    assert data(run("mov ds, ax", rax=3, bases={"gdt": 1})) == []  # a null selector
    assert "LDT is not known" in run("mov ds, ax", rax=0xF).notes[0]
    assert "the new FS" in run("pop fs").notes[0]


def test_what_is_not_followed_is_said() -> None:
    for text in ("int 0x80", "iretq", "lldt ax", "in al, dx", "outsb"):
        assert run(text).notes[0].startswith("not followed: ")


def test_kinds_of_access() -> None:
    touch = run("add [rdi], rax").touches[1]
    reads, writes = AccessKind(Access.READ, user=True), AccessKind(Access.WRITE, user=True)
    assert touch.kinds(State({"eflags": AC}, cpl=3)) == (reads, writes)
    assert [one.ac for one in touch.kinds(State({"eflags": AC}))] == [True, True]
    assert [one.ac for one in touch.kinds(State({"eflags": 2}))] == [False, False]


def test_alignment() -> None:
    """SDM vol. 1 table 14-22: the older SSE aligns, VEX does not but for moves that say so."""
    wanted = {
        "addps xmm0, [rdi]": 16,
        "movups xmm0, [rdi]": 1,
        "addss xmm0, dword ptr [rdi]": 1,
        "vaddps ymm0, ymm1, [rdi]": 1,
        "vmovaps ymm0, [rdi]": 32,
        "movntdq [rdi], xmm0": 16,
        "cmpxchg16b [rdi]": 16,
        "fxsave [rdi]": 16,
        "xsave [rdi]": 64,
        "lddqu xmm0, [rdi]": 1,
        "pcmpistri xmm0, [rdi], 1": 1,
        "vmovdqa64 zmm0, [rdi]": 64,
        "mov rax, [rdi]": 1,
    }
    assert {text: run(text).touches[1].alignment for text in wanted} == wanted


def test_a_bad_address_on_the_stack_is_another_exception() -> None:
    stack = {"mov rax, [rsp]", "mov rax, [rbp + rdi]", "push rax", "ret"}
    for text in (*stack, "mov rax, [rdi]", "mov rax, fs:[rbp]", "movsb"):
        assert run(text).touches[1].stack is (text in stack)


def test_the_upper_half_of_a_vector_that_is_not_known() -> None:
    gather = "vpgatherdd ymm0, [rdi + ymm2*4], ymm1"
    known = {1: Vector(int.from_bytes(words(*[0xFFFFFFFF] * 4), "little"), 16), 2: Vector(0, 16)}
    found = run(gather, vectors=known)
    assert data(found) == [(0x7000, 4, READ)] * 4
    assert found.notes == ("elements 4, 5, 6, 7: that part of ymm2 is not known",)
    unknown = run("vpmaskmovd ymm0, ymm1, [rdi]")
    assert [one.maybe for one in unknown.touches[1:]] == ["the mask in ymm1 is not known"]
    assert run(gather, vectors={1: Vector(0, 32)}).notes == (
        "its mask selects no element: it touches nothing",
    )


def test_an_opmask_selects_elements() -> None:
    scatter = "vpscatterdd [rdi + zmm2*4]{k1}, zmm0"
    found = run(scatter, vectors={2: Vector(0, 64)}, masks={1: 0b101})
    assert data(found) == [(0x7000, 4, WRITE)] * 2
    assert [one.what for one in found.touches[1:]] == ["element 0", "element 2"]
    unknown = run("vmovdqu32 zmm0{k1}, [rdi]").touches[1]
    assert unknown.maybe == "only elements that the opmask selects"


def test_bytes_that_end_too_early_are_a_fetch_beyond_them() -> None:
    state = State(REGISTERS)
    whole = assemble(["mov rax, [rdi + 0x12345678]"])[0]
    cut = touches(whole[:4], 0xFFC, state)
    assert (cut.text, cut.touches[0].va, cut.touches[0].length) == (None, 0xFFC, 5)
    nothing = touches(b"", 0x1000, state)
    assert (nothing.text, nothing.touches[0].length) == (None, 1)
    bad = touches(b"\x06" * 15, 0x1000, state)  # PUSH ES, which 64-bit mode lacks
    assert bad.text is None
    assert "capstone" in bad.notes[0]

"""Instructions and what they touch, by hand from their pages in SDM vol. 2.

An address is a page's letter and an offset in hexadecimal, such as D+200; pages with the same
first letter follow one another. `tests/answers/test_explain_executed.py` has a CPU execute them.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from ptlive.analysis.instruction.touch import DF

if TYPE_CHECKING:
    from collections.abc import Mapping

PAGE = 1 << 12
#: Where everything is, with a root slot of its own: bit 47 is set, so it is no address of 4 levels.
BASE = 200 << 48
#: Page numbers by letter.
PAGES = {
    "C": 10,
    "C2": 11,  # code
    "X": 40,
    "X2": 41,
    "D": 60,
    "D2": 61,
    "D3": 62,
    "B": 90,
    "B0": 89,  # data
    "S0": 79,
    "S": 80,
    "S2": 81,  # the stack
}


def at(place: str) -> int:
    """Return the address of a place such as D+200."""
    page, _, offset = place.partition("+")
    return BASE + PAGES[page] * PAGE + int(offset or "0", 16)


REGISTERS = {
    **dict.fromkeys([f"r{number}" for number in range(8, 16)], 0),
    "rax": 0,
    "rbx": at("X+300"),
    "rcx": 4,
    "rdx": 0,
    "rsi": at("X+100"),
    "rdi": at("D+200"),
    "rsp": at("S+800"),
    "rbp": at("B+800"),
    "r12": at("D+ffc"),
    "r13": 1 << 60,
    "eflags": 2,
    "fs_base": 0,
    "gs_base": 0,
}


class Expected(NamedTuple):
    """Bytes at a place and what is done to them: r, w, or m for both."""

    place: str
    length: int
    does: str


@dataclass(frozen=True)
class Case:
    """An instruction, what it touches besides its own bytes, and what differs from REGISTERS.

    code: where it begins; vectors: registers that it depends on; plant: words that it reads
    order: whether the manual has an order in which its accesses fault
    deviates: what QEMU's TCG does otherwise
    """

    text: str
    touches: tuple[Expected, ...]
    registers: Mapping[str, int] = field(default_factory=dict)
    code: str = "C+100"
    vectors: Mapping[int, bytes] = field(default_factory=dict)
    plant: Mapping[str, int] = field(default_factory=dict)
    order: bool = True
    deviates: str = ""

    def __str__(self) -> str:
        return self.text


def case(text: str, *touches: str, **more: object) -> Case:
    """Return a case; a touch is written "D+200 8 r"."""
    registers = {name: value for name, value in more.items() if name in REGISTERS}
    rest = {name: value for name, value in more.items() if name not in REGISTERS}
    expected = []
    for touch in touches:
        place, length, does = touch.split()
        expected.append(Expected(place, int(length), does))
    return Case(text, tuple(expected), registers, **rest)  # type: ignore[arg-type]  # by name


def words(*values: int) -> bytes:
    """Return 32-bit elements of a vector register."""
    return struct.pack(f"<{len(values)}I", *(value & 0xFFFFFFFF for value in values))


LOADS_ALL = "TCG loads all elements, and then takes those that are selected"
ALL, NONE, HIGH = 0xFFFFFFFF, 0, 0x80000000

CASES = [
    # Operands: how an address is computed (SDM vol. 1 3.7.5).
    case("mov rax, [rdi]", "D+200 8 r"),
    case("mov [rdi], al", "D+200 1 w"),
    case("mov [rdi + rcx*8 + 0x10], eax", "D+230 4 w"),
    case("mov rax, [rsi - 0x10]", "X+f0 8 r"),
    case("mov rax, [rip + 0xf9]", "C+200 8 r"),
    case("mov rax, fs:[rcx]", "D+204 8 r", fs_base=at("D+200")),
    case("mov gs:[0x28], rax", "D+228 8 w", gs_base=at("D+200")),
    case("movabs al, [0xc800000003c200]", "D+200 1 r"),
    case("movabs [0xc800000003c200], rax", "D+200 8 w"),
    case("mov rax, [r12]", "D+ffc 8 r"),
    case("mov [r12], rax", "D+ffc 8 w"),
    # Reads and writes of one operand.
    case("add [rdi], rax", "D+200 8 m"),
    case("add rax, [rdi]", "D+200 8 r"),
    case("cmp [rdi], rax", "D+200 8 r"),
    case("test byte ptr [rdi], 1", "D+200 1 r"),
    case("not dword ptr [rdi]", "D+200 4 m"),
    case("inc word ptr [rdi]", "D+200 2 m"),
    case("shl qword ptr [rdi], 3", "D+200 8 m"),
    case("shld [rdi], rax, 3", "D+200 8 m"),
    case("xchg [rdi], rax", "D+200 8 m"),
    case("xchg rax, [rdi]", "D+200 8 m"),
    case("lock xadd [rdi], rax", "D+200 8 m"),
    case("cmpxchg [rdi], rcx", "D+200 8 m"),
    case("lock cmpxchg8b [rdi]", "D+200 8 m"),
    case("lock cmpxchg16b [rdi]", "D+200 16 m"),
    case("mul qword ptr [rdi]", "D+200 8 r"),
    case("imul rax, [rdi], 5", "D+200 8 r"),
    case("sete byte ptr [rdi]", "D+200 1 w"),
    case("cmovne rax, [rdi]", "D+200 8 r"),
    case("movzx eax, byte ptr [rdi]", "D+200 1 r"),
    case("movsxd rax, dword ptr [rdi]", "D+200 4 r"),
    case("movbe rax, [rdi]", "D+200 8 r"),
    case("movbe [rdi], eax", "D+200 4 w"),
    case("movnti [rdi], rax", "D+200 8 w"),
    case("popcnt rax, [rdi]", "D+200 8 r"),
    case("xlatb", "X+345 1 r", rax=0x45),
    # Bit strings: a register's bit offset moves the address (SDM vol. 2A, BT).
    case("bt [rdi], rcx", "D+200 8 r"),
    case("bt [rdi], r8", "D2+200 8 r", r8=8 * PAGE),
    case("bts [rdi], r8", "D2+1f8 8 m", r8=8 * PAGE - 1),
    case("btr qword ptr [rbp], r8", "B0+800 8 m", r8=-8 * PAGE % (1 << 64)),
    case("btc dword ptr [rdi], r8d", "D+1fc 4 m", r8=ALL),
    case("lock bts dword ptr [rdi], 77", "D+200 4 m"),
    # Nothing at all.
    case("lea rax, [r13]"),
    case("nop dword ptr [rdi]"),
    case("prefetcht0 [rdi]"),
    case("prefetchw [r13]"),
    case("invlpg [rdi]"),
    # The stack (SDM vol. 2, PUSH, POP, CALL, RET, ENTER, LEAVE).
    case("push rax", "S+7f8 8 w"),
    case("push ax", "S+7fe 2 w"),
    case("push 5", "S+7f8 8 w"),
    case("push qword ptr [rdi]", "D+200 8 r", "S+7f8 8 w"),
    case("push qword ptr [rsp + 8]", "S+808 8 r", "S+7f8 8 w"),
    case("pop rax", "S+800 8 r"),
    case("pop qword ptr [rdi]", "S+800 8 r", "D+200 8 w"),
    case("pop qword ptr [rsp + 0x10]", "S+800 8 r", "S+818 8 w"),
    case("pushfq", "S+7f8 8 w"),
    case("popfq", "S+800 8 r", plant={"S+800": 2}),
    case("push rax", "S0+ffc 8 w", rsp=at("S+4")),
    case("call rdx", "S+7f8 8 w", rdx=at("C+180")),
    case("call [rdi]", "D+200 8 r", "S+7f8 8 w", plant={"D+200": at("C+180")}),
    case("jmp [rdi]", "D+200 8 r", plant={"D+200": at("C+180")}),
    case("ret", "S+800 8 r", plant={"S+800": at("C+180")}),
    case("ret 16", "S+800 8 r", plant={"S+800": at("C+180")}),
    case("leave", "B+800 8 r"),
    case("enter 32, 0", "S+7f8 8 w", "S+7d8 8 w"),
    case(
        "enter 32, 2",
        *("S+7f8 8 w", "B+7f8 8 r", "S+7f0 8 w", "S+7e8 8 w", "S+7c8 8 w"),
    ),
    # Strings (SDM vol. 2, MOVS, CMPS, STOS, LODS, SCAS, REP).
    case("movsb", "X+100 1 r", "D+200 1 w"),
    case("movsq", "X+100 8 r", "D+200 8 w", eflags=2 | DF),
    case("rep movsq", "X+100 32 r", "D+200 32 w"),
    case("rep movsb", "X+fd 4 r", "D+1fd 4 w", eflags=2 | DF),
    case("rep stosq", "D+200 32 w"),
    case("rep stosd", "D+ff8 16 w", rdi=at("D+ff8")),
    case("rep stosq", "D+fe8 32 w", rdi=at("D2+0"), eflags=2 | DF),
    case("rep movsb", rcx=0),
    case("lodsw", "X+100 2 r"),
    case("rep lodsd", "X+100 16 r"),
    case("cmpsb", "X+100 1 r", "D+200 1 r", order=False),
    case("repe cmpsd", "X+100 16 r", "D+200 16 r", order=False),
    case("scasq", "D+200 8 r"),
    case("repne scasb", "D+200 4 r", rax=7),
    case("outsb", "X+100 1 r", rdx=0x80),
    case("insb", "D+200 1 w", rdx=0x61),
    # x87, MMX, SSE.
    case("fld tbyte ptr [rdi]", "D+200 10 r"),
    case("fstp qword ptr [rdi]", "D+200 8 w"),
    case("fild word ptr [rdi]", "D+200 2 r"),
    case("fistp qword ptr [rdi]", "D+200 8 w"),
    case("fadd dword ptr [rdi]", "D+200 4 r"),
    case("fnstcw [rdi]", "D+200 2 w"),
    case("fnstenv [rdi]", "D+200 28 w"),
    case("fnsave [rdi]", "D+200 108 w"),
    case("fxsave [rdi]", "D+200 512 w"),
    case("ldmxcsr [rdi]", "D+200 4 r", plant={"D+200": 0x1F80}),
    case("stmxcsr [rdi]", "D+200 4 w"),
    case("movups [rdi], xmm0", "D+200 16 w"),
    case("movups xmm0, [rdi + 1]", "D+201 16 r"),
    case("movaps xmm0, [rdi]", "D+200 16 r"),
    case("movdqa [rdi], xmm0", "D+200 16 w"),
    case("movntdq [rdi], xmm0", "D+200 16 w"),
    case("movhps [rdi], xmm0", "D+200 8 w"),
    case("movsd xmm0, qword ptr [rdi]", "D+200 8 r"),
    case("cmpsd xmm0, qword ptr [rdi], 1", "D+200 8 r"),
    case("cvtsi2sd xmm0, dword ptr [rdi]", "D+200 4 r"),
    case("pextrb byte ptr [rdi], xmm0, 3", "D+200 1 w"),
    case("pmovzxbq xmm0, word ptr [rdi]", "D+200 2 r"),
    case("vmovups ymm0, [rdi]", "D+200 32 r"),
    case("vmovntps [rdi], ymm0", "D+200 32 w"),
    # Elements that a vector register selects.
    case("maskmovdqu xmm0, xmm1", "D+204 4 w", vectors={1: words(NONE, ALL, NONE, NONE)}),
    case(
        "vpmaskmovd ymm0, ymm1, [rdi]",
        *("D+204 4 r", "D+210 8 r"),
        vectors={1: words(NONE, HIGH, NONE, NONE, HIGH, ALL, NONE, NONE)},
        deviates=LOADS_ALL,
    ),
    case(
        "vpmaskmovd [rdi], xmm1, xmm0",
        *("D+200 8 w", "D+20c 4 w"),
        vectors={1: words(HIGH, HIGH, NONE, HIGH)},
    ),
    case("vmaskmovps ymm0, ymm1, [r13]", vectors={1: bytes(32)}, deviates=LOADS_ALL),
    case(
        "vpgatherdd xmm0, [rdi + xmm2*4], xmm1",
        *("D+200 4 r", "D2+200 4 r", "D+1fc 4 r"),
        vectors={1: words(HIGH, HIGH, NONE, HIGH), 2: words(0, PAGE // 4, 9, -1)},
    ),
    case(
        "vpgatherqd xmm0, [rdi + ymm2*8 + 0x10], xmm1",
        *("D+210 4 r", "D2+210 4 r", "D3+210 4 r", "D+208 4 r"),
        vectors={
            1: words(ALL, ALL, ALL, ALL),
            2: struct.pack("<4q", 0, PAGE // 8, 2 * PAGE // 8, -1),
        },
    ),
    # The system's own.
    case("sgdt [rdi]", "D+200 10 w"),
    case("sidt [rdi]", "D+200 10 w"),
    case("str word ptr [rdi]", "D+200 2 w"),
    case("smsw word ptr [rdi]", "D+200 2 w"),
    case("mov word ptr [rdi], ds", "D+200 2 w"),
    case("clflush [rdi]", "D+200 1 r", deviates="TCG translates nothing for it"),
    # An instruction that crosses into the next page.
    case("mov rax, [rdi]", "D+200 8 r", code="C+ffe"),
]

"""RISC-V's Sv39, Sv48 and Sv57: the algorithm of the manual, one address at a time.

Written from "The RISC-V Instruction Set Manual, Volume II: Privileged Architecture", version
20211203: 4.3.2 "Virtual Address Translation Process", 4.4 (Sv39), 4.5 (Sv48), 4.6 (Sv57),
chapter 5 "Svnapot", chapter 6 "Svpbmt". Imports nothing of ptlive.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

from .bits import field

PAGESIZE = 4096
PTESIZE = 8
LEVELS = {"sv39": 3, "sv48": 4, "sv57": 5}


class Step(NamedTuple):
    """One PTE that was read: its i, its address, its value."""

    i: int
    at: int
    pte: int


@dataclass(frozen=True)
class Hart:
    """What a hart has: its mode, and extensions."""

    mode: str
    svnapot: bool = True
    svpbmt: bool = True


@dataclass(frozen=True)
class Result:
    """How the algorithm ended: with a page, or a page fault for one of three reasons.

    size, pa, and the bits of the leaf only where kind is "leaf".
    """

    kind: Literal["leaf", "absent", "malformed", "unreadable", "outside"]
    path: tuple[Step, ...] = ()
    pa: int = 0
    size: int = 0
    r: bool = False
    w: bool = False
    x: bool = False
    u: bool = False
    a: bool = False
    d: bool = False


def bit(value: int, number: int) -> bool:
    return bool(value >> number & 1)


def translate(hart: Hart, read: Callable[[int], int | None], root: int, va: int) -> Result:
    """Translate by steps 1 to 8 of 4.3.2; A and D are looked at by `fault`."""
    levels = LEVELS[hart.mode]
    top = 12 + 9 * levels - 1
    # "bits 63-39 all equal to bit 38, or else a page-fault exception will occur" (4.4.1)
    if any(bit(va, number) != bit(va, top) for number in range(top, 64)):
        return Result("outside")
    path: list[Step] = []
    # 1. Let a be satp.ppn x PAGESIZE, and let i = LEVELS - 1.
    a, i = root, levels - 1
    while True:
        # 2. Let pte be the value of the PTE at address a + va.vpn[i] x PTESIZE.
        vpn_i = field(va, 12 + 9 * i + 8, 12 + 9 * i)
        at = a + vpn_i * PTESIZE
        pte = read(at)
        if pte is None:
            return Result("unreadable", tuple(path))
        path.append(Step(i, at, pte))
        # 3. If pte.v = 0, or if pte.r = 0 and pte.w = 1, or if any bits or encodings that are
        # reserved for future standard use are set within pte, stop and raise a page fault.
        if not bit(pte, 0):
            return Result("absent", tuple(path))
        r, w, x = bit(pte, 1), bit(pte, 2), bit(pte, 3)
        if not r and w:
            return Result("malformed", tuple(path))
        if field(pte, 60, 54):
            return Result("malformed", tuple(path))
        pbmt = field(pte, 62, 61)
        if pbmt and not hart.svpbmt:
            return Result("malformed", tuple(path))
        if pbmt == 3:  # table 6.1: "Reserved for future standard use"
            return Result("malformed", tuple(path))
        n = bit(pte, 63)
        if n and not hart.svnapot:
            return Result("malformed", tuple(path))
        # 4. If pte.r = 1 or pte.x = 1, go to step 5. Otherwise it is a pointer to the next level.
        if r or x:
            break
        # "For non-leaf PTEs, the D, A, and U bits are reserved"; so are N and PBMT (5, 6).
        if bit(pte, 7) or bit(pte, 6) or bit(pte, 4) or pbmt or n:
            return Result("malformed", tuple(path))
        # Let i = i - 1. If i < 0, stop and raise a page fault.
        i -= 1
        if i < 0:
            return Result("malformed", tuple(path))
        a = field(pte, 53, 10) * PAGESIZE
    # 6. If i > 0 and pte.ppn[i-1:0] != 0, this is a misaligned superpage; page fault.
    ppn = field(pte, 53, 10)
    if ppn % (1 << (9 * i)):
        return Result("malformed", tuple(path))
    size = PAGESIZE << (9 * i)
    if n:
        # Table 5.1: of all i and ppn only "0: xxxx xxxx x xxxx 1000: 64 KiB contiguous region".
        if i != 0 or ppn % 16 != 8:
            return Result("malformed", tuple(path))
        # "PTE.PPN[pte.napot_bits-1:0] is replaced by vpn[pte.napot_bits-1:0]"
        size = 1 << 16
        ppn -= 8
    # 8. pa.pgoff = va.pgoff, superpages: pa.ppn[i-1:0] = va.vpn[i-1:0].
    return Result(
        "leaf",
        tuple(path),
        pa=ppn * PAGESIZE + va % size,
        size=size,
        r=r,
        w=w,
        x=x,
        u=bit(pte, 4),
        a=bit(pte, 6),
        d=bit(pte, 7),
    )


FETCH, LOAD, STORE = 12, 13, 15  # table 4.2: instruction, load, store/AMO page fault


def cause(
    found: Result,
    access: Literal["read", "write", "fetch"],
    *,
    user: bool,
    sum_: bool,
    mxr: bool,
    hardware_sets: bool,
) -> int | None:
    """Return scause of the page fault that an access gets, None if it is allowed.

    hardware_sets: whether the hart sets A and D by itself, or faults (4.3.1).
    """
    fault = {"read": LOAD, "write": STORE, "fetch": FETCH}[access]
    if found.kind != "leaf":
        return fault
    # 5. Determine if the requested access is allowed by r, w, x, u, given the privilege mode
    # and the values of the SUM and MXR fields of mstatus.
    if user and not found.u:
        return fault
    if not user and found.u and (access == "fetch" or not sum_):
        return fault
    if access == "read" and not (found.r or (mxr and found.x)):
        return fault
    if access == "write" and not found.w:
        return fault
    if access == "fetch" and not found.x:
        return fault
    # 7. If pte.a = 0, or if the access is a store and pte.d = 0: raise a page fault, or set them.
    if not hardware_sets and (not found.a or (access == "write" and not found.d)):
        return fault
    return None

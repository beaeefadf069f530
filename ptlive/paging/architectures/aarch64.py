"""How an AArch64 CPU pages at EL1 and EL0, and which accesses it allows.

Arm Architecture Reference Manual for A-profile, issue J.a: D17.2.139 "TCR_EL1", D17.2.147
"TTBR0_EL1", D17.2.120 "SCTLR_EL1", D8.4.1 "Data accesses permissions", D8.4.2 "Instruction
execution permissions" and D17.2.37 "ESR_EL1" (exception classes, fault status codes).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ptlive.access_kind import Access, AccessKind
from ptlive.errors import PtliveError
from ptlive.paging import rights
from ptlive.paging.access import AccessRules, Verdicts, denied_by
from ptlive.paging.architectures.facts import Facts, Paging, Wanted, root_address
from ptlive.paging.faults import ALLOWED, UNPREDICTABLE
from ptlive.paging.format import Kind
from ptlive.paging.formats import aarch64
from ptlive.paging.formats.aarch64 import Shape
from ptlive.paging.translate import NOT_TRANSLATED

if TYPE_CHECKING:
    from ptlive.arrays import U32, Bool
    from ptlive.paging.format import Format
    from ptlive.paging.translate import Translations

MMU, WXN, EE = 1 << 0, 1 << 19, 1 << 25  # of SCTLR_EL1
HA, HD, DS = 1 << 39, 1 << 40, 1 << 59  # of TCR_EL1
E0PD0, E0PD1 = 1 << 55, 1 << 56
PAN, EL = 1 << 22, 3 << 2  # of PSTATE
STAGE_2 = 1 << 0  # of HCR_EL2: VM
_CHOOSES_HALF = 1 << 55  # of an address
_BESIDE_THE_ROOT = 0xFFFF << 48 | 1  # of TTBRn_EL1: ASID and CnP
_SIZES = (32, 36, 40, 42, 44, 48, 52)  # of physical addresses, by IPS and by PARange
_NAME = re.compile(r"aarch64-(4k|16k|64k)-(\d\d)(-lpa2)?(-lower|-upper)?")

# Exception classes: from the lower level, and from the same.
_FETCHES, _DATA = (0x20, 0x21), (0x24, 0x25)
_ADDRESS_SIZE, _TRANSLATION, _ACCESS_FLAG, _PERMISSION = 0x00, 0x04, 0x08, 0x0C
_WRITES = 1 << 6  # WnR
_KINDS = {
    _ADDRESS_SIZE: "address size fault",
    _TRANSLATION: "translation fault",
    _ACCESS_FLAG: "access flag fault",
    _PERMISSION: "permission fault",
}
# Level -1 has codes of its own: those two faults are all that can happen there.
_BELOW_ZERO = {_ADDRESS_SIZE: 0x29, _TRANSLATION: 0x2B}


class _Half(NamedTuple):
    """Where TCR_EL1 has what is said of one half."""

    register: str
    size: int
    off: int
    granule: int
    granules: dict[int, str]
    hierarchical: int
    top_byte: int


_HALVES = {
    "lower": _Half("TTBR0_EL1", 0, 7, 14, {0: "4k", 1: "64k", 2: "16k"}, 41, 37),
    "upper": _Half("TTBR1_EL1", 16, 23, 30, {1: "16k", 2: "4k", 3: "64k"}, 42, 38),
}


def paging(facts: Facts, wanted: Wanted) -> Paging:
    """Return what TCR_EL1 says. Raises PtliveError if nothing is translated."""
    control, tcr = _sctlr(facts), facts.register("TCR_EL1")
    if not control & MMU and wanted.format is None:
        raise PtliveError(
            f"paging is off (SCTLR_EL1={control:#x}): virtual addresses are physical addresses, "
            "there is no table to walk"
        )
    if control & EE:
        raise PtliveError(f"the tables are big-endian (SCTLR_EL1={control:#x}), and are not read")
    shapes = {name: _shape(facts, tcr, half) for name, half in _HALVES.items()}
    told = {name: shape for name, shape in shapes.items() if shape is not None}
    fmt, halves = _format(wanted.format, told)
    roots = [_root(fmt, facts.register(_HALVES[name].register)) for name in halves]
    if wanted.root is not None:
        roots[0] = root_address(fmt, wanted.root, _BESIDE_THE_ROOT)
    state = facts.registers.get("cpsr") or 0
    rules = Rules(
        pan=bool(state & PAN),
        wxn=bool(control & WXN),
        sets_flag=bool(tcr & HA),
        e0pd0=bool(tcr & E0PD0),
        e0pd1=bool(tcr & E0PD1),
    )
    origin = " ".join(_HALVES[name].register.lower() for name in halves)
    left_out = [] if wanted.format else [name for name in told if name not in halves]
    found = _not_modelled(tcr, state, told, halves, left_out)
    if (facts.registers.get("HCR_EL2") or 0) & STAGE_2:
        found["stage 2"] = "what these tables say is translated again (HCR_EL2.VM=1)"
    return Paging(fmt, tuple(roots), origin, rules, found)


def _sctlr(facts: Facts) -> int:
    # QEMU has one name for that of AArch32 and this one (target/arm/helper.c).
    name = "SCTLR_EL1" if facts.registers.get("SCTLR_EL1") is not None else "SCTLR"
    return facts.register(name)


def _shape(facts: Facts, tcr: int, half: _Half) -> Shape | None:
    """Return how a half is translated; None if it is not (EPDn, or TnSZ out of range)."""
    if tcr >> half.off & 1:
        return None
    # A reserved value is for the CPU to choose (TG0, TG1); QEMU's take the smallest.
    granule = half.granules.get(tcr >> half.granule & 3, "4k")
    told = facts.registers.get("ID_AA64MMFR0_EL1")
    implemented = _SIZES[min((told or 0) & 15, 6)] if told is not None else 52
    pa_bits = min(_SIZES[min(tcr >> 32 & 7, 6)], implemented)
    # FEAT_LPA: with 64K, an IPS of 52 bits is enough.
    wide = bool(tcr & DS) if granule != "64k" else pa_bits == 52
    va_bits = 64 - (tcr >> half.size & 63)
    # There a CPU may fault, or take the nearest; with FEAT_LVA, as QEMU's, it has to fault.
    if va_bits not in sizes(granule, wide):
        return None
    return Shape(
        granule=granule,
        va_bits=va_bits,
        pa_bits=pa_bits if wide else min(pa_bits, 48),
        wide=wide,
        sets_dirty=tcr & (HA | HD) == HA | HD,
        hierarchical=not tcr >> half.hierarchical & 1,
    )


def sizes(granule: str, wide: bool) -> range:
    """Return how many bits addresses may have: by TnSZ, of which FEAT_TTST allows 48 (47)."""
    if granule == "64k":
        return range(17, 52 + 1)
    return range(16, (52 if wide else 48) + 1)


def _format(name: str | None, told: dict[str, Shape]) -> tuple[Format, tuple[str, ...]]:
    """Return the format, and of which halves it is."""
    if name is None:
        if not told:
            raise PtliveError("TCR_EL1 has neither half translated (EPD0 and EPD1, T0SZ and T1SZ)")
        halves = tuple(told) if len(set(told.values())) == 1 else tuple(told)[:1]
        shape = told[halves[0]]
    else:
        found = _NAME.fullmatch(name)
        if found is None:
            raise PtliveError(
                f"there is no format {name!r}; there are such as aarch64-4k-48, aarch64-16k-47, "
                "aarch64-64k-52, aarch64-4k-52-lpa2, and each with -lower or -upper for one half"
            )
        halves = (found[4][1:],) if found[4] else ("lower", "upper")
        shape = _named(found, next((told[half] for half in halves if half in told), None))
    return aarch64.make(shape, lower="lower" in halves, upper="upper" in halves), halves


def format_named(name: str) -> Format:
    """Return the format of that name. Raises PtliveError if there is none."""
    return _format(name, {})[0]


def _named(found: re.Match[str], like: Shape | None) -> Shape:
    """Return the shape of a format's name; what that leaves open is as the CPU has it."""
    wide = bool(found[3]) or (found[1] == "64k" and int(found[2]) > 48)
    bits = int(found[2])
    if bits not in sizes(found[1], wide):
        raise PtliveError(f"{found[0]} has addresses of {bits} bits, which no CPU has")
    if like is not None and (found[1], bits, wide) == (like.granule, like.va_bits, like.wide):
        return like
    return Shape(found[1], bits, 52 if wide else 48, wide)


def _root(fmt: Format, ttbr: int) -> int:
    """Return the table's address; bits 51:48 of it stand in bits 5:2 (BADDR)."""
    high = (ttbr >> 2 & 15) << 48
    return (ttbr & ((1 << 48) - 1) | high) & fmt.root_mask


def _not_modelled(
    tcr: int,
    state: int,
    told: dict[str, Shape],
    halves: tuple[str, ...],
    left_out: list[str],
) -> dict[str, str]:
    """Name what is on and not modelled, and what that leaves unchecked."""
    found = {}
    for name in left_out:
        found["other half"] = (
            f"{_HALVES[name].register} is not walked, its half is of another shape: "
            f"--format {told[name].name}-{name} walks it"
        )
    if any(tcr >> _HALVES[name].top_byte & 1 for name in halves):
        found["TBI"] = "the top byte of addresses is not ignored (TCR_EL1.TBI)"
    if state & EL in (2 << 2, 3 << 2):
        found["exception level"] = "the CPU is at EL2 or EL3: these are the tables of EL1 and EL0"
    return found


@dataclass(frozen=True)
class Rules(AccessRules):
    """What decides about accesses from EL1 and EL0, beside the tables.

    pan: PSTATE.PAN; wxn: SCTLR_EL1.WXN; sets_flag: TCR_EL1.HA, without which a clear AF faults
    e0pd0, e0pd1: TCR_EL1's, which keep EL0 from the lower and from the upper half (FEAT_E0PD)
    """

    pan: bool = False
    wxn: bool = False
    sets_flag: bool = False
    e0pd0: bool = False
    e0pd1: bool = False

    def check(self, translations: Translations, kind: AccessKind) -> Verdicts:
        """Predict the exception class, and of its syndrome the status code and WnR."""
        found = translations.kind
        status = np.where(self._denied(translations, kind), np.uint32(_PERMISSION), np.uint32(0))
        if not self.sets_flag:
            status[(translations.entry & np.uint64(aarch64.AF)) == 0] = _ACCESS_FLAG
        status[~translations.mapped] = _TRANSLATION
        status[_too_large(translations)] = _ADDRESS_SIZE
        # Such an access reads no table: it faults as one that lies in no half.
        kept = self._kept(translations, kind)
        status[kept] = _TRANSLATION
        fails = ~translations.mapped | (status != 0)
        classes = _FETCHES if kind.access is Access.FETCH else _DATA
        vector = np.where(fails, np.uint8(classes[not kind.user]), np.uint8(ALLOWED))
        vector[(found == Kind.UNREADABLE) & ~kept] = UNPREDICTABLE
        code = _with_level(status, translations, kept)
        code |= np.uint32(_WRITES if kind.access is Access.WRITE else 0)
        code[(vector == ALLOWED) | (vector == UNPREDICTABLE)] = 0
        return Verdicts(vector, code)

    def _kept(self, translations: Translations, kind: AccessKind) -> Bool:
        """Tell which accesses are to a half that EL0 is kept from (D8.2.5)."""
        upper = (translations.va & np.uint64(_CHOOSES_HALF)) != 0
        return np.where(upper, self.e0pd1, self.e0pd0) & kind.user

    def _denied(self, translations: Translations, kind: AccessKind) -> Bool:
        def granted(name: str) -> Bool:
            return rights.granted(translations.fmt, translations.rights, name)

        user, write = granted("user"), granted("write")
        if kind.access is not Access.FETCH:
            denied = (
                ~user if kind.user else user if self.pan else np.zeros(user.size, dtype=np.bool_)
            )
            return denied | ~write if kind.access is Access.WRITE else denied
        if kind.user:
            never = ~granted("user-execute")
            return never | (user & write) if self.wxn else never
        # What EL0 can write, EL1 never executes (D8.4.2).
        never = ~granted("execute") | (user & write)
        return never | write if self.wxn else never

    def denied(self, one: Translations, kind: AccessKind, code: int) -> tuple[int | None, str]:
        """Return which level, or which control bit, denies an access to a present page."""
        if code & 0x3C == _TRANSLATION:
            half = int(int(one.va[0]) & _CHOOSES_HALF != 0)
            return None, f"EL0 is kept from this half, TCR_EL1.E0PD{half}=1"
        if code & 0x3C == _ACCESS_FLAG:
            return int(one.lvl[0]), "AF=0, and TCR_EL1.HA=0"
        if kind.access is Access.FETCH:
            right = "user-execute" if kind.user else "execute"
            if said := denied_by(one, right, "execution is denied"):
                return said
            if self.wxn:
                return None, "what can be written is not executed, SCTLR_EL1.WXN=1"
            return None, "EL1 does not execute what EL0 can write"
        if kind.user and (said := denied_by(one, "user", "access from EL0 is denied")):
            return said
        if kind.access is Access.WRITE and (said := denied_by(one, "write", "writing is denied")):
            return said
        return None, "EL1 access to a page of EL0, and PSTATE.PAN=1"

    def words(self, vector: int, code: int) -> str:
        """Name the exception, its status code and the manual's level."""
        if vector not in (*_FETCHES, *_DATA):
            return super().words(vector, code)
        what = "instruction abort" if vector in _FETCHES else "data abort"
        status = code & 0x3F
        below = {found: kind for kind, found in _BELOW_ZERO.items()}
        kind, level = (below[status], -1) if status in below else (status & 0x3C, status & 3)
        return f"{what} (EC {vector:#x}, FSC {status:#04x}: {_KINDS[kind]}, level {level})"


def _too_large(translations: Translations) -> Bool:
    """Tell which descriptors are of a valid form, and hold an address of too many bits."""
    found = np.zeros(translations.kind.size, dtype=np.bool_)
    malformed = translations.kind == Kind.MALFORMED
    for lvl in np.unique(translations.lvl[malformed]).tolist():
        here = np.flatnonzero(malformed & (translations.lvl == lvl))
        entry, level = translations.entry[here], translations.fmt.level(lvl)
        found[here] = (entry & np.uint64(level.reserved_leaf)) != 0
        for wrong in level.wrong:
            found[here] &= ~wrong.test(entry)
    return found


def _with_level(status: U32, translations: Translations, kept: Bool) -> U32:
    """Return status codes with the level at which they arise; that of no half is level 0."""
    number = 4 - translations.lvl.astype(np.int32)
    number[(translations.kind == NOT_TRANSLATED) | kept] = 0
    code: U32 = status | np.maximum(number, 0).astype(np.uint32)
    for kind, below in _BELOW_ZERO.items():
        code[(number < 0) & (status == kind)] = below
    return code

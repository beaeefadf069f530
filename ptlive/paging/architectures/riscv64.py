"""How a RISC-V hart of 64 bits pages, and which accesses it allows.

The RISC-V Instruction Set Manual, volume II (privileged): 4.1.11 "Supervisor Address
Translation and Protection (satp) Register", 4.3.2 "Virtual Address Translation Process",
3.1.6.3 "Memory Privilege in mstatus Register" and table 4.2 (causes).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ptlive.access_kind import Access, AccessKind
from ptlive.errors import PtliveError
from ptlive.paging import rights
from ptlive.paging.access import AccessRules, Verdicts, denied_by
from ptlive.paging.architectures.facts import Facts, Paging, Wanted, root_address
from ptlive.paging.faults import ALLOWED, UNPREDICTABLE
from ptlive.paging.format import Kind
from ptlive.paging.formats import riscv

if TYPE_CHECKING:
    from ptlive.arrays import Bool
    from ptlive.paging.format import Format
    from ptlive.paging.translate import Translations

MODES = {8: "sv39", 9: "sv48", 10: "sv57"}  # satp.MODE, table 4.4
PPN = (1 << 44) - 1
MPRV, SUM, MXR = 1 << 17, 1 << 18, 1 << 19  # of mstatus, figure 3.7
ADUE, PBMTE = 1 << 61, 1 << 62  # of menvcfg, figure 3.27 (Svadu, Svpbmt)
MACHINE = 3

FETCH_FAULT, LOAD_FAULT, STORE_FAULT = 12, 13, 15  # scause
_CAUSES = {
    Access.FETCH: FETCH_FAULT,
    Access.READ: LOAD_FAULT,
    Access.WRITE: STORE_FAULT,
}
_WORDS = {
    FETCH_FAULT: "instruction page fault",
    LOAD_FAULT: "load page fault",
    STORE_FAULT: "store page fault",
}


def paging(facts: Facts, wanted: Wanted) -> Paging:
    """Return what satp says. Raises PtliveError if it says that nothing is translated."""
    satp, status = facts.register("satp"), facts.register("mstatus")
    fmt = _format(facts, wanted.format, satp)
    root = _root(satp)
    if wanted.root is not None:
        # A value of satp is none of an address: that has no MODE.
        root = _root(wanted.root) if wanted.root >> 60 else root_address(fmt, wanted.root)
    # A hart without Svadu may set A and D itself all the same, and QEMU's does.
    adue = facts.registers.get("menvcfg") or 0
    rules = Rules(
        sum_=bool(status & SUM),
        mxr=bool(status & MXR),
        sets_bits=bool(adue & ADUE) if facts.features.get("svadu") else True,
    )
    return Paging(fmt, (root,), "satp", rules, _not_modelled(facts, status))


def _root(satp: int) -> int:
    return (satp & PPN) << riscv.PAGE_SHIFT


def _format(facts: Facts, name: str | None, satp: int) -> Format:
    mode = satp >> 60
    if name is None and mode == 0:
        raise PtliveError(
            f"paging is off (satp={satp:#x}): virtual addresses are physical addresses, "
            "there is no table to walk"
        )
    name = name or MODES.get(mode)
    if name is None:
        raise PtliveError(f"satp={satp:#x} has MODE {mode}, for which ptlive has no format")
    if name not in riscv.LEVELS:
        raise PtliveError(f"there is no format {name!r}; there are {', '.join(riscv.LEVELS)}")
    environment = facts.registers.get("menvcfg")
    enabled = environment is None or bool(environment & PBMTE)
    return riscv.make(
        name,
        svnapot=facts.has("svnapot"),
        svpbmt=facts.has("svpbmt") and enabled,
        svrsw60t59b=facts.has("svrsw60t59b", unknown=False),
    )


def _not_modelled(facts: Facts, status: int) -> dict[str, str]:
    """Name what is on and not modelled, and what that leaves unchecked."""
    found = {}
    if facts.registers.get("priv") == MACHINE:
        found["machine mode"] = "the hart is in it, and translates nothing: S- and U-mode would"
    if status & MPRV:
        found["MPRV"] = "accesses that machine mode makes in another's name are not predicted"
    return found


@dataclass(frozen=True)
class Rules(AccessRules):
    """The bits of mstatus that decide about accesses (3.1.6.3).

    sets_bits: whether the hart sets A and D by itself, where a clear one is no fault (4.3.1)
    """

    sum_: bool = False
    mxr: bool = False
    sets_bits: bool = True

    def check(self, translations: Translations, kind: AccessKind) -> Verdicts:
        """Predict by steps 5 to 7 of 4.3.2."""
        fails = ~translations.mapped | self._denied(translations, kind)
        vector = np.where(fails, np.uint8(_CAUSES[kind.access]), np.uint8(ALLOWED))
        vector[translations.kind == Kind.UNREADABLE] = UNPREDICTABLE
        return Verdicts(vector, np.zeros(vector.size, dtype=np.uint32))

    def _denied(self, translations: Translations, kind: AccessKind) -> Bool:
        def granted(name: str) -> Bool:
            return rights.granted(translations.fmt, translations.rights, name)

        user = granted("user")
        if kind.user:
            denied = ~user
        elif kind.access is Access.FETCH or not self.sum_:
            denied = user
        else:
            denied = np.zeros(user.size, dtype=np.bool_)
        if kind.access is Access.FETCH:
            denied |= ~granted("execute")
        elif kind.access is Access.WRITE:
            denied |= ~granted("write")
        else:
            denied |= ~(granted("read") | (granted("execute") & self.mxr))
        if not self.sets_bits:
            needed = np.uint64(riscv.A | (riscv.D if kind.access is Access.WRITE else 0))
            denied |= (translations.entry & needed) != needed
        return denied

    def denied(self, one: Translations, kind: AccessKind, code: int) -> tuple[int | None, str]:
        """Return which level, or which bit of mstatus, denies an access to a present page."""
        user = rights.granted(one.fmt, one.rights, "user")[0]
        if kind.user and (said := denied_by(one, "user", "user-mode access is denied")):
            return said
        if not kind.user and user and kind.access is Access.FETCH:
            return None, "supervisor fetch from a user-mode page"
        if not kind.user and user and not self.sum_:
            return None, "supervisor access to a user-mode page, and mstatus.SUM=0"
        right, text = {
            Access.FETCH: ("execute", "execution is denied"),
            Access.WRITE: ("write", "writing is denied"),
            Access.READ: ("read", "reading is denied"),
        }[kind.access]
        if said := denied_by(one, right, text):
            return said
        lacks = "A" if not int(one.entry[0]) & riscv.A else "D"
        return int(one.lvl[0]), f"{lacks}=0 in the {one.fmt.level(int(one.lvl[0])).spec}"

    def words(self, vector: int, code: int) -> str:
        """Name the exception."""
        del code
        name = _WORDS.get(vector)
        return f"{name} (scause {vector})" if name else super().words(vector, 0)

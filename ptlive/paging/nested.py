"""Accesses to guest-physical addresses, through the tables of a hypervisor.

AMD64 Architecture Programmer's Manual, vol. 2, 15.25.6 "Nested versus Guest Page Faults, Fault
Ordering"; Intel SDM vol. 3C 28.3.3 "EPT-Induced VM Exits" and 27.2.1, table 27-7 (the exit
qualification). Not the guest is told of a fault but the hypervisor, by an exit. What is
predicted is an access to what the guest's own translation led to, not to its tables on the way.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ptlive.access_kind import Access
from ptlive.paging import rights
from ptlive.paging.access import AccessRules, Controls, Verdicts, denied_by
from ptlive.paging.faults import ALLOWED, PAGE_FAULT, UNPREDICTABLE
from ptlive.paging.format import Kind
from ptlive.paging.translate import NOT_TRANSLATED
from ptlive.paging.words import fault_bits

if TYPE_CHECKING:
    from ptlive.access_kind import AccessKind
    from ptlive.paging.translate import Translations

EPT_VIOLATION = 48  # basic exit reasons, SDM vol. 3D appendix C
EPT_MISCONFIGURATION = 49


@dataclass(frozen=True)
class NestedControls(AccessRules):
    """The rules of NPT: those of the hypervisor's own paging, and every access is a user's.

    nxe: the hypervisor's EFER.NXE
    """

    nxe: bool = True

    def check(self, translations: Translations, kind: AccessKind) -> Verdicts:
        """Predict the nested page fault: its error code is the low half of EXITINFO1."""
        found = self._paging.check(translations, _as_user(kind))
        # No address is canonical or not; what these tables do not span, they do not map.
        beyond = translations.kind == NOT_TRANSLATED
        found.vector[beyond] = PAGE_FAULT
        found.error_code[beyond] = self._code_of_nothing(kind)
        return found

    def denied(self, one: Translations, kind: AccessKind, code: int) -> tuple[int | None, str]:
        """Return which level denies an access, and why."""
        return self._paging.denied(one, _as_user(kind), code)

    def words(self, vector: int, code: int) -> str:
        """Return an outcome in short: allowed, #VMEXIT(NPF 0x6: W/R U/S)."""
        if vector != PAGE_FAULT:
            return super().words(vector, code)
        return f"#VMEXIT(NPF {code:#x}: {fault_bits(code)})"

    @property
    def _paging(self) -> Controls:
        return Controls(nxe=self.nxe)

    def _code_of_nothing(self, kind: AccessKind) -> int:
        codes = {Access.READ: 0x4, Access.WRITE: 0x6, Access.FETCH: 0x14 if self.nxe else 0x4}
        return codes[kind.access]


def _as_user(kind: AccessKind) -> AccessKind:
    return replace(kind, user=True, ac=False)


class Violation(enum.IntFlag):
    """Bits of the exit qualification of an EPT violation (SDM vol. 3C table 27-7)."""

    READ = 1 << 0
    WRITE = 1 << 1
    FETCH = 1 << 2
    READABLE = 1 << 3
    WRITABLE = 1 << 4
    EXECUTABLE = 1 << 5
    USER_EXECUTABLE = 1 << 6


_ASKED = {
    Access.READ: (Violation.READ, "read"),
    Access.WRITE: (Violation.WRITE, "write"),
    Access.FETCH: (Violation.FETCH, "execute"),
}
_ALLOWED = {
    "read": Violation.READABLE,
    "write": Violation.WRITABLE,
    "execute": Violation.EXECUTABLE,
    "user-execute": Violation.USER_EXECUTABLE,
}


@dataclass(frozen=True)
class EptControls(AccessRules):
    """The rules of EPT.

    mode_based: the VM-execution control "mode-based execute control for EPT". An access is a
    user's if the linear address is, which is what this one asks.
    """

    mode_based: bool = False

    def check(self, translations: Translations, kind: AccessKind) -> Verdicts:
        """Predict EPT violations, with bits 6:0 of the exit qualification, and misconfigurations.

        Bits 7 and up say what the guest was doing.
        """
        fmt, found = translations.fmt, translations.kind
        mapped = translations.mapped
        granted = {
            right.name: mapped & rights.granted(fmt, translations.rights, right.name)
            for right in fmt.rights
        }
        code = np.full(mapped.size, _ASKED[kind.access][0], dtype=np.uint32)
        for name, yes in granted.items():
            code[yes] |= np.uint32(_ALLOWED[name])
        vector = np.full(mapped.size, EPT_VIOLATION, dtype=np.uint8)
        vector[granted[self._right(kind)]] = ALLOWED
        vector[found == Kind.MALFORMED] = EPT_MISCONFIGURATION
        vector[found == Kind.UNREADABLE] = UNPREDICTABLE
        code[vector != EPT_VIOLATION] = 0
        return Verdicts(vector, code)

    def denied(self, one: Translations, kind: AccessKind, code: int) -> tuple[int | None, str]:
        """Return which level denies an access, and why."""
        right = self._right(kind)
        said = denied_by(one, right, f"{right} is denied")
        assert said is not None
        return said

    def words(self, vector: int, code: int) -> str:
        """Return an outcome in short: EPT violation(0x9: read of what is r--)."""
        if vector == EPT_MISCONFIGURATION:
            return "EPT misconfiguration"
        if vector != EPT_VIOLATION:
            return super().words(vector, code)
        bits = Violation(code)
        asked = next(kind.value for kind, (bit, _) in _ASKED.items() if bit in bits)
        letters = zip("rwxX" if self.mode_based else "rwx", _ALLOWED.values(), strict=False)
        may = "".join(letter if bit in bits else "-" for letter, bit in letters)
        return f"EPT violation({code:#x}: {asked} of what is {may})"

    def _right(self, kind: AccessKind) -> str:
        if self.mode_based and kind.user and kind.access is Access.FETCH:
            return "user-execute"
        return _ASKED[kind.access][1]

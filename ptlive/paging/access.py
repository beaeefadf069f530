"""Whether an access may happen, and which fault the CPU raises if not.

The rules of x86-64: SDM vol. 3A 4.6 "Access Rights", 4.6.2 "Protection Keys"
and 4.7 "Page-Fault Exceptions" (figure 4-12, the error code).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from ptlive.access_kind import ACCESS_KINDS, Access, AccessKind
from ptlive.paging import rights
from ptlive.paging.faults import (
    ALLOWED,
    GENERAL_PROTECTION,
    PAGE_FAULT,
    UNPREDICTABLE,
    Fault,
)
from ptlive.paging.fields import by_level, leaf_field
from ptlive.paging.format import Kind
from ptlive.paging.translate import NOT_TRANSLATED
from ptlive.paging.words import outcome_words

if TYPE_CHECKING:
    from ptlive.arrays import U8, U32, U64, Bool
    from ptlive.paging.translate import Translations

__all__ = [
    "ACCESS_KINDS",
    "ALLOWED",
    "GENERAL_PROTECTION",
    "PAGE_FAULT",
    "UNPREDICTABLE",
    "Access",
    "AccessKind",
    "Fault",
]


class AccessRules(ABC):
    """What decides about accesses beside the entries, and what is said of those that fail."""

    #: The fault of an address that never gets as far as paging, and is not reported with it.
    before_paging: int | None = None

    @property
    def key_matters(self) -> bool:
        """Whether an answer may depend on protection keys whose rights are not known."""
        return False

    @property
    def pke(self) -> bool:
        """Whether pages have protection keys."""
        return False

    @property
    def pkru(self) -> int | None:
        """What the keys allow, as PKRU has it; None if it is not known."""
        return 0

    def with_pkru(self, value: int | None) -> AccessRules:
        """Return the same rules under another PKRU; themselves where there are no keys."""
        del value
        return self

    @abstractmethod
    def check(self, translations: Translations, kind: AccessKind) -> Verdicts:
        """Predict one kind of access to each of the translated addresses."""

    @abstractmethod
    def denied(self, one: Translations, kind: AccessKind, code: int) -> tuple[int | None, str]:
        """Return which level, if one, denies an access to a single page, and why."""

    def words(self, vector: int, code: int) -> str:
        """Return an outcome in short."""
        return outcome_words(vector, code)


@dataclass(frozen=True)
class Controls(AccessRules):
    """The control bits of an x86 CPU that decide about accesses (SDM vol. 3A 4.1.3).

    nxe: whether EFER.NXE has a meaning and is set; pke: likewise CR4.PKE
    pkru: the PKRU register; None if it is not known. Without PKE it has no effect.
    """

    wp: bool = True
    smep: bool = False
    smap: bool = False
    nxe: bool = True
    pke: bool = False
    pkru: int | None = 0

    before_paging = GENERAL_PROTECTION

    @property
    def key_matters(self) -> bool:
        """Whether an answer may depend on protection keys whose rights are not known."""
        return self.pke and self.pkru is None

    def with_pkru(self, value: int | None) -> Controls:
        """Return the same controls with another PKRU."""
        return replace(self, pkru=value)

    def check(self, translations: Translations, kind: AccessKind) -> Verdicts:
        """Predict as SDM vol. 3A 4.6 and 4.7 have it."""
        return _check(translations, self, kind)

    def denied(self, one: Translations, kind: AccessKind, code: int) -> tuple[int | None, str]:
        """Return which level, or which control bit, denies an access to a present page."""
        if kind.user and (said := denied_by(one, "user", "user-mode access is denied")):
            return said
        if kind.access is Access.FETCH:
            said = denied_by(one, "execute", "execution is denied")
            return said or (None, "supervisor fetch from a user-mode address, and CR4.SMEP=1")
        writes = kind.access is Access.WRITE and (kind.user or self.wp)
        if writes and (said := denied_by(one, "write", "writing is denied")):
            return said
        if code & Fault.PK:
            return int(one.lvl[0]), f"protection key {int(key_of(one)[0])} forbids it (PKRU)"
        return None, "supervisor access to a user-mode address, CR4.SMAP=1 and RFLAGS.AC=0"


@dataclass(frozen=True, eq=False)
class Verdicts:
    """The outcome of n accesses: vector uint8[n], ALLOWED if none; error_code uint32[n].

    A vector is what the rules that predict it call so, see `AccessRules.words`.
    """

    vector: U8
    error_code: U32


def check(translations: Translations, rules: AccessRules, kind: AccessKind) -> Verdicts:
    """Predict one kind of access to each of the translated addresses.

    An access of one byte; `pieces` splits a longer one. UNPREDICTABLE where a
    table lies in no memory, or where a protection key decides and PKRU is not
    known.
    """
    return rules.check(translations, kind)


def denied_by(one: Translations, right: str, text: str) -> tuple[int, str] | None:
    """Return which level denies a right to a single page, and that in words; None if none does."""
    lvl = rights.denied_by(one.fmt, [(s.lvl, int(s.entry[at])) for s, at in one.path(0)])[right]
    return None if lvl is None else (lvl, f"{text} by the {one.fmt.level(lvl).spec} (level {lvl})")


def _check(translations: Translations, controls: Controls, kind: AccessKind) -> Verdicts:
    fmt = translations.fmt
    reached, malformed = translations.mapped, translations.kind == Kind.MALFORMED
    user_page = rights.granted(fmt, translations.rights, "user")
    writable = rights.granted(fmt, translations.rights, "write")
    executable = rights.granted(fmt, translations.rights, "execute")
    nothing = np.zeros(reached.size, dtype=np.bool_)

    denied = nothing
    if kind.user:
        denied = denied | ~user_page
    elif kind.access is Access.FETCH:
        denied = denied | (user_page if controls.smep else nothing)
    elif controls.smap and not kind.ac:
        denied = denied | user_page
    if kind.access is Access.WRITE and (kind.user or controls.wp):
        denied = denied | ~writable
    if kind.access is Access.FETCH:
        denied = denied | ~executable

    key_denies, key_open = nothing, nothing
    if controls.pke and kind.access is not Access.FETCH:
        if controls.pkru is None:
            key_open = user_page & reached
        else:
            write = kind.access is Access.WRITE and (kind.user or controls.wp)
            key_denies = user_page & reached & _key_denies(translations, controls.pkru, write)

    fails = (reached & (denied | key_denies)) | malformed | (translations.kind == Kind.ABSENT)
    code = np.where(reached | malformed, np.uint32(Fault.P), np.uint32(0))
    code |= np.where(malformed, np.uint32(Fault.RSVD), np.uint32(0))
    code |= np.where(key_denies, np.uint32(Fault.PK), np.uint32(0))
    code |= np.uint32(Fault.WR if kind.access is Access.WRITE else 0)
    code |= np.uint32(Fault.US if kind.user else 0)
    if kind.access is Access.FETCH and (controls.nxe or controls.smep):
        code |= np.uint32(Fault.ID)

    vector = np.where(fails, np.uint8(PAGE_FAULT), np.uint8(ALLOWED))
    # A non-canonical address never reaches paging: #GP(0), SDM vol. 1 3.3.7.1. An address of
    # more than 32 bits is none that a CPU in the modes of 32 bits could name.
    outside = GENERAL_PROTECTION if fmt.address_bits == 64 else UNPREDICTABLE
    vector[translations.kind == NOT_TRANSLATED] = outside
    # PKRU decides whether an allowed access faults, and the PK bit of one that faults.
    vector[(translations.kind == Kind.UNREADABLE) | key_open] = UNPREDICTABLE
    code[vector != PAGE_FAULT] = 0
    return Verdicts(vector, code)


def key_of(translations: Translations) -> U64:
    """Return each translated address's protection key, uint64[n]; 0 where nothing is mapped."""
    key = np.zeros(translations.va.size, dtype=np.uint64)
    mapped, of = translations.mapped, partial(leaf_field, translations.fmt, "PK")
    key[mapped] = by_level(translations.lvl[mapped], translations.entry[mapped], of)
    return key


def _key_denies(translations: Translations, pkru: int, write: bool) -> Bool:
    """Tell where PKRU denies a data access, if the address is a user-mode one (SDM 4.6.2).

    write: whether it is one that WD applies to.
    """
    bits = np.uint64(pkru) >> (key_of(translations) * np.uint64(2))
    denies: Bool = (bits & np.uint64(0b11 if write else 0b01)) != 0
    return denies


def pieces(va: int, length: int, page: int = 1 << 12, bits: int = 64) -> list[tuple[int, int]]:
    """Split an access of `length` bytes at `va` where it may cross a page.

    Returns (va, length) in address order, modulo 2**bits. The CPU reports the
    first piece that fails; CR2 is then that piece's address.
    """
    result = []
    while length > 0:
        size = min(length, page - va % page)
        result.append((va, size))
        va, length = (va + size) % (1 << bits), length - size
    return result

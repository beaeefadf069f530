"""What becomes of an access: allowed, or a fault, and the bit that decides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ptlive.access_kind import Access
from ptlive.analysis.translation import outcome
from ptlive.paging import fields, rights
from ptlive.paging.access import ALLOWED, PAGE_FAULT, Controls, key_of
from ptlive.paging.format import Kind, Match

if TYPE_CHECKING:
    from ptlive.access_kind import AccessKind
    from ptlive.arrays import U64
    from ptlive.paging.format import Format
    from ptlive.paging.translate import Translations

STACK_FAULT = 12
#: Which right a kind of access needs besides that of user mode.
_NEEDS = {Access.FETCH: "execute", Access.WRITE: "write"}


class Space(Protocol):
    """An address space, as far as explaining needs one."""

    @property
    def format(self) -> Format:
        """Its format."""
        ...

    def translate(self, va: U64) -> Translations:
        """Translate addresses, uint64[n]."""
        ...


@dataclass(frozen=True)
class Bit:
    """What in an entry decides: `text` such as "R/W=0"; the entry, its level and its name."""

    level: int
    name: str
    text: str
    entry_pa: int
    entry: int


@dataclass(frozen=True)
class Fate:
    """What becomes of an access of one kind.

    vector: 0 if it is allowed, None if the tables do not decide
    key: the protection key that decides then, if that is why
    address: where it begins to fail, or begins; for a page fault, what CR2 would be
    bit: what decides, if that is a bit of an entry
    """

    kind: AccessKind
    vector: int | None
    error_code: int
    address: int
    reason: str
    bit: Bit | None = None
    key: int | None = None

    @property
    def allowed(self) -> bool:
        """Whether the access happens."""
        return self.vector == ALLOWED

    @property
    def faults(self) -> bool:
        """Whether it is known to fault."""
        return self.vector is not None and not self.allowed

    @property
    def is_page_fault(self) -> bool:
        """Whether it gets a page fault."""
        return self.vector == PAGE_FAULT


def fate_of(translations: Translations, row: int, controls: Controls, kind: AccessKind) -> Fate:
    """Return what one access to a translated address gets, and by which bit."""
    found = outcome(translations, row, controls, kind)
    one = translations.take(np.array([row]))
    return Fate(
        kind=kind,
        vector=found.vector,
        error_code=found.error_code,
        address=int(translations.va[row]),
        reason=found.reason,
        bit=_bit(one, found.level, kind) if found.level else None,
        key=int(key_of(one)[0]) if found.vector is None and one.mapped[0] else None,
    )


def _bit(one: Translations, lvl: int, kind: AccessKind) -> Bit | None:
    """Return what the entry of the deciding level has that decides."""
    for steps, at in one.path(0):
        if steps.lvl == lvl:
            entry, entry_pa = int(steps.entry[at]), int(steps.entry_pa[at])
            break
    else:
        return None
    text = _text(one, lvl, entry, kind)
    return Bit(lvl, one.fmt.level(lvl).spec, text, entry_pa, entry) if text else None


def _text(one: Translations, lvl: int, entry: int, kind: AccessKind) -> str:
    fmt, found = one.fmt, Kind(int(one.kind[0]))
    if found is Kind.ABSENT:
        mask = fmt.present.mask if isinstance(fmt.present, Match) else 0
        return f"{_name(fmt, lvl, mask)}=0" if mask else ""
    if found is Kind.MALFORMED:
        return ", ".join(f"bit {bit}=1" for bit in fields.reserved_bits(fmt, lvl, entry))
    if found is not Kind.LEAF:
        return ""
    by = rights.denied_by(fmt, [(s.lvl, int(s.entry[at])) for s, at in one.path(0)])
    needed = [*(["user"] if kind.user else []), _NEEDS.get(kind.access, "")]
    for name in needed:
        if name and by[name] == lvl:
            right = fmt.right(name)
            return f"{_name(fmt, lvl, right.mask)}={int(right.set_denies)}"
    key = next((value for field, value in fields.fields(fmt, lvl, entry) if field.name == "PK"), 0)
    return f"PK={key}"


def _name(fmt: Format, lvl: int, mask: int) -> str:
    """Return the name of the field that has this mask."""
    return next((f.name for f in fmt.level(lvl).fields if f.mask == mask), f"bit {mask:#x}")

"""One address, told step by step: its path, its rights, the fault it would get."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ptlive.paging import fields, rights
from ptlive.paging.access import ALLOWED, UNPREDICTABLE, check, key_of
from ptlive.paging.format import Kind
from ptlive.paging.translate import NOT_TRANSLATED

if TYPE_CHECKING:
    from collections.abc import Callable

    from ptlive.access_kind import AccessKind
    from ptlive.arrays import U8, U64
    from ptlive.paging.access import AccessRules
    from ptlive.paging.format import Format, Level
    from ptlive.paging.translate import Steps, Translations


@dataclass(frozen=True)
class Step:
    """One entry on the path. `kind` is a `Kind`; reserved: the bits that make it malformed."""

    lvl: int
    level: Level
    table: int
    index: int
    entry_pa: int
    entry: int
    kind: Kind
    bits: dict[str, int]
    reserved: list[int]


@dataclass(frozen=True)
class Outcome:
    """What an access would get.

    vector: 0 if it is allowed, on x86 14 or 13 for a fault, None if the tables do not
    decide; cr2: the address that a page fault reports; level: of the entry that
    decides, if one does; reason: in words; short: the fault as its architecture calls it.
    """

    kind: AccessKind
    vector: int | None
    error_code: int
    cr2: int | None
    level: int | None
    reason: str
    short: str

    @property
    def allowed(self) -> bool:
        """Whether the access happens."""
        return self.vector == ALLOWED


@dataclass(frozen=True)
class Translation:
    """One address: pa and page_bits are None if nothing is mapped there.

    decided_by: for each right the level that denies it, first from the root.
    """

    fmt: Format
    va: int
    pa: int | None
    page_bits: int | None
    target: str | None
    rights: dict[str, bool]
    decided_by: dict[str, int | None]
    path: list[Step]
    outcomes: list[Outcome]


def describe(
    translations: Translations,
    row: int,
    controls: AccessRules,
    kinds: list[AccessKind],
    target: Callable[[U64, U64], U8],
    target_names: tuple[str, ...],
) -> Translation:
    """Tell one of the translated addresses step by step.

    kinds: the accesses whose outcome is to be told; target: see `regions`.
    """
    fmt = translations.fmt
    path = [_step(fmt, steps, at) for steps, at in translations.path(row)]
    mapped = bool(translations.mapped[row])
    bits = translations.page_bits[row : row + 1].astype(np.uint64)
    walked = [(step.lvl, step.entry) for step in path]
    return Translation(
        fmt=fmt,
        va=int(translations.va[row]),
        pa=int(translations.pa[row]) if mapped else None,
        page_bits=int(bits[0]) if mapped else None,
        target=target_names[target(translations.pa[row : row + 1], bits * 0)[0]]
        if mapped
        else None,
        rights=rights.names(fmt, int(translations.rights[row])) if mapped else {},
        decided_by=rights.denied_by(fmt, walked) if mapped else {},
        path=path,
        outcomes=[outcome(translations, row, controls, kind) for kind in kinds],
    )


def _step(fmt: Format, steps: Steps, at: int) -> Step:
    lvl, entry, kind = steps.lvl, int(steps.entry[at]), Kind(steps.kind[at])
    return Step(
        lvl=lvl,
        level=fmt.level(lvl),
        table=int(steps.table[at]),
        index=int(steps.index[at]),
        entry_pa=int(steps.entry_pa[at]),
        entry=entry,
        kind=kind,
        bits=fields.bits(fmt, lvl, entry),
        reserved=fields.reserved_bits(fmt, lvl, entry) if kind is Kind.MALFORMED else [],
    )


def outcome(
    translations: Translations, row: int, controls: AccessRules, kind: AccessKind
) -> Outcome:
    """Predict one access of one byte, and say why."""
    one = translations.take(np.array([row]))
    verdict = check(one, controls, kind)
    vector, code = int(verdict.vector[0]), int(verdict.error_code[0])
    level, reason = _reason(one, controls, kind, vector, code)
    if vector == UNPREDICTABLE and controls.key_matters and translations.mapped[row]:
        # What faults though every key allows it faults in any case: only PK is open.
        permissive = check(one, controls.with_pkru(0), kind)
        if permissive.vector[0] != ALLOWED:
            vector, code = int(permissive.vector[0]), int(permissive.error_code[0])
            level, reason = _reason(one, controls, kind, vector, code)
            reason += "; PK may be set as well, PKRU is not known (pkru tells it)"
    va = int(translations.va[row])
    faults = vector not in (ALLOWED, UNPREDICTABLE)
    return Outcome(
        kind=kind,
        vector=None if vector == UNPREDICTABLE else vector,
        error_code=code,
        cr2=va if faults and vector != controls.before_paging else None,
        level=level,
        reason=reason,
        short=controls.words(vector, code),
    )


def first_failure(outcomes: list[Outcome]) -> Outcome:
    """Return the outcome of an access in several pieces, given in address order.

    A byte that is not canonical fails it as a whole, before any translation; else
    the first piece that is not allowed does (SDM vol. 3A 4.7 gives CR2 no more).
    """
    for one in outcomes:
        if one.vector is not None and not one.allowed and one.cr2 is None:
            return one
    return next((one for one in outcomes if not one.allowed), outcomes[0])


def _reason(
    one: Translations, controls: AccessRules, kind: AccessKind, vector: int, code: int
) -> tuple[int | None, str]:
    """Return the level that decides about an access, and why."""
    fmt, found, lvl, entry = one.fmt, int(one.kind[0]), int(one.lvl[0]), int(one.entry[0])
    if found == NOT_TRANSLATED:
        return None, f"the address {fmt.outside}"
    where = f"the {fmt.level(lvl).spec} (level {lvl})"
    if found == Kind.ABSENT:
        return lvl, f"{where} is not present"
    if found == Kind.MALFORMED:
        return lvl, f"{where} {fields.why_malformed(fmt, lvl, entry)}"
    if found == Kind.UNREADABLE:
        table = fields.refers_to(fmt, lvl, entry)
        return lvl, f"{where} refers to a table at {table:#x}, which is in no RAM and no ROM"
    if vector == UNPREDICTABLE:
        key = int(key_of(one)[0])
        return lvl, f"protection key {key} decides, and PKRU is not known (pkru tells it)"
    if vector == ALLOWED:
        return None, "allowed"
    return controls.denied(one, kind, code)

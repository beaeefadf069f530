"""Questions for the stepped probe: where each access should arrive, or how it should fail."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ptlive.access_kind import Access
from ptlive.memory.ram_map import Kind as Target
from ptlive.oracle.observation import Probe, Proof
from ptlive.paging import rights
from ptlive.paging.access import ALLOWED, UNPREDICTABLE, check
from ptlive.paging.format import Kind
from ptlive.paging.formats import x86_64
from ptlive.paging.translate import NOT_TRANSLATED

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ptlive.access_kind import AccessKind
    from ptlive.arrays import U64, Bool
    from ptlive.paging.translate import Translations
    from ptlive.space import AddressSpace

_PAGE = np.uint64(0xFFF)


@dataclass(frozen=True)
class Question:
    """One access to one of the translated addresses, and its prediction.

    row: of the address; probe: what to ask, None if it is not asked, and
    unchecked says why
    """

    row: int
    kind: AccessKind
    vector: int
    error_code: int
    probe: Probe | None
    unchecked: str | None = None


def questions(
    space: AddressSpace,
    translations: Translations,
    kinds: Sequence[AccessKind],
    tables: U64,
) -> Iterator[Question]:
    """Yield a question for each address and kind of access.

    tables: uint64[m], ascending: frames in which nothing may be planted, as they
        hold page tables
    """
    targets = space.target_of(translations.pa, np.zeros_like(translations.pa))
    spared = np.isin(translations.pa & ~_PAGE, tables)
    paths = [
        tuple(int(step.entry_pa[at]) for step, at in translations.path(row))
        for row in range(translations.va.size)
    ]
    for kind in kinds:
        verdicts = check(translations, space.controls, kind)
        unmodelled = _not_modelled(space, translations, kind)
        for row in range(translations.va.size):
            vector, code = int(verdicts.vector[row]), int(verdicts.error_code[row])
            target = Target(targets[row]) if translations.mapped[row] else None
            reason = _cannot(translations, row, kind, vector, target, unmodelled[row])
            if reason:
                yield Question(row, kind, vector, code, None, reason)
                continue
            proof, pa = Proof.NONE, None
            if target in (Target.RAM, Target.ROM):
                pa = int(translations.pa[row])
                proof = Proof.COMPARE if spared[row] or target is Target.ROM else Proof.PLANT
            elif target is Target.NOTHING:
                pa = int(translations.pa[row])
            if kind.access is Access.FETCH and vector != ALLOWED and proof is not Proof.PLANT:
                pa = None  # it is to fault before it arrives anywhere
            probe = Probe(int(translations.va[row]), kind, pa, proof, paths[row])
            yield Question(row, kind, vector, code, probe)


def _cannot(
    translations: Translations,
    row: int,
    kind: AccessKind,
    vector: int,
    target: Target | None,
    unmodelled: str | None,
) -> str | None:
    """Say why an access is not asked for."""
    if unmodelled:
        return unmodelled
    if vector == UNPREDICTABLE:
        if translations.kind[row] == Kind.UNREADABLE:
            return "a table lies in no memory: the tables do not say what happens"
        return "PKRU is not known"
    if target is Target.DEVICE:
        return "device memory: an access may have effects"
    if target is Target.ROM and kind.access is Access.WRITE and vector == ALLOWED:
        return "ROM: a write may reach a device (flash)"
    if kind.access is Access.FETCH and vector == ALLOWED and target is not Target.RAM:
        return "not RAM: a fetch would execute what is there"
    return None


def _not_modelled(
    space: AddressSpace, translations: Translations, kind: AccessKind
) -> list[str | None]:
    """Say for each address why control bits that are not modelled leave it unchecked."""
    reasons: list[str | None] = [None] * translations.va.size
    affected: dict[str, Bool] = {
        # LAM masks bits of pointers before translation (SDM vol. 3A 4.4).
        "LAM": translations.kind == NOT_TRANSLATED,
        # LASS keeps user mode out of the upper half and the supervisor out of the lower,
        # before any translation (SDM vol. 3A 4.6.3, in newer editions).
        "LASS": (translations.va >> np.uint64(63) != 0) == kind.user,
    }
    if kind.access is not Access.FETCH:
        user = rights.granted(space.format, translations.rights, "user")
        # CR4.PKS applies IA32_PKRS to supervisor-mode addresses (SDM vol. 3A 4.6.2).
        affected["PKS"] = translations.mapped & ~user
        affected["CET"] = translations.mapped & x86_64.SHADOW_STACK(translations.entry)
    for name, rows in affected.items():
        if name in space.not_modelled:
            for row in np.flatnonzero(rows):
                reasons[row] = f"{name} is on and not modelled"
    return reasons

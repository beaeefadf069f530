"""What an instruction's accesses get: page by page, in the order of the CPU."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ptlive.analysis.explain.fate import STACK_FAULT, Fate, Space, fate_of
from ptlive.analysis.instruction.touch import Does, State, Touch
from ptlive.paging.access import ALLOWED, GENERAL_PROTECTION, UNPREDICTABLE, Controls, check
from ptlive.paging.format import Kind
from ptlive.paging.translate import NOT_TRANSLATED

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ptlive.access_kind import AccessKind
    from ptlive.analysis.instruction.touches import Instruction
    from ptlive.paging.translate import Translations

_PAGE = 1 << 12
#: Pages of one access that are looked at: a repeated string may have 2^64 of them.
MOST_PAGES = 4096


@dataclass(frozen=True)
class Where:
    """What a page of an access is mapped to: rights and pa of its first byte there, page size."""

    va: int
    pa: int | None
    page_bits: int | None
    rights: int


@dataclass(frozen=True)
class Judged:
    """One access and what it gets.

    fate: of its first part that faults, else of the first of which that is not known, else
        of its first
    pages: the first and the last that are looked at; count: how many
    unseen: bytes beyond those
    """

    touch: Touch
    fate: Fate
    first: Where
    last: Where
    count: int
    unseen: int


def judge(
    instruction: Instruction,
    state: State,
    space: Space,
    controls: Controls,
    *,
    reads_first: bool = False,
) -> list[Judged]:
    """Return what each access of an instruction gets, in the order of its accesses.

    reads_first: whether what is read and then written faults as a read where it cannot be
    read; the manual leaves that open (see `answers.explain`)
    """
    return [_judge(touch, state, space, controls, reads_first) for touch in instruction.touches]


def first_to_fault(judged: Iterable[Judged]) -> int | None:
    """Return the number of the first access that faults, None if none is known to."""
    return next((at for at, one in enumerate(judged) if one.fate.faults), None)


def _judge(
    touch: Touch, state: State, space: Space, controls: Controls, reads_first: bool
) -> Judged:
    starts = list(_pages(touch))
    seen = sum(length for _, length in starts)
    translations = space.translate(np.array([va for va, _ in starts], dtype=np.uint64))
    kinds = touch.kinds(state)
    if touch.does is Does.MODIFY and not reads_first:
        kinds = kinds[-1:]  # what may be written may be read
    before = _before_paging(touch, translations, kinds[0], starts)
    fate = before or _first(translations, controls, kinds)
    ends = (_where(translations, 0), _where(translations, len(starts) - 1))
    return Judged(touch, fate, *ends, len(starts), touch.length - seen)


def _pages(touch: Touch) -> Iterator[tuple[int, int]]:
    """Yield the pages of an access in the order in which they are touched, up to MOST_PAGES.

    As (va, bytes): the address is that of the first byte that is touched there, of a
    string that goes downwards that of its highest element.
    """
    pages = -(-(touch.va % _PAGE + touch.length) // _PAGE)
    for number in range(min(pages, MOST_PAGES)):
        page = pages - 1 - number if touch.descending else number
        first = max(page * _PAGE - touch.va % _PAGE, 0)
        last = min((page + 1) * _PAGE - touch.va % _PAGE, touch.length) - 1
        at = max(last // touch.size * touch.size, first) if touch.descending else first
        yield (touch.va + at) % (1 << 64), last + 1 - first


def _before_paging(
    touch: Touch, translations: Translations, kind: AccessKind, starts: list[tuple[int, int]]
) -> Fate | None:
    """Return the fault that an access gets before anything is translated, if it does."""
    if touch.va % touch.alignment:
        reason = f"it is not aligned to {touch.alignment} bytes"
        return Fate(kind, GENERAL_PROTECTION, 0, touch.va, reason)
    away = np.flatnonzero(translations.kind == NOT_TRANSLATED)
    # Elements of a string come one after the other; any other access is one.
    if not away.size or (touch.element and away[0] > 0):
        return None
    vector = STACK_FAULT if touch.stack else GENERAL_PROTECTION
    return Fate(kind, vector, 0, starts[int(away[0])][0], "the address is not canonical")


def _first(translations: Translations, controls: Controls, kinds: tuple[AccessKind, ...]) -> Fate:
    """Return the fate of the first page that faults, else of one that is not known, else any."""
    faulting, unknown = [], []
    # What faults though every key allows it faults in any case.
    permissive = replace(controls, pkru=0) if controls.key_matters else controls
    for order, kind in enumerate(kinds):
        vector = check(translations, permissive, kind).vector
        bad = np.flatnonzero((vector != ALLOWED) & (vector != UNPREDICTABLE))
        faulting += [(int(row), order) for row in bad[:1]]
        vector = check(translations, controls, kind).vector
        unknown += [(int(row), order) for row in np.flatnonzero(vector == UNPREDICTABLE)[:1]]
    row, order = min(faulting or unknown or [(0, len(kinds) - 1)])
    return fate_of(translations, row, controls, kinds[order])


def _where(translations: Translations, row: int) -> Where:
    mapped = translations.kind[row] == Kind.LEAF
    return Where(
        va=int(translations.va[row]),
        pa=int(translations.pa[row]) if mapped else None,
        page_bits=int(translations.page_bits[row]) if mapped else None,
        rights=int(translations.rights[row]) if mapped else 0,
    )

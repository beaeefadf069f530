"""What is put to the test: everything that says what a page table means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ptlive.paging.access import Controls, Verdicts, check
from ptlive.paging.formats import x86_64
from ptlive.paging.translate import Translations, translate

if TYPE_CHECKING:
    from collections.abc import Callable

    from ptlive.access_kind import AccessKind
    from ptlive.arrays import U64, Bool, Memory
    from ptlive.paging.format import Format


def marks(translations: Translations, allowed: Bool, write: bool) -> tuple[U64, U64]:
    """Return which entries accesses of one kind mark as accessed, and which as dirty.

    allowed: bool[n], at which of the translated addresses they happen. Returns the
    entries' physical addresses. A is set in every entry on the way, D by a write in
    the one that maps the page (SDM vol. 3A 4.8).
    """
    used = [step.entry_pa[allowed[step.row]] for step in translations.steps]
    dirty = translations.entry_pa[allowed & write]
    return np.unique(np.concatenate(used)), np.unique(dirty)


@dataclass(frozen=True)
class Rules:
    """The walker, its format and the rules of access; a test may exchange any of them."""

    make_format: Callable[..., Format] = x86_64.make_levels
    translate: Callable[[Format, Memory, U64, U64], Translations] = translate
    check: Callable[[Translations, Controls, AccessKind], Verdicts] = check
    marks: Callable[[Translations, Bool, bool], tuple[U64, U64]] = marks


OURS = Rules()

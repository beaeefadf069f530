"""One address and what it translates to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ptlive.access_kind import ACCESS_KINDS
from ptlive.api.rights import Rights
from ptlive.api.shown import Row, Shown, Table
from ptlive.errors import PtliveError
from ptlive.paging.fields import size_name
from ptlive.show import translation as show
from ptlive.show import words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ptlive.analysis import translation as analysis
    from ptlive.analysis.translation import Outcome, Step
    from ptlive.paging.format import Format


@dataclass(frozen=True, repr=False)
class Fault(Row):
    """What an access gets that is not allowed (SDM vol. 3A 4.6, 4.7, 6.15 "interrupt 14").

    access: which one, such as "user-write"; vector: 14 (#PF) or 13 (#GP), None where the
    tables alone do not decide (a protection key, and PKRU is not known)
    error_code: of a page fault; cr2: the address that it reports, None for #GP
    level: of the entry that decides, 1 is that of base pages; None where no entry does
    reason: in words; text: all of it in one line
    """

    access: str
    vector: int | None
    error_code: int
    cr2: int | None
    level: int | None
    reason: str
    text: str

    def __str__(self) -> str:
        return self.text


class Translation(Shown):
    """One linear address: what it translates to, by which entries, and what accesses get.

    va: the address; pa: its physical address, None where nothing is mapped
    page_size: of its page, in bytes; None where nothing is mapped
    target: what the physical address lies in: "RAM", "ROM", "device", "nothing", or None
    rights: folded over the path, see `Rights`; None where nothing is mapped
    decided_by: for each right the level that denies it, first from the root, else None
    path: the entries from the root's table downwards, each with lvl, level.spec, level.linux,
        table, index, entry_pa, entry, kind and bits; empty for an address that is not canonical
    """

    def __init__(self, fmt: Format, found: analysis.Translation, length: int) -> None:
        self._fmt, self._found = fmt, found
        self._outcomes = {outcome.kind.name: outcome for outcome in found.outcomes}
        self.length = length
        self.va = found.va
        self.pa = found.pa
        self.page_size = None if found.page_bits is None else 1 << found.page_bits
        self.target = found.target
        self.rights = Rights.named(fmt, found.rights) if found.pa is not None else None
        self.decided_by: dict[str, int | None] = found.decided_by
        self.path: tuple[Step, ...] = tuple(found.path)

    def __bool__(self) -> bool:
        """Whether it is mapped."""
        return self.pa is not None

    def fault(self, access: str = "supervisor-read") -> Fault | None:
        """Return the fault that an access gets, None if it is allowed.

        access: supervisor- or user-read, -write or -fetch; supervisor-read-ac and -write-ac
        are with RFLAGS.AC set. Of several bytes (`length` of `translate`) that of the first
        byte that faults. Raises PtliveError for another name.
        """
        outcome = self._outcomes.get(access)
        if outcome is None:
            raise PtliveError(f"there is no access {access!r}: there are {', '.join(ACCESS_KINDS)}")
        return None if outcome.allowed else _fault(outcome)

    def _title(self) -> str:
        rights = f", {self.rights}" if self.rights else ""
        return f"{show.headline(self._found)}{rights}"

    def _content(self) -> Iterator[str | Table]:
        rows = [show.path_row(step) for step in self.path]
        if rows:
            yield Table(show.path_header(self._found.fmt), rows, "   >")
        for name, lvl in self.decided_by.items():
            if lvl is not None:
                yield f"{name} denied by the {self._fmt.level(lvl).spec} (level {lvl})"
        faults = {name: self.fault(name) for name in self._outcomes}
        allowed = [name for name, fault in faults.items() if fault is None]
        if allowed:
            yield f"allowed: {', '.join(allowed)}"
        reasons: dict[str, list[str]] = {}
        for name, fault in faults.items():
            if fault is not None:
                reasons.setdefault(str(fault), []).append(name)
        for reason, names in reasons.items():
            yield f"{', '.join(names)}: {reason}"


def _fault(outcome: Outcome) -> Fault:
    return Fault(
        access=outcome.kind.name,
        vector=outcome.vector,
        error_code=outcome.error_code,
        cr2=outcome.cr2,
        level=outcome.level,
        reason=outcome.reason,
        text=show.outcome_text(outcome),
    )


def page_words(pages: dict[int, int]) -> str:
    """Return how many pages of each size, in bytes: 3 x 4K + 2 x 2M."""
    return words.pages({size_name(size.bit_length() - 1): n for size, n in pages.items()})

"""What changed on the path of one address between two moments, entry by entry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from ptlive.analysis.diff.looks import MARKS
from ptlive.paging import fields
from ptlive.paging.format import Kind

if TYPE_CHECKING:
    from ptlive.analysis.translation import Step, Translation
    from ptlive.paging.format import Format


class FieldChange(NamedTuple):
    """A named field of an entry, of so many bits, and its value at both moments."""

    name: str
    bits: int
    before: int
    after: int


@dataclass(frozen=True)
class EntryChange:
    """An entry that holds something else than before, at the same place.

    address: what it referred to and refers to, if that differs; fields: those that differ;
    others: numbers of the bits that differ and belong to neither. All three are empty
    where the entry is of another kind now, or is not present: its bits mean something else.
    """

    before: Step
    after: Step
    address: tuple[int, int] | None
    fields: tuple[FieldChange, ...]
    others: tuple[int, ...]

    @property
    def marks_only(self) -> bool:
        """Whether nothing differs but what the MMU writes: its accessed and dirty bits."""
        if self.address or self.others or not self.fields:
            return False
        return all(field.name in MARKS for field in self.fields)


@dataclass(frozen=True)
class PathChange:
    """An address at two moments, and the entries of its path that changed in between.

    entries: those at places that are on both paths, from the root on. Where one of them
    leads to another table, what is below is another path, not a change of this one.
    """

    before: Translation
    after: Translation
    entries: tuple[EntryChange, ...]

    @property
    def marks_only(self) -> bool:
        """Whether nothing changed but accessed and dirty bits."""
        return all(entry.marks_only for entry in self.entries)


def path_change(fmt: Format, before: Translation, after: Translation) -> PathChange:
    """Compare the path of one address, below one root, at two moments."""
    steps = zip(before.path, after.path, strict=False)
    same_place = ((old, new) for old, new in steps if old.entry_pa == new.entry_pa)
    changed = (_entry_change(fmt, old, new) for old, new in same_place if old.entry != new.entry)
    return PathChange(before, after, tuple(changed))


def _entry_change(fmt: Format, old: Step, new: Step) -> EntryChange:
    if old.kind is not new.kind or new.kind is Kind.ABSENT:
        return EntryChange(old, new, None, (), ())
    was, now = (fields.refers_to(fmt, old.lvl, step.entry) for step in (old, new))
    known, named = was ^ now, []
    for (field, before), (_, after) in zip(
        *(fields.fields(fmt, old.lvl, step.entry) for step in (old, new)), strict=True
    ):
        known |= field.mask
        if before != after:
            named.append(FieldChange(field.name, field.mask.bit_count(), before, after))
    rest = (old.entry ^ new.entry) & ~known
    others = tuple(bit for bit in range(rest.bit_length()) if rest >> bit & 1)
    return EntryChange(old, new, None if was == now else (was, now), tuple(named), others)

"""What changed in a running guest while it was read (--live)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ptlive.memory.live import Torn

# Bits that mean the same at all levels (SDM vol. 3A tables 4-14 to 4-20), and of them those
# that the MMU itself sets (4.8).
_NAMES = {0: "P", 1: "R/W", 2: "U/S", 3: "PWT", 4: "PCD", 5: "A", 6: "D", 63: "XD"}
_MARKS = 1 << 5 | 1 << 6
_ADDRESS = range(12, 52)
# So many are told one by one, in text.
_TOLD = 10


@dataclass(frozen=True)
class Changes:
    """Entries that were other ones when they were read again, by address: before, after.

    notes: as (code, text): that there are such, and a CR3 that is another one now
    """

    entries: dict[int, tuple[int, int]] = field(default_factory=dict)
    notes: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, torn: Torn, notes: list[tuple[str, str]]) -> Changes:
        """Return them for what was found by reading again."""
        rows = zip(torn.entry_pa.tolist(), torn.before.tolist(), torn.after.tolist(), strict=True)
        found = {at: (before, after) for at, before, after in rows}
        if found:
            marks = sum(_only_marks(before ^ after) for before, after in found.values())
            what = "entry was" if len(found) == 1 else "entries were"
            text = f"{len(found)} {what} torn: the guest changed them while they were read"
            also = f", in {marks} of them nothing but A or D" if marks else ""
            notes = [*notes, ("torn", text + also)]
        return cls(found, tuple(notes))

    def lines(self) -> Iterator[str]:
        """Yield a line for each of the first torn entries."""
        for at in sorted(self.entries)[:_TOLD]:
            before, after = self.entries[at]
            yield f"torn: entry at {at:#x} {before:#x} -> {after:#x} ({changed(before ^ after)})"
        if len(self.entries) > _TOLD:
            yield f"torn: {len(self.entries) - _TOLD} more"

    def as_json(self) -> list[dict[str, Any]]:
        """Return all of them for JSON."""
        return [
            {
                "entry_pa": hex(at),
                "before": hex(before),
                "after": hex(after),
                "changed": changed(before ^ after),
            }
            for at, (before, after) in sorted(self.entries.items())
        ]


def changed(bits: int) -> str:
    """Return what changed in an entry: "A D", "P A address", numbers of bits without a name."""
    numbers = [bit for bit in range(64) if bits >> bit & 1]
    named = [_NAMES[bit] for bit in numbers if bit in _NAMES]
    address = ["address"] if any(bit in _ADDRESS for bit in numbers) else []
    others = [f"bit {bit}" for bit in numbers if bit not in _NAMES and bit not in _ADDRESS]
    return " ".join([*named, *address, *others])


def _only_marks(bits: int) -> bool:
    return not bits & ~_MARKS

"""A profile: what is known of a system beyond what the hardware says.

It is data for whoever shows or judges what is mapped; nothing here knows any system.
Which profiles there are is told by `systems`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from ptlive.analysis.areas import Area
    from ptlive.arrays import U8, U64, Bool


class NameOf(Protocol):
    """Names an address by its symbol, and how far behind it that is."""

    def __call__(self, va: int, /) -> str | None:
        """Return it, such as "schedule+0x1a"; None where none is known."""
        ...


class Explained(NamedTuple):
    """What one entry that is not present says: in short, its numbers by name, in words."""

    name: str
    values: dict[str, int]
    text: str


class Absent(Protocol):
    """Tells what entries that are not present say."""

    def __call__(
        self, lvl: int, entries: U64, kernel: Bool | bool = False
    ) -> tuple[U8, tuple[str, ...]]:
        """Return codes, uint8[n], for entries, uint64[n], and the names of all codes.

        The first code is that of an entry of zeros. kernel: which of them translate the
        kernel's own addresses, where that matters.
        """
        ...


class Explain(Protocol):
    """Tells what one entry that is not present says."""

    def __call__(self, lvl: int, entry: int, kernel: bool = False) -> Explained:
        """Return it with its details; see `Absent`."""
        ...


def _nameless(_va: int) -> str | None:
    return None


@dataclass(frozen=True, eq=False)
class Profile:
    """What is known of one system, in one of its address spaces.

    name: of the system, such as "linux"
    areas: sorted by address, none overlapping
    evidence: why this is thought to be that system, in sentences
    absent, explain: what entries that are not present say; see there
    kernel_from: the first address of the kernel's own, for `absent` and `explain`
    root: of the address space in which the areas were seen, which may be the other half
        of an isolated pair
    parts: finer areas, known from symbols; they lie inside of areas, on any byte
    name_of: names an address
    """

    name: str
    areas: tuple[Area, ...]
    evidence: tuple[str, ...]
    absent: Absent
    explain: Explain
    kernel_from: int = 1 << 63
    root: int = 0
    parts: tuple[Area, ...] = ()
    name_of: NameOf = _nameless

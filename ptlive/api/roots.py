"""The root tables that a guest's RAM holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, overload

from ptlive.answers.spaces import found_roots, space_of
from ptlive.api.shown import ROWS, Row, Shown, Table
from ptlive.api.space import AddressSpace
from ptlive.show import words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ptlive.analysis.roots.find import FoundRoot, FoundRoots
    from ptlive.answers.spaces import PlainView
    from ptlive.api.held import Held

_HEADER = ("#", "root", "kind", "confidence", "pages", "mapped", "vCPUs", "partner", "evidence")


@dataclass(frozen=True, repr=False)
class Root(Row):
    """One root table, with the reasons why it is thought to be one.

    number: as `ptlive roots` and "#N" count them; root: its physical address
    kind: "process", "kernel", "user half" (of an isolation pair) or "other"
    confidence: from 0 to 1; evidence: in sentences; vcpus: those that use it
    pages, bytes: what its lower half maps, None where that is not known
    partner: the other half of an isolation pair, None if there is none
    """

    number: int
    root: int
    kind: str
    confidence: float
    evidence: tuple[str, ...]
    vcpus: tuple[int, ...]
    pages: int | None
    bytes: int | None
    partner: int | None
    _found: FoundRoot = field(repr=False, compare=False)
    _held: Held = field(repr=False, compare=False)
    _view: PlainView = field(repr=False, compare=False)

    def space(self) -> AddressSpace:
        """Return its address space, as the vCPU that uses it sees it.

        Raises PtliveError once the guest was given back.
        """
        self._held.check()
        return AddressSpace(self._held, space_of(self._held.target, self._view, self._found))


class Roots(Shown, Sequence[Root]):
    """The root tables of a guest, by number: a sequence of `Root`.

    looked, of: how many frames of RAM were looked at, of how many; notes: what bounds cut off
    """

    def __init__(self, roots: list[Root], found: FoundRoots) -> None:
        self._roots = roots
        self.looked, self.of, self.notes = found.looked, found.of, found.limits

    @overload
    def __getitem__(self, at: int) -> Root: ...
    @overload
    def __getitem__(self, at: slice) -> list[Root]: ...
    def __getitem__(self, at: int | slice) -> Root | list[Root]:
        return self._roots[at]

    def __len__(self) -> int:
        return len(self._roots)

    def _title(self) -> str:
        processes = sum(one.kind == "process" for one in self)
        return f"{words.count(len(self), 'root')}, {processes} of processes"

    def _content(self) -> Iterator[str | Table]:
        rows = [_cells(one) for one in self._roots[:ROWS]]
        yield Table(_HEADER, rows, ">>  >>", len(self) - len(rows))
        yield from (f"note: {note}" for note in self.notes)


def _cells(one: Root) -> tuple[str, ...]:
    return (
        f"#{one.number}",
        f"{one.root:#x}",
        one.kind,
        f"{one.confidence:.2f}",
        "" if one.pages is None else f"{one.pages:,}",
        "" if one.bytes is None else words.size(one.bytes),
        " ".join(map(str, one.vcpus)),
        "" if one.partner is None else f"{one.partner:#x}",
        "; ".join(one.evidence),
    )


def roots(held: Held, view: PlainView, min_confidence: float) -> Roots:
    """Look through all of RAM for root tables; see `Guest.roots`."""
    found = found_roots(held.target, view, held.scanned)
    listed = [
        Root(
            number=one.number,
            root=one.root,
            kind=one.kind,
            confidence=one.confidence,
            evidence=one.evidence,
            vcpus=one.vcpus,
            pages=None if one.below is None else one.below.leaves,
            bytes=None if one.below is None else one.below.bytes,
            partner=one.partner,
            _found=one,
            _held=held,
            _view=view,
        )
        for one in found.roots
        if one.confidence >= min_confidence
    ]
    return Roots(listed, found)

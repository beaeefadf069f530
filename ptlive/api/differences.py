"""What is different between two address spaces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

from ptlive.api.rights import Rights
from ptlive.api.shown import ROWS, Row, Shown, Table
from ptlive.errors import PtliveError
from ptlive.show import diff as show
from ptlive.show import words
from ptlive.space import TARGET_NAMES

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from ptlive import space as inner
    from ptlive.analysis.areas import Area
    from ptlive.analysis.diff.compare import Diff
    from ptlive.arrays import U64
    from ptlive.paging.format import Format


@dataclass(frozen=True, repr=False)
class Side(Row):
    """What a region is on one side.

    pa: of the first page; contiguous: whether the frames follow each other
    page_size: of its pages, such as "4K", None where they differ; rights, attributes and target
    as those of a `Region`
    """

    pa: int
    contiguous: bool
    rights: Rights
    attributes: dict[str, int]
    target: str
    page_size: str | None


@dataclass(frozen=True, repr=False)
class Difference(Row):
    """Neighbouring pages that differ alike.

    va, last_va: both included; kinds: of added, removed, moved (to another frame), rights,
    attributes, size, ad (the bits that the MMU sets), software (bits that it ignores), fault (does
    not translate, now for another reason)
    before, after: what it is on either side, None where it does not translate
    pages: how many of each size, such as {"4K": 3}; marks: which of A and D were "set" or "cleared"
    times: how often it is there at equal distances of `stride` bytes (None: uneven), up to `until`
    area: of the system that it lies in, None where that is not known
    """

    va: int
    last_va: int
    kinds: tuple[str, ...]
    before: Side | None
    after: Side | None
    pages: dict[str, int]
    marks: dict[str, str]
    times: int
    stride: int | None
    until: int
    area: str | None


class Differences(Shown, Sequence[Difference]):
    """The differences between two address spaces, by address: a sequence of `Difference`.

    counts: for each kind of change how many bytes, each address counted; pairs: how many pairs
    of tables were compared
    """

    def __init__(self, found: Diff, areas: tuple[Area, ...], where: str) -> None:
        self._found, self._where = found, where
        self._names = found.area_names(areas)
        self._rows: list[dict[str, Any]] | None = None
        self.counts = {name: count.bytes for name, count in found.counts.items()}
        self.pairs = found.pairs

    def __len__(self) -> int:
        return len(self._found)

    @overload
    def __getitem__(self, at: int) -> Difference: ...
    @overload
    def __getitem__(self, at: slice) -> list[Difference]: ...
    def __getitem__(self, at: int | slice) -> Difference | list[Difference]:
        if self._rows is None:
            self._rows = list(show.as_json(self._found, TARGET_NAMES, self._names))
        if isinstance(at, slice):
            return [_difference(self._found.fmt, row) for row in self._rows[at]]
        return _difference(self._found.fmt, self._rows[at])

    def _title(self) -> str:
        return f"{self._where}: {show.summary(self._found)}"

    def _content(self) -> Iterator[str | Table]:
        rows = [_cells(self[row]) for row in range(min(len(self), ROWS))]
        if rows:
            header = ("", "start", "last", "size", "rights", "physical", "what", "area")
            yield Table(header, rows, "   >", len(self) - len(rows))


def _difference(fmt: Format, row: dict[str, Any]) -> Difference:
    return Difference(
        va=int(row["va"], 0),
        last_va=int(row["last_va"], 0),
        kinds=tuple(row["kinds"]),
        before=_side(fmt, row["a"]),
        after=_side(fmt, row["b"]),
        pages=row["pages"],
        marks=row["marks"],
        times=row["times"],
        stride=int(row["stride"], 0) if row["stride"] else None,
        until=int(row["until"], 0),
        area=row["area"],
    )


def _side(fmt: Format, side: dict[str, Any] | None) -> Side | None:
    if side is None:
        return None
    return Side(
        pa=int(side["pa"], 0),
        contiguous=side["contiguous"],
        rights=Rights.named(fmt, side["rights"]),
        attributes=side["attributes"],
        target=side["target"],
        page_size=side["page_size"],
    )


def _cells(one: Difference) -> tuple[str, ...]:
    sides = [side for side in (one.before, one.after) if side is not None]
    sign = "!" if not sides else "+" if one.before is None else "-" if one.after is None else "~"
    marks = " ".join(f"{name} {how}" for name, how in one.marks.items())
    what = ", ".join(marks if kind == "ad" and marks else kind for kind in one.kinds)
    repeats = f", {one.times:,} times" if one.times > 1 else ""
    return (
        sign,
        words.address(one.va),
        words.address(one.last_va),
        words.size(one.last_va - one.va + 1),
        _became([str(side.rights) for side in sides]),
        _became([f"{side.pa:#x}" for side in sides]),
        what + repeats,
        one.area or "",
    )


def _became(values: list[str]) -> str:
    return values[0] if len(set(values)) == 1 else " -> ".join(values)


def differences(
    one: inner.AddressSpace,
    other: inner.AddressSpace,
    ranges: tuple[U64, U64] | None,
    kinds: tuple[Collection[str], Collection[str]],
    areas: tuple[Area, ...],
    *,
    same_memory: bool,
) -> Differences:
    """Compare two address spaces; see `AddressSpace.diff`. kinds: only these, and not these."""
    from ptlive.analysis.diff.compare import diff
    from ptlive.analysis.diff.kinds import NAMES, wanted

    for name in (*kinds[0], *kinds[1]):
        if name not in NAMES:
            raise PtliveError(f"{name!r} is none of {', '.join(NAMES)}")
    chosen = wanted(*kinds)
    if not chosen:
        raise PtliveError("no kind of change is left to look for")
    found = diff(
        one.walk(ranges),
        other.walk(ranges),
        one.target_of,
        other.target_of,
        chosen=chosen,
        same_memory=same_memory,
        fold=True,
    )
    where = one.title if one.title == other.title else f"{one.title} and {other.title}"
    return Differences(found, areas, where)

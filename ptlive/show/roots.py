"""The roots of a guest, in text and for JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ptlive.analysis.roots import judge
from ptlive.show import words
from ptlive.show.terminal import columns

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ptlive.analysis.roots.find import FoundRoot

_HEADER = ("#", "root", "kind", "confidence", "pages", "mapped", "tables", "partner", "evidence")
_VCPUS = ("vCPU", "CR3", "root", "PCID", "flags", "half", "format", "state")


def vcpu_lines(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield a heading and a line for each vCPU, from what JSON has of them."""
    cells = [
        (
            str(row["vcpu"]),
            row["cr3"],
            row["root"] or "-",
            "-" if row["pcid"] is None else str(row["pcid"]),
            ", ".join(row["flags"]) or "-",
            row["half"] or "-",
            row["format"] or "-",
            row["state"],
        )
        for row in rows
    ]
    return columns(_VCPUS, cells, ">>>>")


def lines(found: Sequence[FoundRoot]) -> Iterator[str]:
    """Yield a heading and a line for each root."""
    cells = [
        (
            f"#{one.number}",
            f"{one.root:#x}",
            one.kind,
            f"{one.confidence:.2f} {judge.word(one.confidence)}",
            *_counts(one),
            f"{one.partner:#x}" if one.partner is not None else "-",
            "; ".join(one.evidence),
        )
        for one in found
    ]
    return columns(_HEADER, cells, ">>  >>>>")


def as_json(one: FoundRoot) -> dict[str, Any]:
    """Return a root as the JSON of `ptlive.roots/1` has it, under `result`."""
    return {
        "number": one.number,
        "kind": one.kind,
        "confidence": one.confidence,
        "evidence": list(one.evidence),
        "vcpus": list(one.vcpus),
        "partner": None if one.partner is None else hex(one.partner),
        "copies": [hex(copy) for copy in one.copies],
        "entries": {"lower": one.lower, "upper": one.upper},
        "lower": one.below._asdict() if one.below else None,
    }


def _counts(one: FoundRoot) -> tuple[str, str, str]:
    if one.below is None:
        return "?", "?", "?"
    return f"{one.below.leaves}", words.size(one.below.bytes), f"{one.below.tables}"

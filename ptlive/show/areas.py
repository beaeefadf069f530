"""A profile in text and for JSON: its areas with their evidence, and what is not present."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ptlive.analysis.absent.counts import SEVERAL
from ptlive.analysis.areas import area_of
from ptlive.paging.format import Kind
from ptlive.show import words
from ptlive.show.terminal import columns, plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ptlive.analysis.absent.counts import AbsentCount
    from ptlive.analysis.areas import Area
    from ptlive.analysis.profile import Explained, NameOf, Profile
    from ptlive.analysis.translation import Translation
    from ptlive.paging.format import Format

_HEADER = ("start", "last", "size", "area", "evidence")
_ABSENT_HEADER = ("area", "level", "entries", "reached", "not present because", "such as")


def area_lines(profile: Profile) -> Iterator[str]:
    """Yield a heading, a line for each area, and finer ones that symbols tell."""
    yield from columns(_HEADER, [_row(area) for area in profile.areas], "  >")
    if profile.parts:
        yield from ("  " + line for line in columns(_HEADER, list(map(_row, profile.parts)), "  >"))


def evidence_lines(profile: Profile, *, all_of_it: bool = True) -> Iterator[str]:
    """Yield why the system is thought to be that, a line for each sign.

    all_of_it: also what stands beside an area anyway
    """
    for one in profile.evidence:
        text = one.split(": ", 1)[-1]
        if all_of_it or not any(text in area.evidence for area in profile.areas):
            yield f"{profile.name}: {plain(one)}"


def profile_json(profile: Profile | None) -> dict[str, Any] | None:
    """Return a profile for JSON; None for none."""
    if profile is None:
        return None
    return {
        "name": profile.name,
        "evidence": list(profile.evidence),
        "areas": [_json(area) for area in profile.areas],
        "parts": [_json(part) for part in profile.parts],
    }


def absent_lines(
    fmt: Format, profile: Profile, counts: Sequence[AbsentCount], *, zeros: bool = False
) -> Iterator[str]:
    """Yield a heading and a line for each kind of entry that is not present.

    zeros: also those that never were; nothing is yielded where there are no others
    """
    rows = []
    for one in counts:
        if not one.example and not zeros:
            continue
        level = f"{fmt.level(one.lvl).linux} ({one.lvl})"
        told = profile.explain(one.lvl, one.example, _of_kernel(profile, one)).text
        # The column before it has the name already.
        told = told.removeprefix(one.name).lstrip(" ,:")
        such = f"{one.example:#018x} {told}" if one.example else ""
        area = area_name(profile, one.area) or "-"
        entries, reached = f"{one.entries:,}", f"{one.reached:,}"
        rows.append((area, level, entries, reached, one.name, such))
    if rows:
        yield from columns(_ABSENT_HEADER, rows, "  >>")


def absent_json(
    fmt: Format, profile: Profile, counts: Sequence[AbsentCount]
) -> list[dict[str, Any]]:
    """Return the same for JSON, with the entries of zeros."""
    return [
        {
            "area": area_name(profile, one.area),
            "level": one.lvl,
            "name": words.level_names(fmt.level(one.lvl)),
            "reason": one.name,
            "entries": one.entries,
            "reached": one.reached,
            "example": f"{one.example:#018x}",
            "values": _values(
                profile.explain(one.lvl, one.example, _of_kernel(profile, one)).values
            ),
        }
        for one in counts
    ]


def naming(
    profile: Profile | None, found: Translation, names: NameOf | None = None
) -> dict[str, Any]:
    """Return what a profile knows of an address, for JSON.

    names: who names addresses where there is no profile
    """
    if profile is None:
        symbol = names(found.va) if names else None
        return {"area": None, "symbol": symbol, "not_present": None}
    at = int(area_of(profile.areas, np.array([found.va], dtype=np.uint64))[0])
    last = found.path[-1] if found.path else None
    absent = None
    if last is not None and last.kind is Kind.ABSENT:
        kernel = found.va >= profile.kernel_from
        absent = explained_json(profile.explain(last.lvl, last.entry, kernel))
    return {
        "area": profile.areas[at].name if at >= 0 else None,
        "symbol": profile.name_of(found.va),
        "not_present": absent,
    }


def naming_lines(
    profile: Profile | None, found: Translation, names: NameOf | None = None
) -> Iterator[str]:
    """Yield the same in text, a line for each thing."""
    known = naming(profile, found, names)
    where = ", ".join(plain(one) for one in (known["area"], known["symbol"]) if one)
    if where:
        yield f"  in {where}"
    if known["not_present"]:
        yield f"  not present: {plain(known['not_present']['text'])}"


def explained_json(told: Explained) -> dict[str, Any]:
    """Return what one entry that is not present says, for JSON."""
    return {"reason": told.name, "values": _values(told.values), "text": told.text}


def area_name(profile: Profile, area: int) -> str | None:
    """Return the name of the area of a count, None for none."""
    if area == SEVERAL:
        return "several areas"
    return profile.areas[area].name if area >= 0 else None


def _of_kernel(profile: Profile, one: AbsentCount) -> bool:
    return one.area >= 0 and profile.areas[one.area].va >= profile.kernel_from


def _values(values: dict[str, int]) -> dict[str, int | str]:
    """Return numbers for JSON, addresses as text."""
    return {name: hex(value) if name == "frame" else value for name, value in values.items()}


def _row(area: Area) -> tuple[str, ...]:
    ends = words.address(area.va), words.address(area.last_va)
    size = words.size(area.last_va - area.va + 1)
    return *ends, size, plain(area.name), plain(area.evidence)


def _json(area: Area) -> dict[str, str]:
    return {
        "va": words.address(area.va),
        "last_va": words.address(area.last_va),
        "name": area.name,
        "evidence": area.evidence,
    }

"""Small things in words, the same everywhere: rights, attributes, sizes, pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ptlive.paging.format import Format, Level

_UNITS = "BKMGTPE"
# Other rights have their first letter.
_LETTERS = {"execute": "x", "user-execute": "X"}


def address(value: int, fmt: Format | None = None) -> str:
    """Return a linear address with all of its digits: of its format's, or of 64 bits."""
    digits = -(-fmt.address_bits // 4) if fmt else 16
    return f"{value:#0{2 + digits}x}"


def level_names(level: Level) -> dict[str, str]:
    """Return what a level's entries are called, for JSON: by the manual, and by Linux."""
    return {"spec": level.spec, "linux": level.linux}


def letters(fmt: Format) -> dict[str, str]:
    """Return the letter of each right by its name: w x u for x86-64."""
    return {right.name: _LETTERS.get(right.name, right.name[0]) for right in fmt.rights}


def rights(fmt: Format, folded: Mapping[str, bool]) -> str:
    """Return rights as letters, a dash where denied; r is always there if nothing denies it.

    For x86-64: r w x u; u is user mode.
    """
    always = "" if "read" in folded else "r"
    return always + "".join(
        letter if folded[name] else "-" for name, letter in letters(fmt).items()
    )


def attributes(values: Mapping[str, int]) -> str:
    """Return the attributes that are not zero; their values where they are more than a flag."""
    return " ".join(
        name if value == 1 and name != "PK" else f"{name}={value}"
        for name, value in values.items()
        if value
    )


def size(count: int) -> str:
    """Return a number of bytes, exact: the largest unit that divides it."""
    unit = 0
    while count and count % 1024 == 0 and unit < len(_UNITS) - 1:
        count, unit = count // 1024, unit + 1
    return f"{count}{_UNITS[unit]}"


def pages(counts: Mapping[str, int]) -> str:
    """Return how many pages of each size: 3 x 4K + 2 x 2M."""
    return " + ".join(f"{count} x {name}" for name, count in counts.items() if count)


def count(number: int, noun: str) -> str:
    """Return a number with its noun: 1 table, 1,234 tables."""
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number:,} {noun if number == 1 else plural}"

"""Which leaves are wanted, as people say it: letters of rights, names and values of fields."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ptlive.analysis.filters import Filter, check
from ptlive.errors import PtliveError
from ptlive.show import words
from ptlive.space import TARGET_NAMES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ptlive.paging.format import Format

KINDS = tuple(name.lower() for name in TARGET_NAMES)


def filter_of(
    fmt: Format,
    *,
    rights: Iterable[str] = (),
    sizes: Iterable[int] = (),
    kinds: Iterable[str] = (),
    fields: Iterable[str] = (),
    values: Iterable[tuple[str, int | None]] = (),
    frames: Iterable[tuple[int, int]] = (),
    prefix: str = "",
) -> Filter:
    """Return the filter for a format.

    rights: letters, wx both, w-x the first and not the second; sizes: in bits; kinds: of KINDS
    fields: NAME, -NAME, NAME=VALUE, several with commas between them; values: further ones
    frames: see `Filter`; prefix: of the options' names, in what is said of them

    Raises PtliveError for what is not in the format.
    """
    granted, denied = _rights(fmt, rights, prefix)
    typed = [one for text in fields for one in text.split(",")]
    option = f"{prefix}attr" if prefix else "attribute"
    wanted = Filter(
        granted=granted,
        denied=denied,
        sizes=tuple(sizes),
        targets=tuple(map(_kind, kinds)),
        fields=(*(_field(one, option) for one in typed), *values),
        frames=tuple(frames),
    )
    check(fmt, wanted)
    return wanted


def _kind(name: str) -> int:
    if name.lower() not in KINDS:
        raise PtliveError(f"{name!r} is none of {', '.join(KINDS)}")
    return KINDS.index(name.lower())


def _rights(
    fmt: Format, typed: Iterable[str], prefix: str
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the rights that must be granted and those that must be denied."""
    letters = {letter: name for name, letter in words.letters(fmt).items()}
    found: dict[str, bool] = {}
    for text in typed:
        wants = True
        for letter in text:
            if letter in "+-,":
                wants = letter != "-"
            elif letter == "r" and wants and "r" not in letters:
                pass  # all that is mapped can be read
            elif letter not in letters:
                known = "".join(dict.fromkeys(("r", *letters)))
                raise PtliveError(
                    f"{prefix}rights {text}: the letters of {fmt.name} are {known}, + and -"
                )
            elif found.setdefault(letters[letter], wants) != wants:
                raise PtliveError(f"{prefix}rights: {letter} cannot be both granted and denied")
    return (
        tuple(name for name, wants in found.items() if wants),
        tuple(name for name, wants in found.items() if not wants),
    )


def _field(typed: str, prefix: str) -> tuple[str, int | None]:
    """Return a field's name and the value it must have, None for any but 0."""
    name, equals, value = typed.removeprefix("-").partition("=")
    if name != typed and typed.startswith("-"):
        if equals:
            raise PtliveError(f"{prefix} {typed}: either -NAME or NAME=VALUE")
        return name, 0
    if not equals:
        return name.removeprefix("+"), None
    try:
        return name, int(value, 0)
    except ValueError:
        raise PtliveError(f"{prefix} {typed}: {value!r} is no number") from None

"""The options that say which leaves are wanted."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ptlive.cli.bundle import bundle, option
from ptlive.cli.options import NUMBER, RANGE
from ptlive.errors import PtliveError
from ptlive.show import words

if TYPE_CHECKING:
    from ptlive.analysis.filters import Filter
    from ptlive.paging.format import Format

F = TypeVar("F", bound=Callable[..., Any])

# As in space.TARGET_NAMES, which is not imported for --help.
KINDS = ("nothing", "ram", "rom", "device", "mixed")
_SIZE = re.compile(r"([1-9][0-9]*)([KMGT])B?", re.IGNORECASE)
_KEY = "PK"


class Size(click.ParamType[int]):
    """A size of pages, such as 4K, 2M or 1G; in bits."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the size in bits, or fail with a sentence."""
        if isinstance(value, int):
            return value
        found = _SIZE.fullmatch(str(value))
        number = int(found[1]) << 10 * (1 + "KMGT".index(found[2].upper())) if found else 0
        if not number or number & (number - 1):
            self.fail(f"{value!r} is no size of pages (4K, 2M, 1G)", param, ctx)
        return number.bit_length() - 1


@dataclass(frozen=True)
class FilterOptions:
    """Which leaves are wanted, as it was typed: what names mean is known with the format."""

    rights: tuple[str, ...] = ()
    size: tuple[int, ...] = ()
    kind: tuple[str, ...] = ()
    attr: tuple[str, ...] = ()
    key: int | None = None
    pa: tuple[tuple[int, int], ...] = ()

    def of(self, fmt: Format) -> Filter:
        """Return the filter for a format. Raises PtliveError for what is not in it."""
        from ptlive.analysis.filters import Filter, check

        granted, denied = _rights(fmt, self.rights)
        typed = [one for text in self.attr for one in text.split(",")]
        named = [_field(one) for one in typed] + ([] if self.key is None else [(_KEY, self.key)])
        wanted = Filter(
            granted=granted,
            denied=denied,
            sizes=self.size,
            targets=tuple(KINDS.index(kind) for kind in self.kind),
            fields=tuple(named),
            frames=self.pa,
        )
        check(fmt, wanted)
        return wanted


PAGES = "Which pages"
_OPTIONS = (
    option(
        "--rights",
        heading=PAGES,
        multiple=True,
        metavar="LETTERS",
        help="Only pages with these rights: wx both, w-x the first and not the second, -u.",
    ),
    option(
        "--size",
        heading=PAGES,
        type=Size(),
        multiple=True,
        metavar="SIZE",
        help="Only pages of 4K, 2M, ...; may be repeated.",
    ),
    option(
        "--kind",
        heading=PAGES,
        type=click.Choice(KINDS, case_sensitive=False),
        multiple=True,
        help="Only pages whose frames lie in this; may be repeated.",
    ),
    option(
        "--attr",
        heading=PAGES,
        multiple=True,
        metavar="[-]NAME[=VALUE]",
        help="Only pages whose entries have this bit (G, PCD, A, D, ...), -NAME: not.",
    ),
    option(
        "--key",
        heading=PAGES,
        type=NUMBER,
        metavar="N",
        help="Only pages of this protection key.",
    ),
    option(
        "--pa",
        heading=PAGES,
        type=RANGE,
        multiple=True,
        metavar="PA[..LAST_PA]",
        help="Only pages that map any of these physical addresses; may be repeated.",
    ),
)


def filter_options(command: F) -> F:
    """Give a command the options of `FilterOptions`, as its argument `wanted`."""
    names = (field.name for field in fields(FilterOptions))
    return bundle("wanted", FilterOptions, names, _OPTIONS)(command)


def _rights(fmt: Format, typed: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the rights that must be granted and those that must be denied."""
    names = [right.name for right in fmt.rights]
    letters = dict(zip(words.rights(fmt, dict.fromkeys(names, True))[1:], names, strict=True))
    found: dict[str, bool] = {}
    for text in typed:
        wants = True
        for letter in text:
            if letter in "+-,":
                wants = letter != "-"
            elif letter == "r" and wants:
                pass  # all that is mapped can be read
            elif letter not in letters:
                known = "".join(("r", *letters))
                raise PtliveError(
                    f"--rights {text}: the letters of {fmt.name} are {known}, + and -"
                )
            elif found.setdefault(letters[letter], wants) != wants:
                raise PtliveError(f"--rights: {letter} cannot be both granted and denied")
    return (
        tuple(name for name, wants in found.items() if wants),
        tuple(name for name, wants in found.items() if not wants),
    )


def _field(typed: str) -> tuple[str, int | None]:
    """Return a field's name and the value it must have, None for any but 0."""
    name, equals, value = typed.removeprefix("-").partition("=")
    if name != typed and typed.startswith("-"):
        if equals:
            raise PtliveError(f"--attr {typed}: either -NAME or NAME=VALUE")
        return name, 0
    if not equals:
        return name.removeprefix("+"), None
    try:
        return name, int(value, 0)
    except ValueError:
        raise PtliveError(f"--attr {typed}: {value!r} is no number") from None

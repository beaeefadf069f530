"""The options that say which leaves are wanted."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ptlive.cli.bundle import bundle, option
from ptlive.cli.options import NUMBER, RANGE

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
        from ptlive.answers.filters import filter_of

        return filter_of(
            fmt,
            rights=self.rights,
            sizes=self.size,
            kinds=self.kind,
            fields=self.attr,
            values=() if self.key is None else ((_KEY, self.key),),
            frames=self.pa,
            prefix="--",
        )


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
    return bundle("wanted", FilterOptions, _OPTIONS)(command)

"""`ptlive translate`: what does this address translate to, and if not, why."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click
import numpy as np

from ptlive.access_kind import ACCESS_KINDS
from ptlive.cli.bundle import Command
from ptlive.cli.connect import connect
from ptlive.cli.main import DONE, FAILED, FOUND
from ptlive.cli.options import NUMBER, TargetOptions, target_options
from ptlive.cli.profile import ProfileOptions, profile_if_asked, profile_of
from ptlive.cli.tell import tell, tell_changes
from ptlive.errors import PtliveError
from ptlive.paging.format import Kind
from ptlive.show import areas
from ptlive.show import translation as show
from ptlive.show.json import print_json
from ptlive.show.terminal import heading, stdout

if TYPE_CHECKING:
    from ptlive.analysis.translation import Translation


@click.command(cls=Command)
@click.argument("addresses", metavar="VA...", nargs=-1, required=True)
@click.option(
    "--access",
    "accesses",
    type=click.Choice([*ACCESS_KINDS, "all"]),
    multiple=True,
    help="What an access would get; may be repeated.  [default: supervisor-read]",
)
@click.option(
    "--length",
    type=click.IntRange(1, 1 << 16),
    default=1,
    show_default=True,
    metavar="N",
    help="Bytes of the access.",
)
@click.option("--check", is_flag=True, help="Exit with 1 if an address has no translation.")
@profile_if_asked
@target_options
def translate(
    target: TargetOptions,
    profile: ProfileOptions,
    addresses: tuple[str, ...],
    accesses: tuple[str, ...],
    length: int,
    check: bool,
) -> int:
    """Translate linear addresses, step by step. A single "-" reads them from stdin.

    Each level is shown: its names, index, table and entry, the entry's bits; then
    the rights folded over the path and the level that denies one, and what an
    access would get. An access of several bytes may touch two pages. With --profile
    or --symbols, also the area and the symbol, and why an entry is not present.

    Exit status: 2 if an address is not canonical, 1 if --check finds one without
    a translation.
    """
    va = np.array(_addresses(addresses), dtype=np.uint64)
    names = list(ACCESS_KINDS) if "all" in accesses else list(accesses or ["supervisor-read"])
    kinds = [ACCESS_KINDS[name] for name in dict.fromkeys(names)]
    complete, unexplained = True, False
    refused = set()
    results = []
    with connect(target) as connection:
        asked = [space.translate(va) for space in connection.spaces]
        beyond = [space.beyond(va, length) for space in connection.spaces]
        asking, namer = profile.profile != "none", profile.names
        known = [
            profile_of(connection, space, None, profile) if asking else None
            for space in connection.spaces
        ]
        changes = connection.changes()
    # The guest goes on from here: whoever reads the output may take their time.
    rows = zip(connection.spaces, asked, beyond, known, strict=True)
    for space, translations, rest, names_of in rows:
        found = [space.describe(translations, row, kinds, rest) for row in range(va.size)]
        complete &= all(one.pa is not None for one in found)
        refused |= {
            (one.va, space.format.name, space.format.outside) for one in found if not one.path
        }
        if target.json:
            torn = changes.entries if changes else None
            told = [show.as_json(one, torn) for one in found]
            for one, value in zip(found, told, strict=True):
                value |= areas.naming(names_of, one, namer) if names_of or namer else {}
            results.append({"translations": told})
            continue
        connection.print_root(space)
        for one in found:
            stdout().print(heading(show.headline(one)))
            for line in show.lines(space.format, one, changes.entries if changes else ()):
                stdout().out(line, highlight=False)
            for line in areas.naming_lines(names_of, one, namer):
                stdout().out(line, highlight=False)
            unexplained |= not asking and _says_more(one)
    if unexplained:
        tell("note: --profile auto says why an entry is not present, if the system is known")
    if target.json:
        print_json(connection.envelope("translate", results, changes=changes))
    elif changes:
        tell_changes(changes)
    for address, name, outside in sorted(refused):
        tell(f"{address:#x} {outside} in {name}")
    if refused:
        return FAILED
    return FOUND if check and not complete else DONE


def _says_more(found: Translation) -> bool:
    """Tell whether the entry at the end is not present, and yet holds something."""
    last = found.path[-1] if found.path else None
    return last is not None and last.kind is Kind.ABSENT and last.entry != 0


def _addresses(words: tuple[str, ...]) -> list[int]:
    """Return the addresses, from stdin if that is asked for."""
    if words == ("-",):
        words = tuple(sys.stdin.read().split())
        if not words:
            raise PtliveError("no addresses on standard input")
    return [NUMBER.convert(word, None, None) for word in words]

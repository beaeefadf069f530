"""The options that say what system the guest is, and what they come to for a root."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
import numpy as np

from ptlive.cli.connect import tell
from ptlive.errors import PtliveError
from ptlive.memory.ram_map import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ptlive.analysis.areas import Profile
    from ptlive.analysis.symbols import Symbols
    from ptlive.arrays import U64
    from ptlive.cli.connect import Connection
    from ptlive.paging.graph import Graph
    from ptlive.space import AddressSpace

F = TypeVar("F", bound=Callable[..., Any])

PROFILES = ("auto", "linux", "none")


@dataclass(frozen=True)
class ProfileOptions:
    """Which system the guest is taken for, and a file that names its addresses."""

    profile: str = "auto"
    symbols: Path | None = None


def profile_options(command: F) -> F:
    """Give a command the options of `ProfileOptions`, as its argument `profile`."""
    return _options(command, "auto", "What system the guest is; auto looks at its structure.")


def profile_if_asked(command: F) -> F:
    """Give a command the same, but without either option it wants no profile.

    So where one address is asked for, not all tables are read.
    """
    about = "Name areas, too, and why something is not present.  [default: auto with --symbols]"
    return _options(command, None, about)


def _options(command: F, default: str | None, about: str) -> F:
    options = [
        click.option(
            "--profile",
            type=click.Choice(PROFILES),
            default=default,
            show_default=default is not None,
            help=about,
        ),
        click.option(
            "--symbols",
            type=click.Path(path_type=Path, dir_okay=False),
            metavar="FILE",
            help="Its vmlinux, System.map, or a saved /proc/kallsyms.",
        ),
    ]

    @functools.wraps(command)
    def wrapper(**values: Any) -> Any:
        profile, symbols = values.pop("profile"), values.pop("symbols")
        if profile is None:
            profile = "none" if symbols is None else "auto"
        return command(profile=ProfileOptions(profile, symbols), **values)

    wrapped: Any = wrapper
    for option in reversed(options):
        wrapped = option(wrapped)
    result: F = wrapped
    return result


def profile_of(
    connection: Connection, space: AddressSpace, graph: Graph | None, options: ProfileOptions
) -> Profile | None:
    """Return what is known of the system that an address space belongs to.

    graph: a walk of it, over any range, if there is one: the kernel's half is walked again,
    which is a matter of some hundred tables. Ask it inside the `with` block of `connect`.
    """
    if options.profile == "none":
        return None
    # So that a command that wants no profile does not pay for it.
    from ptlive.analysis.profile import detect, with_symbols

    if graph is None or not graph.floors:
        last = np.array([space.format.windows[-1].last_va], dtype=np.uint64)
        graph = space.walk((last, last))
    insist = None if options.profile == "auto" else options.profile
    found = detect(graph, space.memory, _ram(connection), insist=insist)
    if options.symbols is None:
        return found
    if found is None:
        tell(f"{options.symbols} is not used: nothing shows that this is a Linux")
        return None
    with symbols_of(options.symbols) as symbols:
        return with_symbols(found, symbols, space.format, space.memory, str(options.symbols))


@contextmanager
def symbols_of(path: Path) -> Iterator[Symbols]:
    """Read the symbols of a file, open as long as its contents may be asked for."""
    from ptlive.analysis.symbols import TEXT_LIMIT, parse_text
    from ptlive.analysis.symbols_elf import MAGIC, parse_elf

    try:
        file = path.open("rb")
    except OSError as error:
        raise PtliveError(f"cannot read {path}: {error.strerror}") from error
    with file:
        if file.read(len(MAGIC)) == MAGIC:
            file.seek(0)
            yield parse_elf(file, str(path))
            return
        file.seek(0)
        data = file.read(TEXT_LIMIT + 1)
        if len(data) > TEXT_LIMIT:
            raise PtliveError(f"{path} is no list of symbols: it is larger than 256M")
        yield parse_text(data, str(path))


def _ram(connection: Connection) -> tuple[U64, U64]:
    """Return the ends of each stretch of RAM."""
    regions = [r for r in connection.target.ram_map.regions if r.kind is Kind.RAM]
    first = np.array([region.first for region in regions], dtype=np.uint64)
    return first, np.array([region.last for region in regions], dtype=np.uint64)

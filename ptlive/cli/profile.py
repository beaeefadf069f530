"""The options that say what system the guest is, and what they come to for a root."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
import numpy as np

from ptlive.cli.bundle import bundle, option
from ptlive.cli.tell import tell
from ptlive.errors import PtliveError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ptlive.analysis.profile import Profile
    from ptlive.analysis.symbols.table import Symbols
    from ptlive.cli.connect import Connection
    from ptlive.paging.graph import Graph
    from ptlive.space import AddressSpace

F = TypeVar("F", bound=Callable[..., Any])

_SYSTEM = "The system"
PROFILES = ("auto", "linux", "none")


@dataclass(frozen=True)
class ProfileOptions:
    """Which system the guest is taken for, and a file that names its addresses."""

    profile: str = "auto"
    symbols: Path | None = None
    known: dict[tuple[bytes, int], Profile] = field(default_factory=dict, compare=False, repr=False)
    """What was found, by the kernel's half of a root table: processes have it in common."""


def profile_options(command: F) -> F:
    """Give a command the options of `ProfileOptions`, as its argument `profile`."""
    return _options(command, "auto", "Which system it is; auto looks at its structure.")


def profile_if_asked(command: F) -> F:
    """Give a command the same, but without either option it wants no profile.

    So where one address is asked for, not all tables are read.
    """
    about = "Name areas, too, and why something is not present.  [default: auto with --symbols]"
    return _options(command, None, about)


def _options(command: F, default: str | None, about: str) -> F:
    options = (
        option(
            "--profile",
            heading=_SYSTEM,
            type=click.Choice(PROFILES),
            default=default,
            show_default=default is not None,
            help=about,
        ),
        option(
            "--symbols",
            heading=_SYSTEM,
            type=click.Path(path_type=Path, dir_okay=False),
            metavar="FILE",
            help="Its vmlinux, System.map, or a saved /proc/kallsyms.",
        ),
    )
    return bundle("profile", _made, ("profile", "symbols"), options)(command)


def _made(profile: str | None, symbols: Path | None) -> ProfileOptions:
    if profile is None:
        profile = "none" if symbols is None else "auto"
    return ProfileOptions(profile, symbols)


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
    from ptlive.analysis.systems import detect, with_symbols

    if graph is None or not graph.floors:
        last = np.array([space.format.windows[-1].last_va], dtype=np.uint64)
        graph = space.walk((last, last))
    half = _known_by(space)
    if half in options.known:
        return options.known[half]
    insist = None if options.profile == "auto" else options.profile
    found = detect(graph, space.memory, connection.target.ram_map.ram, insist=insist)
    if options.symbols is not None and found is None:
        tell(f"{options.symbols} is not used: nothing shows that this is a Linux")
    elif options.symbols is not None and found is not None:
        with symbols_of(options.symbols) as symbols:
            what = str(options.symbols)
            found = with_symbols(found, symbols, space.format, space.memory, what)
    # From the user's half of a pair the evidence is about that pair alone.
    if found is not None and found.root == int(space.root[0]):
        options.known[half] = found
    return found


def _known_by(space: AddressSpace) -> tuple[bytes, int]:
    """Return what spaces of which the same is known have in common.

    That is the upper half of the root table; but a root with a lower half that is no process'
    has areas of its own there, and is known by itself.
    """
    from ptlive.analysis.linux.lower import no_process

    number = int(space.root[0])
    own = number if no_process(space.format, space.memory, number) else -1
    root = space.format.level(space.format.top)
    data, _ = space.memory.read(space.root[:1], root.entry_size << root.index_bits)
    return data[0, data.shape[1] // 2 :].tobytes(), own


@contextmanager
def symbols_of(path: Path) -> Iterator[Symbols]:
    """Read the symbols of a file, open as long as its contents may be asked for."""
    from ptlive.analysis.symbols.elf import MAGIC, parse_elf
    from ptlive.analysis.symbols.text import TEXT_LIMIT, parse_text

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

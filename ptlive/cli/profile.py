"""The options that say what system the guest is, and what they come to for a root."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ptlive.answers.system import system_of
from ptlive.cli import inside
from ptlive.cli.bundle import bundle, option
from ptlive.cli.tell import tell

if TYPE_CHECKING:
    from ptlive.analysis.profile import NameOf, Profile
    from ptlive.cli.connect import Connection
    from ptlive.paging.graph import Graph
    from ptlive.space import AddressSpace

F = TypeVar("F", bound=Callable[..., Any])

_SYSTEM = "The system"
PROFILES = ("auto", "linux", "none")


@dataclass(frozen=True)
class ProfileOptions:
    """Which system the guest is taken for, and who names its addresses: a file, or a debugger."""

    profile: str = "auto"
    symbols: Path | None = None
    names: NameOf | None = None
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
    return bundle("profile", _made, options)(command)


def _made(profile: str | None, symbols: Path | None) -> ProfileOptions:
    if profile is None:
        profile = "none" if symbols is None else "auto"
    debugger = inside.debugger()
    names = debugger.name_of if debugger is not None and symbols is None else None
    return ProfileOptions(profile, symbols, names)


def profile_of(
    connection: Connection, space: AddressSpace, graph: Graph | None, options: ProfileOptions
) -> Profile | None:
    """Return what is known of the system that an address space belongs to.

    graph: a walk of it, over any range, if there is one. Ask it inside the `with` block of
    `connect`.
    """
    if options.profile == "none":
        return None
    insist = None if options.profile == "auto" else options.profile
    found = system_of(space, graph, insist=insist, symbols=options.symbols, known=options.known)
    if options.symbols is not None and found is None:
        tell(f"{options.symbols} is not used: nothing shows that this is a Linux")
    if found is not None and options.names is not None:
        return replace(found, name_of=options.names)
    return found

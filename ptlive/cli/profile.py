"""The options that say what system the guest is, and what they come to for a root."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
import numpy as np

from ptlive.memory.ram_map import Kind

if TYPE_CHECKING:
    from ptlive.analysis.areas import Profile
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
    options = [
        click.option(
            "--profile",
            type=click.Choice(PROFILES),
            default="auto",
            show_default=True,
            help="What system the guest is; auto looks at its structure.",
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
        chosen = ProfileOptions(values.pop("profile"), values.pop("symbols"))
        return command(profile=chosen, **values)

    wrapped: Any = wrapper
    for option in reversed(options):
        wrapped = option(wrapped)
    result: F = wrapped
    return result


def profile_of(
    connection: Connection, space: AddressSpace, graph: Graph, options: ProfileOptions
) -> Profile | None:
    """Return what is known of the system that an address space belongs to.

    graph: a walk of it; where that is not of everything, the whole is walked for this.
    Ask it inside the `with` block of `connect`.
    """
    if options.profile == "none":
        return None
    # So that a command that wants no profile does not pay for it.
    from ptlive.analysis.profile import detect

    whole = graph if _is_whole(graph) else space.walk()
    insist = None if options.profile == "auto" else options.profile
    return detect(whole, space.memory, _ram(connection), insist=insist)


def _is_whole(graph: Graph) -> bool:
    """Tell whether a walk was of everything that its format translates."""
    tops, fmt = graph.tops, graph.fmt
    if not graph.floors or tops.node.size < len(fmt.windows):
        return False
    nodes = graph.floors[0].nodes
    ends = {
        (int(base + nodes.first[node]), int(base + nodes.last[node]))
        for base, node in zip(tops.base, tops.node, strict=True)
    }
    return all((window.va, window.last_va) in ends for window in fmt.windows)


def _ram(connection: Connection) -> tuple[U64, U64]:
    """Return the ends of each stretch of RAM."""
    regions = [r for r in connection.target.ram_map.regions if r.kind is Kind.RAM]
    first = np.array([region.first for region in regions], dtype=np.uint64)
    return first, np.array([region.last for region in regions], dtype=np.uint64)

"""The address spaces that the options ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ptlive.answers.spaces import found_roots, space_at, space_of
from ptlive.errors import PtliveError

if TYPE_CHECKING:
    from ptlive.analysis.roots.find import FoundRoot
    from ptlive.arrays import Memory
    from ptlive.cli.options import TargetOptions
    from ptlive.space import AddressSpace
    from ptlive.target.attach import Target


def wanted_spaces(
    target: Target, options: TargetOptions, scanned: Memory | None = None
) -> list[AddressSpace]:
    """Return the address spaces of all roots that are asked for, by default of CR3.

    scanned: what to look through all of RAM with, if a root is asked for by its number;
    the target's memory by default
    """
    if options.all_roots and options.root:
        raise PtliveError("--all-roots has every root that is listed: leave out --root")
    listed: dict[int, FoundRoot] = {}
    if options.all_roots or any(root.startswith("#") for root in options.root):
        # Seldom needed, and every import is felt at the start of a command.
        from ptlive.show.progress import progress

        with progress() as told:
            found = found_roots(target, options, scanned or target.memory, told)
        listed = {one.number: one for one in found.roots}
    if options.all_roots:
        return [space_of(target, options, one) for one in listed.values() if one.shown]
    spaces = []
    for root in options.root or ("cr3",):
        if not root.startswith("#"):
            spaces.append(space_at(target, options, root))
            continue
        number = int(root.removeprefix("#"))
        if number not in listed:
            raise PtliveError(f"there is no root {root}: {len(listed)} were found, from #0 on")
        spaces.append(space_of(target, options, listed[number]))
    return spaces

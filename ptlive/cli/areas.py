"""`ptlive areas`: what a system has laid out in its address space, and how that is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ptlive.cli.bundle import Command
from ptlive.cli.connect import connect
from ptlive.cli.main import DONE
from ptlive.cli.options import target_options
from ptlive.cli.profile import ProfileOptions, profile_of, profile_options
from ptlive.cli.tell import tell_changes
from ptlive.show import areas as show
from ptlive.show.json import print_json
from ptlive.show.terminal import print_lines, write_lines

if TYPE_CHECKING:
    from ptlive.cli.options import TargetOptions


@click.command(cls=Command)
@profile_options
@target_options
def areas(target: TargetOptions, profile: ProfileOptions) -> int:
    """Print which system this is and where it has what, with the evidence.

    Only the kernel's half of the tables is read, and no symbol is needed. With
    --symbols the bases are held against the kernel's own variables, and parts of
    its image and each CPU's variables are listed, too.
    """
    with connect(target) as connection:
        found = [profile_of(connection, space, None, profile) for space in connection.spaces]
        changes = connection.changes()
    if target.json:
        results = [{"profile": show.profile_json(known)} for known in found]
        print_json(connection.envelope("areas", results, changes=changes))
        return DONE
    for space, known in zip(connection.spaces, found, strict=True):
        connection.print_root(space)
        if known is None:
            write_lines(["nothing shows what system this is"])
            continue
        print_lines(show.area_lines(known))
        write_lines(show.evidence_lines(known, all_of_it=False))
    if changes:
        tell_changes(changes)
    return DONE

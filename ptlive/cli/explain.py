"""`ptlive explain`: what an instruction touches, and why it faulted."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

import click

from ptlive.cli.bundle import Command
from ptlive.cli.connect import connect
from ptlive.cli.main import DONE
from ptlive.cli.options import NUMBER, TargetOptions, target_options
from ptlive.cli.profile import ProfileOptions, profile_if_asked, profile_of
from ptlive.cli.tell import tell_changes, tell_notes
from ptlive.show import explain as show
from ptlive.show.json import print_json
from ptlive.show.terminal import print_lines

if TYPE_CHECKING:
    from ptlive.analysis.profile import NameOf, Profile


@click.command(cls=Command)
@click.argument("rip", type=NUMBER, required=False)
@click.option(
    "--error-code",
    type=NUMBER,
    metavar="CODE",
    help="Of a page fault that the instruction took.  [default: as pushed, at a handler]",
)
@click.option("--cr2", type=NUMBER, metavar="VA", help="The address of that fault.  [default: CR2]")
@click.option(
    "--pt-regs",
    type=NUMBER,
    metavar="VA",
    help="Take the registers from a Linux kernel's struct pt_regs.",
)
@profile_if_asked
@target_options
def explain(
    target: TargetOptions,
    profile: ProfileOptions,
    rip: int | None,
    error_code: int | None,
    cr2: int | None,
    pt_regs: int | None,
) -> int:
    """Explain what the instruction at RIP touches, and what the tables say of each access.

    Every linear address is computed from the registers: the fetch itself, operands,
    what is pushed and popped, strings as far as they still have to go, gathers. An
    access that crosses a page is two. The first that is not allowed would fault.

    Where the vCPU stands at the first instruction of its page-fault handler, the
    instruction that faulted is explained instead: which of its accesses it was, which
    bit of which entry denied it, whether the error code agrees with the tables as they
    are now, and if they allow the access, what else it may have been. Elsewhere
    --error-code says of which fault; the registers are taken as they are now, or, in a
    Linux that has gone on handling it, as it keeps them: at its exc_page_fault, with
    gdb, `ptlive explain --pt-regs $rdi --error-code $rsi`.
    """
    # Decoding is seldom needed, and every import is felt at the start of a command.
    from ptlive.answers.explain import Asked
    from ptlive.answers.explain import explain as explained

    asked = Asked(rip, error_code, cr2, pt_regs)
    results = []
    with connect(target) as connection:
        found = [explained(connection.target, space, asked) for space in connection.spaces]
        known = [
            profile_of(connection, one.space, None, profile) if profile.profile != "none" else None
            for one in found
        ]
        changes = connection.changes()
    notes = list(dict.fromkeys(note for one in found for note in one.notes))
    # The guest goes on from here: whoever reads the output may take their time.
    for space, one, names in zip(connection.spaces, found, known, strict=True):
        if target.json:
            results.append(show.as_json(space.format, one.what, _name_of(names, profile.names)))
            continue
        connection.print_root(space)
        lines = show.lines(space.format, one.what, _name_of(names, profile.names))
        print_lines(chain([show.title(one.what, _name_of(names, profile.names))], lines))
    if target.json:
        print_json(connection.envelope("explain", results, notes, changes=changes))
        return DONE
    tell_notes(notes)
    if changes:
        tell_changes(changes)
    return DONE


def _name_of(profile: Profile | None, names: NameOf | None) -> NameOf:
    """Return who names addresses: the profile, or a debugger that we are in."""
    return profile.name_of if profile else names or (lambda _: None)

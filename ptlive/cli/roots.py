"""`ptlive roots`: which address spaces there are."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from ptlive.analysis.roots import judge
from ptlive.answers.spaces import found_roots, root_of, space_of
from ptlive.cli.bundle import Command
from ptlive.cli.connect import connect
from ptlive.cli.main import DONE
from ptlive.cli.options import TargetOptions, target_options
from ptlive.cli.tell import tell_changes, tell_notes
from ptlive.errors import PtliveError
from ptlive.paging import control
from ptlive.paging.cr3 import CR3_ADDRESS, take_apart
from ptlive.paging.formats import pae
from ptlive.show import roots as show
from ptlive.show import words
from ptlive.show.json import print_json
from ptlive.show.progress import progress
from ptlive.show.terminal import print_lines, stdout

if TYPE_CHECKING:
    from ptlive.analysis.roots.find import FoundRoot, FoundRoots
    from ptlive.target.attach import Target
    from ptlive.target.cpu import CpuState


def _number(_ctx: click.Context, _param: click.Parameter, value: float) -> float:
    if math.isnan(value):  # of which click thinks that it lies in the range
        raise click.BadParameter("it is no number")
    return value


@click.command(cls=Command)
@click.option("--all", "everything", is_flag=True, help="Also those that are less sure.")
@click.option(
    "--min-confidence",
    type=click.FloatRange(0, 1),
    callback=_number,
    default=judge.DEFAULT,
    show_default=True,
    help="List what is at least so sure.",
)
@target_options
def roots(target: TargetOptions, everything: bool, min_confidence: float) -> int:
    """Print every vCPU's CR3, and every other root table that RAM holds.

    All of RAM is looked through for tables that can be nothing else: no symbols are
    needed. Numbers (#0, #1, ...) name the roots for --root of every command. Pages,
    mapped and tables are those of the lower half, a process' own.
    """
    wanted = (target.root, target.all_roots)
    if wanted[0] or wanted[1]:
        raise PtliveError("roots lists all roots: it takes no --root and no --all-roots")
    with connect(target) as connection, progress() as told:
        found = found_roots(connection.target, target, connection.scanned, told)
        changes = connection.changes()
    guest = connection.target
    least = 0.0 if everything else min_confidence
    chosen = [one for one in found.roots if one.confidence >= least]
    vcpus = [_vcpu(guest, target, cpu, found) for cpu in guest.cpus]
    notes = [*_notes(found), *([("hidden", text)] if (text := _hidden(found, chosen)) else [])]
    if target.json:
        spaces = [space_of(guest, target, one) for one in chosen]
        value = replace(connection, spaces=spaces).envelope(
            "roots", [show.as_json(one) for one in chosen], notes, changes
        )
        rows = value.pop("roots")
        frames = {"looked_at": found.looked, "of": found.of}
        print_json({**value, "vcpus": vcpus, "frames": frames, "roots": rows})
    else:
        print_lines(show.vcpu_lines(vcpus))
        stdout().out("", highlight=False)
        print_lines(show.lines(chosen))
        stdout().out(_summary(found, chosen), highlight=False)
        if changes:
            tell_changes(changes)
    tell_notes(notes)
    return DONE


def _vcpu(
    guest: Target, options: TargetOptions, cpu: CpuState, found: FoundRoots
) -> dict[str, Any]:
    """Return what is told of one vCPU."""
    root = root_of(guest, options, cpu)
    listed = next((one for one in found.roots if one.root == root), None)
    used = control.mode(cpu.cr0, cpu.cr4, cpu.efer)
    low = pae.ROOT_MASK if used == "PAE paging" else CR3_ADDRESS
    parts = take_apart(cpu.cr3, cpu.cr4, cpu.maxphyaddr, low)
    half = None
    if listed is not None and listed.partner is not None:
        half = "user" if listed.kind == judge.USER_HALF else "kernel"
    mode = "user mode" if cpu.cs & 3 else "kernel mode"
    return {
        "vcpu": cpu.vcpu,
        "cr3": hex(cpu.cr3),
        "root": None if root is None else hex(root),
        "number": listed.number if listed else None,
        "pcid": parts.pcid,
        "flags": list(parts.flags),
        "half": half,
        "format": used,
        "state": "halted" if cpu.halted else mode,
    }


def _notes(found: FoundRoots) -> list[tuple[str, str]]:
    notes = [("roots-limit", text) for text in found.limits]
    if found.looked < found.of:
        text = f"only {words.count(found.looked, 'frame')} of {found.of:,} could be looked at"
        notes.append(("not-all-ram", text))
    return notes


def _hidden(found: FoundRoots, chosen: list[FoundRoot]) -> str:
    hidden = len(found.roots) - len(chosen)
    if not hidden:
        return ""
    less = "is" if hidden == 1 else "are"
    return f"{words.count(hidden, 'root')} more {less} less sure: --all lists them"


def _summary(found: FoundRoots, chosen: list[FoundRoot]) -> str:
    processes = sum(one.kind == judge.PROCESS for one in chosen)
    looked = words.count(found.looked, "frame")
    told = f"{processes:,} {'process' if processes == 1 else 'processes'}"
    return f"{words.count(len(chosen), 'root')}, {told}; {looked} of RAM looked at"

"""`ptlive decode` and `ptlive fault`: what numbers mean, without a guest."""

from __future__ import annotations

import click

from ptlive.analysis.linux.absent import explain
from ptlive.cli.main import DONE
from ptlive.cli.options import NUMBER
from ptlive.paging import architectures, control, fields, words
from ptlive.paging.format import Kind
from ptlive.paging.formats import x86_64
from ptlive.show import entries as show
from ptlive.show.areas import explained_json
from ptlive.show.json import print_json
from ptlive.show.words import address


@click.command()
@click.argument("entry", type=NUMBER)
@click.option("--level", type=int, metavar="N", required=True, help="1 is a PTE, 5 a PML5E.")
@click.option(
    "--levels", type=click.Choice(["4", "5"]), default="5", show_default=True, help="Of the format."
)
@click.option(
    "--format",
    "name",
    metavar="NAME",
    help="Another format, such as pae, 32-bit, npt, ept, sv39, aarch64-4k-48, power-radix.",
)
@click.option(
    "--maxphyaddr",
    type=click.IntRange(32, x86_64.PHYSICAL_LIMIT),
    default=x86_64.PHYSICAL_LIMIT,
    show_default=True,
    help="The CPU's physical-address width; bits above it are reserved.",
)
@click.option("--nxe/--no-nxe", default=True, help="EFER.NXE; without it XD is reserved.")
@click.option("--1g/--no-1g", "gbpages", default=True, help="Whether the CPU has 1G pages.")
@click.option(
    "--profile",
    type=click.Choice(["linux", "none"]),
    default="none",
    help="What system's an entry is that is not present.  [default: none]",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def decode(
    entry: int,
    level: int,
    levels: str,
    name: str | None,
    maxphyaddr: int,
    nxe: bool,
    gbpages: bool,
    profile: str,
    as_json: bool,
) -> int:
    """Decode one entry as an entry of a level."""
    efer = control.EFER.NXE if nxe else 0
    name = name or f"x86-64-{levels}level"
    fmt = architectures.format_named(name) or control.format_named(
        name, efer, maxphyaddr=maxphyaddr, gbpages=gbpages
    )
    lvl = fields.check_level(fmt, level)
    absent = fields.classify(fmt, lvl, entry) is Kind.ABSENT
    told = explain(lvl, entry) if profile == "linux" and absent else None
    if as_json:
        value = show.entry_json(fmt, lvl, entry)
        if profile == "linux":
            value["not_present"] = explained_json(told) if told else None
        print_json({"schema": "ptlive.decode/1", "format": fmt.name, **value})
        return DONE
    for line in show.entry_lines(fmt, lvl, entry):
        click.echo(line)
    if told:
        click.echo(f"  to Linux: {told.text}")
    return DONE


@click.command()
@click.argument("code", type=NUMBER)
@click.argument("cr2", type=NUMBER, required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def fault(code: int, cr2: int | None, as_json: bool) -> int:
    """Decode the error code of a page fault, and CR2 if it is given."""
    said = words.describe_fault(code)
    halves = None if cr2 is None else {n: _half(cr2, n) for n in (4, 5)}
    if as_json:
        where = None if cr2 is None else address(cr2)
        value = {"error_code": hex(code), "bits": words.fault_bits(code).split(), "words": said}
        print_json({"schema": "ptlive.fault/1", **value, "cr2": where, "cr2_is": halves})
        return DONE
    click.echo(f"#PF({code:#x}{': ' if code else ''}{words.fault_bits(code)})")
    for line in said:
        click.echo(f"  {line}")
    if cr2 is not None and halves is not None:
        click.echo(f"  CR2 {address(cr2)}: {halves[4]} with 4 levels, {halves[5]} with 5")
    return DONE


def _half(va: int, levels: int) -> str:
    """Say in which half of the address space an address lies."""
    low, high = x86_64.make_levels(levels).windows
    if va <= low.last_va:
        return "in the lower half"
    return "in the upper half" if va >= high.va else "not canonical"

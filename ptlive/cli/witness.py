"""`ptlive guest witness`: what a Linux guest's own kernel says, of pages, processes, itself."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import click

from ptlive.cli.main import DONE
from ptlive.errors import PtliveError
from ptlive.guests.said.census import read_census
from ptlive.guests.said.kernel import read_kernel
from ptlive.guests.said.mapper import read_witness
from ptlive.show.json import print_json
from ptlive.show.terminal import columns as in_columns
from ptlive.show.terminal import plain, print_lines, stdout
from ptlive.show.words import address
from ptlive.target import prompt, running

if TYPE_CHECKING:
    from ptlive.guests.said.census import Census
    from ptlive.guests.said.kernel import KernelSaid
    from ptlive.guests.said.mapper import Page, Witness
    from ptlive.target.running import Guest

_TOUCHED = {"w": "written", "r": "read", "-": "no"}


@click.command()
@click.argument("name", required=False)
@click.option("--processes", is_flag=True, help="All processes, asked now: maps and pagemap.")
@click.option("--kernel", is_flag=True, help="The kernel itself, asked now: kallsyms, kcore ...")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def witness(name: str | None, processes: bool, kernel: bool, as_json: bool) -> int:
    """Print what a Linux guest's own kernel says, to hold against what ptlive says.

    Without an option that is of the pages that --map made: /proc/self/pagemap and smaps,
    as the guest's `mapper` read them before it parked. With one, the guest is asked now,
    at its prompt; it runs meanwhile, and is stopped again if it was.
    """
    one = running.find(name)
    if one is None:
        raise PtliveError("no guest that ptlive started is running")
    if processes and kernel:
        raise PtliveError("--processes and --kernel are two questions: ask one at a time")
    if (processes or kernel) and one.kind != "linux":
        raise PtliveError(f"{one.name} is no Linux guest: only Linux tells what is asked here")
    if processes:
        _print_census(one, read_census(prompt.ask(one, "mapper census")), as_json)
    elif kernel:
        _print_kernel(one, read_kernel(prompt.ask(one, "mapper kernel")), as_json)
    else:
        _print_witness(one, read_witness(serial_log(one)), as_json)
    return DONE


def _print_witness(one: Guest, seen: Witness, as_json: bool) -> None:
    if as_json:
        print_json({"schema": "ptlive.witness/1", "guest": one.name, **told(seen)})
        return
    header = ("pid", "kind", "linear address", "size", "prot", "touched", "key", "kernel says")
    rows = [
        (
            str(page.pid),
            page.kind,
            f"{page.va:#018x}",
            page.size_name,
            page.prot,
            _TOUCHED[page.touched],
            str(page.key),
            _kernel_says(page),
        )
        for page in seen.pages
    ]
    print_lines(in_columns(header, rows, ">     >"))
    for what in seen.without:
        stdout().out(f"without {plain(what)}", highlight=False)
    _print_lost(seen.lost)


def _kernel_says(page: Page) -> str:
    if page.swapped:
        return "swapped out"
    if not page.present:
        return "nothing"
    words = (
        ("exclusive", page.exclusive),
        ("file or shared", page.file_or_shared),
        ("soft-dirty", page.soft_dirty),
    )
    return ", ".join([f"frame {page.pfn:#x}", *(word for word, true in words if true)])


def _print_census(one: Guest, census: Census, as_json: bool) -> None:
    if as_json:
        value = _hexadecimal(
            dataclasses.asdict(census), ("mm", "root", "va", "last_va", "weighted")
        )
        for process in value["processes"]:
            process["frames"] = [{"va": address(va), "pfn": pfn} for va, pfn in process["frames"]]
        print_json({"schema": "ptlive.processes/1", "guest": one.name, **value})
        return
    header = ("pid", "name", "root", "mappings", "pages", "swapped", "threads")
    rows = [
        (
            str(process.pid),
            plain(process.name),
            f"{process.root:#x}" if process.root else "unknown",
            str(len(process.mappings)),
            str(process.present),
            str(process.swapped),
            str(process.threads),
        )
        for process in census.users
    ]
    print_lines(in_columns(header, rows, ">  >>>>"))
    threads = sum(process.kind == "kernel" for process in census.processes)
    stdout().out(f"kernel threads, which have no root: {threads}", highlight=False)
    _print_lost(census.lost)


def _print_kernel(one: Guest, said: KernelSaid, as_json: bool) -> None:
    if as_json:
        value = _hexadecimal(dataclasses.asdict(said), ("va", "last_va", "pa", "last_pa"))
        for name in ("symbols", "words", "roots"):
            value[name] = {key: address(number) for key, number in value[name].items()}
        print_json({"schema": "ptlive.kernel/1", "guest": one.name, **value})
        return
    out = stdout()
    for name, root in said.roots.items():
        out.out(f"root     {root:#018x}  {name}", highlight=False)
    for segment in sorted(said.segments, key=lambda segment: segment.va):
        where = "" if segment.pa is None else f"  at {segment.pa:#x}"
        out.out(f"segment  {segment.va:#018x}..{segment.last_va:#018x}{where}", highlight=False)
    for module in said.modules:
        out.out(
            f"module   {module.va:#018x}  {plain(module.name)}, {module.size} bytes",
            highlight=False,
        )
    for place in said.ram:
        out.out(f"RAM      {place.pa:#018x}..{place.last_pa:#018x}", highlight=False)
    for swap in said.swaps:
        out.out(f"swap     {plain(swap)}", highlight=False)
    for name, va in said.symbols.items():
        word = f"{said.words[name]:#018x}" if name in said.words else "unreadable"
        out.out(f"symbol   {va:#018x}  {word}  {plain(name)}", highlight=False)
    _print_lost(said.lost)


def _print_lost(lost: int) -> None:
    if lost:
        stdout().out(f"{lost} lines did not arrive whole", highlight=False)


def _hexadecimal(value: Any, names: tuple[str, ...]) -> Any:
    """Return a value for JSON: many of its readers round numbers of more than 53 bits."""
    if isinstance(value, list):
        return [_hexadecimal(one, names) for one in value]
    if isinstance(value, dict):
        return {
            name: address(one)
            if name in names and isinstance(one, int)
            else _hexadecimal(one, names)
            for name, one in value.items()
        }
    return value


def told(seen: Witness) -> dict[str, Any]:
    """Return what the mapper's witness says, for JSON."""
    value: dict[str, Any] = _hexadecimal(dataclasses.asdict(seen), ("va",))
    for one in value["sums"]:
        one["weighted"] = hex(one["weighted"])
    return value


def serial_log(one: Guest) -> str:
    """Return what a guest said on its serial port. Raises PtliveError."""
    try:
        return one.serial_log.read_text(errors="replace")
    except OSError as error:
        raise PtliveError(f"cannot read {one.serial_log}: {error.strerror}") from error

"""`ptlive demo`: the main job, on the bundled menu guest."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ptlive import demo as demonstration
from ptlive.access_kind import ACCESS_KINDS
from ptlive.cli.main import DONE, FAILED, FOUND
from ptlive.cli.tell import tell
from ptlive.guests import recipe
from ptlive.guests.said.menu import read_menu
from ptlive.show import regions as show_regions
from ptlive.show import report as show_report
from ptlive.show import translation as show_translation
from ptlive.show import words
from ptlive.show.json import print_json
from ptlive.show.progress import progress
from ptlive.show.terminal import heading, plain, stdout, verdict
from ptlive.space import TARGET_NAMES, open_space
from ptlive.target import launch
from ptlive.target.attach import attach
from ptlive.target.machine import Machine

if TYPE_CHECKING:
    from collections.abc import Callable

    from ptlive.space import AddressSpace
    from ptlive.target.attach import Target
    from ptlive.target.running import Guest

SHOWN = 12


@click.command()
@click.option("--levels", type=click.Choice(["4", "5"]), help="Only these.  [default: 5, then 4]")
@click.option("--full", is_flag=True, help="Print every region of the map.")
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the planted values."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def demo(levels: str | None, full: bool, seed: int, as_json: bool) -> int:
    """Boot the menu guest, walk its live tables, and have its own MMU confirm them.

    The guest's author wrote down what each access to each line of the menu must
    do; the walker predicts it from the tables; the MMU executes it. Then a twin of
    the guest does the same for everything that is mapped, and everything that is
    not. Exit status 1 if any differ, 2 if something has no answer and no reason.
    """
    results: list[dict[str, Any]] = []
    status = DONE
    for number in (levels,) if levels else ("5", "4"):
        begun = time.monotonic()
        booted = launch.temporary(recipe("menu"), Machine(levels=int(number)), progress=tell)
        with booted as guest, attach(guest.gdb) as target:
            passed, result = _show(guest, target, full, seed, as_json)
        status = max(status, passed)
        results.append(result)
        if not as_json:
            seconds = time.monotonic() - begun
            stdout().out(f"{seconds:.1f} s, guest stopped\n", highlight=False)
    if as_json:
        print_json({"schema": "ptlive.demo/1", "guests": results})
    return status


def _show(
    guest: Guest, target: Target, full: bool, seed: int, as_json: bool
) -> tuple[int, dict[str, Any]]:
    """Map, translate, verify; return the exit status and the result for JSON."""
    say: Callable[[str], None] = (
        (lambda _: None) if as_json else (lambda line: stdout().out(line, highlight=False))
    )
    space = open_space(target.cpus[0], target.memory, target.ram_map)
    assert guest.symbols is not None
    menu = read_menu(Path(guest.symbols), target.memory)
    if not as_json:
        title = f"{space.format.name}: QEMU {target.version}, {target.accelerator}, attached"
        stdout().print(heading(plain(f"{title} to {guest.gdb}")))
        _map(space, full, say)
        _translate(space, menu, say)
        say(f"\nThe MMU executes {len(menu.lines)} lines x {len(ACCESS_KINDS)} kinds of access:")
    with progress() as tell:
        report, coverage = demonstration.verify_menu(target, space, menu, seed, tell)
    missing = coverage.missing(len(menu.lines))
    if not as_json:
        for line in show_report.lines(space.format, report):
            stdout().print(line)
        unasked = sum(coverage.reasons.values())
        say(
            f"{coverage.executed:,} accesses executed, {unasked:,} not, each for a reason above; "
            f"{missing:,} without an answer or a reason"
        )
        if menu.differences:
            text = f"the guest itself saw {menu.differences} differences at boot"
            stdout().print(verdict(text, good=False))
        say("\nThe MMU of a twin makes each kind of access to every leaf and hole of the map:")
    whole = demonstration.verify_all(target, space, guest, seed)
    if not as_json:
        for line in show_report.lines(space.format, whole):
            stdout().print(line)
    result = {
        "levels": menu.levels,
        "format": space.format.name,
        "accelerator": target.accelerator,
        "lines": len(menu.lines),
        "executed": coverage.executed,
        "not_executed": dict(coverage.reasons),
        "without_answer_or_reason": missing,
        "guest_differences": menu.differences,
        "result": show_report.as_json(report),
        "whole": show_report.as_json(whole),
    }
    if report.disagreed or whole.disagreed or menu.differences:
        return FOUND, result
    few = coverage.executed < demonstration.LEAST_EXECUTED
    unfinished = missing or few or report.never_checked or whole.never_checked
    return (FAILED if unfinished else DONE), result


def _map(space: AddressSpace, full: bool, say: Callable[[str], None]) -> None:
    """Print the map, or its beginning and its end."""
    graph = space.walk()
    first, *lines = show_regions.lines(space.regions(graph), TARGET_NAMES)
    stdout().print(heading(first))
    if full or len(lines) <= 2 * SHOWN:
        say("\n".join(lines))
    else:
        say("\n".join(lines[:SHOWN]))
        say(f"... {words.count(len(lines) - 2 * SHOWN, 'more region')} (--full prints all)")
        say("\n".join(lines[-SHOWN:]))
    say(f"{words.count(len(lines), 'region')}, {words.count(graph.tables, 'table')}")


def _translate(space: AddressSpace, menu: Any, say: Callable[[str], None]) -> None:
    """Print one address step by step."""
    line, translations, row = demonstration.exemplary(space, menu)
    kinds = [ACCESS_KINDS[name] for name in ("supervisor-write", "user-read")]
    found = space.describe(translations, row, kinds)
    stdout().print(heading(f"\nOne line of the menu: {plain(line.name)}"))
    say(show_translation.headline(found))
    for text in show_translation.lines(space.format, found):
        say(text)

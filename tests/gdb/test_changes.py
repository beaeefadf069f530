"""`ptlive changes` in gdb: what changed in an address space from one stop to the next."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from ptlive.guests import menu, recipe
from ptlive.guests.elf import symbol
from ptlive.target import launch
from ptlive.target.machine import Machine
from tests.gdb.watching import FRAME, PWU, RW, A, D, P, Tables, gdb, put, run, store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ptlive.target.running import Guest

pytestmark = pytest.mark.qemu

ANOTHER = 0x6300000


@pytest.fixture(scope="module")
def guest() -> Iterator[Guest]:
    """A menu guest that the tests may change: each plants the path that it wants."""
    with launch.temporary(recipe("menu"), Machine(levels=5)) as started:
        yield started


@pytest.fixture(scope="module")
def tables(guest: Guest) -> Tables:
    # The first of its tables is the root (guest/menu/tables.c).
    return Tables(symbol(menu.ELF, "tables"), guest.levels)


def lines(said: str) -> list[str]:
    """Return what is told of changes: titles, regions and counts, with single blanks."""
    wanted = re.compile(r"ptlive changes: |root 0x|[-+~!] +0x|\d+ regions?: |no difference|\.\.\. ")
    return [" ".join(line.split()) for line in said.splitlines() if wanted.match(line)]


def test_what_changed_is_told_at_the_next_stop(guest: Guest, tables: Tables) -> None:
    va, last = f"{tables.va:#018x}", f"{tables.va | 0xFFF:#018x}"
    said = gdb(
        guest,
        *tables.plant(),
        "ptlive changes on",
        *store(tables.entry(1), 0),
        "echo AGAIN\\n",
        "ptlive changes",
        "echo THEN\\n",
        *store(tables.entry(2), tables.value(2)),  # what is there already
        *store(tables.entry(1), 0x6101000 | PWU),
        *store(tables.entry(2), tables.value(2) & ~RW),
    )
    before, _, rest = said.partition("AGAIN\n")
    again, _, rest = rest.partition("THEN\n")
    gone = [
        f"- {va} {last} 4K 1 x 4K rwxu RAM 0x6100000 removed",
        "1 region: removed 4K (1 x 4K); 3 pairs of tables compared",
    ]
    root = f"root {tables.root:#x}"
    title = f"ptlive changes: {root} (cr3), since the last stop"
    first, *told = lines(before)
    assert re.fullmatch(
        rf"{root} \(cr3\): \d+ tables kept; what changes is told at each stop", first
    )
    assert told[0] == title
    assert told[1] == gone[0]
    assert told[2].startswith("1 region: removed 4K (1 x 4K); ")
    assert lines(again)[:2] == [f"{root}, since the last stop", gone[0]]
    # A line of the menu maps tables as pages, these too: it is told of that as well.
    told = [line for line in lines(rest) if line == title or va in line]
    assert told == [
        title,
        f"+ {va} {last} 4K 1 x 4K rwxu RAM 0x6101000 added",
        title,
        f"~ {va} {last} 4K 1 x 4K rwxu -> r-xu RAM 0x6101000 rights",
    ]


def test_marks_are_counted_and_not_listed(guest: Guest, tables: Tables) -> None:
    said = gdb(
        guest,
        *tables.plant(),
        put(tables.entry(1), 0x6100000 | P | RW),
        "ptlive changes on",
        *run("48 89 37", tables.va, 1),  # a store to the page itself
    )
    title, counted = lines(said)[1:]
    assert title.endswith("since the last stop")
    assert counted.startswith("1 region: ad 4K (1 x 4K); ")


def test_many_regions_are_cut_and_listed_when_asked_for(guest: Guest, tables: Tables) -> None:
    """Thirty pages appear, each at another distance from the one before."""
    table = tables.table(1)
    page = (0x6100000 | P | RW).to_bytes(8, "little")
    plant = f"for n in range(30): m.write_memory({table} + 4 * n * (n + 3), {page!r})"
    said = gdb(
        guest,
        *tables.plant(down_to=2),
        "ptlive changes on",
        "python m = gdb.selected_inferior()",
        f"python {plant}",
        "stepi",
        "echo ALL\\n",
        "ptlive changes",
    )
    at_stop, _, asked = said.partition("ALL\n")
    assert sum(line.startswith("+") for line in lines(at_stop)) == 20
    assert "... and 10 regions, which `ptlive changes` lists" in at_stop
    assert lines(at_stop)[-1].startswith("30 regions: added 120K (30 x 4K)")
    assert sum(line.startswith("+") for line in lines(asked)) == 30
    assert "... and" not in asked


def test_each_root_is_compared_with_how_it_was_left(guest: Guest, tables: Tables) -> None:
    """Another root with the same entries but one, as a kernel switches processes."""
    load = "0f 22 df"  # mov %rdi,%cr3
    copy = f"m.write_memory({ANOTHER}, m.read_memory({tables.root}, {FRAME}))"
    said = gdb(
        guest,
        *tables.plant(),
        "python m = gdb.selected_inferior()",
        f"python {copy}",
        "ptlive changes on",
        *run(load, ANOTHER),
        *store(tables.entry(1), 0),
        "echo BACK\\n",
        *run(load, tables.root),
        "ptlive changes off",
        *store(tables.entry(1), tables.value(1)),
    )
    there, _, back = said.partition("BACK\n")
    assert (
        f"root {ANOTHER:#x} (cr3) is another one: what changes there is told from here on" in there
    )
    assert f"ptlive changes: root {ANOTHER:#x} (cr3), since the last stop" in lines(there)
    told = lines(back)
    assert (
        told[0]
        == f"ptlive changes: root {tables.root:#x} (cr3), since it was seen last, 3 stops ago"
    )
    assert told[1].startswith("- ")
    assert len(told) == 3


def test_without_the_hook_it_tells_since_it_was_asked_last(guest: Guest, tables: Tables) -> None:
    said = gdb(
        guest,
        *tables.plant(),
        f"ptlive changes {tables.va:#x}..{tables.va | 0xFFFFF:#x}",
        *store(tables.entry(1), 0),
        "echo ASK\\n",
        "ptlive changes --json",
        "echo END\\n",
        "p $_pt_status",
        "ptlive changes",
        "p $_pt_status",
    )
    before, _, rest = said.partition("ASK\n")
    asked, _, rest = rest.partition("END\n")
    assert lines(before) == [
        f"root {tables.root:#x} (cr3): 5 tables kept; "
        "what changes is told by the next `ptlive changes`"
    ]
    told = json.loads(asked)
    assert told["schema"] == "ptlive.changes/1"
    (result,) = [one["result"] for one in told["roots"]]
    assert [(one["va"], one["kinds"], one["b"]) for one in result["differences"]] == [
        (f"{tables.va:#018x}", ["removed"], None)
    ]
    assert result["tables"] == 5
    assert lines(rest) == [
        f"root {tables.root:#x}, since the last `ptlive changes`",
        "no difference; 5 pairs of tables compared",
    ]
    assert "$1 = 1\n" in rest
    assert "$2 = 0\n" in rest


def test_what_fails_at_a_stop_stands_in_nobodys_way(guest: Guest, tables: Tables) -> None:
    said = gdb(
        guest,
        *tables.plant(),
        "ptlive changes on",
        "python import ptlive.gdb.changes",
        "python look = ptlive.gdb.changes.CHANGES.look",
        f"python ptlive.gdb.changes.CHANGES.look = lambda space: {put.__name__}",  # no such name
        "stepi",
        "echo THEN\\n",
        "python ptlive.gdb.changes.CHANGES.look = look",
        *store(tables.entry(1), tables.value(1) & ~A & ~D & ~RW),
        "ptlive changes 0x8000000000000000",
        "ptlive changes off 0x1000",
        "ptlive changes on nowhere",
    )
    failed, _, then = said.partition("THEN\n")
    assert failed.count("ptlive: changes fails at this stop: NameError: ") == 1
    assert lines(then)[0].startswith("ptlive changes: ")
    assert lines(then)[1].startswith("~ ")
    assert "no address in these ranges is canonical in x86-64-5level" in then
    assert "`ptlive changes off` takes neither a range nor a root" in then


@pytest.mark.long
def test_thousands_of_stops_take_no_more_memory(guest: Guest, tables: Tables) -> None:
    size = "python print('SIZE', int(open('/proc/self/statm').read().split()[1]) * 4)"
    steps = "python for _ in range(600): gdb.execute('stepi', to_string=True)"
    said = gdb(
        guest,
        *tables.plant(),
        "ptlive changes on",
        f"ptlive watch {tables.va:#x}",
        *store(tables.entry(1), tables.value(1) & ~RW),
        "continue",
        steps,
        size,
        steps,
        size,
    )
    one, two = map(int, re.findall(r"SIZE (\d+)", said))
    assert two - one < 5 << 10

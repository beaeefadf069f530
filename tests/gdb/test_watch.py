"""`ptlive watch` in gdb: which stores into a path stop the guest, and what is told of them."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from ptlive.guests import menu, recipe
from ptlive.guests.elf import symbol
from ptlive.target import launch
from ptlive.target.machine import Machine
from tests.gdb.watching import PWU, RW, XD, A, D, P, Tables, gdb, put, run, store, told

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ptlive.target.running import Guest

pytestmark = pytest.mark.qemu

NAMES = {5: "PML5E", 4: "PML4E", 3: "PDPTE", 2: "PDE", 1: "PTE"}
HIT = re.compile(r"^Hardware watchpoint \d+: \*\$(\w+)$", re.MULTILINE)


@pytest.fixture(scope="module", params=[5, pytest.param(4, marks=pytest.mark.long)])
def guest(request: pytest.FixtureRequest) -> Iterator[Guest]:
    """A menu guest that the tests may change: each plants the path that it wants."""
    with launch.temporary(recipe("menu"), Machine(levels=request.param)) as started:
        yield started


@pytest.fixture(scope="module")
def tables(guest: Guest) -> Tables:
    # The first of its tables is the root (guest/menu/tables.c).
    return Tables(symbol(menu.ELF, "tables"), guest.levels)


def test_a_store_into_any_entry_of_the_path_stops_the_guest(guest: Guest, tables: Tables) -> None:
    commands = [*tables.plant(), f"ptlive watch {tables.va:#x}"]
    for level in range(1, tables.levels + 1):
        # Bit 9 means nothing to the MMU at any level.
        commands += store(tables.entry(level), tables.value(level) | 1 << 9)
        commands += ["p/x $_pt_watch_level", "p/x $_pt_watch_entry", "continue"]
    said = gdb(guest, *commands)
    hit = [name.removeprefix(f"_pt1_{tables.va:#x}_") for name in HIT.findall(said)]
    assert hit == [NAMES[level].lower() for level in range(1, tables.levels + 1)]
    for level in range(1, tables.levels + 1):
        old, at = tables.value(level), f"level {level}, "
        (line,) = [line for line in told(said) if at in line]
        assert line.endswith(
            f"at {tables.entry(level):#x}: {old:#018x} -> {old | 512:#018x}: bit 9 set"
        )
        assert re.match(rf"ptlive watch 1, watchpoint \d+: {NAMES[level]} \(", line)
        assert f"= {level:#x}\n" in said
        assert f"= {tables.entry(level):#x}\n" in said
    assert f"  {tables.va:#018x} -> 0x6100000 (4K page, RAM) rwxu, as before" in told(said)


STORES = {
    "c6 47 07 80": XD,  # movb $0x80,7(%rdi)
    "f0 48 0f ba 2f 3f": XD,  # lock btsq $63,(%rdi)
    "48 8b 07 f0 48 0f b1 37": XD,  # mov (%rdi),%rax; lock cmpxchg %rsi,(%rdi)
    "48 87 37": XD,  # xchg %rsi,(%rdi)
    "48 0f c3 37": XD,  # movnti %rsi,(%rdi)
    "48 89 f0 b9 01 00 00 00 f3 48 ab": XD,  # mov %rsi,%rax; mov $1,%ecx; rep stosq
    "c7 47 fe 00 00 21 00": None,  # movl $0x210000,-2(%rdi): the entry's two lowest bytes
}


def test_stores_of_all_kinds_and_sizes_stop_it(guest: Guest, tables: Tables) -> None:
    entry, value = tables.entry(1), tables.value(1)
    commands = [*tables.plant(), f"ptlive watch {tables.va:#x}"]
    for code in STORES:
        commands += [*run(code, entry, value | XD), "p/x $_pt_watch_new", "continue"]
        # A stop, so that what gdb itself writes is no news at the next one.
        commands += [put(entry, value), "stepi"]
    said = gdb(guest, *commands)
    new = [int(word, 16) for word in re.findall(r"^\$\d+ = (0x\w+)$", said, re.MULTILINE)]
    assert new == [value | XD] * (len(STORES) - 1) + [value & ~0xFFFF | 0x21]


def test_what_becomes_of_the_page_is_told(guest: Guest, tables: Tables) -> None:
    entry, value = tables.entry(1), tables.value(1)
    va = f"{tables.va:#018x}"
    said = gdb(
        guest,
        *tables.plant(),
        f"ptlive watch {tables.va:#x}",
        *store(entry, value & ~RW & ~D | XD),
        "continue",
        *store(entry, 0),
        "continue",
    )
    assert [re.sub(r"watchpoint \d+", "watchpoint N", line) for line in told(said)] == [
        f"ptlive watch 1, watchpoint N: PTE (level 1, pte) at {entry:#x}: {value:#018x} -> "
        f"{value & ~RW & ~D | XD:#018x}: R/W cleared, D cleared, XD set",
        f"  {va} -> 0x6100000 (4K page, RAM) r--u; before: 0x6100000 (4K page, RAM) rwxu",
        f"ptlive watch 1, watchpoint N: PTE (level 1, pte) at {entry:#x}: "
        f"{value & ~RW & ~D | XD:#018x} -> 0x0000000000000000: leaf -> not present",
        f"  {va} -> no translation: the PTE (level 1) is not present; "
        "before: 0x6100000 (4K page, RAM) r--u",
    ]


def test_the_watch_follows_the_path_downwards(guest: Guest, tables: Tables) -> None:
    """Tables are linked in one after the other, as a kernel does at a page fault."""
    commands = [*tables.plant(down_to=tables.levels), f"ptlive watch {tables.va:#x}"]
    commands[-2] = put(tables.entry(tables.levels), 0)
    commands += ["ptlive watch", "info breakpoints"]
    for level in range(tables.levels, 0, -1):
        commands += [*store(tables.entry(level), tables.value(level)), "continue"]
    # And one above is given another table: the old one is watched no more.
    other = 0x6020000
    commands += [
        f"python gdb.selected_inferior().write_memory({other}, bytes(4096))",
        *store(tables.entry(3), other | PWU),
        "continue",
        "echo OLD\\n",
        *store(tables.entry(2), tables.value(2) | 1 << 9),
        "echo NEW\\n",
        *store(other + (tables.entry(2) & 0xFFF), tables.value(2)),
        "continue",
    ]
    said = gdb(guest, *commands)
    assert len(re.findall(r"absent", said)) == 2  # once when it is set, once in the list
    before, _, rest = said.partition("OLD\n")
    old, _, new = rest.partition("NEW\n")
    changes = [line for line in told(before) if line.startswith("ptlive")]
    at = [int(one, 16) for line in changes for one in re.findall(r" at (0x\w+):", line)[:1]]
    assert at == [tables.entry(level) for level in (*range(tables.levels, 0, -1), 3)]
    assert sum("from here on" in line for line in told(before)) == tables.levels - 1 + 1
    assert told(old) == []
    assert "Temporary breakpoint" in old
    assert f"at {other + (tables.entry(2) & 0xFFF):#x}: 0x0000000000000000 -> " in new
    assert told(new)[1] == (
        f"  {tables.va:#018x} -> 0x6100000 (4K page, RAM) rwxu; before: no translation: "
        "the PDE (level 2) is not present"
    )


def test_what_the_mmu_writes_is_seen_at_the_next_stop(guest: Guest, tables: Tables) -> None:
    said = gdb(
        guest,
        *tables.plant(),
        put(tables.entry(1), 0x6100000 | P | RW),
        put(tables.entry(2), tables.value(2) & ~A),
        f"ptlive watch {tables.va:#x}",
        *run("48 89 37", tables.va, 1),  # a store to the page itself
        "p $_pt_watch",
    )
    assert HIT.findall(said) == []
    one, two, reach = told(said)
    assert one.startswith("ptlive watch 1, since the last stop: PDE (level 2, pmd)")
    assert one.endswith(": A set")
    assert two.startswith("ptlive watch 1, since the last stop: PTE (level 1, pte)")
    assert two.endswith(": A set, D set")
    assert reach.endswith("-> 0x6100000 (4K page, RAM) rwx-, as before")
    assert "$1 = 1" in said


def test_marks_may_be_left_out(guest: Guest, tables: Tables) -> None:
    entry, value = tables.entry(1), tables.value(1)
    said = gdb(
        guest,
        *tables.plant(),
        f"ptlive watch --no-ad {tables.va:#x}",
        *store(entry, value & ~A & ~D),
        "p $_pt_watch",
        *store(entry, value & ~A & ~D & ~RW),
        "p $_pt_watch",
        "continue",
    )
    assert len(HIT.findall(said)) == 1
    assert "$1 = 0\n" in said
    assert "$2 = 1\n" in said
    assert told(said)[0].endswith(": R/W cleared")


def test_what_gdb_writes_is_told_as_not_seen(guest: Guest, tables: Tables) -> None:
    entry, value = tables.entry(1), tables.value(1)
    said = gdb(
        guest, *tables.plant(), f"ptlive watch {tables.va:#x}", put(entry, value & ~RW), "stepi"
    )
    assert re.match(
        r"ptlive watch 1, since the last stop \(watchpoint \d+ did not see it\): PTE", told(said)[0]
    )


def test_another_root_is_watched_whatever_cr3_is(guest: Guest, tables: Tables) -> None:
    own = 0x6200000
    slot = tables.entry(tables.levels) & 0xFFF
    said = gdb(
        guest,
        *tables.plant(),
        f"python gdb.selected_inferior().write_memory({own}, bytes(4096))",
        put(own + slot, tables.value(tables.levels)),
        put(tables.entry(tables.levels), 0),
        f"ptlive watch --root {own:#x} {tables.va:#x}",
        *store(tables.entry(1), tables.value(1) & ~RW),
        "continue",
        *store(own + slot, 0),
        "continue",
    )
    assert f"watch 1 in root {own:#x}: {tables.va:#018x} -> 0x6100000 (4K page, RAM) rwxu" in said
    assert len(HIT.findall(said)) == 2
    assert f"  that is in root {own:#x}; vCPU 1 uses {tables.root:#x} now" in told(said)


def test_commands_of_a_watchpoint_find_what_changed_and_may_go_on(
    guest: Guest, tables: Tables, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """They run when all is told, though what is told takes commands of gdb itself."""
    script = tmp_path_factory.mktemp("commands") / "on_hit.gdb"
    script.write_text(
        "commands $bpnum\nsilent\n"
        'printf "HIT %d %lx %lx\\n", $_pt_watch, $_pt_watch_old, $_pt_watch_new\n'
        "continue\nend\n"
    )
    entry, value = tables.entry(1), tables.value(1)
    said = gdb(
        guest,
        *tables.plant(),
        f"ptlive watch {tables.va:#x}",
        # The path's last entry has the last watchpoints, and its first address is in the first.
        "python one = next(b for b in gdb.breakpoints() if b.expression.endswith('_pte'))",
        "python gdb.set_convenience_variable('bpnum', one.number)",
        f"source {script}",
        *run("48 89 37 48 ff c6 48 89 37", entry, value & ~RW),  # mov; inc %rsi; mov
        "p $_pt_watch",
    )
    # Bit 0 is P: it was set, and the increment carries into R/W.
    changes = [(value, value & ~RW), (value & ~RW, (value & ~RW) + 1)]
    assert re.findall(r"^HIT .*$", said, re.MULTILINE) == [
        f"HIT 1 {old:x} {new:x}" for old, new in changes
    ]
    assert "Temporary breakpoint" in said
    assert "$1 = 0\n" in said


def test_watches_are_listed_and_deleted(guest: Guest, tables: Tables) -> None:
    va = tables.va
    said = gdb(
        guest,
        *tables.plant(),
        f"ptlive watch {va:#x} {va + 0x1000:#x}",
        f"ptlive watch {va:#x}",
        "echo ONE\\n",
        "ptlive watch --delete 1",
        "ptlive watch --json",
        "ptlive watch",
        "info breakpoints",
        "echo TWO\\n",
        "delete",
        "ptlive watch",
        f"ptlive watch {va:#x}",
        "ptlive watch --delete all",
        "info breakpoints",
        "ptlive watch --delete 7",
    )
    first, _, rest = said.partition("ONE\n")
    assert f"{va:#x} is watched already: watch 1" in first
    one, _, two = rest.partition("TWO\n")
    told = json.loads(one[: one.index("\n}\n") + 2])["roots"]
    (found,) = [watch for root in told for watch in root["result"]["watches"]]
    assert (found["number"], found["va"]) == (2, f"{va + 0x1000:#018x}")
    assert [int(step["entry_pa"], 16) for step in found["path"]][:-1] == [
        tables.entry(level) for level in range(tables.levels, 1, -1)
    ]
    assert all(step["watchpoints"] for step in found["path"])
    assert f"watch 2 in root {tables.root:#x} (cr3): {va + 0x1000:#018x} -> no translation" in one
    assert "$_pt1_" not in one
    assert one.count(f"*$_pt2_{va + 0x1000:#x}_pte\n") == 1
    assert "nothing is watched" in two
    assert "watch 3 in root" in two
    assert "No breakpoints or watchpoints." in two
    assert "there is no watch 7; there are: none" in two


def test_what_cannot_be_watched_is_refused(guest: Guest, tables: Tables) -> None:
    said = gdb(
        guest,
        "ptlive watch 0x1000..0x2000",
        "ptlive watch 0x8000000000000000",
        "ptlive watch no_such_symbol",
        "ptlive watch --root 0x10000000000 0x1000",
        "info breakpoints",
    )
    assert "single addresses are watched; `ptlive changes` tells of ranges" in said
    assert f"0x8000000000000000 is not canonical in x86-64-{guest.levels}level" in said
    assert "No symbol table is loaded" in said
    assert "No breakpoints or watchpoints." in said


def test_without_hardware_it_compares_at_stops(guest: Guest, tables: Tables) -> None:
    said = gdb(
        guest,
        *tables.plant(),
        "set can-use-hw-watchpoints 0",
        f"ptlive watch {tables.va:#x}",
        "info breakpoints",
        *store(tables.entry(1), 0),
    )
    assert said.count("nothing (gdb's hardware watchpoints are switched off)") == tables.levels
    assert "No breakpoints or watchpoints." in said
    assert told(said)[0].startswith("ptlive watch 1, since the last stop: PTE")


# What KVM answers when its four debug registers are taken: kvm_arch_insert_hw_breakpoint
# (target/i386/kvm/kvm.c) returns -ENOBUFS, and the stub says E22.
FOUR = """python
from ptlive.cli import inside
from ptlive.gdb import link
held, send, there = inside.debugger()._now(), link.GdbLink.send, set()
held.guest._accelerator = "KVM, unknown"
def limited(self, packet):
    if packet[:2] == b"Z2" and len(there) == 4:
        return b"E22"
    (there.add if packet[:1] == b"Z" else there.discard)(packet[1:])
    return send(self, packet) if packet[:1] not in b"Zz" else b"OK"
link.GdbLink.send = limited
"""


def test_where_registers_are_few_the_lowest_entries_get_them(
    guest: Guest, tables: Tables, tmp_path_factory: pytest.TempPathFactory
) -> None:
    script = tmp_path_factory.mktemp("kvm") / "four.gdb"
    script.write_text(FOUR)
    said = gdb(
        guest,
        *tables.plant(),
        "hbreak *0x1234",
        f"source {script}",
        f"ptlive watch {tables.va:#x}",
        "info breakpoints",
    )
    rows = {line.split()[1]: line for line in said.splitlines() if re.match(r"  [1-5] ", line)}
    assert "no debug register is left" in rows["PDE"]
    assert rows["PDE"].count("nothing (") == 1
    assert len(re.findall(r"^\d+ +hw watchpoint", said, re.MULTILINE)) == 3
    assert "_pte\n" in said
    assert "_pde\n" not in said

"""`ptlive edit` on real guests: shown, written, confirmed by the MMU, and taken back."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ptlive.target.attach import attach
from ptlive.target.prompt import ask
from ptlive.wire.qmp import Qmp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ptlive.target.running import Guest
    from tests.cli.conftest import Done

# Of the menu guest (guest/menu/chapters/leaf4k.c): rwx-, r-x-, rw--, r--- in four pages.
FIRST, LAST = 0x80_8060_0000, 0x80_8060_3FFF
LARGE = 0x70_0000  # in a page of 2M, rw--, that maps itself
FRAME = 0x700_0000  # RAM that the menu guest uses for nothing


def at(guest: Guest) -> tuple[str, ...]:
    return ("--gdb", guest.gdb)


def state(guest: Guest) -> tuple[Any, ...]:
    """Return the registers and the tables, and a table's frame before it is one."""
    with attach(guest.gdb) as target:
        registers = [target.stub.registers(vcpu) for vcpu in target.stub.vcpus()]
        low = np.arange(0x20_0000, 0x60_0000, 1 << 12, dtype=np.uint64)
        frames = np.append(low, np.uint64(FRAME))
        data, valid = target.stub.read_physical(frames, 1 << 12)
        assert valid.all()
        return registers, data.tobytes()


@pytest.mark.qemu
def test_a_dry_run_asks_a_twin_and_changes_nothing(
    ptlive: Callable[..., Done], menu_guest_5: Guest
) -> None:
    before = state(menu_guest_5)
    done = ptlive(
        *("edit", "protect", f"{FIRST:#x}..{LAST:#x}", "--rights", "r---", "--json"),
        *at(menu_guest_5),
    )
    assert done.status == 0, done.err
    found = json.loads(done.out)
    assert found["schema"] == "ptlive.edit/1"
    result = found["roots"][0]["result"]
    assert [one["level"] for one in result["changes"]] == [1, 1, 1]
    assert [one["index"] for one in result["changes"]] == [0, 1, 2]
    assert [one["new"]["bits"]["XD"] for one in result["changes"]] == [1, 1, 1]
    assert result["after"][0]["rights"] == {"write": False, "execute": False, "user": False}
    assert result["written"] is False
    faults = next(one for one in result["mmu"]["checks"] if one["property"] == "fault")
    assert (faults["checked"], faults["disagreed"]) == (32, 0)
    assert state(menu_guest_5) == before


@pytest.mark.qemu
def test_what_is_written_is_confirmed_and_undone_to_the_last_bit(
    ptlive: Callable[..., Done], menu_guest_5: Guest, tmp_path: Path
) -> None:
    before = state(menu_guest_5)
    file = tmp_path / "undo.json"
    how = ("--frame", hex(FRAME), "--write", "--undo", str(file), *at(menu_guest_5))
    done = ptlive("edit", "unmap", f"{LARGE:#x}..{LARGE + 0x1FFF:#x}", *how)
    assert done.status == 0, done.err
    assert re.search(r"^stepped +TCG +fault +16 +16 +0 ", done.out, re.MULTILINE)
    assert "TLB of vCPU 1 flushed" in done.out
    assert state(menu_guest_5) != before
    gone = ptlive("translate", hex(LARGE), "--check", *at(menu_guest_5))
    assert gone.status == 1
    neighbour = ptlive("translate", hex(LARGE - 4096), "--check", *at(menu_guest_5))
    assert neighbour.status == 0
    again = ptlive("edit", "undo", str(file), *at(menu_guest_5))
    assert again.status == 0, again.err
    assert state(menu_guest_5) == before
    twice = ptlive("edit", "undo", str(file), *at(menu_guest_5))
    assert twice.status == 0
    assert "nothing to put back" in twice.out
    assert state(menu_guest_5) == before


@pytest.mark.qemu
def test_what_a_vcpu_stands_on_is_not_taken_away_unasked(
    ptlive: Callable[..., Done], menu_guest_5: Guest
) -> None:
    before = state(menu_guest_5)
    code = "0x200000..0x203fff"
    done = ptlive("edit", "unmap", code, "--write", *at(menu_guest_5))
    assert done.status == 2
    assert "would lose the code at its PC" in done.err
    assert "nothing was written" in done.err
    shown = ptlive("edit", "unmap", code, "--no-twin", *at(menu_guest_5))
    assert shown.status == 1
    assert state(menu_guest_5) == before


@pytest.mark.qemu
def test_a_vcpu_that_has_lost_its_stack_executes_nothing(
    ptlive: Callable[..., Done], menu_guest_5: Guest, tmp_path: Path
) -> None:
    before = state(menu_guest_5)
    file = tmp_path / "undo.json"
    how = ("--rights", "-w", "--write", "--undo", str(file), "--yes", *at(menu_guest_5))
    done = ptlive("edit", "protect", "0x20c000..0x42ffff", *how)  # all that the kernel writes
    assert done.status == 0, done.err
    assert "would lose its stack" in done.out
    assert "not verified by the guest's MMU: a vCPU has lost what it stands on" in done.out
    assert re.search(r"^twin +TCG +fault +[1-9]", done.out, re.MULTILINE)
    assert ptlive("edit", "undo", str(file), *at(menu_guest_5)).status == 0
    assert state(menu_guest_5) == before


@pytest.mark.qemu
def test_a_running_guest_is_shown_but_not_written(
    ptlive: Callable[..., Done], linux_guest: Guest
) -> None:
    rows = json.loads(ptlive("map", "--rights", "w-x", "--json", *at(linux_guest)).out)
    region = rows["roots"][0]["result"]["regions"][-1]
    first = int(region["va"], 0)
    words = ("edit", "protect", f"{first:#x}..{first + 0xFFF:#x}", "--rights", "-w")
    done = ptlive(*words, "--write", *at(linux_guest))
    assert done.status == 2
    assert "the guest runs" in done.err


@pytest.mark.qemu
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("unmap", "0x700000"), "a range of whole pages"),
        (("unmap", "0x700000..0x7000ff"), "cannot be split"),
        (("unmap", "0x1000000000000000..0x1000000000000fff"), "nothing would change"),
        (("unmap", "0x700000..0x700fff"), "this needs 1 new table of 4096 bytes"),
        (("unmap", "0x700000..0x700fff", "--frame", "0xfffffffff000"), "is not RAM"),
        (("protect", "0x700000..0x700fff"), "say what is to change"),
        (("protect", "0x700000..0x700fff", "--rights", "q"), "the letters of"),
        (("protect", "0x700000..0x700fff", "--attr", "XY"), "has no XY"),
        (("protect", "0x600000..0x7fffff", "--key", "16"), "does not fit"),
        (("remap", "0x600000..0x7fffff", "0x1000"), "cannot stand in a PDE"),
        (("remap", "0x10000000000..0x10000000fff", "0x1000"), "--like"),
        (("undo", "/dev/null"), "no undo file"),
        (("undo", "/nonexistent"), "cannot read"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_sentence(
    ptlive: Callable[..., Done], menu_guest_5: Guest, words: tuple[str, ...], said: str
) -> None:
    done = ptlive("edit", *words, *at(menu_guest_5))
    assert said in done.out + done.err
    assert done.status == (0 if "nothing" in said else 2)


@pytest.fixture
def still_linux(linux_guest: Guest) -> Iterator[Guest]:
    """Linux that stands still; afterwards it runs on, and answers."""
    # QMP serves one at a time, and the commands ask it, too.
    with Qmp(linux_guest.qmp) as qmp:
        qmp.command("stop")
    yield linux_guest
    with Qmp(linux_guest.qmp) as qmp:
        qmp.command("cont")
    assert "42" in ask(linux_guest, "echo $((6 * 7))")


def everything(guest: Guest) -> tuple[Any, ...]:
    """Return the registers of all vCPUs, and a digest of all RAM."""
    with attach(guest.gdb) as target, Path(guest.ram).open("rb") as ram:
        registers = [target.stub.registers(vcpu) for vcpu in target.stub.vcpus()]
        return registers, hashlib.file_digest(ram, "sha256").hexdigest()


def held(
    ptlive: Callable[..., Done], guest: Guest, file: Path, words: tuple[str, ...]
) -> dict[str, Any]:
    """Do an edit, hold what a translation says then, and undo it to the last bit."""
    before = everything(guest)
    done = ptlive("edit", *words, "--write", "--yes", "--undo", str(file), "--json", *at(guest))
    assert done.status == 0, done.err
    result: dict[str, Any] = json.loads(done.out)["roots"][0]["result"]
    assert result["written"]
    checks = (result["executed"] or result["mmu"])["checks"]
    assert sum(one["checked"] for one in checks) > 0
    assert sum(one["disagreed"] for one in checks) == 0
    assert everything(guest) != before
    root = ("--root", "cr3") if "--root" not in words else words[words.index("--root") :][:2]
    shown = ptlive("translate", words[1].partition("..")[0], *root, "--json", *at(guest))
    result["translated"] = json.loads(shown.out)["roots"][0]["result"]["translations"][0]
    again = ptlive("edit", "undo", str(file), *at(guest))
    assert again.status == 0, again.err
    assert everything(guest) == before
    return result


@pytest.mark.qemu
def test_linux_runs_on_after_remap_and_copy_are_undone(
    ptlive: Callable[..., Done], still_linux: Guest, tmp_path: Path
) -> None:
    space = json.loads(ptlive("map", "--rights", "w", "--json", *at(still_linux)).out)["roots"][0]
    page = next(row for row in space["result"]["regions"] if list(row["pages"]) == ["4K"])
    free = empty_frames(still_linux, 9)
    room = ("--frame", f"{free + 0x1000:#x}..{free + 0x8FFF:#x}")
    hole, pa = 0x1234_5678_9000, free + 0x5000
    words = ("remap", f"{hole:#x}..{hole + 0x1FFF:#x}", hex(pa), "--like", page["va"], *room)
    found = held(ptlive, still_linux, tmp_path / "remap.json", words)
    assert found["translated"]["pa"] == hex(pa)
    assert found["translated"]["rights"] == page["rights"]
    assert 1 <= len(found["new_tables"]) <= 4
    # Into an address space that has nothing: its root is empty.
    first = int(page["va"], 0)
    words = ("copy", f"{first:#x}..{first + 0xFFF:#x}", space["root"], *room, "--root", hex(free))
    found = held(ptlive, still_linux, tmp_path / "copy.json", words)
    assert found["translated"]["pa"] == page["pa"]
    assert found["translated"]["rights"] == page["rights"]
    assert [one["index"] for one in found["changes"]] == [first >> 48 & 511]
    assert len(found["new_tables"]) == 4


def empty_frames(guest: Guest, count: int) -> int:
    """Return where so many frames of RAM begin that are all zeros; the last such place."""
    data = np.fromfile(guest.ram, dtype=np.uint64).reshape(-1, 512)
    runs = np.convolve(~data.any(axis=1), np.ones(count, dtype=np.int64), mode="valid")
    return int(np.flatnonzero(runs == count)[-1]) << 12


@pytest.mark.qemu
def test_a_copy_is_from_any_root_that_is_listed(
    ptlive: Callable[..., Done], menu_guest_5: Guest
) -> None:
    words = ("copy", f"{FIRST:#x}..{LAST:#x}")
    more = ("--root", hex(FRAME), "--frame", f"{FRAME + 0x1000:#x}..{FRAME + 0x8FFF:#x}")
    by_number = ptlive("edit", *words, "#0", *more, "--no-twin", *at(menu_guest_5))
    assert by_number.status == 0, by_number.err
    assert "1 entry, 4 new tables would change" in by_number.out
    none = ptlive("edit", *words, "#99", *more, *at(menu_guest_5))
    assert none.status == 2
    assert "there is no root #99" in none.err


@pytest.mark.qemu
def test_what_was_edited_in_one_guest_is_not_undone_in_another(
    ptlive: Callable[..., Done], menu_guest_5: Guest, menu_guest_4: Guest, tmp_path: Path
) -> None:
    file = tmp_path / "undo.json"
    before, other = state(menu_guest_5), state(menu_guest_4)
    how = ("--write", "--undo", str(file), *at(menu_guest_5))
    done = ptlive("edit", "unmap", f"{FIRST:#x}..{LAST:#x}", *how)
    assert done.status == 0, done.err
    wrong = ptlive("edit", "undo", str(file), *at(menu_guest_4))
    assert wrong.status == 2
    assert state(menu_guest_4) == other
    assert ptlive("edit", "undo", str(file), *at(menu_guest_5)).status == 0
    assert state(menu_guest_5) == before

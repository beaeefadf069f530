"""--live and --gdb none: what is asked of whom, and what changed meanwhile."""

from __future__ import annotations

import json
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import pytest

from ptlive.cli import hold
from ptlive.cli.torn import changed
from ptlive.target import running
from ptlive.target.attach import Target
from ptlive.wire.qmp import Qmp
from tests.cli.conftest import VA
from tests.guests.prompt import at_the_prompt
from tests.paging.tables import A, D

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ptlive.target.running import Guest as RunningGuest
    from tests.cli.conftest import Done
    from tests.simulated_guest import Guest

QMP = ("--qmp", "unix:/run/qmp")


@pytest.fixture
def live(guest: Guest, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was asked of the simulated guest, which is reached by QMP alone."""
    asked: list[str] = []

    @contextmanager
    def by_qmp(qmp: Any, *, live: bool = False) -> Iterator[Target]:
        asked.append("live" if live else "stopped")
        yield Target(**{**vars(guest.target()), "memory_source": "qmp"})

    @contextmanager
    def stub(address: str, **_: Any) -> Iterator[Target]:
        asked.append(address)
        yield guest.target()

    def qmp(address: str) -> Any:
        asked.append(address)
        return nullcontext(object())

    monkeypatch.setattr("ptlive.target.by_qmp.attach_by_qmp", by_qmp)
    monkeypatch.setattr(hold, "attach", stub)
    monkeypatch.setattr(hold, "Qmp", qmp)
    monkeypatch.setattr(running, "guests", list)
    return asked


def entry_of(guest: Guest, level: int) -> int:
    """The address of the entry at a level on the path of VA."""
    table = 0
    for lvl in range(4, level, -1):
        table = guest.ram.value(table + 8 * (VA >> 9 * lvl + 3 & 511)) & ((1 << 52) - 4096)
    return table + 8 * (VA >> 9 * level + 3 & 511)


def change(
    monkeypatch: pytest.MonkeyPatch, guest: Guest, values: dict[int, int], **registers: int
) -> None:
    """Change entries and registers when the vCPUs are looked at again, after all was read."""

    def vcpus() -> Sequence[int]:
        for at, value in values.items():
            guest.ram.write(at, value)
        guest.registers_now |= registers
        return type(guest).vcpus(guest)

    monkeypatch.setattr(guest, "vcpus", vcpus)


def test_the_stub_is_left_alone(ptlive: Callable[..., Done], live: list[str]) -> None:
    for options, how in ((["--live"], "live"), (["--gdb", "none"], "stopped")):
        live.clear()
        done = ptlive("translate", hex(VA), *options, *QMP, "--json")
        assert done.status == 0
        assert live == ["unix:/run/qmp", how]
        value = json.loads(done.out)
        assert (value["guest"], value["memory"]) == ("unix:/run/qmp", "qmp")
        (found,) = value["roots"][0]["result"]["translations"]
        assert ("torn" in found["path"][0]) == (how == "live")
        assert value.get("torn") == ([] if how == "live" else None)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--live"], "--live leaves the gdb stub alone, which stops a guest: name its QMP"),
        (["--gdb", "none"], "--gdb none leaves the gdb stub alone"),
        (["--live", "--gdb", "x:1"], "name its QMP by --qmp"),
        (["--live", *QMP, "--memory", "stub"], "by stub: it needs the gdb stub"),
        (["--gdb", "none", *QMP, "--memory", "gdb"], "by gdb: it needs the gdb stub"),
        (["--live", *QMP, "--memory", "shared"], "by shared: the guest's RAM is not shared"),
        (["--live", *QMP, "--memory", "proc"], "by proc: QEMU's process is not known"),
        (["--gdb", "x:1", "--memory", "proc"], "by proc: QEMU's process is not known"),
        (["--gdb", "x:1", "--memory", "qmp"], "by qmp: no QMP is known (--qmp names it)"),
        (["--memory", "fast"], "'fast' is not one of"),
    ],
)
def test_what_cannot_be_is_one_sentence(
    refused: Callable[..., str], live: list[str], options: list[str], words: str
) -> None:
    for command in (["map"], ["translate", hex(VA)], ["table", "0"]):
        assert words in refused(*command, *options)


def test_verify_needs_a_guest_that_stands_still(
    refused: Callable[..., str], live: list[str]
) -> None:
    said = refused("verify", "--live", *QMP)
    assert said == "verify needs a guest that stands still, and --live reads one that runs"
    assert "stands still" in refused("selftest", "--gdb", "none", "--live", *QMP)
    assert live == [], "nobody was asked"


def test_a_translation_names_the_torn_step(
    ptlive: Callable[..., Done],
    guest: Guest,
    live: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    at = entry_of(guest, 2)
    before = guest.ram.value(at)
    change(monkeypatch, guest, {at: before ^ A})
    done = ptlive("translate", hex(VA), "--live", *QMP)
    torn = [line for line in done.out.splitlines() if line.endswith(" torn")]
    assert len(torn) == 1
    assert f"{at:#x}" in torn[0]
    assert done.err.splitlines() == [
        "ptlive: note: 1 entry was torn: the guest changed them while they were read, "
        "in 1 of them nothing but A or D",
        f"ptlive: torn: entry at {at:#x} {before:#x} -> {before ^ A:#x} (A)",
    ]


def test_json_has_them_with_both_values(
    ptlive: Callable[..., Done],
    guest: Guest,
    live: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    marked, moved = entry_of(guest, 1), entry_of(guest, 3)
    old = {at: guest.ram.value(at) for at in (marked, moved)}
    change(monkeypatch, guest, {marked: old[marked] ^ (A | D), moved: 0}, cr3=0x5000)
    value = json.loads(ptlive("translate", hex(VA), "--live", *QMP, "--json").out)
    path = value["roots"][0]["result"]["translations"][0]["path"]
    assert {step["level"]: step["torn"] for step in path} == {4: False, 3: True, 2: False, 1: True}
    assert {int(one["entry_pa"], 16): one["after"] for one in value["torn"]} == {
        marked: hex(old[marked] ^ (A | D)),
        moved: "0x0",
    }
    assert {one["changed"] for one in value["torn"]} == {"A D", changed(old[moved])}
    notes = {note["code"]: note["text"] for note in value["notes"]}
    assert notes["cr3-changed"] == "CR3 of vCPU 1 was 0x0, and is another by now"
    assert notes["torn"].startswith("2 entries were torn: ")
    assert notes["torn"].endswith(", in 1 of them nothing but A or D")


def test_a_table_names_the_torn_entry(
    ptlive: Callable[..., Done],
    guest: Guest,
    live: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    at = entry_of(guest, 4)
    change(monkeypatch, guest, {at: guest.ram.value(at) | 1 << 63})
    done = ptlive("table", "0", "--live", *QMP)
    assert [line.split()[0] for line in done.out.splitlines() if line.endswith(" torn")] == [
        str(VA >> 39 & 511)
    ]
    assert done.err.splitlines()[-1].endswith("(XD)")
    change(monkeypatch, guest, {at: guest.ram.value(at) ^ 1 << 63})
    value = json.loads(ptlive("table", "0", "--live", *QMP, "--json").out)
    entries = value["roots"][0]["result"]["entries"]
    assert [one["index"] for one in entries if one["torn"]] == [VA >> 39 & 511]


def test_a_map_counts_them_and_lists_the_first(
    ptlive: Callable[..., Done],
    guest: Guest,
    live: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = entry_of(guest, 1) & ~0xFFF
    change(monkeypatch, guest, {first + 8 * at: 0x1000 for at in range(100, 115)})
    done = ptlive("map", "--live", *QMP)
    note, *told = done.err.splitlines()
    assert note == "ptlive: note: 15 entries were torn: the guest changed them while they were read"
    assert told[0] == f"ptlive: torn: entry at {first + 800:#x} 0x0 -> 0x1000 (address)"
    assert (len(told), told[-1]) == (11, "ptlive: torn: 5 more")
    change(monkeypatch, guest, {first + 8 * at: 0x3000 for at in range(100, 115)})
    value = json.loads(ptlive("map", "--live", *QMP, "--json").out)
    assert [int(one["entry_pa"], 16) for one in value["torn"]] == [
        first + 8 * at for at in range(100, 115)
    ]
    assert {(one["before"], one["after"]) for one in value["torn"]} == {("0x1000", "0x3000")}
    assert [note["code"] for note in value["notes"]] == ["torn"]


def test_nothing_is_torn_where_nothing_changes(
    ptlive: Callable[..., Done], live: list[str]
) -> None:
    for command in (["translate", hex(VA)], ["map"], ["table", "0"]):
        done = ptlive(*command, "--live", *QMP)
        assert (done.status, done.err) == (0, "")
        assert "torn" not in done.out


@pytest.mark.parametrize(
    ("bits", "words"),
    [
        *((A, "A"), (A | D, "A D"), (1, "P"), (A | 1 << 63 | 1 << 12, "A XD address")),
        *((1 << 51 | 1 << 9 | 1 << 52, "address bit 9 bit 52"), (6, "R/W U/S")),
    ],
)
def test_changed_bits_in_words(bits: int, words: str) -> None:
    assert changed(bits) == words


@pytest.mark.qemu
def test_linux_changes_its_tables_while_it_is_read(
    ptlive: Callable[..., Done], linux_guest: RunningGuest
) -> None:
    """Processes come and go: sooner or later one is met that does."""
    at = ("--guest", linux_guest.name, "--live", "--json")
    # A kernel's own page, the same in all processes.
    first = json.loads(ptlive("map", "0xffffffff80000000..0xffffffffbfffffff", *at).out)
    kernel = first["roots"][0]["result"]["regions"][0]["va"]
    at_the_prompt(linux_guest, "while true; do ls / >/dev/null; done & true")
    try:
        for _ in range(200):
            value = json.loads(ptlive("translate", kernel, "0x400000", *at).out)
            found = value["roots"][0]["result"]["translations"]
            assert found[0]["pa"] is not None
            if value["torn"]:
                break
        assert value["memory"] == "shared"
        assert any(note["code"] == "torn" for note in value["notes"])
        for one in value["torn"]:
            assert one["before"] != one["after"]
    finally:
        at_the_prompt(linux_guest, "kill %1")
    with Qmp(linux_guest.qmp) as qmp:
        assert qmp.running()

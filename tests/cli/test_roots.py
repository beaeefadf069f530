"""`ptlive roots`, `--root '#N'` and `--all-roots`: on a simulated guest, and on Linux."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from ptlive.guests.said.census import read_census
from ptlive.target import prompt
from tests.cli.conftest import VA
from tests.paging.plain_ram import FRAME
from tests.paging.tables import PWU, RW, P
from tests.simulated_guest import DATA, TABLES

if TYPE_CHECKING:
    from collections.abc import Callable

    from ptlive.target.running import Guest as RunningGuest
    from tests.cli.conftest import Done
    from tests.simulated_guest import Guest

AT = ("--gdb", "x:1")
# Frames of the simulated guest that nothing else uses, and a page that only another root maps.
OTHER, LOST, ITS_PAGE = DATA + 20, DATA + 30, 0x1234_5000


@pytest.fixture
def other(guest: Guest) -> int:
    """Another process's root beside that of the vCPU: the same upper half, one page of its own."""
    ram = guest.ram
    ram.write(8 * 5, 0)  # the entry that leads to no memory
    root = OTHER * FRAME
    ram.table(root)[256:] = ram.table(0)[256:]
    table = root
    for n, shift in enumerate((39, 30, 21), start=1):
        ram.write(table + 8 * (ITS_PAGE >> shift & 511), root + n * FRAME | PWU)
        table = root + n * FRAME
    ram.write(table + 8 * (ITS_PAGE >> 12 & 511), (DATA + 2) * FRAME | PWU)
    # What nothing leads to, and maps nothing for user mode.
    lost = LOST * FRAME
    for n in range(3):
        ram.write(lost + n * FRAME, lost + (n + 1) * FRAME | P | RW)
    ram.write(lost + 3 * FRAME, (DATA + 3) * FRAME | P | RW)
    assert guest.used <= TABLES
    return root


def listed(done: Done) -> dict[str, Any]:
    assert done.status == 0, done
    assert all(line.startswith("ptlive: note: ") for line in done.err.splitlines()), done
    value: dict[str, Any] = json.loads(done.out)
    return value


def test_text_has_the_vcpus_the_roots_and_a_sum(ptlive: Callable[..., Done], other: int) -> None:
    done = ptlive("roots", *AT)
    assert done.status == 0
    assert done.err == "ptlive: note: 1 root more is less sure: --all lists them\n"
    vcpus, first, blank, header, cr3, process, summary = done.out.splitlines()
    assert vcpus.split()[:4] == ["vCPU", "CR3", "root", "PCID"]
    assert first.split() == [
        "1",
        "0x0",
        "0x0",
        "-",
        "-",
        "-",
        "4-level",
        "paging",
        "kernel",
        "mode",
    ]
    assert blank == ""
    assert header.split()[:4] == ["#", "root", "kind", "confidence"]
    assert cr3.split()[:5] == ["#0", "0x0", "process", "1.00", "certain"]
    assert "in CR3 of vCPU 1" in cr3
    words = process.split()
    assert words[:5] == ["#1", hex(other), "process", "0.95", "high"]
    assert words[5:9] == ["1", "4K", "3", "-"]
    assert summary == "2 roots, 2 processes; 63 frames of RAM looked at"


def test_json_has_the_shape_that_all_commands_have(ptlive: Callable[..., Done], other: int) -> None:
    value = listed(ptlive("roots", *AT, "--json", "--all"))
    assert value["schema"] == "ptlive.roots/1"
    assert value["frames"] == {"looked_at": 63, "of": 63}
    (vcpu,) = value["vcpus"]
    assert (vcpu["vcpu"], vcpu["root"], vcpu["number"], vcpu["half"]) == (1, "0x0", 0, None)
    assert [(one["root"], one["origin"]) for one in value["roots"]] == [
        ("0x0", "#0"),
        (hex(other), "#1"),
        (hex(LOST * FRAME), "#2"),
    ]
    result = value["roots"][1]["result"]
    assert result["kind"] == "process"
    assert result["lower"] == {
        "leaves": 1,
        "bytes": FRAME,
        "user": 1,
        "in_ram": 1,
        "bad": 0,
        "junk": 0,
        "tables": 3,
    }
    assert value["roots"][0]["result"]["vcpus"] == [1]


def test_a_number_of_the_list_is_a_root(ptlive: Callable[..., Done], other: int) -> None:
    value = listed(ptlive("translate", *AT, "--json", "--root", "#1", hex(ITS_PAGE)))
    (root,) = value["roots"]
    assert (root["root"], root["origin"]) == (hex(other), "#1")
    (found,) = root["result"]["translations"]
    assert found["pa"] == hex((DATA + 2) * FRAME)


def test_several_roots_and_all_of_them(ptlive: Callable[..., Done], other: int) -> None:
    asked = ("map", *AT, "--json", f"{VA:#x}..0x700fffff", "0x12340000..0x1234ffff")
    value = listed(ptlive(*asked, "--root", "#1", "--root", "cr3", "--root", "#2"))
    assert [one["origin"] for one in value["roots"]] == ["#1", "cr3", "#2"]
    assert [len(one["result"]["regions"]) for one in value["roots"]] == [1, 2, 0]
    value = listed(ptlive(*asked, "--all-roots"))
    assert [one["root"] for one in value["roots"]] == ["0x0", hex(other)]  # not the unsure one


@pytest.mark.usefixtures("other")
def test_what_there_is_not_is_said(refused: Callable[..., str]) -> None:
    sentence = refused("map", *AT, "--root", "#3")
    assert sentence == "there is no root #3: 3 were found, from #0 on"
    assert "takes no --root" in refused("roots", *AT, "--all-roots")
    assert "takes no --root" in refused("roots", *AT, "--root", "cr3")
    assert "leave out --root" in refused("map", *AT, "--all-roots", "--root", "cr3")


@pytest.mark.usefixtures("other")
def test_a_confidence_can_be_asked_for(ptlive: Callable[..., Done]) -> None:
    def count(*options: str) -> int:
        return len(listed(ptlive("roots", *AT, "--json", *options))["roots"])

    asked = ("0", "0.4", "0.5", "0.96", "1")
    assert [count("--min-confidence", least) for least in asked] == [3, 3, 2, 1, 1]


def processes(guest: RunningGuest) -> set[int]:
    """The roots of all processes, as the guest's kernel has them, but the one that is asked."""
    said = read_census(prompt.ask(guest, "mapper census"))
    return {
        one.root
        for one in said.processes
        if one.kind == "user" and one.root and one.pid != said.pid
    }


@pytest.mark.qemu
def test_every_process_of_linux_while_many_come_and_go(
    ptlive: Callable[..., Done], linux_guest: RunningGuest
) -> None:
    prompt.ask(
        linux_guest,
        "for n in $(seq 12); do sleep 1000 & done; for n in $(seq 40); do true | cat; done",
    )
    try:
        expected = processes(linux_guest)
        value = listed(ptlive("roots", "--guest", linux_guest.name, "--json"))
    finally:
        prompt.ask(linux_guest, "kill $(pidof sleep)")
    assert len(expected) >= 14
    kinds = {int(one["root"], 16): one["result"]["kind"] for one in value["roots"]}
    assert {root for root, kind in kinds.items() if kind == "process"} == expected
    # The kernel's own, text_poke's and the trampoline of further vCPUs.
    assert sorted(kind for kind in kinds.values() if kind != "process") == [
        "kernel",
        "other",
        "other",
    ]

"""The walker held against what Linux says of its own pages.

Three parties that share no code: Linux wrote the tables, its pagemap and smaps tell what it
meant by them, and the walker reads them from outside.
"""

from __future__ import annotations

import re
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ptlive.guests import linux
from ptlive.guests.mapper import KINDS, parse_order
from ptlive.guests.said.mapper import PAGE_SIZES, Page, Witness, read_witness
from ptlive.paging.rights import names
from ptlive.space import AddressSpace, open_space
from ptlive.target import launch
from ptlive.target.attach import attach
from ptlive.target.machine import Machine
from ptlive.target.saved_state import read_pkru
from ptlive.wire.qmp import Qmp
from tests.guests.prompt import at_the_prompt

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ptlive.paging.translate import Translations
    from ptlive.target.running import Guest

PTI_USER = 0x1000  # of the two roots of a process, the user's is the second page (pti.c)


@dataclass(frozen=True)
class Booted:
    """A guest whose only busy process is the mapper, so that CR3 is that one's."""

    guest: Guest
    witness: Witness
    la57: bool

    @property
    def own(self) -> list[Page]:
        """The pages of the process that spins."""
        return [page for page in self.witness.pages if page.pid == self.witness.pid]


@contextmanager
def boot(order: str, levels: int, append: str = "") -> Iterator[Booted]:
    made = linux.recipe(order=parse_order(order), append=append)
    with launch.temporary(made, Machine(levels=levels)) as guest:
        # When it answers, the shell has started, and then sleeps.
        la57 = "\n1\n" in at_the_prompt(guest, "grep -c la57 /proc/cpuinfo")
        stop_in_user_mode(guest)
        yield Booted(guest, read_witness(guest.serial_log.read_text()), la57)


def stop_in_user_mode(guest: Guest) -> None:
    """Stop it in the mapper's loop: in an interrupt, or in the shell, CR3 may be another."""
    deadline = time.monotonic() + 20
    with Qmp(guest.qmp) as qmp:
        qmp.command("stop")
        while not in_the_loop(qmp):
            assert time.monotonic() < deadline
            qmp.command("cont")
            time.sleep(0.01)
            qmp.command("stop")


def in_the_loop(qmp: Qmp) -> bool:
    """Tell whether the vCPU is in ring 3 and at one of the instructions pause; jmp back to it."""
    registers = qmp.human("info registers")
    rip = re.search(r"RIP=([0-9a-f]{16})", registers)
    if "CPL=3" not in registers or not rip:
        return False
    around = qmp.human(f"x /6xb {int(rip[1], 16) - 2:#x}")
    return "0xf3 0x90 0xeb 0xfc" in around


@contextmanager
def space_of(guest: Guest, half: int | None = None) -> Iterator[AddressSpace]:
    """Open the space of the vCPU's root, or of that root's kernel (0) or user (1) half."""
    with attach(guest.gdb) as target:
        cpu = target.cpus[0]
        root = None if half is None else (cpu.cr3 & ~0x1FFF) + half * PTI_USER
        yield open_space(cpu, target.memory, target.ram_map, root=root)


@pytest.fixture(scope="module")
def five() -> Iterator[Booted]:
    with boot("all,scattered=3000", 5) as booted:
        yield booted


@pytest.fixture(scope="module")
def four() -> Iterator[Booted]:
    # Without swap: its disk keeps QEMU from telling PKRU.
    kinds = ",".join(set(KINDS) - {"swap", "huge1g", "scattered"})
    with boot(f"{kinds},scattered=3000", 4, "pti=on") as booted:
        yield booted


def translate(space: AddressSpace, pages: list[Page]) -> Translations:
    return space.translate(np.array([page.va for page in pages], dtype=np.uint64))


def should_be_mapped(page: Page) -> bool:
    """pagemap calls a PROT_NONE page present; for the MMU it is not."""
    return page.present and page.prot != "---"


def differences(space: AddressSpace, pages: list[Page]) -> list[str]:
    """Hold the walker against the kernel's word on each page."""
    found = []
    walked = translate(space, pages)
    for row, page in enumerate(pages):
        expected: dict[str, int] = {
            "mapped": should_be_mapped(page),
            "pa": page.pfn << 12,
            "size": page.size,
            "key": page.key,
            "user": True,
            # Without a write Linux has mapped its page of zeros, for reading.
            "write": "w" in page.prot and page.touched == "w",
            "execute": "x" in page.prot,
        }
        got: dict[str, int] = {"mapped": bool(walked.mapped[row])}
        if got["mapped"]:
            got |= names(space.format, int(walked.rights[row]))
            got |= {
                "pa": int(walked.pa[row]),
                "size": 1 << int(walked.page_bits[row]),
                "key": int(walked.entry[row]) >> 59 & 15,
            }
        assert set(got) <= set(expected)
        found += [
            f"{page.kind} {page.va:#x}: {what} is {expected[what]}, walked {got[what]}"
            for what in got
            if expected[what] != got[what]
        ]
    return found


def check_sums(space: AddressSpace, witness: Witness) -> int:
    """Hold the walker against the kernel over all pages of all areas; return how many."""
    areas = [area for area in witness.sums if area.pid == witness.pid]
    for area in areas:
        number = np.arange(area.pages, dtype=np.uint64)
        walked = space.translate(np.uint64(area.va) + number * np.uint64(area.step))
        pfn = np.where(walked.mapped, walked.pa >> np.uint64(12), np.uint64(0))
        if area.kind == "none":
            assert not walked.mapped.any()
            continue
        assert int(np.count_nonzero(walked.mapped)) == area.present, area
        assert int(((number + np.uint64(1)) * pfn).sum(dtype=np.uint64)) == area.weighted, area
    return sum(area.pages for area in areas)


def check_all(booted: Booted, space: AddressSpace) -> None:
    assert booted.witness.lost == 0
    assert differences(space, booted.own) == []
    assert check_sums(space, booted.witness) >= len({page.va for page in booted.own}) // 2


@pytest.mark.qemu
def test_five_levels_agree_with_the_kernel(five: Booted) -> None:
    with space_of(five.guest) as space:
        check_all(five, space)
    assert five.la57
    assert five.witness.without == []
    assert {page.kind for page in five.own} == {*KINDS, "rx"} - {"huge1g"}
    high = [page.va for page in five.own if page.kind == "high"]
    assert (min(high), max(high)) == (1 << 47, (1 << 56) - 0x2000)


@pytest.mark.qemu
def test_four_levels_with_page_table_isolation_agree_with_the_kernel(four: Booted) -> None:
    assert four.witness.without == ["high: user addresses end at 2^47 (no five levels)"]
    with space_of(four.guest) as space:
        assert int(space.root[0]) & PTI_USER, "it spins in user mode, on the user's root"
        check_all(four, space)
    assert not four.la57


@pytest.mark.qemu
def test_the_kernels_half_of_the_roots_denies_user_code(four: Booted) -> None:
    """pti.c sets XD in the kernel's entries for user space; all else is the same."""
    with space_of(four.guest, half=0) as space:
        found = differences(space, four.own)
    code = [page for page in four.own if "x" in page.prot]
    assert found == [f"{p.kind} {p.va:#x}: execute is True, walked False" for p in code]


@pytest.mark.qemu
def test_pages_that_are_not_there_keep_what_linux_left_in_them(five: Booted) -> None:
    gone = [page for page in five.own if page.kind in ("none", "swap")]
    with space_of(five.guest) as space:
        walked = translate(space, gone)
    assert not walked.mapped.any()
    left = {
        (page.kind, page.touched, int(e) != 0) for page, e in zip(gone, walked.entry, strict=True)
    }
    assert left == {("none", "w", True), ("none", "-", False), ("swap", "w", True)}
    assert all(page.swapped for page in gone if page.kind == "swap")


@pytest.mark.qemu
def test_several_processes_share_frames(five: Booted) -> None:
    frames: dict[int, set[int]] = {}
    places = []
    for page in five.witness.pages:
        if page.kind == "shared":
            frames.setdefault(page.pid, set()).add(page.pfn)
            places.append((page.pid, page.va))
    assert len(frames) == KINDS["shared"][0]
    assert all(found == frames[five.witness.pid] for found in frames.values())
    assert len(set(places)) == len(places) == 4 * (KINDS["shared"][0] + 1)


@pytest.mark.qemu
def test_pkru_is_what_the_process_read_itself(four: Booted) -> None:
    with Qmp(four.guest.qmp) as qmp:
        assert read_pkru(qmp, 1, lambda _: None) == four.witness.pkru != 0


@pytest.mark.qemu
def test_a_disk_that_cannot_be_saved_is_not_asked_for_pkru(five: Booted) -> None:
    """QEMU 7.2 died of it, and the user's guest with it."""
    with Qmp(five.guest.qmp) as qmp:
        assert read_pkru(qmp, 1, lambda _: None) is None
    assert five.guest.alive


@pytest.mark.qemu
def test_a_wrong_frame_would_be_told(five: Booted) -> None:
    wrong = [replace(five.own[0], pfn=five.own[0].pfn ^ 1)]
    with space_of(five.guest) as space:
        assert len(differences(space, wrong)) == 1


@pytest.mark.qemu
@pytest.mark.long
@pytest.mark.timeout(300)
def test_a_million_scattered_pages_and_a_page_of_1g_agree_with_the_kernel() -> None:
    with boot("scattered=1000000,huge1g", 5) as booted:
        with space_of(booted.guest) as space:
            check_all(booted, space)
        assert booted.witness.without == []
        assert sum(area.pages for area in booted.witness.sums) == 1_000_001
        assert {page.size for page in booted.own} == {PAGE_SIZES["4K"], PAGE_SIZES["1G"]}

"""When a guest is up: by a line, by a word on its screen, with the levels it has."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ptlive.errors import PtliveError
from ptlive.guests import RECIPES, Boot, Recipe
from ptlive.guests.ready import After, Pages, Says
from ptlive.target import launch, process, ready
from ptlive.target.machine import Machine
from ptlive.target.ready import wait_ready
from tests.target.test_prompt import a_guest

if TYPE_CHECKING:
    from ptlive.guests.ready import Ready
    from ptlive.target.running import Guest

SAYING = Recipe(
    name="toy",
    summary="says things",
    memory=1 << 20,
    ready=Says(r"up: levels=(?P<levels>\d)", whole_lines=True),
    patience=0,
    prepare=lambda _: Boot(),
)


# The registers of QEMU 7.2 (info registers -a), those that matter here.
REGISTERS = """
CPU#0
RAX=0000000000000000 RBX=0000000000000000
RIP=ffffffff80100000 RFL=00000002 [-------] CPL=0 II=0 A20=1 SMM=0 HLT=0
CS =0008 0000000000000000 ffffffff 00af9a00 DPL=0 CS64 [-R-]
SS =0010 0000000000000000 ffffffff 00cf9300 DPL=0 DS   [-WA]
CR0={cr0:08x} CR2=0000000000000000 CR3=0000000000001000 CR4={cr4:08x}
EFER={efer:016x}
"""


class Monitor:
    """Stands in for QMP."""

    cr0, cr4, efer = 0x80010033, 0x668, 0x500

    def __init__(self, _address: str) -> None:
        pass

    def __enter__(self) -> Monitor:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def human(self, line: str) -> str:
        assert line == "info registers -a"
        return REGISTERS.format(cr0=self.cr0, cr4=self.cr4, efer=self.efer)


@pytest.fixture
def monitor(monkeypatch: pytest.MonkeyPatch) -> type[Monitor]:
    class Mine(Monitor):
        pass

    monkeypatch.setattr(ready, "Qmp", Mine)
    return Mine


@pytest.fixture
def alive(tmp_path: Path) -> Guest:
    """A guest whose QEMU is this process."""
    started = process.start_time(os.getpid())
    assert started
    guest = replace(a_guest(tmp_path), folder=str(tmp_path), levels=0, pid=os.getpid())
    return replace(guest, process_started=started, started=time.time())


def saying(folder: Path, text: str, levels: int) -> Guest:
    (folder / "serial.log").write_text(text)
    return replace(a_guest(folder), folder=str(folder), levels=levels)


def when(condition: Ready) -> Recipe:
    return replace(SAYING, ready=condition)


def test_a_line_is_waited_for_until_it_is_whole(tmp_path: Path) -> None:
    up = wait_ready(saying(tmp_path, "x\nup: levels=5 a\n", 5), SAYING)
    assert (up.said, up.levels) == ("up: levels=5 a", 5)
    with pytest.raises(PtliveError, match=r"last words: x \| up: levels=5"):
        wait_ready(saying(tmp_path, "x\nup: levels=5", 5), SAYING)


def test_what_moves_a_cursor_is_no_part_of_a_line(tmp_path: Path) -> None:
    said = "\x1b[=3h\x1b[2J\x1b[01;01Hup: levels=5 a\n"
    assert wait_ready(saying(tmp_path, said, 5), SAYING).said == "up: levels=5 a"


def test_a_screen_has_no_lines(tmp_path: Path) -> None:
    recipe = when(Says(r"now (?P<levels>\d)"))
    guest = saying(tmp_path, "\x1b[2Jit is now 4 \x1b[1;1H", 4)
    assert wait_ready(guest, recipe).said == "now 4"


def test_lines_have_ends_and_port_0xe9_counts(alive: Guest, monitor: type[Monitor]) -> None:
    alive.debug_log.write_text("booting\nready\n")
    up = wait_ready(alive, when(Says("^ready$")))
    assert (up.said, up.levels) == ("ready", 4)
    with pytest.raises(PtliveError) as raised:
        wait_ready(alive, when(Says("^read$")))
    assert str(raised.value) == (
        "guest linux was not up after 0 s: '^read$' did not appear on serial or port 0xe9; "
        "last words: booting | ready"
    )


def test_a_line_that_goes_on_has_no_end_yet(alive: Guest, monitor: type[Monitor]) -> None:
    alive.debug_log.write_text("booting\nread")
    with pytest.raises(PtliveError, match="did not appear"):
        wait_ready(alive, when(Says(r"^(\w+d)$")))
    assert wait_ready(alive, when(Says("^rea"))).said == "rea"


@pytest.mark.parametrize(
    ("cr4", "efer", "levels"), [(0x668, 0x500, 4), (0x1668, 0xD00, 5), (0x20, 0, 3), (0, 0, 2)]
)
def test_who_does_not_tell_its_levels_is_asked(
    alive: Guest, monitor: type[Monitor], cr4: int, efer: int, levels: int
) -> None:
    monitor.cr4, monitor.efer = cr4, efer
    alive.serial_log.write_text("up\n")
    up = wait_ready(alive, when(Says("up")))
    assert (up.said, up.levels) == ("up", levels)
    assert json.loads((Path(alive.folder) / "guest.json").read_text())["levels"] == levels
    other = replace(alive, levels=9 - levels)
    with pytest.raises(PtliveError, match=f"runs with {levels} levels of paging, not {9 - levels}"):
        wait_ready(other, when(Says("up")))


def test_paging_is_waited_for(alive: Guest, monitor: type[Monitor]) -> None:
    monitor.cr0 = 0x11
    with pytest.raises(PtliveError, match="not up after 0 s: paging is not on; last words: none"):
        wait_ready(alive, when(Pages()))
    monitor.cr0 = 0x80000011
    assert wait_ready(alive, when(Pages())).levels == 4


def test_at_once_and_after_some_time(alive: Guest, monitor: type[Monitor]) -> None:
    monitor.cr0 = 0x11
    up = wait_ready(alive, when(After(0)))
    assert (up.said, up.levels) == ("at once", 0)
    recent = replace(alive, started=time.time())
    assert wait_ready(recent, when(After(0.2)), seconds=5).said == "0.2 s after its start"
    assert time.time() >= recent.started + 0.2


def test_a_triple_fault_is_told(tmp_path: Path) -> None:
    gone = saying(tmp_path, "one\ntwo\nthree\nfour\n", 0)
    gone.cpu_log.write_text("CPU Reset (CPU 0)\nEAX=0\nTriple fault\n")
    with pytest.raises(PtliveError) as raised:
        wait_ready(gone, when(Says("five")))
    assert str(raised.value) == (
        "guest linux ended while booting: a triple fault; last words: two | three | four"
    )


def test_levels_that_a_guest_cannot_have_are_refused_before_anything_is_fetched() -> None:
    for kind in ("ovmf", "xen", "memtest"):
        with pytest.raises(PtliveError, match=f"{kind} does not page with 5 levels"):
            launch.start(RECIPES[kind], Machine(levels=5))

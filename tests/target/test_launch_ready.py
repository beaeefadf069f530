"""When a guest is up: by a line, by a word on its screen, with the levels it has."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from ptlive.errors import PtliveError
from ptlive.guests import RECIPES, Boot, Recipe
from ptlive.target import launch
from ptlive.target.machine import Machine, command_line
from tests.target.test_prompt import a_guest

if TYPE_CHECKING:
    from pathlib import Path

    from ptlive.target.running import Guest

SAYING = Recipe(
    name="toy",
    summary="says things",
    memory=1 << 20,
    ready=r"up: levels=(?P<levels>\d)",
    patience=0,
    prepare=lambda _: Boot(),
)


class Monitor:
    """Stands in for QMP."""

    registers = "CR4=00000668"

    def __init__(self, _address: str) -> None:
        pass

    def __enter__(self) -> Monitor:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def human(self, _line: str) -> str:
        return f"CR0=80010033 CR2=0 CR3=0 {self.registers}"


def saying(folder: Path, text: str, levels: int) -> Guest:
    (folder / "serial.log").write_text(text)
    return replace(a_guest(folder), folder=str(folder), levels=levels)


def test_a_line_is_waited_for_until_it_is_whole(tmp_path: Path) -> None:
    assert launch.wait_ready(saying(tmp_path, "x\nup: levels=5 a\n", 5), SAYING) == "up: levels=5 a"
    with pytest.raises(PtliveError, match="last words: up: levels=5"):
        launch.wait_ready(saying(tmp_path, "x\nup: levels=5", 5), SAYING)


def test_what_moves_a_cursor_is_no_part_of_a_line(tmp_path: Path) -> None:
    said = "\x1b[=3h\x1b[2J\x1b[01;01Hup: levels=5 a\n"
    assert launch.wait_ready(saying(tmp_path, said, 5), SAYING) == "up: levels=5 a"


def test_a_screen_has_no_lines(tmp_path: Path) -> None:
    recipe = replace(SAYING, ready=r"now (?P<levels>\d)", whole_lines=False)
    assert launch.wait_ready(saying(tmp_path, "\x1b[2Jit is now 4 \x1b[1;1H", 4), recipe) == "now 4"


@pytest.mark.parametrize(("cr4", "levels"), [("00000668", 4), ("00001668", 5)])
def test_who_does_not_tell_its_levels_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cr4: str, levels: int
) -> None:
    monkeypatch.setattr(launch, "Qmp", Monitor)
    monkeypatch.setattr(Monitor, "registers", f"CR4={cr4}")
    recipe = replace(SAYING, ready="up")
    assert launch.wait_ready(saying(tmp_path, "up\n", levels), recipe) == "up"
    with pytest.raises(PtliveError, match=f"runs with {levels} levels of paging, not {9 - levels}"):
        launch.wait_ready(saying(tmp_path, "up\n", 9 - levels), recipe)


def test_levels_that_a_guest_cannot_have_are_refused_before_anything_is_fetched() -> None:
    for kind in ("ovmf", "xen", "memtest"):
        with pytest.raises(PtliveError, match=f"{kind} does not page with 5 levels"):
            launch.start(RECIPES[kind], Machine(levels=5))


def test_firmware_takes_the_place_of_a_kernel_and_tcg_is_shown_less(tmp_path: Path) -> None:
    def words(boot: Boot, accel: str = "tcg") -> list[str]:
        given: dict[str, Any] = {"ram": "/r", "memory": 1 << 20, "gdb": "unix:/g"}
        machine = Machine(levels=4, accel=accel)
        return command_line(machine, boot, folder=tmp_path, sockets=tmp_path, **given)

    boot = Boot(firmware=tmp_path / "fw", without=("cx16", "x"))
    line = words(boot)
    assert line[line.index("-bios") + 1] == str(tmp_path / "fw")
    assert "-kernel" not in line
    assert line[line.index("-cpu") + 1] == "max,-la57,-cx16,-x"
    line = words(Boot(kernel=tmp_path / "k", without=("cx16",)), "kvm")
    assert "-bios" not in line
    assert line[line.index("-cpu") + 1] == "max,-la57"

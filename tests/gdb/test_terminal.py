"""ptlive in gdb as a person uses it: keys typed on a terminal."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import pytest

from ptlive.guests import menu
from tests.gdb.terminal import CTRL_C, PROMPT, TAB, Terminal, terminal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ptlive.target.running import Guest

pytestmark = pytest.mark.qemu


@pytest.fixture(scope="module")
def shown(menu_guest_5: Guest) -> Iterator[Terminal]:
    address = menu_guest_5.gdb.removeprefix("unix:")
    with terminal(address, "set pagination off", f"file {menu.ELF}") as one:
        yield one


def test_tab_completes_commands_options_and_values(shown: Terminal) -> None:
    shown.type(f"ptlive dec{TAB}0x1067 --no-n{TAB}--level 1\n")
    assert "leaf" in shown.until(PROMPT)
    shown.type(f"ptlive translate --memory st{TAB}$ri{TAB}\n")
    assert "(4K page, RAM)" in shown.until(PROMPT)


def test_a_pager_that_is_left_ends_the_command(shown: Terminal) -> None:
    shown.command("set pagination on")
    shown.type("ptlive map\n")
    assert "start" in shown.until(re.compile("without paging--"))
    shown.type("q\n")
    assert "Quit" in shown.until(PROMPT)
    shown.command("set pagination off")
    assert shown.command("print $_pt_status").endswith("= 130")


COMMANDS = (
    "ptlive map --memory stub",
    "ptlive roots --memory stub",
    "ptlive verify --oracle stepped --probes 300",
    "ptlive verify --oracle debug-walker",
    "print $_pt_pa($rip)",
)
STATE = ("info registers rip rsp cr3 eflags cs", "x/8gx $rip", "maint packet qqemu.PhyMemMode")


def test_ctrl_c_at_any_moment_leaves_gdb_as_it_was(shown: Terminal) -> None:
    before = [shown.command(one) for one in STATE]
    assert 'received: "0"' in before[-1]
    for at, moment in enumerate((0, 0.003, 0.01, 0.03, 0.06, 0.1, 0.15, 0.2, 0.3, 0.4)):
        shown.type(f"{COMMANDS[at % len(COMMANDS)]}\n")
        time.sleep(moment)
        shown.type(CTRL_C)
        if at % 3 == 0:
            shown.type(CTRL_C)
        shown.settle()
        assert [shown.command(one) for one in STATE] == before
    assert "(4K page, RAM)" in shown.command("ptlive translate $rip")


def test_ctrl_c_at_the_prompt_is_no_exception(shown: Terminal) -> None:
    """It comes with the end of a command, when ptlive is told that there is a prompt."""
    said = shown.command("shell kill -INT $PPID") + shown.command("shell kill -INT $PPID")
    shown.settle()
    assert "Exception" not in said


def test_ctrl_c_is_felt_at_once_and_the_status_tells_it(shown: Terminal) -> None:
    shown.command("print $_pt_pa(0)")
    shown.type("ptlive verify --oracle stepped --probes 1000000\n")
    time.sleep(1)
    shown.type(CTRL_C)
    shown.settle()
    assert shown.command("print $_pt_status").endswith("= 130")


def test_headings_are_styled_where_gdb_styles(shown: Terminal) -> None:
    bold = "ptlive translate $rip | cat -v | grep -c '\\^\\[\\[1m'"
    assert shown.command(f"pipe {bold}") == "0"
    shown.type("ptlive translate $rip\n")
    assert "\x1b[1m0x" in shown.raw(PROMPT)
    shown.command("set style enabled off")
    shown.type("ptlive translate $rip\n")
    assert "\x1b[1m0x" not in shown.raw(PROMPT)
    shown.command("set style enabled on")

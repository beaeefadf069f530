"""The demonstration: it passes on five levels and on four, and fails when made wrong."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ptlive import demo
from ptlive.access_kind import ACCESS_KINDS
from ptlive.cli import main
from ptlive.guests.said.menu import Answer, Menu, MenuLine, read_menu
from ptlive.oracle import stepped
from ptlive.space import open_space
from ptlive.target.attach import attach
from ptlive.verify import question

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ptlive.analysis.report import Report
    from ptlive.demo import Coverage
    from ptlive.space import AddressSpace
    from ptlive.target.attach import Target
    from ptlive.target.running import Guest

pytestmark = pytest.mark.qemu
LEAST = 350


@contextmanager
def parked(guest: Guest) -> Iterator[tuple[Target, AddressSpace, Menu]]:
    assert guest.symbols is not None
    with attach(guest.gdb) as target:
        space = open_space(target.cpus[0], target.memory, target.ram_map)
        yield target, space, read_menu(Path(guest.symbols), target.memory)


def shortened(menu: Menu, count: int = 12) -> Menu:
    """The first lines of the menu, which a test has time for."""
    return dataclasses.replace(menu, lines=menu.lines[:count])


def ask(target: Target, space: AddressSpace, menu: Menu) -> tuple[Report, Coverage]:
    return demo.verify_menu(target, space, menu, 0, lambda *_: None)


@pytest.mark.parametrize("levels", [5, 4])
def test_json_of_the_whole_demo(levels: int) -> None:
    command = [sys.executable, "-c", "from ptlive.cli import main; main()"]
    command += ["demo", "--json", "--levels", str(levels)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    value = json.loads(done.stdout)
    assert value["schema"] == "ptlive.demo/1"
    (found,) = value["guests"]
    assert (found["levels"], found["format"]) == (levels, f"x86-64-{levels}level")
    assert found["executed"] >= LEAST
    assert found["lines"] >= 60
    assert found["without_answer_or_reason"] == 0
    assert found["guest_differences"] == 0
    skipped = sum(found["not_executed"].values())
    assert found["executed"] + skipped == found["lines"] * len(ACCESS_KINDS)
    assert all(reason for reason in found["not_executed"])
    result = found["result"]
    assert result["disagreements"] == []
    for check in result["checks"]:
        assert check["disagreed"] == 0
        if check["property"] == "fault":
            left = sum(reason["count"] for reason in check["unchecked"])
            assert check["checked"] + left == found["lines"] * len(ACCESS_KINDS)
    assert {quirk["name"] for quirk in result["quirks"]} <= {"tcg-rsvd-without-p"}


def altered(line: MenuLine, kind: str, **what: Any) -> MenuLine:
    """A line with one expectation changed."""
    of = ACCESS_KINDS[kind]
    answer: Answer = dataclasses.replace(line.expected[of], **what)
    return dataclasses.replace(line, expected=line.expected | {of: answer})


@pytest.mark.parametrize(
    ("kind", "what", "aspect"),
    [
        ("supervisor-read", {"frame": 0x1234_5678}, "frame"),
        ("supervisor-read", {"vector": 14, "error_code": 1}, "fault"),
        ("user-read", {"error_code": 4}, "fault"),
        ("user-read", {"vector": 0, "error_code": 0}, "fault"),
        ("user-read", {"vector": 13, "error_code": 0}, "fault"),
    ],
)
def test_one_wrong_expectation_is_one_disagreement(
    menu_guest_5: Guest, kind: str, what: dict[str, int], aspect: str
) -> None:
    with parked(menu_guest_5) as (target, space, menu):
        # The first line is a plain supervisor page: user-read gets #PF(5).
        small = shortened(menu, 2)
        assert small.lines[0].expected[ACCESS_KINDS["user-read"]].error_code == 5
        wrong = dataclasses.replace(
            small, lines=[altered(small.lines[0], kind, **what), *small.lines[1:]]
        )
        report, coverage = ask(target, space, wrong)
    (one,) = report.disagreements
    assert (one.oracle, one.aspect, one.access) == ("menu", aspect, kind)
    assert one.va == small.lines[0].va
    assert coverage.missing(2) == 0


def test_what_cannot_be_predicted_is_no_disagreement(
    menu_guest_5: Guest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stepped.SteppedProbe, "pkru", lambda self: None)
    with parked(menu_guest_5) as (target, space, menu):
        report, _ = ask(target, space, shortened(menu))
    assert report.disagreements == []
    for oracle in ("stepped", demo.ORACLE):
        (fault,) = (c for c in report.checks if (c.oracle, c.aspect) == (oracle, "fault"))
        assert fault.unchecked["PKRU is not known"] > 0


def test_a_probe_that_is_dropped_is_missed(
    menu_guest_5: Guest, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = question.questions

    def without_one(*arguments: Any) -> Iterator[question.Question]:
        yield from (
            asked
            for asked in whole(*arguments)
            if (asked.row, asked.kind) != (1, ACCESS_KINDS["user-write"])
        )

    monkeypatch.setattr("ptlive.verify.run.questions", without_one)
    with parked(menu_guest_5) as (target, space, menu):
        _, coverage = ask(target, space, shortened(menu, 3))
    assert coverage.missing(3) == 1
    assert coverage.executed == 3 * len(ACCESS_KINDS) - 1


def run_demo(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> int:
    """Run the command in this process; return its exit status."""
    monkeypatch.setattr(sys, "argv", ["ptlive", "demo", "--levels", "5", "--json"])
    with pytest.raises(SystemExit) as left:
        main()
    capsys.readouterr()
    assert isinstance(left.value.code, int)
    return left.value.code


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        ("a line too few executed", 2),
        ("an expectation", 1),
        ("the guest's own differences", 1),
        ("the MMU's answer", 1),
        ("a question", 2),
    ],
)
def test_the_command_fails_when_it_is_made_wrong(
    fault: str, status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def smaller(elf: Path, memory: Any) -> Menu:
        # Fewer lines than the command asks for are a failure of their own.
        menu = shortened(read_menu(elf, memory), 10)
        if fault == "an expectation":
            first = altered(menu.lines[0], "supervisor-read", vector=14, error_code=1)
            return dataclasses.replace(menu, lines=[first, *menu.lines[1:]])
        if fault == "the guest's own differences":
            return dataclasses.replace(menu, differences=1)
        return menu

    monkeypatch.setattr("ptlive.cli.demo.read_menu", smaller)
    if fault != "a line too few executed":
        monkeypatch.setattr(demo, "LEAST_EXECUTED", 1)
    if fault == "the MMU's answer":
        monkeypatch.setattr(stepped, "_judge", lambda probe, reached: (False, None))
    if fault == "a question":
        whole = question.questions
        monkeypatch.setattr("ptlive.verify.run.questions", lambda *given: list(whole(*given))[:-1])
    assert run_demo(monkeypatch, capsys) == status


def test_the_same_short_demo_passes_when_nothing_is_wrong(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        "ptlive.cli.demo.read_menu", lambda elf, memory: shortened(read_menu(elf, memory), 10)
    )
    monkeypatch.setattr(demo, "LEAST_EXECUTED", 1)
    assert run_demo(monkeypatch, capsys) == 0


def test_it_shows_a_line_whose_leaf_grants_what_a_table_denies(menu_guest_5: Guest) -> None:
    with parked(menu_guest_5) as (_, space, menu):
        line, translations, row = demo.exemplary(space, menu)
        found = space.describe(translations, row, [])
    assert found.va == line.va
    assert max(lvl or 0 for lvl in found.decided_by.values()) > 1
